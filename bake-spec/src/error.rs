//! The error of all crates of bake.

use std::error::Error as StdError;
use std::fmt;

/// Why a recipe, a document or the store could not be read or written, or a build script could not
/// do its work; in the engine, which wraps it, also why a model could not be loaded, baked or
/// asked.
///
/// The message names the file and what to do next.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A document is missing, empty, not text, changed, or does not fit.
    Document,
    /// A file of questions or expectations cannot be read, or a line of it has no question.
    Dataset,
    /// A model's files are missing or malformed, or describe a model that is not supported.
    Model,
    /// A tokenizer or a chat template cannot be used.
    Tokenizer,
    /// A prompt and its answer do not fit the model's context.
    Context,
    /// An adapter cannot be read, written or put on this model.
    Adapter,
    /// What was baked cannot be written in another format.
    Export,
    /// The recipe asks for something that cannot be done, or that `bake!` would refuse.
    Recipe,
    /// A sampling has a value that is not allowed.
    Sampling,
    /// Training went wrong.
    Training,
    /// The store of baked adapters cannot be read or written.
    Store,
    /// `bake.lock` cannot be read or written.
    Lock,
    /// The sources of a package cannot be read, or are not valid Rust.
    Source,
    /// The declaration has not been baked yet.
    NotBaked,
    /// A build script is not run by cargo, or cargo cannot use what it has found.
    Build,
    /// The work was interrupted.
    Interrupted,
    /// The device does not exist, or cannot be used.
    Device,
    /// A computation failed in the tensor library.
    Tensor,
}

impl ErrorKind {
    /// All of them, to compare with what describes them.
    #[doc(hidden)]
    pub const ALL: [Self; 18] = [
        Self::Document,
        Self::Dataset,
        Self::Model,
        Self::Tokenizer,
        Self::Context,
        Self::Adapter,
        Self::Export,
        Self::Recipe,
        Self::Sampling,
        Self::Training,
        Self::Store,
        Self::Lock,
        Self::Source,
        Self::NotBaked,
        Self::Build,
        Self::Interrupted,
        Self::Device,
        Self::Tensor,
    ];
}

impl Error {
    /// An error with a message that names the file and what to do next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    /// The same with the error that caused it.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: Some(source.into()) }))
    }

    pub(crate) fn io(kind: ErrorKind, message: impl Into<String>, source: std::io::Error) -> Self {
        Self::with_source(kind, message, source)
    }

    /// The same error, about something else.
    #[cfg(any(feature = "text", test))]
    pub(crate) fn about(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error in other words. Its cause stays as it is.
    pub(crate) fn reworded(mut self, reword: impl FnOnce(&str) -> String) -> Self {
        self.0.message = reword(&self.0.message);
        self
    }

    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The error that caused this one, as it was: of the file system, of a parser, of the tensor
    /// library. Its text is part of this error's, so [`source`](StdError::source) starts with the
    /// cause after it.
    pub fn get_ref(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }
}

/// The message and what caused it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

/// The message and all its causes, for people: this is what a `main` that returns this error
/// prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors end with the text of their cause.
            if !said.ends_with(&text) {
                said = format!("{said}: {text}");
            }
            cause = error.source();
        }
        f.write_str(&said)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().and_then(|e| e.source())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_kinds_is_whole() {
        for (i, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, i);
        }
        assert_eq!(ErrorKind::ALL.len(), ErrorKind::Tensor as usize + 1);
    }

    /// An error with a cause, whose text may or may not be at its end.
    #[derive(Debug)]
    struct Outer(bool, std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                true => write!(f, "line 3: {}", self.1),
                false => f.write_str("line 3"),
            }
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn main_prints_a_message_with_each_cause_once() {
        for says_its_cause in [true, false] {
            let cause = Outer(says_its_cause, "x".parse::<u8>().unwrap_err());
            let error = Error::with_source(ErrorKind::Dataset, "cannot read q.txt", cause);
            let want = "cannot read q.txt: line 3: invalid digit found in string";
            assert_eq!(format!("{error:?}"), want);
            assert!(error.get_ref().unwrap().is::<Outer>());
            assert!(error.source().unwrap().is::<std::num::ParseIntError>());
        }
        let cause = "x".parse::<u8>().unwrap_err();
        let error = Error::with_source(ErrorKind::Document, "the document is odd", cause);
        let error = error.about(ErrorKind::Dataset).reworded(|said| said.replace("odd", "none"));
        assert_eq!(error.kind(), ErrorKind::Dataset);
        assert_eq!(error.to_string(), "the document is none: invalid digit found in string");
        assert!(error.get_ref().unwrap().is::<std::num::ParseIntError>());
        assert_eq!(
            format!("{:?}", Error::new(ErrorKind::Lock, "the lock is old")),
            "the lock is old"
        );
    }
}
