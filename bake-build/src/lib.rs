//! For build scripts: puts the adapters of a package's bakes into its program.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), bake_build::Error> {
//!     bake_build::embed()
//! }
//! ```
//!
//! [`embed`] finds every `bake! { … }` of the package by reading its sources, looks `bake.lock` up
//! for the adapter that each was baked into, and takes that from `bakes/` beside `Cargo.toml`, or
//! else from the user's store. `load()` then needs neither of them: the adapter is in the program.
//! With `embed never`, and with `embed release` in other builds, it is read where it lies on the
//! machine that built.
//!
//! # Modes
//!
//! A bake may be stale, missing, or not on this machine. What follows is said by the environment
//! variable `BAKE`:
//!
//! | `BAKE` | the default | a bake that is stale, missing or not on this machine |
//! |---|---|---|
//! | not set | | is a warning; what is stale goes on answering from what was baked |
//! | `locked` | where `CI` is set, and neither `false` nor `0` | is an error |
//! | `auto` | | is baked first, by `cargo-bake` or the program that `BAKE_COMMAND` names |
//! | `stub` | where `DOCS_RS` is set | is passed over: the types are there, and no adapters |
//!
//! Where there is no adapter, `load()` returns why. What was baked into another model than is
//! declared now is never embedded.
//!
//! Only with `auto` is anything trained, and nothing but `OUT_DIR` is written otherwise. While
//! there is no `bake.lock`, cargo runs the build script in every build; with one, when a source, a
//! document, the model or the adapter has changed, or a file has come to a folder of documents.
//!
//! # Limits
//!
//! Sources are read and not compiled. A declaration under `#[cfg]` counts whether the condition
//! holds or not. What another macro writes, what calls the macro by another name than `bake!`, and
//! files that are read by `include!` are not seen: they look for their adapters in the user's store. The weights of a model in a folder are told apart by their sizes;
//! `load()` reads them, and refuses an adapter that was baked into others.

mod embed;
mod mode;

use std::fmt;
use std::io::Write as _;

use embed::Environment;

/// Puts the adapters of the package's bakes into the program that is being built, to be called by
/// `build.rs`.
///
/// # Errors
/// When it is not called by a build script, and when `OUT_DIR` cannot be written. A bake without an
/// adapter is not an error of this kind: cargo and the macro say what is to be done.
pub fn embed() -> Result<(), Error> {
    let lines = embed::lines(&Environment::new(|name| std::env::var_os(name))?)?;
    let mut output = std::io::stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(output, "{line}"));
    written.map_err(|e| Error(format!("cannot tell cargo what was found: {e}")))
}

/// What kept a build script from doing its work.
///
/// Both of its forms are a sentence to read: cargo shows the one for debugging when `main` returns
/// it.
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
