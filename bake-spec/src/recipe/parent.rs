//! What a bake begins with: the adapter of another one.

use std::path::Path;

use super::parts::{check_path, part, str};
use super::{Hash, Mistake, Text};
use crate::store::VENDOR_DIR;

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
        check_path(str(&self.path), "parent")
    }
}

impl Parent {
    /// The name of the bake of the same package whose [copy](VENDOR_DIR) it is, if it is one.
    pub fn bake(&self) -> Option<&str> {
        vendored(&self.path)
    }
}

/// The name of the bake whose copy a folder of its package is.
pub(crate) fn vendored(folder: &str) -> Option<&str> {
    let inside = Path::new(folder.trim_start_matches("./")).strip_prefix(VENDOR_DIR).ok()?;
    let mut parts = inside.components();
    let name = parts.next()?.as_os_str().to_str();
    name.filter(|_| parts.next().is_none())
}
