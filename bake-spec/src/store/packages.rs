//! The packages whose locks name adapters of a store.
//!
//! Several checkouts on a machine share one store. Each is recorded when a tool reads its lock, so
//! that whoever cleans the store can read the locks of all.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Store, entries, note_use, read_if_present};
use crate::error::Error;
use crate::hash::Hash;

impl Store {
    /// Records that a package's lock names adapters of this store. A store that does not exist, or
    /// cannot be written, needs no such record.
    pub fn note_package(&self, package: &Path) {
        let Ok(package) = package.canonicalize() else { return };
        let (Some(text), true) = (package.to_str(), self.root.is_dir()) else { return };
        let path = self.root.join("packages").join(Hash::of(text.as_bytes()).to_string());
        if path.is_file() {
            note_use(&path);
        } else {
            let _ = self.write(&path, text.as_bytes());
        }
    }

    /// The folders of the packages that were recorded and still exist.
    ///
    /// # Errors
    /// When the notes cannot be read.
    pub fn packages(&self) -> Result<Vec<PathBuf>, Error> {
        let mut packages = Vec::new();
        for note in entries(&self.root.join("packages"))? {
            packages.extend(noted(&note)?.filter(|package| package.is_dir()));
        }
        Ok(packages)
    }
}

/// The folder of a package that a record names.
pub(super) fn noted(note: &Path) -> Result<Option<PathBuf>, Error> {
    let text = read_if_present(note)?.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.map(PathBuf::from))
}

/// Whether a record is of a package that is gone.
pub(super) fn is_of_the_past(note: &Path) -> bool {
    !noted(note).is_ok_and(|package| {
        package.is_some_and(|package| fs::exists(package).is_ok_and(|there| there))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_recorded_as_long_as_they_exist() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("store"));
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::create_dir(&one).unwrap();
        store.note_package(&one);
        assert!(!store.root().exists(), "a record is not a reason to make a store");
        fs::create_dir(store.root()).unwrap();
        fs::create_dir(&two).unwrap();
        for package in [&one, &two, &one, &dir.path().join("none")] {
            store.note_package(package);
        }
        let mut packages = store.packages().unwrap();
        packages.sort();
        assert_eq!(packages, [one.canonicalize().unwrap(), two.canonicalize().unwrap()]);
        fs::remove_dir(&one).unwrap();
        assert_eq!(store.packages().unwrap(), [two.canonicalize().unwrap()]);
    }
}
