//! Between text and the ids of tokens.

pub(crate) mod guard;
pub(crate) mod template;
pub(crate) mod tokenizer;
