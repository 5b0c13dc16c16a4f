//! What a bake *is*: its recipe, the documents it names, the hashes that address it, and the store
//! that keeps the results.
//!
//! This crate runs no model and prints nothing. Applications link it for the recipe and the store;
//! the macro and the tools link it with the feature `syntax` as well, for the grammar of `bake!`
//! and its checks.

#[cfg(feature = "syntax")]
pub mod builder;
#[cfg(feature = "syntax")]
pub mod check;
#[cfg(feature = "text")]
pub mod dataset;
pub mod diagnostics;
mod error;
pub mod file;
mod hash;
#[cfg(feature = "lock")]
pub mod lock;
pub mod model;
pub mod recipe;
pub mod room;
pub mod settings;
#[cfg(feature = "sources")]
pub mod sources;
mod status;
pub mod store;
#[cfg(feature = "syntax")]
pub mod syntax;
pub mod text;

pub use error::{Error, ErrorKind};
pub use hash::{Encode, Hash, KeyHasher, Record};
#[cfg(feature = "lock")]
pub use lock::Lock;
pub use model::config::{Config, Projection};
pub use recipe::{Declaration, Recipe, TargetName};
pub use status::{BakedDocument, BakedFrom, Freshness, Status};
pub use store::{DIR_VARIABLE, Store, StoreLock};
#[cfg(feature = "sources")]
pub use syntax::format;
#[cfg(feature = "text")]
pub use text::document;
