//! What a program knows about its bakes: what each was baked from, as far as was known when the
//! program was built.

use std::fmt;

use crate::text::{List, Text};

/// What a declaration was baked from, and whether that is still what it declares.
///
/// It is a constant of the program, so asking for it costs nothing and reads no file.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    freshness: Freshness,
    why: Text,
    baked: Option<BakedFrom>,
}

/// Whether what was baked is what is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It was baked from something else; the program answers from that, unless it has been baked
    /// again on this machine since.
    Stale,
    /// There was no adapter when the program was built.
    Missing,
    /// The program was built without a `bake.lock`: loading looks for an adapter in the user's
    /// store.
    Unknown,
}

/// What an adapter was baked from.
#[derive(Clone, Debug, PartialEq)]
pub struct BakedFrom {
    adapter: Text,
    model: Text,
    model_hash: Text,
    documents: List<BakedDocument>,
    kl: (f64, f64),
}

/// A document that was baked in.
#[derive(Clone, Debug, PartialEq)]
pub struct BakedDocument {
    target: Text,
    path: Text,
    hash: Text,
}

impl Status {
    /// What is known without a lock.
    pub const UNKNOWN: Self = Self::new(
        Freshness::Unknown,
        Text::Borrowed("the program was built without a bake.lock"),
        None,
    );

    /// A status, for generated code.
    #[doc(hidden)]
    pub const fn new(freshness: Freshness, why: Text, baked: Option<BakedFrom>) -> Self {
        Self { freshness, why, baked }
    }

    /// The same if a build script found no adapter, for this reason.
    #[cfg(feature = "syntax")]
    #[must_use]
    pub fn without_adapter(self, why: String) -> Self {
        Self { freshness: Freshness::Missing, why: Text::Owned(why), ..self }
    }

    /// Whether what was baked is what is declared.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// Whether the program answers from what is declared.
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// Whether the program answers from something other than what is declared.
    pub fn is_stale(&self) -> bool {
        self.freshness == Freshness::Stale
    }

    /// What has changed since, or why there is no adapter; empty if it is fresh.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What the adapter was baked from, if there is one in the lock.
    pub fn baked(&self) -> Option<&BakedFrom> {
        self.baked.as_ref()
    }
}

impl BakedFrom {
    /// What an adapter was baked from, for generated code.
    #[doc(hidden)]
    pub const fn new(
        adapter: Text,
        model: Text,
        model_hash: Text,
        documents: List<BakedDocument>,
        kl: (f64, f64),
    ) -> Self {
        Self { adapter, model, model_hash, documents, kl }
    }

    /// The hash of the adapter's files.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// The base model: its name, or its path in the package.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The hash of the base model's files.
    pub fn model_hash(&self) -> &str {
        &self.model_hash
    }

    /// The documents, in the order of their targets' names.
    pub fn documents(&self) -> &[BakedDocument] {
        &self.documents
    }

    /// The divergence of the base model from its teachers, in nats per token.
    pub fn kl_before(&self) -> f64 {
        self.kl.0
    }

    /// That of the baked model.
    pub fn kl_after(&self) -> f64 {
        self.kl.1
    }
}

impl BakedDocument {
    /// A document, for generated code.
    #[doc(hidden)]
    pub const fn new(target: Text, path: Text, hash: Text) -> Self {
        Self { target, path, hash }
    }

    /// The target for which it was baked in.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Its path in the package; empty if its target is no longer declared.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The hash of the text that was baked in, which the file may no longer have.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.freshness {
            Freshness::Fresh => f.write_str("fresh")?,
            Freshness::Stale => write!(f, "stale: {}", self.why)?,
            Freshness::Missing => write!(f, "missing: {}", self.why)?,
            Freshness::Unknown => f.write_str(&self.why)?,
        }
        let Some(baked) = &self.baked else { return Ok(()) };
        let short = |hash: &str| hash.get(..8).unwrap_or(hash).to_owned();
        write!(f, "; baked into {} from ", baked.model)?;
        if baked.documents.is_empty() {
            f.write_str("no document")?;
        }
        for (i, document) in baked.documents.iter().enumerate() {
            let name = if document.path.is_empty() { &document.target } else { &document.path };
            write!(f, "{}{name} ({})", if i == 0 { "" } else { ", " }, short(&document.hash))?;
        }
        let (before, after) = baked.kl;
        write!(
            f,
            ", divergence {before:.3} before and {after:.3} after, adapter {}",
            short(&baked.adapter)
        )
    }
}
