//! What a bake *is*: its recipe, the documents it names, the hashes that address it, and the store that keeps what was made.
//!
//! This crate runs no model and prints nothing. Applications link it for the recipe and the store; the macro and the tools link it with
//! the feature `syntax` as well, for the grammar of `bake!` and its checks.

#[cfg(feature = "syntax")]
pub mod ast;
#[cfg(feature = "syntax")]
pub mod check;
pub mod config;
#[cfg(feature = "syntax")]
pub mod diagnostics;
pub mod document;
mod error;
mod hash;
#[cfg(feature = "syntax")]
pub mod parse;
pub mod recipe;
#[cfg(feature = "syntax")]
pub mod settings;
mod store;

pub use config::{Config, Projection};
pub use error::{Error, ErrorKind};
pub use hash::{Hash, KeyHasher};
pub use recipe::{Declaration, Recipe, TargetName};
pub use store::{DIR_VARIABLE, Store, StoreLock};
