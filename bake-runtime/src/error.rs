//! The error of this crate: that of `bake-spec`, with the engine's causes.

use std::error::Error as StdError;
use std::fmt;

pub use bake_spec::ErrorKind;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a model could not be loaded, baked or asked.
///
/// The message names the file and what to do next, and ends with what caused it; it is also what a
/// `main` prints that returns this error. [`kind`](Error::kind) and the predicates let a program
/// tell cases apart, and [`get_ref`](Error::get_ref) gives the cause itself.
///
/// ```
/// # extern crate bake_runtime as bake;
/// let error = bake::Model::load("no/such/folder".as_ref(), Default::default());
/// let error = error.map(|_| ()).unwrap_err();
/// assert_eq!(error.kind(), bake::ErrorKind::Model);
/// assert_eq!(format!("{error:?}"), error.to_string());
/// ```
pub struct Error(bake_spec::Error);

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(bake_spec::Error::new(kind, message))
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(bake_spec::Error::with_source(kind, message, source))
    }

    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    /// The error that caused this one, as it was: of the file system, of a parser, of candle. Its
    /// text is a part of this error's, so [`source`](StdError::source) begins after it.
    pub fn get_ref(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.get_ref()
    }

    /// Whether the declaration has not been baked yet, so that baking it fixes this.
    pub fn is_not_baked(&self) -> bool {
        self.kind() == ErrorKind::NotBaked
    }

    /// Whether the work was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.kind() == ErrorKind::Interrupted
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The message and all that caused it, for people.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl From<bake_spec::Error> for Error {
    fn from(e: bake_spec::Error) -> Self {
        Self(e)
    }
}

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Self {
        Self::with_source(ErrorKind::Tensor, "a tensor computation failed", e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_other_crates_keep_kind_text_and_cause() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        for kind in [ErrorKind::Lock, ErrorKind::Source, ErrorKind::Dataset, ErrorKind::Store] {
            let error =
                Error::from(bake_spec::Error::with_source(kind, "cannot read x", missing()));
            assert_eq!(error.kind(), kind);
            assert_eq!(error.to_string(), format!("cannot read x: {}", missing()));
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
            assert_eq!(cause.unwrap().kind(), std::io::ErrorKind::NotFound);
        }
        let error = Error::from(candle_core::Error::Msg("shapes differ".into()));
        assert_eq!(format!("{error:?}"), "a tensor computation failed: shapes differ");
        assert!(error.get_ref().is_some_and(|cause| cause.is::<candle_core::Error>()));
    }
}
