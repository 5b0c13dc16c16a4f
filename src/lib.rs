//! Declare in code what a language model must know; bake it into the model's weights.
//!
//! A bake names documents. [`bake!`] checks the declaration while the program is compiled and turns it into a type; [`bake`](Bake) trains
//! an adapter by which the model *without* a document in its prompt answers as the model *with* it; `load` gives the baked model. At
//! run time there is no retrieval, no index, and no token of the document in the prompt.
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
//! A type with `bake()`, [`bake_with(&options)`](BakeOptions), `load()`, `load_from(folder)` and `load_switchable()`, and an enum of its
//! targets, here `SupportTarget::{Iphone, Mac}`. See [`Baked`], [`Switchable`] and [`Chat`] for what can be done with the results.

#[doc = include_str!("declaration.md")]
pub use bake_macros::bake;
pub use bake_runtime::{
    Adapter, AnswerStream, Bake, BakeOptions, Baked, Bars, Chat, Error, ErrorKind, Forward, Graded, Interrupt, Message, Model, Outcome,
    Progress, Report, Result, Role, Sampling, Session, Silent, Switchable, TargetReport, distill,
};
pub use bake_spec::{Declaration, Recipe, Store, TargetName, recipe};

/// What generated code names. Not for anyone else: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use bake_runtime::{Bake, Result, bake, load, load_from, load_switchable};
    pub use bake_runtime::{BakeOptions, Baked, Switchable};
    pub use bake_spec::{Declaration, Recipe, TargetName, recipe};
}
