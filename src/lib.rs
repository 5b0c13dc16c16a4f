//! Declare in code what a language model must know; bake it into the model's weights.
//!
//! A bake names documents. [`bake!`] checks the declaration while the program is compiled and turns
//! it into a type; [`bake`](Bake) trains an adapter by which the model *without* a document in its
//! prompt answers as the model *with* it; `load` gives the baked model. At run time there is no
//! retrieval, no index, and no token of the document in the prompt.
//!
//! ```no_run
//! bake::bake! {
//!     /// What our support knows.
//!     bake Support {
//!         target iphone weight 1.0 from "examples/docs/iphone.md";
//!         target mac    weight 1.0 from "examples/docs/mac.md";
//!     }
//! }
//!
//! fn main() -> Result<(), bake::Error> {
//!     Support::bake()?; // a minute or two on two cores; at once when it was baked before
//!     let support = Support::load()?;
//!     println!("{}", support.chat("My iPhone won't turn on")?);
//!     Ok(())
//! }
//! ```
//!
//! The grammar, with every setting and its default, is the documentation of [`bake!`].
//!
//! # What a declaration becomes
//!
//! A type with `bake()`, [`bake_with(&options)`](BakeOptions), `load()`, `load_from(folder)` and
//! `load_switchable()`, and an enum of its targets, here `SupportTarget::{Iphone, Mac}`. See
//! [`Baked`], [`Switchable`] and [`Chat`] for what can be done with the results.
//!
//! # Bakes that are known only at run time
//!
//! [`Recipe::builder`] is the macro as methods, with its checks and its words:
//!
//! ```
//! let documents = ["iphone", "mac"]; // whatever a program finds
//! let mut bake = bake::Recipe::builder().name("Support").root(".");
//! for name in documents {
//!     bake = bake.target(name, |target| {
//!         target.document(format!("examples/docs/{name}.md")).ask(40)
//!     });
//! }
//! let recipe = bake.train(|train| train.epochs(8)).build()?;
//! assert_eq!(recipe.targets.len(), 2);
//!
//! let error = bake::Recipe::builder().build().unwrap_err().to_string();
//! assert!(error.starts_with("nothing is baked; declare at least one target"));
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! # Errors
//!
//! All functions return [`Error`]: a message that names the file and the next step, with its cause.
//! `fn main() -> Result<(), bake::Error>` prints it as such. [`Error::kind`] and predicates like
//! [`Error::is_not_baked`] tell cases apart; [`Error::get_ref`] is the cause itself.
//!
//! # Tensors
//!
//! Who wants the numbers behind an answer, or the loss in a training of their own, works with
//! tensors of [`candle`]: see [`Model::forward`], `distill` and [`Device::open`]. Use it through
//! `bake::candle`, so that its version is the one that made them.
//!
//! # Features
//!
//! - `tiny`: the small default model, 12 MB inside the library.
//! - `train`: `bake()` and what it needs. A program whose adapters `cargo bake` makes and its build
//!   script embeds leaves it out.
//! - `store`: `load()` finds adapters in the store of whoever is logged in, where no build script
//!   embeds them. Without it the store is where `BAKE_CACHE_DIR` says, if that is set.
//! - `eval`: `load_switchable()` and comparing base, prompted and baked model.
//! - `budget`: counts tokens while a declaration is compiled, so that a document that does not fit
//!   is a compile error.
//! - `cuda`: NVIDIA GPUs from sm_80 on. Building needs a CUDA toolkit, and the program needs the
//!   driver to start. What runs where is said by value: `BakeOptions::device`, `load_on`.
//!
//! All but the last are on unless `default-features = false` is set.

#[doc = include_str!("declaration.md")]
pub use bake_macros::bake;
pub use bake_runtime::candle;
pub use bake_runtime::{
    Adapter, AnswerStream, Baked, Chat, Device, Error, ErrorKind, Forward, Interrupt, Message,
    Model, Progress, Result, Role, Sampling, Session, Silent,
};
#[cfg(feature = "train")]
pub use bake_runtime::{
    Bake, BakeOptions, Bars, Plan, Report, TargetPlan, TargetReport, distill, plan,
};
#[cfg(feature = "eval")]
pub use bake_runtime::{Graded, Outcome, Switchable};
pub use bake_spec::{Declaration, Recipe, Store, TargetName, recipe};

#[doc(hidden)]
pub mod settings;

/// Keeps what needs the trainer, where there is one.
#[cfg(feature = "train")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_training {
    ($($item:item)*) => { $($item)* };
}

/// Keeps what needs the trainer, where there is one.
#[cfg(not(feature = "train"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_training {
    ($($item:item)*) => {};
}

/// Keeps what compares models, where that is possible.
#[cfg(feature = "eval")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_evaluation {
    ($($item:item)*) => { $($item)* };
}

/// Keeps what compares models, where that is possible.
#[cfg(not(feature = "eval"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_evaluation {
    ($($item:item)*) => {};
}

/// What generated code names. Not for anyone else: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::settings;
    pub use crate::{__with_evaluation as with_evaluation, __with_training as with_training};
    #[cfg(feature = "train")]
    pub use bake_runtime::{Bake, BakeOptions, bake};
    pub use bake_runtime::{Baked, Device, Result, load, load_from, load_on};
    #[cfg(feature = "eval")]
    pub use bake_runtime::{Switchable, load_switchable, load_switchable_on};
    pub use bake_spec::{Declaration, Recipe, TargetName, recipe};
}
