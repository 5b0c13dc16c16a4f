//! The files of an adapter's folder.
//!
//! An adapter consists of the files of [`ADAPTER_FILES`]. Anything else in its folder, such as what
//! file managers leave there, is neither hashed nor copied, and neither are its checkpoints.

use std::fs;
use std::path::{Path, PathBuf};

use super::read_if_present;
use super::write::{Durability, remedy, replace};
use crate::error::{Error, ErrorKind};
use crate::file;
use crate::hash::{Hash, KeyHasher};

/// The names of an adapter's files, in order.
pub const ADAPTER_FILES: [&str; 3] =
    ["adapter_config.json", "adapter_model.safetensors", "bake.json"];

/// The folder of an adapter's numbered checkpoints, in that of the adapter.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// The folder of a numbered checkpoint of the adapter in a folder of the store: the adapter as it
/// was earlier in its training. Copies of an adapter come without them.
pub fn checkpoint_folder(adapter: &Path, number: usize) -> PathBuf {
    adapter.join(CHECKPOINTS).join(number.to_string())
}

/// The hash of the names and contents of the adapter's files in a folder.
///
/// # Errors
/// When one exists but cannot be read.
pub fn hash_folder(dir: &Path) -> Result<Hash, Error> {
    hash_of(dir, &ADAPTER_FILES)
}

/// The same without the report: the hash of what an adapter is, however it has come about.
///
/// # Errors
/// When one exists but cannot be read.
pub fn hash_adapter(dir: &Path) -> Result<Hash, Error> {
    let [configuration, weights, _report] = ADAPTER_FILES;
    hash_of(dir, &[configuration, weights])
}

fn hash_of<'a>(dir: &Path, names: &[&'a str]) -> Result<Hash, Error> {
    let mut files: Vec<(&'a str, Vec<u8>)> = Vec::new();
    for &name in names {
        let path = dir.join(name);
        match file::read(&path) {
            Ok(content) => files.push((name, content)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && dir.is_dir() => {}
            Err(e) => {
                let message = format!("cannot read {}", path.display());
                return Err(Error::io(ErrorKind::Store, message, e));
            }
        }
    }
    Ok(hash_files(files.iter().map(|(name, content)| (*name, content.as_slice()))))
}

/// The same hash, of files that are in memory, in the order of their names.
pub fn hash_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Hash {
    let add =
        |hasher: KeyHasher, (name, content): (&str, &[u8])| hasher.field(name, &Hash::of(content));
    files.into_iter().fold(KeyHasher::new("folder", 1), add).finish()
}

/// The size of the adapter's files in a folder, in bytes.
pub fn folder_bytes(dir: &Path) -> u64 {
    let size = |name| fs::metadata(dir.join(name)).map_or(0, |metadata| metadata.len());
    ADAPTER_FILES.into_iter().map(size).sum()
}

/// Copies the adapter's files of a folder into another, replacing those in it. The other folder is
/// never missing, and no file in it is ever half written; if the process is killed in between, the
/// hash of the folder is neither the old nor the new one.
///
/// # Errors
/// When one cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |path: &Path, e| {
        let message = format!("cannot write {}; {}", path.display(), remedy(&e));
        Error::io(ErrorKind::Store, message, e)
    };
    fs::create_dir_all(to).map_err(|e| failed(to, e))?;
    for name in ADAPTER_FILES {
        let path = to.join(name);
        match read_if_present(&from.join(name))? {
            Some(content) => {
                replace(&path, &content, Durability::Disk).map_err(|e| failed(&e.path, e.source))?
            }
            None if path.exists() => fs::remove_file(&path).map_err(|e| failed(&path, e))?,
            None => {}
        }
    }
    Ok(())
}
