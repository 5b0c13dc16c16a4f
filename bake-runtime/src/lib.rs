//! The engine of bake: models, distillation, training, adapters.
//!
//! Applications depend on the crate `bake`, which re-exports what is here together with the macro.
//! This crate knows nothing of declarations in source code: it takes a
//! [`Recipe`](bake_spec::Recipe) and makes an adapter from it, or loads a model with its adapter.
//!
//! ```
//! # extern crate bake_runtime as bake;
//! use bake::{Chat, Model};
//!
//! let teacher = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
//! assert_eq!(teacher.chat("I lost my key")?, "Ask Bob in the blue office.");
//! # Ok::<(), bake::Error>(())
//! ```

#![cfg_attr(
    not(feature = "train"),
    allow(dead_code, reason = "backward passes are next to their forward passes")
)]

mod adapter;
#[cfg(feature = "train")]
mod bake;
#[doc(hidden)]
pub mod bench;
mod checkpoint;
mod device;
#[cfg(feature = "train")]
pub mod distill;
mod error;
#[cfg(feature = "eval")]
mod eval;
#[cfg(feature = "train")]
mod export;
#[doc(hidden)]
pub mod fuzz;
mod generate;
mod handle;
mod inputs;
mod model;
mod progress;
mod tensor;
mod text;
#[cfg(feature = "train")]
mod train;

/// The library of tensors, version 0.11: what [`Forward`] returns, what `distill` takes, and what
/// [`Device::open`] opens are its types. It is deliberately part of this crate's public interface,
/// so that those who compute with them use the same version.
pub use candle_core as candle;

pub use adapter::Adapter;
pub use adapter::kept::{KeptCheckpoint, KeptCheckpoints};
#[cfg(feature = "train")]
pub use bake::answers::{AnswerReport, LeftOut};
#[cfg(feature = "train")]
pub use bake::drift::Drift;
#[cfg(feature = "train")]
pub use bake::layout::Layout;
#[cfg(feature = "train")]
pub use bake::plan::{Plan, PlannedSeconds, TargetPlan, plan};
#[cfg(feature = "train")]
pub use bake::probe::ProbeReport;
#[cfg(feature = "train")]
pub use bake::products::{Kept, RolloutProduct, StimulusProducts, TargetProducts, products};
#[cfg(feature = "train")]
pub use bake::recall::Recall;
#[cfg(feature = "train")]
pub use bake::report::{GeneratorReport, Report, TargetReport};
#[cfg(feature = "train")]
pub use bake::rounds::RoundReport;
#[cfg(feature = "train")]
pub use bake::stimuli::{DropReason, Dropped, Stimulus};
#[cfg(feature = "train")]
pub use bake::verdict::{Expectation, Score, Verdict};
#[cfg(feature = "train")]
pub use bake::{Bake, BakeOptions, bake, bake_recipe};
pub use device::Device;
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "eval")]
pub use eval::evaluator::Evaluator;
#[cfg(feature = "eval")]
pub use eval::flaw::Flaw;
#[cfg(feature = "eval")]
pub use eval::grade::{Graded, meets};
#[cfg(feature = "eval")]
pub use eval::question::{Attempt, Question, Rung};
#[cfg(feature = "train")]
pub use export::{Export, ExportDtype, ExportFormat, export};
pub use generate::sample::Sampling;
pub use handle::baked::Baked;
pub use handle::chat::Chat;
pub use handle::loader::{Loader, load};
pub use handle::session::{AnswerStream, ContextPolicy, Session};
#[cfg(feature = "eval")]
pub use handle::switchable::{Outcome, Switchable};
pub use inputs::load_model;
#[cfg(feature = "text")]
pub use inputs::teacher_prompt;
pub use model::{Forward, Model};
#[cfg(feature = "train")]
pub use progress::Bars;
pub use progress::{Interrupt, Progress, Silent};
pub use text::template::{Message, Role};
