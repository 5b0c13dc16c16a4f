//! For build scripts: puts the adapters of a package's bakes into its program.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), bake_build::Error> {
//!     bake_build::embed()
//! }
//! ```
//!
//! [`embed`] finds every `bake! { … }` of the package by reading its sources, looks up in
//! `bake.lock` which adapter each was baked into, and takes it from `bakes/` beside `Cargo.toml`,
//! or else from the user's store. `load()` then needs neither of them: the adapter is in the
//! program. With `embed never`, and with `embed release` in other builds, it is read from its
//! folder on the machine that built the program.
//!
//! # Modes
//!
//! A bake may be stale, missing, or not on this machine. The environment variable `BAKE` decides
//! what happens then:
//!
//! | `BAKE` | the default | a bake that is stale, missing or not on this machine |
//! |---|---|---|
//! | not set | | is a warning; what is stale goes on answering from what was baked |
//! | `locked` | if `CI` is set, and neither `false` nor `0` | is an error |
//! | `auto` | | is baked first, by `cargo-bake` or the program that `BAKE_COMMAND` names |
//! | `stub` | if `DOCS_RS` is set | is ignored: there are types but no adapters |
//!
//! If there is no adapter, `load()` returns an error that says why. An adapter that was baked into
//! a different model from the one declared now is never embedded.
//!
//! Only `auto` trains anything; otherwise nothing is written except to `OUT_DIR`, and to the user's
//! store that this package uses what is in its lock, so that `cargo bake gc` leaves it there. As
//! long as there is no `bake.lock`, cargo runs the build script in every build; with one, only when
//! a source, a document, the model or the adapter has changed, or a file was added to a folder of
//! documents.
//!
//! # Limits
//!
//! Sources are read, not compiled. A declaration under `#[cfg]` counts even if its condition is
//! false. Declarations that another macro writes, that call the macro by a name other than `bake!`,
//! or that are in files read by `include!` are not seen: they look for their adapters in the user's
//! store. Whether the weights of a model in a folder have changed is judged by their sizes;
//! `load()` reads them, and refuses an adapter that was baked into other weights.

mod embed;
mod mode;

use std::io::Write as _;

use embed::Environment;

/// Why a build script could not do its work.
///
/// Both `Display` and `Debug` print a readable sentence: cargo shows the latter when `main` returns
/// it.
pub use bake_spec::Error;
/// What an [`Error`] is about.
pub use bake_spec::ErrorKind;

/// Puts the adapters of the package's bakes into the program that is being built. Call it from
/// `build.rs`.
///
/// # Errors
/// When it is not called by a build script, and when `OUT_DIR` cannot be written. A bake without an
/// adapter is not such an error: cargo and the macro say what to do.
pub fn embed() -> Result<(), Error> {
    let lines = embed::lines(&Environment::new(|name| std::env::var_os(name))?)?;
    let mut output = std::io::stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(output, "{line}"));
    written.map_err(|e| Error::with_source(ErrorKind::Build, "cannot tell cargo what was found", e))
}
