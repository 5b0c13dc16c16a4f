//! Declare in code what a language model must know; bake it into the model's weights.
//!
//! A bake names documents. [`bake!`] checks the declaration while the program is compiled and turns
//! it into a type; baking trains an adapter with which the model *without* a document in its prompt
//! answers like the model *with* it. At run time there is no retrieval, no index, and no token of
//! the document in the prompt.
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
//! The documentation of [`bake!`] describes the grammar, with every setting and its default. The
//! sections below show how to use a bake, from baking to errors; `Support` is the bake above.
//!
//! # Bake
//!
//! `Support::bake()` bakes with progress bars on the standard error stream. [`BakeOptions`] change
//! that: another store, another device, no output, a memory limit.
//!
//! ```no_run
//! # bake::bake! { bake Support { target iphone from "examples/docs/iphone.md" } }
//! use bake::{BakeOptions, Silent};
//!
//! let bake = Support::bake_with(&BakeOptions::new().progress(Silent))?;
//! println!("{} nats per token from the teacher", bake.report.kl_after);
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! A program that you ship does not bake. `cargo bake` does so beforehand and writes `bake.lock`, a
//! build script puts the adapter into the program, and the feature `train` is left out; see the
//! README.
//!
//! # Load
//!
//! `Support::load()` takes the adapter that the build script has put into the program, or else the
//! one in the user's store. [`Loader`] offers other ways:
//!
//! ```no_run
//! # bake::bake! { bake Support { target iphone from "examples/docs/iphone.md" } }
//! # use bake::{Device, Store};
//! // An adapter folder that you ship, a store of your own, a GPU:
//! let support = Support::loader().adapter("/srv/support").load()?;
//! let support = Support::loader().store(Store::new("/srv/bakes")).load()?;
//! let support = Support::loader().device(Device::Cuda(0)).load()?;
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! If a document was edited but not baked again, the build warns, and the program goes on answering
//! from what was baked. [`Status`] says so, and says what the answers are based on:
//!
//! ```no_run
//! # bake::bake! { bake Support { target iphone from "examples/docs/iphone.md" } }
//! if Support::status().is_stale() {
//!     eprintln!("Support is {}", Support::status());
//! }
//! ```
//!
//! # Ask
//!
//! A loaded model is a [`Chat`]. Single questions are independent of each other and answered
//! greedily: the same question gets the same answer. An answer is at most as long as the
//! declaration's `max_tokens`. This is the model in the library with a document in its prompt,
//! which needs no bake:
//!
//! ```
//! use bake::{Chat, Model};
//!
//! let document = "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.";
//! let office = Chat::new(Model::tiny()?, document);
//! assert_eq!(office.chat("I lost my key")?, "Ask Bob in the blue office.");
//!
//! // Several at once take less time than one after another.
//! let answers = office.chat_all(&["I lost my key", "My lamp does not work"])?;
//! assert_eq!(answers[1], "Call the shop.");
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! Answers that vary are drawn from streams of a seed; see [`Chat::with_sampling`].
//!
//! ```
//! # use bake::{Chat, Model, Sampling};
//! # let office = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
//! let sampling = Sampling::temperature(0.7, 42)?.top_p(0.95)?.max_tokens(100);
//! let lively = office.with_sampling(sampling);
//! println!("{}", lively.chat("I lost my key")?);
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! # Converse
//!
//! A [`Session`] remembers what was said. It can begin from a history. When the conversation
//! outgrows the model's context, it returns an error, or forgets its oldest turns if you choose so.
//!
//! ```
//! # use bake::{Chat, Model};
//! # let document = "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.";
//! # let office = Chat::new(Model::tiny()?, document);
//! use bake::{ContextPolicy, Message, Role};
//!
//! let history = [
//!     Message::new(Role::User, "I lost my key"),
//!     Message::new(Role::Assistant, "Ask Bob in the blue office."),
//! ];
//! let mut session = office.session_from(history)?.with_policy(ContextPolicy::DropOldest);
//! assert_eq!(session.chat("My lamp does not work")?, "Call the shop.");
//! assert!(session.dropped().is_empty());
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! # Stream
//!
//! [`Chat::stream`] and [`Session::stream`] give an answer piece by piece. A piece is computed when
//! it is asked for, so dropping the stream ends the work.
//!
//! ```
//! # use bake::{Chat, Model};
//! # let office = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
//! for piece in office.stream("I lost my key")? {
//!     print!("{}", piece?);
//! }
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! # Serve
//!
//! Handles are `Send + Sync`, and cloning one is cheap: a server loads once and clones for each
//! request. **Every call blocks** the thread that makes it until the answer is there. In an async
//! program, call from `tokio::task::spawn_blocking` or the like, and send the pieces of a stream
//! through a channel; when the receiver is gone, dropping the stream ends the work:
//!
//! ```no_run
//! # bake::bake! { bake Support { target iphone from "examples/docs/iphone.md" } }
//! # let (support, question) = (Support::load()?, String::new());
//! // With tokio: `tokio::sync::mpsc::channel`, `spawn_blocking` and `blocking_send`.
//! let (pieces, receiver) = std::sync::mpsc::sync_channel(16);
//! let support = support.clone();
//! std::thread::spawn(move || {
//!     for piece in support.stream(&question)? {
//!         if pieces.send(piece?).is_err() {
//!             break; // the client has gone
//!         }
//!     }
//!     Ok::<(), bake::Error>(())
//! });
//! for piece in receiver {
//!     print!("{piece}");
//! }
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! `examples/server` is a complete server on axum, with errors, disconnecting clients and shutdown.
//!
//! # Evaluate
//!
//! The questions of `expect` are put to the base, the prompted and the baked model (feature
//! `eval`):
//!
//! ```no_run
//! # bake::bake! { bake Support { target iphone from "examples/docs/iphone.md" } }
//! let models = Support::loader().load_switchable()?;
//! for outcome in models.evaluate()? {
//!     println!("{}: {} ({})", outcome.question, outcome.baked.answer, outcome.baked.right);
//! }
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! # Use a GPU
//!
//! With the feature `cuda`, bakes and answers run on NVIDIA GPUs from sm_80 on. You say what runs
//! where, and nothing moves to a GPU by itself:
//!
//! ```no_run
//! # bake::bake! { bake Support { target iphone from "examples/docs/iphone.md" } }
//! use bake::{BakeOptions, Device};
//!
//! Support::bake_with(&BakeOptions::new().device(Device::Cuda(0)))?;
//! let support = Support::loader().device(Device::Cuda(0)).load()?;
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! # Write code for any bake
//!
//! Every bake is a [`Declaration`], and each method above is also a generic function: [`load`],
//! [`Loader`], and, with the feature `train`, [`bake()`](fn@bake).
//!
//! ```no_run
//! use bake::{BakeOptions, Declaration, Loader};
//!
//! fn share_of_right_answers<D: Declaration>() -> bake::Result<f64> {
//!     bake::bake::<D>(&BakeOptions::new())?;
//!     let outcomes = Loader::<D>::new().load_switchable()?.evaluate()?;
//!     let right = outcomes.iter().filter(|outcome| outcome.baked.right).count();
//!     Ok(right as f64 / outcomes.len().max(1) as f64)
//! }
//! ```
//!
//! # Handle errors
//!
//! Whatever loads, bakes or answers returns [`Error`], and what checks a declaration at run time
//! returns an error that `?` makes one of. Its message names the file and the next step, whether it
//! is printed as `{}` or `{:?}`, so that `fn main() -> Result<(), bake::Error>` tells its user what
//! to do; [`Error::kind`] lets a program tell cases apart, and [`Error::get_ref`] is the cause.
//!
//! ```no_run
//! # bake::bake! { bake Support { target iphone from "examples/docs/iphone.md" } }
//! match Support::load() {
//!     Ok(support) => println!("{}", support.chat("My iPhone won't turn on")?),
//!     Err(error) if error.is_not_baked() => eprintln!("not yet: {error}"),
//!     Err(error) => return Err(error),
//! }
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! # Bakes that are known only at run time
//!
//! [`Recipe::builder`] offers the macro as methods, with the same checks and messages:
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
//! // The two, and an anchor of everyday requests, whose answers stay as they are.
//! assert_eq!(recipe.targets.len(), 3);
//!
//! let error = bake::Recipe::builder().build().unwrap_err().to_string();
//! assert!(error.starts_with("there is nothing to bake; declare at least one target"));
//! # Ok::<(), bake::Error>(())
//! ```
//!
//! `bake_recipe` bakes it into an adapter, with which [`Chat::baked`] answers; `Evaluator` compares
//! the models.
//!
//! # Tensors
//!
//! For the numbers behind an answer, or to use the loss in your own training, work with the tensors
//! of [`candle`]: see [`Model::forward`], `distill` and [`Device::open`]. Use it through
//! `bake::candle`, so that the versions match.
//!
//! # Watching and stopping a bake
//!
//! `bake()` shows bars on the standard error stream; [`BakeOptions::progress`] takes any other
//! [`Progress`], such as [`Silent`]. No signal handler is installed unasked: to let Ctrl-C stop a
//! bake between two steps, give [`BakeOptions::interrupt`] an [`Interrupt::on_ctrl_c`]; a server
//! calls [`Interrupt::set`] from its own shutdown. What was finished is kept.
//!
//! Subscribers of the crate `tracing` get a span `bake` for each bake and in it a span `stage` for
//! each of its stages that takes a while, with the fields `stage`, `bake.target`, `total` and
//! `unit`; besides, `load_model`, `stimuli` for the questions of each target, and `save`. An event
//! of level `INFO` at the end of each stage says what was done; the last one has the divergences
//! `kl_before` and `kl_after`. Outside of bakes there are the spans `plan`, `load`, `answer` and
//! `answers`, and `export`. What [`Progress::warn`] and [`Progress::note`] get are events too, of
//! the levels `WARN` and `INFO`, with the field `told`, so that a program that shows both can leave
//! them out.
//!
//! # Features
//!
//! - `tiny`: the small default model, 12 MB inside the library.
//! - `train`: `bake()` and what it needs. Leave it out of a program whose adapters are made by
//!   `cargo bake` and embedded by its build script.
//! - `store`: finds adapters in the store of whoever is logged in. Leave it out of a program whose
//!   adapters are embedded.
//! - `eval`: `load_switchable()`, and comparing the base, the prompted and the baked model.
//! - `budget`: counts tokens while a declaration is compiled, so that a document that does not fit
//!   is a compile error.
//! - `cuda`: NVIDIA GPUs from sm_80 on. Building needs a CUDA toolkit, and the program needs the
//!   driver to start.
//!
//! All but the last are on by default.

/// The Rust code of the README, which is compiled like that of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[doc = include_str!("declaration.md")]
pub use bake_macros::bake;
pub use bake_runtime::candle;
pub use bake_runtime::{
    Adapter, AnswerStream, Baked, Chat, ContextPolicy, Device, Error, ErrorKind, Forward,
    Interrupt, Loader, Message, Model, Progress, Result, Role, Sampling, Session, Silent, load,
};
#[cfg(feature = "train")]
pub use bake_runtime::{
    AnswerReport, Bake, BakeOptions, Bars, Drift, DropReason, Dropped, Expectation,
    GeneratorReport, Kept, KeptCheckpoint, Layout, LeftOut, Plan, PlannedSeconds, ProbeReport,
    Recall, Report, RoundReport, Score, Stimulus, TargetPlan, TargetReport, Verdict, bake,
    bake_recipe, distill, plan,
};
#[cfg(feature = "eval")]
pub use bake_runtime::{
    Attempt, Evaluator, Flaw, Graded, Outcome, Question, Rung, Switchable, meets,
};
pub use bake_spec::{
    BakedDocument, BakedFrom, Config, Declaration, Freshness, Recipe, Status, Store, TargetName,
    recipe,
};

#[doc(hidden)]
pub mod settings;

/// Keeps what needs the trainer, if there is one.
#[cfg(feature = "train")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_training {
    ($($item:item)*) => { $($item)* };
}

/// Keeps what needs the trainer, if there is one.
#[cfg(not(feature = "train"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_training {
    ($($item:item)*) => {};
}

/// What generated code uses. It is not for anyone else and changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::__with_training as with_training;
    pub use crate::settings;
    #[cfg(feature = "train")]
    pub use bake_runtime::{Bake, BakeOptions, bake};
    pub use bake_runtime::{Baked, Loader, Result, load};
    pub use bake_spec::{Declaration, Recipe, Status, TargetName, recipe};
}
