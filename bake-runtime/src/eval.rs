//! Whether answers are as a recipe expects.

pub(crate) mod grade;
pub(crate) mod refusal;
pub(crate) mod words;

#[cfg(test)]
mod tests;
