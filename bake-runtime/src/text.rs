//! Between text and the ids of tokens.

mod control;
mod date;
#[cfg(test)]
mod families;
pub(crate) mod guard;
pub(crate) mod settings;
pub(crate) mod stream;
pub(crate) mod template;
#[cfg(test)]
mod tests;
pub(crate) mod tokenizer;
