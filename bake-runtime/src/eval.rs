//! Evaluation: the models of a recipe side by side, and whether their answers are as expected.

pub(crate) mod evaluator;
pub(crate) mod flaw;
pub(crate) mod grade;
pub(crate) mod question;
pub(crate) mod refusal;
pub(crate) mod words;

#[cfg(test)]
mod tests;
