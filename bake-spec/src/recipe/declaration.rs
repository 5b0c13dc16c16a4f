//! What `bake!` implements for the type that it generates, and what the build script tells it.

use super::Recipe;
use crate::status::Status;

/// A declared bake: what `bake!` implements for the type it generates.
pub trait Declaration: 'static {
    /// The names of its targets.
    type Target: TargetName;
    /// What is baked.
    const RECIPE: &'static Recipe;
    /// Where its adapter is, as far as the program's build script knows.
    const ADAPTER: &'static AdapterSource = &AdapterSource::Store;
    /// What it was baked from, as far as was known when the program was built.
    const STATUS: &'static Status = &Status::UNKNOWN;
}

/// Where the adapter of a declaration is.
#[derive(Debug)]
#[non_exhaustive]
pub enum AdapterSource {
    /// In the user's store, under the hash of the recipe.
    Store,
    /// In the program.
    Embedded {
        /// The hash of the files.
        hash: &'static str,
        /// The hash of the model that it was baked into.
        model: &'static str,
        /// Their names, in order, and their bytes.
        files: &'static [(&'static str, &'static [u8])],
    },
    /// In a folder of the machine that built the program.
    Folder {
        /// The hash of its files.
        hash: &'static str,
        /// The hash of the model that it was baked into.
        model: &'static str,
        /// The folder.
        path: &'static str,
    },
    /// Nowhere, for this reason.
    Missing(&'static str),
}

/// Bytes where numbers of up to 64 bytes can be read in place.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Aligned<T: ?Sized>(pub T);

/// The environment variables in which a build script tells the macro what it found.
pub mod variables {
    /// The [mode](crate::check::Mode) of the build.
    pub const MODE: &str = "BAKE_MODE";

    /// The folder of the adapter of a bake.
    pub fn folder(bake: &str) -> String {
        format!("BAKE_FOLDER_{bake}")
    }

    /// The hash of its files.
    pub fn hash(bake: &str) -> String {
        format!("BAKE_HASH_{bake}")
    }

    /// The hash of the model that it was baked into.
    pub fn model(bake: &str) -> String {
        format!("BAKE_MODEL_{bake}")
    }

    /// `embedded`, `folder`, or why there is none.
    pub fn kind(bake: &str) -> String {
        format!("BAKE_KIND_{bake}")
    }
}

/// The targets of a [`Declaration`], one variant each.
pub trait TargetName: Copy + std::fmt::Debug + Eq + Send + Sync + 'static {
    /// All targets, in the order of the declaration.
    const ALL: &'static [Self];

    /// The place in the targets of the [`Recipe`].
    fn index(self) -> usize;

    /// The name in the declaration.
    fn name(self) -> &'static str;
}
