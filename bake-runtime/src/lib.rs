//! The engine of bake.

mod adapter;
mod elementary;
mod error;
mod matrix;
mod model;

pub use adapter::Adapter;
pub use error::{Error, ErrorKind, Result};
pub use model::chat::{Message, Role};
pub use model::sample::Sampling;
pub use model::{Forward, Model};
