//! The engine of bake.

mod adapter;
mod baked;
mod chat;
pub mod distill;
mod elementary;
mod error;
mod evaluate;
mod matrix;
mod model;
mod pipeline;
mod progress;
mod rollout;
mod stimuli;
mod train;

pub use adapter::Adapter;
pub use baked::{Baked, Outcome, Switchable, bake, load, load_from, load_switchable};
pub use chat::{Answer, Chat, Session};
pub use error::{Error, ErrorKind, Result};
pub use evaluate::{Graded, meets};
pub use model::chat::{Message, Role};
pub use model::sample::Sampling;
pub use model::{Forward, Model};
pub use pipeline::{Bake, BakeOptions, Report, TargetReport, bake as bake_recipe};
pub use progress::{Bars, Interrupt, Progress, Silent};
