//! The packages whose locks name adapters of a store.
//!
//! Several checkouts on a machine share one store. Each is recorded when a tool reads its lock, so
//! that whoever cleans the store can read the locks of all.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind as IoKind};
use std::path::{Path, PathBuf};

use super::{Store, entries, note_use, read_if_present};
use crate::error::{Error, ErrorKind};
use crate::hash::Hash;

impl Store {
    /// Records that a package's lock names adapters of this store. A store that does not exist, or
    /// cannot be written, needs no such record.
    pub fn note_package(&self, package: &Path) {
        let Ok(package) = package.canonicalize() else { return };
        let (Some(bytes), true) = (to_bytes(package), self.root.is_dir()) else { return };
        let path = self.root.join("packages").join(Hash::of(&bytes).to_string());
        if path.is_file() {
            note_use(&path);
        } else {
            let _ = self.write(&path, &bytes);
        }
    }

    /// The folders of the packages that were recorded and still exist.
    ///
    /// # Errors
    /// When the notes cannot be read, or it cannot be told whether a package still exists.
    pub fn packages(&self) -> Result<Vec<PathBuf>, Error> {
        let mut packages = Vec::new();
        for note in entries(&self.root.join("packages"))? {
            let Some(package) = noted(&note)? else { continue };
            let there = is_there(&package).map_err(|e| {
                let message = format!(
                    "cannot access {}, which may still use the store; make it accessible, or \
                     delete {}",
                    package.display(),
                    note.display()
                );
                Error::io(ErrorKind::Store, message, e)
            })?;
            packages.extend(there.then_some(package));
        }
        Ok(packages)
    }
}

/// The folder of a package that a record names.
pub(super) fn noted(note: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(read_if_present(note)?.and_then(from_bytes).map(PathBuf::from))
}

/// Whether a record is of a package that is gone, or of none.
pub(super) fn is_of_the_past(note: &Path) -> bool {
    let gone = |package: PathBuf| is_there(&package).is_ok_and(|there| !there);
    noted(note).is_ok_and(|package| package.is_none_or(gone))
}

fn is_there(package: &Path) -> io::Result<bool> {
    match fs::metadata(package) {
        Ok(found) => Ok(found.is_dir()),
        Err(e) if matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory) => {
            // A folder with nothing in it may be where a drive is mounted at other times.
            let above = package.ancestors().skip(1).find_map(|folder| fs::read_dir(folder).ok());
            match above.is_some_and(|mut files| files.next().is_none()) {
                true => Err(e),
                false => Ok(false),
            }
        }
        Err(e) => Err(e),
    }
}

/// A path as it is recorded: as it is where paths are bytes, and elsewhere if it is Unicode.
fn to_bytes(path: PathBuf) -> Option<Vec<u8>> {
    let path = path.into_os_string();
    #[cfg(unix)]
    return Some(std::os::unix::ffi::OsStringExt::into_vec(path));
    #[cfg(not(unix))]
    path.into_string().ok().map(String::into_bytes)
}

fn from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    #[cfg(unix)]
    return Some(std::os::unix::ffi::OsStringExt::from_vec(bytes));
    #[cfg(not(unix))]
    String::from_utf8(bytes).ok().map(OsString::from)
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

    /// Otherwise what its lock names would be removed.
    #[cfg(unix)]
    #[test]
    fn a_package_that_cannot_be_seen_is_not_taken_for_gone() {
        use std::os::unix::ffi::OsStrExt as _;

        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("store"));
        fs::create_dir(store.root()).unwrap();
        // A loop of links fails whoever asks, even where permissions do not count.
        let looped = dir.path().join("looped");
        fs::create_dir(&looped).unwrap();
        store.note_package(&looped);
        let latin = dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        if fs::create_dir(&latin).is_ok() {
            store.note_package(&latin);
            assert!(store.packages().unwrap().contains(&latin.canonicalize().unwrap()));
        }
        let notes = || entries(&store.root().join("packages")).unwrap();
        let before = notes();
        fs::remove_dir(&looped).unwrap();
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        let error = store.packages().unwrap_err().to_string();
        assert!(error.contains("looped, which may still use the store"), "{error}");
        assert!(before.iter().all(|note| !is_of_the_past(note)));
        fs::remove_file(&looped).unwrap();
        assert_eq!(notes().iter().filter(|note| is_of_the_past(note)).count(), 1);
    }

    #[test]
    fn a_package_below_an_empty_folder_may_be_on_a_drive_that_is_not_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("store"));
        let drive = dir.path().join("drive");
        let package = drive.join("work/office");
        fs::create_dir(store.root()).unwrap();
        fs::create_dir_all(&package).unwrap();
        store.note_package(&package);
        fs::remove_dir_all(drive.join("work")).unwrap();
        let error = store.packages().unwrap_err().to_string();
        assert!(error.contains("office, which may still use the store"), "{error}");
        fs::write(drive.join("other"), "").unwrap();
        assert_eq!(store.packages().unwrap(), [] as [&Path; 0]);
    }
}
