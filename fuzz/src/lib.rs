//! What the fuzz targets share: a folder for files to be read.

use std::path::Path;
use std::sync::LazyLock;

use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("the folder for temporary files is writable"));

/// A folder of this process, empty at first. Set `TMPDIR` to one in memory.
pub fn folder() -> &'static Path {
    FOLDER.path()
}

/// Writes a file into the folder.
pub fn write(name: &str, bytes: &[u8]) {
    std::fs::write(folder().join(name), bytes).expect("the folder is writable");
}
