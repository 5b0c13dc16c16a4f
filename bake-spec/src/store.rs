//! The store: what bakes have made, by content.
//!
//! ```text
//! blobs/ab/ab12…           a product of a stage; its name is its hash
//! artifacts/ab12…/         an adapter folder; its name is the hash of its files
//! keys/STAGE/cd34…         64 digits: the name of what the stage makes from the inputs of that hash
//! locks/cd34…              held while an adapter is being made
//! tmp/                     files on their way to their names
//! ```
//!
//! Everything is written under `tmp/` and renamed, so that a reader sees all of it or nothing. A thing whose content does not match
//! its name is never returned; it is as if it had not been made.

use std::fs::{self, File};
use std::io::{ErrorKind as Io, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};
use crate::hash::{Hash, KeyHasher};

/// The environment variable that names the store's folder.
pub const DIR_VARIABLE: &str = "BAKE_CACHE_DIR";

const ADAPTERS: &str = "adapters";

/// A folder of baked adapters and of the products of the stages that made them.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// Held by the one process that makes a thing; others wait for it.
#[must_use = "the lock is given back when it is dropped"]
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl Store {
    /// A store in a folder, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The user's store: `BAKE_CACHE_DIR` where it is set, else `bake/v1` in the platform's folder for caches.
    ///
    /// # Errors
    /// When the platform has no such folder, as where no home directory is known.
    pub fn user() -> Result<Self, Error> {
        if let Some(dir) = std::env::var_os(DIR_VARIABLE).filter(|dir| !dir.is_empty()) {
            return Ok(Self::new(dir));
        }
        let strategy = etcetera::choose_base_strategy().map_err(|_| {
            Error::new(ErrorKind::Store, format!("no home directory is known to keep baked adapters in; set {DIR_VARIABLE} to a folder"))
        })?;
        Ok(Self::new(etcetera::BaseStrategy::cache_dir(&strategy).join("bake").join("v1")))
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What a stage has made from inputs of this key.
    ///
    /// # Errors
    /// When a file is there and cannot be read. A damaged product is no error: it is as if it had not been made.
    pub fn product(&self, stage: &str, key: &Hash) -> Result<Option<Vec<u8>>, Error> {
        let Some(hash) = self.named(stage, key)? else { return Ok(None) };
        let Some(bytes) = read_if_present(&self.blob_path(&hash))? else { return Ok(None) };
        Ok((Hash::of(&bytes) == hash).then_some(bytes))
    }

    /// Keeps what a stage has made from inputs of this key.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_product(&self, stage: &str, key: &Hash, bytes: &[u8]) -> Result<Hash, Error> {
        let hash = Hash::of(bytes);
        self.write(&self.blob_path(&hash), bytes)?;
        self.write(&self.key_path(stage, key), hash.to_string().as_bytes())?;
        Ok(hash)
    }

    /// The folder of the adapter of a recipe.
    ///
    /// # Errors
    /// When a file is there and cannot be read. A damaged adapter is no error: it is as if it had not been made.
    pub fn adapter(&self, recipe: &Hash) -> Result<Option<PathBuf>, Error> {
        let Some(hash) = self.named(ADAPTERS, recipe)? else { return Ok(None) };
        let dir = self.artifact_path(&hash);
        Ok((dir.is_dir() && hash_folder(&dir)? == hash).then_some(dir))
    }

    /// Keeps the adapter of a recipe: `write` fills an empty folder, which then gets its name.
    ///
    /// # Errors
    /// When `write` fails or the store cannot be written.
    pub fn put_adapter<E: From<Error>>(&self, recipe: &Hash, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<PathBuf, E> {
        let temporary = self.temporary()?;
        create_dir(&temporary)?;
        let placed = write(&temporary).and_then(|()| Ok(self.place(&temporary)?));
        if placed.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        let (hash, dir) = placed?;
        self.write(&self.key_path(ADAPTERS, recipe), hash.to_string().as_bytes())?;
        Ok(dir)
    }

    /// Waits until no other process makes the thing of this key, and keeps others from it until the lock is dropped.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn lock(&self, key: &Hash) -> Result<StoreLock, Error> {
        let path = self.root.join("locks").join(key.to_string());
        create_dir(path.parent().expect("the path has a folder"))?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| write_error(&path, e))?;
        file.lock().map_err(|e| write_error(&path, e))?;
        Ok(StoreLock { _file: file })
    }

    /// Gives a finished folder its name. Where the same content is there already, it stays; a damaged one is replaced.
    fn place(&self, temporary: &Path) -> Result<(Hash, PathBuf), Error> {
        for entry in entries(temporary)? {
            File::open(&entry).and_then(|f| f.sync_all()).map_err(|e| write_error(&entry, e))?;
        }
        let hash = hash_folder(temporary)?;
        let dir = self.artifact_path(&hash);
        create_dir(dir.parent().expect("the path has a folder"))?;
        if dir.is_dir() {
            if hash_folder(&dir)? == hash {
                let _ = fs::remove_dir_all(temporary);
                return Ok((hash, dir));
            }
            let damaged = self.temporary()?;
            fs::rename(&dir, &damaged).map_err(|e| write_error(&dir, e))?;
            let _ = fs::remove_dir_all(damaged);
        }
        fs::rename(temporary, &dir).map_err(|e| write_error(&dir, e))?;
        Ok((hash, dir))
    }

    fn named(&self, stage: &str, key: &Hash) -> Result<Option<Hash>, Error> {
        let bytes = read_if_present(&self.key_path(stage, key))?;
        Ok(bytes.and_then(|b| std::str::from_utf8(&b).ok()?.trim().parse().ok()))
    }

    fn key_path(&self, stage: &str, key: &Hash) -> PathBuf {
        self.root.join("keys").join(stage).join(key.to_string())
    }

    fn blob_path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        self.root.join("blobs").join(&name[..2]).join(name)
    }

    fn artifact_path(&self, hash: &Hash) -> PathBuf {
        self.root.join("artifacts").join(hash.to_string())
    }

    /// A path under `tmp/` that no other process or thread uses.
    fn temporary(&self) -> Result<PathBuf, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let dir = self.root.join("tmp");
        create_dir(&dir)?;
        Ok(dir.join(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        create_dir(path.parent().expect("the path has a folder"))?;
        let temporary = self.temporary()?;
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, path));
        written.map_err(|e| {
            let _ = fs::remove_file(&temporary);
            write_error(path, e)
        })
    }
}

/// The hash of the names and contents of a folder's files.
fn hash_folder(dir: &Path) -> Result<Hash, Error> {
    let mut hasher = KeyHasher::new("folder", 1);
    for path in entries(dir)? {
        let content = fs::read(&path).map_err(|e| read_error(&path, e))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        hasher = hasher.field(&name, &Hash::of(&content));
    }
    Ok(hasher.finish())
}

/// The files of a folder, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = read().map_err(|e| read_error(dir, e))?;
    paths.sort();
    Ok(paths)
}

fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
        Err(e) => Err(read_error(path, e)),
    }
}

fn create_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|e| write_error(dir, e))
}

fn read_error(path: &Path, e: std::io::Error) -> Error {
    Error::io(ErrorKind::Store, format!("cannot read {} in the store of baked adapters", path.display()), e)
}

fn write_error(path: &Path, e: std::io::Error) -> Error {
    let message = format!(
        "cannot write {} in the store of baked adapters; make its folder writable or set {DIR_VARIABLE} to another",
        path.display()
    );
    Error::io(ErrorKind::Store, message, e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("store"));
        (dir, store)
    }

    fn put(store: &Store, key: &Hash, content: &str) -> PathBuf {
        store.put_adapter(key, |dir| fs::write(dir.join("a"), content).map_err(|e| write_error(dir, e))).unwrap()
    }

    #[test]
    fn products_come_back_and_damaged_ones_do_not() {
        let (_dir, store) = store();
        let key = Hash::of(b"key");
        assert_eq!(store.product("stimuli", &key).unwrap(), None);
        let hash = store.put_product("stimuli", &key, b"content").unwrap();
        assert_eq!(store.product("stimuli", &key).unwrap().unwrap(), b"content");
        assert_eq!(store.product("rollouts", &key).unwrap(), None);
        fs::write(store.blob_path(&hash), b"contenT").unwrap();
        assert_eq!(store.product("stimuli", &key).unwrap(), None);
        store.put_product("stimuli", &key, b"content").unwrap();
        assert_eq!(store.product("stimuli", &key).unwrap().unwrap(), b"content");
    }

    #[test]
    fn adapters_come_back_and_damaged_ones_are_replaced() {
        let (_dir, store) = store();
        let key = Hash::of(b"recipe");
        assert_eq!(store.adapter(&key).unwrap(), None);
        let path = put(&store, &key, "weights");
        assert_eq!(store.adapter(&key).unwrap().unwrap(), path);
        assert_eq!(put(&store, &Hash::of(b"another recipe"), "weights"), path, "the same content has one address");
        fs::write(path.join("a"), "weighty").unwrap();
        assert_eq!(store.adapter(&key).unwrap(), None);
        put(&store, &key, "weights");
        assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "weights");
        assert_eq!(fs::read_dir(store.root.join("tmp")).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let (_dir, store) = store();
        let key = Hash::of(b"recipe");
        let failed = store.put_adapter(&key, |_| Err(Error::new(ErrorKind::Store, "no")));
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_eq!(store.adapter(&key).unwrap(), None);
        assert_eq!(fs::read_dir(store.root.join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_store_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Store::new(&file).put_product("stimuli", &Hash::of(b""), b"").unwrap_err().to_string();
        assert!(error.contains("file") && error.contains(DIR_VARIABLE), "{error}");
        assert_eq!(Store::new(&file).adapter(&Hash::of(b"")).unwrap(), None);
    }

    #[test]
    fn a_lock_keeps_another_out_until_it_is_dropped() {
        let (_dir, store) = store();
        let key = Hash::of(b"recipe");
        let lock = store.lock(&key).unwrap();
        let path = store.root.join("locks").join(key.to_string());
        assert!(File::options().write(true).open(&path).unwrap().try_lock().is_err());
        drop(lock);
        assert!(File::options().write(true).open(&path).unwrap().try_lock().is_ok());
    }
}
