//! Whether answers are as a recipe expects.

pub(crate) mod grade;
mod refusal;
mod words;

#[cfg(test)]
mod tests;
