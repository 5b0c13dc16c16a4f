//! Hidden names beside a folder, under which a new one is written and an old one is put aside, and
//! what killed processes leave there.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use bake_spec::file;

/// Extensions of the hidden names: the new folder, the old one, and the file that is locked as long
/// as they are in use.
const NEW: &str = "bake";
const OLD: &str = "bake-old";
const LOCK: &str = "bake-lock";

/// Names that no other process uses.
pub(super) struct Workplace {
    new: PathBuf,
    old: PathBuf,
    lock: PathBuf,
    /// Locked until the names are free again.
    _locked: fs::File,
}

impl Workplace {
    /// Creates a new folder beside `parent/name`, whose own name nothing has.
    pub(super) fn new(parent: &Path, name: &OsStr) -> io::Result<Self> {
        let mut number = 0;
        loop {
            let mut hidden = prefix(name);
            hidden.push(format!("{}-{number}.{NEW}", std::process::id()));
            let new = parent.join(hidden);
            let (old, lock) = (new.with_extension(OLD), new.with_extension(LOCK));
            number += 1;
            if new.exists() || old.exists() {
                continue;
            }
            let locked = match fs::File::create_new(&lock) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            };
            // Another process takes it for what was left by a killed one.
            if let Err(fs::TryLockError::WouldBlock) = locked.try_lock() {
                continue;
            }
            let work = Self { new, old, lock, _locked: locked };
            fs::create_dir(&work.new)?;
            return Ok(work);
        }
    }

    /// Where the new folder is written.
    pub(super) fn new_folder(&self) -> &Path {
        &self.new
    }

    /// Puts the new folder in the place of the old one, if there is one, and removes that.
    pub(super) fn swap(&self, to: &Path) -> io::Result<()> {
        let replaced = match fs::rename(to, &self.old) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(e),
        };
        if let Err(e) = fs::rename(&self.new, to) {
            if replaced {
                let _ = fs::rename(&self.old, to);
            }
            return Err(e);
        }
        if let Err(e) = remove(&self.old) {
            let old = self.old.display();
            tracing::warn!("the earlier export could not be removed and is in {old}: {e}");
        }
        Ok(())
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = remove(&self.new);
        // Without its lock, the next export could not tell that it may remove the old folder.
        if !self.old.exists() {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

/// Removes what killed exports to `to`, which is `parent/name`, have left beside it. An earlier
/// export that one of them had put aside, but not yet replaced, is put back.
pub(super) fn clear(parent: &Path, name: &OsStr, to: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let lock = entry.path();
        if !is_lock(&entry.file_name(), name) {
            continue;
        }
        let Ok(locked) = file::open(&lock) else { continue };
        if locked.try_lock().is_err() {
            continue;
        }
        let (new, old) = (lock.with_extension(NEW), lock.with_extension(OLD));
        // What cannot be put back stays: it is the only whole copy.
        if old.exists() && !to.exists() && fs::rename(&old, to).is_err() {
            continue;
        }
        if remove(&new).and_then(|()| remove(&old)).is_ok() {
            let _ = fs::remove_file(&lock);
        }
    }
}

/// What the hidden names beside a folder begin with; two numbers and an extension follow.
fn prefix(name: &OsStr) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push("-");
    hidden
}

/// Whether a file is the lock of an export to a folder of this name.
fn is_lock(file: &OsStr, name: &OsStr) -> bool {
    let rest = file.as_encoded_bytes().strip_prefix(prefix(name).as_encoded_bytes());
    let rest = rest.and_then(|rest| std::str::from_utf8(rest).ok());
    let numbers = rest.and_then(|rest| rest.strip_suffix(LOCK)?.strip_suffix('.')?.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
}

/// Removes a folder, if it exists.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::folder::tests::names;

    /// What a process leaves that is killed while it writes, or between the two renames.
    fn leave(parent: &Path, name: &str, number: u32, with_old: bool) -> PathBuf {
        let new = parent.join(format!(".{name}-999999-{number}.{NEW}"));
        fs::create_dir(&new).unwrap();
        fs::write(new.join("half.gguf"), "half").unwrap();
        fs::write(new.with_extension(LOCK), "").unwrap();
        if with_old {
            fs::create_dir(new.with_extension(OLD)).unwrap();
            fs::write(new.with_extension(OLD).join("whole.gguf"), "whole").unwrap();
        }
        new
    }

    #[test]
    fn what_killed_exports_leave_is_removed_and_what_they_put_aside_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let (parent, name, to) = (dir.path(), OsStr::new("out"), dir.path().join("out"));
        leave(parent, "out", 0, false);
        leave(parent, "out", 1, true);
        // Of an export to another folder.
        let other = leave(parent, "out-2", 0, false);
        clear(parent, name, &to);
        assert_eq!(fs::read_to_string(to.join("whole.gguf")).unwrap(), "whole");
        let lock = other.with_extension(LOCK);
        let left = [&other, &lock].map(|p| p.file_name().unwrap().to_str().unwrap());
        assert_eq!(names(parent), [left[0], left[1], "out"]);
        // An old export whose place is taken is superfluous.
        leave(parent, "out", 3, true);
        clear(parent, name, &to);
        assert_eq!(names(parent).len(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn an_earlier_export_that_cannot_be_put_back_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (parent, name, to) = (dir.path(), OsStr::new("out"), dir.path().join("out"));
        let new = leave(parent, "out", 0, true);
        std::os::unix::fs::symlink("nowhere", &to).unwrap();
        clear(parent, name, &to);
        assert!(new.with_extension(OLD).join("whole.gguf").exists());
        fs::remove_file(&to).unwrap();
        clear(parent, name, &to);
        assert_eq!((names(parent), names(&to)), (vec!["out".into()], vec!["whole.gguf".into()]));
    }

    #[test]
    fn what_is_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (parent, name) = (dir.path(), OsStr::new("out"));
        let work = Workplace::new(parent, name).unwrap();
        fs::write(work.new_folder().join("half.gguf"), "half").unwrap();
        clear(parent, name, &parent.join("out"));
        assert!(work.new_folder().join("half.gguf").exists());
        let second = Workplace::new(parent, name).unwrap();
        assert_ne!(second.new_folder(), work.new_folder());
        drop((work, second));
        assert_eq!(names(parent), [""; 0]);
    }

    #[test]
    fn an_export_succeeds_although_the_earlier_one_cannot_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (parent, name, to) = (dir.path(), OsStr::new("out"), dir.path().join("out"));
        // A file is not removed as a folder.
        fs::write(&to, "old").unwrap();
        let work = Workplace::new(parent, name).unwrap();
        fs::write(work.new_folder().join("model.gguf"), "new").unwrap();
        work.swap(&to).unwrap();
        assert_eq!(names(&to), ["model.gguf"]);
        let old = work.old.clone();
        drop(work);
        // The next export tries again.
        assert!(old.exists() && old.with_extension(LOCK).exists());
        fs::remove_file(&old).unwrap();
        fs::create_dir(&old).unwrap();
        clear(parent, name, &to);
        assert_eq!(names(parent), ["out"]);
    }
}
