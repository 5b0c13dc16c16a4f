//! From tokens to the tree of a declaration and back, and finding declarations in sources.

pub mod ast;
#[cfg(feature = "sources")]
pub mod find;
#[cfg(feature = "sources")]
mod format;
pub mod parse;
pub mod print;
mod tokens;

#[cfg(feature = "sources")]
pub use format::{WIDTH, format, format_to};
