//! The engine of bake: models, distillation, training, adapters.
//!
//! Applications depend on the crate `bake`, which re-exports what is here together with the macro. This crate knows nothing of
//! declarations in source code: it gets a [`Recipe`](bake_spec::Recipe) and makes an adapter of it, or a model with an adapter ready to be
//! asked.
//!
//! ```
//! use bake_runtime::{Chat, Model};
//!
//! let teacher = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
//! assert_eq!(teacher.chat("I lost my key")?, "Ask Bob in the blue office.");
//! # Ok::<(), bake_runtime::Error>(())
//! ```

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
pub use chat::{AnswerStream, Chat, Session};
pub use error::{Error, ErrorKind, Result};
pub use evaluate::{Graded, meets};
pub use model::chat::{Message, Role};
pub use model::sample::Sampling;
pub use model::{Forward, Model};
pub use pipeline::{Bake, BakeOptions, Report, TargetReport, bake as bake_recipe};
pub use progress::{Bars, Interrupt, Progress, Silent};
