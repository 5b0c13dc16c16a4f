//! What a program holds of a model: typed handles of a declaration, and conversations.

pub(crate) mod baked;
pub(crate) mod chat;
#[cfg(feature = "eval")]
pub(crate) mod switchable;
