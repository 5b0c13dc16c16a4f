//! How files are written: beside their destination, and then moved there, so that a reader sees the
//! old file or the new one and never half of it. What is too large for memory (an export, a model
//! from elsewhere) is written in a folder of its own, and moved when it is whole.
//!
//! Temporary files are made here, in twenty lines, and not by the crate `tempfile`: every macro
//! would compile it, and its files are only for their owner unless each caller says otherwise. A
//! `bake.lock` must be as readable as any other file of its package.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a write returns before its bytes are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// They are on the disk: the file survives a power cut.
    Disk,
    /// The operating system has them. A power cut can leave other content under the name, so this
    /// is for what is compared with its hash when it is read.
    Cache,
}

/// A file that could not be written, and why. The previous file is still there.
#[derive(Debug)]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub source: io::Error,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, source) = (self.path.display(), &self.source);
        write!(f, "cannot write {path}; {}: {source}", remedy(source))
    }
}

/// What helps against a failed write.
pub fn remedy(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::StorageFull => "free some space on its disk",
        io::ErrorKind::QuotaExceeded => "your disk quota is used up; free some space",
        io::ErrorKind::FileTooLarge => "use a file system that allows larger files",
        io::ErrorKind::ReadOnlyFilesystem => "make its file system writable",
        io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::DirectoryNotEmpty => "move the existing file or folder away",
        _ => "make its folder writable",
    }
}

impl std::error::Error for WriteError {}

/// Writes a whole file. It keeps the permissions of the one that it replaces.
///
/// # Errors
/// When it cannot be written; nothing is left behind then.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), WriteError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    write_by_way_of(&folder.join(".bake"), path, bytes, durability)
}

/// The same, through a temporary file whose name begins with `prefix`, on the same file system.
pub(super) fn write_by_way_of(
    prefix: &Path,
    path: &Path,
    bytes: &[u8],
    durability: Durability,
) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let (temporary, mut file) = temporary(prefix, |path| File::create_new(path)).map_err(failed)?;
    let mut write = || -> io::Result<()> {
        file.write_all(bytes)?;
        if let Ok(before) = fs::metadata(path) {
            fs::set_permissions(&temporary, before.permissions())?;
        }
        if durability == Durability::Disk {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        failed(source)
    })
}

/// A path that begins with `prefix` at which `create`, which fails if something is already there,
/// has made something new. So neither another process, on whatever machine, nor the remains of a
/// killed one are in the way.
pub(super) fn temporary<T>(
    prefix: &Path,
    create: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let mut path = prefix.as_os_str().to_owned();
        path.push(format!("-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let path = PathBuf::from(path);
        match create(&path) {
            Ok(made) => return Ok((path, made)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (text, durability) in [("one", Durability::Cache), ("two", Durability::Disk)] {
            replace(&path, text.as_bytes(), durability).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(dir.path()), ["file"]);
        }
    }

    #[test]
    fn a_failed_write_names_the_file_and_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir_all(path.join("full")).unwrap();
        let error = replace(&path, b"bytes", Durability::Cache).unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("taken"), "{error}");
        assert_eq!(names(dir.path()), ["taken"]);
        assert!(path.join("full").is_dir());
        let missing = dir.path().join("no/folder/file");
        let error = replace(&missing, b"", Durability::Disk).unwrap_err().to_string();
        assert!(error.contains("no/folder/file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        replace(&path, b"two", Durability::Disk).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o664);
    }
}
