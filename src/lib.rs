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
//!     Support::bake()?; // a minute on two cores; at once when it was baked before
//!     let support = Support::load()?;
//!     println!("{}", support.chat("My iPhone won't turn on")?);
//!     Ok(())
//! }
//! ```
//!
//! # The declaration
//!
//! One or more `bake Name { … }`, or bare items, whose type is then named `Bake`: `bake! { target iphone from "docs/iphone.md" }`.
//! Each item ends with `;`, which may be left out after a `}` and at the end. Paths are relative to the folder of `Cargo.toml`.
//!
//! | item | meaning | default |
//! |---|---|---|
//! | `crate = ::path;` | where this library is, when it is renamed | `::bake` |
//! | `model tiny;` or `model "folder";` | the base model: the one in the library, or a Hugging Face style folder | `tiny` |
//! | `student "…";` | the system prompt of the baked model | none |
//! | `prompt "…";` | words before every target's document | none |
//! | `target name weight 1.0 from "…" prompt "…" { … }` | what is baked in; one of `from` and `prompt` is needed | weight 1 |
//! | `questions ["…", …];` | questions written by hand | none |
//! | `ask 100 { temperature 0.7; template "…"; }` | questions that the model writes about the document | 100 |
//! | `rollouts 1;` | answers of the teacher to each question | 1 |
//! | `max_tokens 256;` | the most tokens of an answer | 256, or a fifth of a smaller context |
//! | `temperature 1.0;` `top_p 1.0;` `top_k 0;` `seed 42;` | how answers are sampled; `top_k 0` is no limit | as shown |
//! | `lora { rank 32; alpha 64.0; dropout 0.0; modules all; layers 0..4; }` | the adapter | as shown, all layers |
//! | `train { epochs 16; lr 3e-3; batch 8; accumulate 1; schedule linear; warmup 0.1; divergence forward_kl; temperature 1.0; clip 1.0; weight_decay 0.0; seed 42; }` | the training | as shown; `lr` 0.75 / hidden size |
//! | `expect name "question" => contains "words";` | a check; also `equals "…"` and `declines` | none |
//!
//! The questions, and what stands in the rows from `questions` to `seed`, may stand in a target's braces or, as a default for all
//! targets, in the bake. A target's share of the loss is its weight over the sum of all, however much text it has. An `expect` may stand
//! in a target's braces too, without the name; its question is never trained on.
//!
//! # What a declaration becomes
//!
//! A type with `bake()`, [`bake_with(&options)`](BakeOptions), `load()`, `load_from(folder)` and `load_switchable()`, and an enum of its
//! targets, here `SupportTarget::{Iphone, Mac}`. See [`Baked`], [`Switchable`] and [`Chat`] for what can be done with the results.

pub use bake_macros::bake;
pub use bake_runtime::{
    Adapter, Answer, Bake, BakeOptions, Baked, Bars, Chat, Error, ErrorKind, Forward, Graded, Interrupt, Message, Model, Outcome, Progress,
    Report, Result, Role, Sampling, Session, Silent, Switchable, TargetReport, distill,
};
pub use bake_spec::{Declaration, Recipe, Store, TargetName, recipe};

/// What generated code names. Not for anyone else: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use bake_runtime::{Bake, Result, bake, load, load_from, load_switchable};
    pub use bake_runtime::{BakeOptions, Baked, Switchable};
    pub use bake_spec::{Declaration, Recipe, TargetName, recipe};
}
