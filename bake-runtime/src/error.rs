//! The error of this crate.

use std::error::Error as StdError;
use std::fmt;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something that kept a model from being loaded, baked or asked.
///
/// The message names the file and what to do next; [`kind`](Error::kind) and the predicates let a
/// program tell cases apart.
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
    /// A model's configuration or weights cannot be used.
    Model,
    /// A tokenizer or a chat template cannot be used.
    Tokenizer,
    /// A document is missing, changed, or does not fit.
    Document,
    /// A prompt and its answer do not fit the model's context.
    Context,
    /// An adapter cannot be read, written or put on this model.
    Adapter,
    /// The recipe asks for something that cannot be done.
    Recipe,
    /// Training went wrong.
    Training,
    /// The store of baked adapters cannot be read or written.
    Store,
    /// The declaration has not been baked yet.
    NotBaked,
    /// The work was interrupted.
    Interrupted,
    /// There is no such device, or it cannot be used.
    Device,
    /// A computation failed in the tensor library.
    Tensor,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: Some(source.into()) }))
    }

    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the declaration has not been baked yet, so that baking it mends this.
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
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error: {self}", self.kind())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The message ends with what the source says, so what comes next is what is behind that.
        self.0.source.as_ref().and_then(|e| e.source())
    }
}

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Self {
        Self::with_source(ErrorKind::Tensor, "a tensor computation failed", e)
    }
}

impl From<bake_spec::Error> for Error {
    fn from(e: bake_spec::Error) -> Self {
        let kind = match e.kind() {
            bake_spec::ErrorKind::Document | bake_spec::ErrorKind::Dataset => ErrorKind::Document,
            bake_spec::ErrorKind::Model => ErrorKind::Model,
            _ => ErrorKind::Store,
        };
        Self::new(kind, e.to_string())
    }
}
