//! Locks between processes.
//!
//! If the file system has none, like some network file systems, work goes on without locks: two
//! processes may then do the same work twice, but what they make stays whole, since files get their
//! names by renaming.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::Store;
use crate::error::Error;
use crate::file;
use crate::hash::Hash;

/// The file in `locks/` that is held by any number of processes while they take a lock, and by a
/// single one while it removes unused locks. Its name is hidden from [`super::entries`].
const GATE: &str = ".gate";

/// Held by the one process that makes a product.
#[must_use = "the lock is given back when it is dropped"]
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl Store {
    /// Keeps others from making the product of this key until the lock is dropped; none while
    /// another process holds it. On a file system without locks, nobody is kept out.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn try_lock(&self, key: &Hash) -> Result<Option<StoreLock>, Error> {
        let folder = self.root.join("locks");
        self.create_dir(&folder)?;
        let open = |path: &Path| {
            let file = File::options().create(true).truncate(false).write(true).open(path);
            file.map_err(|e| self.write_error(path, e))
        };
        // Nobody removes the file between this process's opening and locking it.
        let gate_path = folder.join(GATE);
        let gate = open(&gate_path)?;
        without_locks_go_on(gate.lock_shared()).map_err(|e| self.write_error(&gate_path, e))?;
        let path = folder.join(key.to_string());
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(StoreLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => {
                without_locks_go_on(Err(e)).map_err(|e| self.write_error(&path, e))?;
                Ok(Some(StoreLock { _file: file }))
            }
        }
    }

    /// The gate, if no process is taking a lock now: until it is dropped, none can.
    pub(super) fn closed_gate(&self) -> Option<File> {
        let gate = File::options().write(true).open(self.root.join("locks").join(GATE)).ok()?;
        gate.try_lock().is_ok().then_some(gate)
    }
}

/// Whether a file is a lock that a process holds.
pub(super) fn is_held(path: &Path) -> bool {
    file::open(path).is_ok_and(|file| file.try_lock().is_err())
}

/// Treats the error of a file system without locks as if the lock had been taken.
fn without_locks_go_on(locked: io::Result<()>) -> io::Result<()> {
    match locked {
        Err(e) if has_no_locks(&e) => Ok(()),
        other => other,
    }
}

fn has_no_locks(e: &io::Error) -> bool {
    // ENOSYS, EOPNOTSUPP and ENOTSUP, which the standard library does not all count as
    // unsupported, as Linux and the BSDs number them.
    let number = if cfg!(target_os = "linux") { [38, 95, 95] } else { [78, 102, 45] };
    e.kind() == io::ErrorKind::Unsupported
        || cfg!(unix) && e.raw_os_error().is_some_and(|raw| number.contains(&raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_lock_keeps_another_out_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let key = Hash::of(b"recipe");
        let lock = store.try_lock(&key).unwrap();
        assert!(lock.is_some() && store.try_lock(&key).unwrap().is_none());
        assert!(store.try_lock(&Hash::of(b"another recipe")).unwrap().is_some());
        drop(lock);
        assert!(store.try_lock(&key).unwrap().is_some());
    }

    #[test]
    fn the_gate_is_shared_while_locks_are_taken_and_exclusive_while_cleaning() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert!(store.closed_gate().is_none(), "where there are no locks there is no gate");
        drop(store.try_lock(&Hash::of(b"recipe")).unwrap());
        let taking = File::open(dir.path().join("locks").join(GATE)).unwrap();
        taking.lock_shared().unwrap();
        assert!(store.closed_gate().is_none());
        let also_taking = store.try_lock(&Hash::of(b"recipe")).unwrap();
        assert!(also_taking.is_some(), "many may take locks at once");
        drop(taking);
        assert!(store.closed_gate().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_told_from_one_that_cannot_be_written() {
        let numbers = if cfg!(target_os = "linux") { [38, 95] } else { [78, 45] };
        for number in numbers {
            without_locks_go_on(Err(io::Error::from_raw_os_error(number))).unwrap();
        }
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(without_locks_go_on(Err(denied)).is_err());
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("locks"), "").unwrap();
        let error = Store::new(dir.path()).try_lock(&Hash::of(b"")).unwrap_err().to_string();
        assert!(error.contains("locks"), "{error}");
    }
}
