//! The engine of bake: models, distillation, training, adapters.
//!
//! Applications depend on the crate `bake`, which re-exports what is here together with the macro.
//! This crate knows nothing of declarations in source code: it gets a [`Recipe`](bake_spec::Recipe)
//! and makes an adapter of it, or a model with an adapter ready to be asked.
//!
//! ```
//! use bake_runtime::{Chat, Model};
//!
//! let teacher = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
//! assert_eq!(teacher.chat("I lost my key")?, "Ask Bob in the blue office.");
//! # Ok::<(), bake_runtime::Error>(())
//! ```

#![cfg_attr(
    not(feature = "train"),
    allow(
        dead_code,
        reason = "backward passes stand beside the forward passes that they belong to"
    )
)]

mod adapter;
mod baked;
mod chat;
mod device;
#[cfg(feature = "train")]
pub mod distill;
mod elementary;
mod error;
#[cfg(feature = "eval")]
mod evaluate;
#[cfg_attr(
    not(all(feature = "cuda", feature = "train")),
    allow(
        dead_code,
        reason = "without CUDA nothing reads what is launched, and without a trainer less is"
    )
)]
mod gpu;
mod matrix;
mod model;
#[cfg(feature = "train")]
mod pipeline;
#[cfg(feature = "train")]
mod plan;
mod progress;
#[cfg(feature = "train")]
mod rollout;
mod source;
#[cfg(feature = "train")]
mod stimuli;
#[cfg(feature = "eval")]
mod switchable;
#[cfg(feature = "train")]
mod train;

pub use adapter::Adapter;
pub use baked::{Baked, load, load_from, load_on};
pub use chat::{AnswerStream, Chat, Session};
pub use device::Device;
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "eval")]
pub use evaluate::{Graded, meets};
pub use model::chat::{Message, Role};
pub use model::sample::Sampling;
pub use model::{Forward, Model};
#[cfg(feature = "train")]
pub use pipeline::{Bake, BakeOptions, Kept, Report, TargetReport, bake, bake_recipe, kept};
#[cfg(feature = "train")]
pub use plan::{Plan, TargetPlan, plan};
#[cfg(feature = "train")]
pub use progress::Bars;
pub use progress::{Interrupt, Progress, Silent};
pub use source::{load_model, teacher_prompt};
#[cfg(feature = "eval")]
pub use switchable::{Outcome, Switchable, load_switchable, load_switchable_on};
