//! What a bake *is*: its recipe, the documents it names, the hashes that address it, and the store
//! that keeps what was made.
//!
//! This crate runs no model and prints nothing. Applications link it for the recipe and the store;
//! the macro and the tools link it with the feature `syntax` as well, for the grammar of `bake!`
//! and its checks.

#[cfg(feature = "syntax")]
pub mod ast;
#[cfg(feature = "syntax")]
pub mod check;
pub mod config;
pub mod dataset;
#[cfg(feature = "syntax")]
pub mod diagnostics;
pub mod document;
mod error;
#[cfg(feature = "sources")]
mod format;
mod hash;
pub mod lock;
pub mod model;
#[cfg(feature = "syntax")]
pub mod parse;
#[cfg(feature = "syntax")]
pub mod print;
pub mod recipe;
#[cfg(feature = "syntax")]
pub mod settings;
#[cfg(feature = "sources")]
pub mod sources;
pub mod store;

pub use config::{Config, Projection};
pub use error::{Error, ErrorKind};
#[cfg(feature = "sources")]
pub use format::format;
pub use hash::{Hash, KeyHasher};
pub use lock::Lock;
pub use recipe::{Declaration, Recipe, TargetName};
pub use store::{DIR_VARIABLE, Store, StoreLock};
