//! What a bake begins with: the adapter of another one.

use super::parts::{is_blank, part, str};
use super::{Hash, Text};
use crate::diagnostics::Mistake;

part! {
    /// An adapter on top of which something is baked, by its folder and its hash.
    Parent of ParentFields
}

/// The fields of a [`Parent`].
#[derive(Clone, Debug, PartialEq)]
pub struct ParentFields {
    /// The folder, relative to the package.
    pub path: Text,
    /// [`hash_adapter`](crate::store::hash_adapter) of it.
    pub hash: Hash,
}

impl ParentFields {
    const fn check(&self) -> Result<(), Mistake<'_>> {
        if is_blank(str(&self.path)) { Err(Mistake::EmptyPath("parent")) } else { Ok(()) }
    }
}
