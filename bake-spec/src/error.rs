//! The error of this crate.

use std::fmt;

/// Something that kept a recipe, a document or the store from being read or written.
///
/// The message names the file and what to do next.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<std::io::Error>,
}

/// What an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A document is missing, empty, not text, or no longer the one that was declared.
    Document,
    /// A model's files are missing or malformed, or describe a model that is not supported.
    Model,
    /// The store of baked adapters cannot be read or written.
    Store,
    /// A file of questions cannot be read, or a line of it holds no question.
    Dataset,
    /// `bake.lock` cannot be read or written.
    Lock,
    /// The sources of a package cannot be read, or are no Rust.
    Source,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn io(kind: ErrorKind, message: impl Into<String>, source: std::io::Error) -> Self {
        Self { kind, message: message.into(), source: Some(source) }
    }

    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}
