//! From tokens to the tree of a declaration and back.

pub mod ast;
#[cfg(feature = "sources")]
mod format;
pub mod parse;
pub mod print;
pub(crate) mod tokens;

#[cfg(feature = "sources")]
pub use format::{WIDTH, format, format_to};
