//! Mistakes and where they are.

use proc_macro2::Span;

use super::Code;

/// A mistake, at the token that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The kind of mistake.
    pub code: Code,
    /// Where.
    pub span: Span,
    /// What is wrong and what to write instead.
    pub message: String,
    /// Whether it is only a warning: the declaration can be baked as it is.
    pub warning: bool,
}

/// The mistakes of a declaration, in the order in which they were found.
pub type Diagnostics = Vec<Diagnostic>;

impl Diagnostic {
    /// A mistake of this kind at a token.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into(), warning: false }
    }

    /// A warning at a token.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(code, span, message) }
    }
}
