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

use std::fs::{self, File, TryLockError};
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

/// Held by the one process that makes a thing.
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
        Ok(hash_folder(&dir).is_ok_and(|found| found == hash).then_some(dir))
    }

    /// Keeps the adapter of a recipe: `write` fills an empty folder, which then gets its name.
    ///
    /// # Errors
    /// When `write` fails or the store cannot be written.
    pub fn put_adapter<E: From<Error>>(&self, recipe: &Hash, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<PathBuf, E> {
        let temporary = self.temporary(|path| fs::create_dir(path))?;
        let placed = write(&temporary).and_then(|()| Ok(self.place(&temporary)?));
        if placed.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        let (hash, dir) = placed?;
        self.write(&self.key_path(ADAPTERS, recipe), hash.to_string().as_bytes())?;
        Ok(dir)
    }

    /// Keeps others from making the thing of this key until the lock is dropped; none while another process keeps it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn try_lock(&self, key: &Hash) -> Result<Option<StoreLock>, Error> {
        let path = self.root.join("locks").join(key.to_string());
        create_dir(path.parent().expect("the path has a folder"))?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| write_error(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(StoreLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(write_error(&path, e)),
        }
    }

    /// Gives a finished folder its name. Where the same content is there already, it stays; a damaged one is replaced.
    fn place(&self, temporary: &Path) -> Result<(Hash, PathBuf), Error> {
        for entry in entries(temporary)? {
            File::open(&entry).and_then(|f| f.sync_all()).map_err(|e| write_error(&entry, e))?;
        }
        let hash = hash_folder(temporary)?;
        let dir = self.artifact_path(&hash);
        create_dir(dir.parent().expect("the path has a folder"))?;
        if hash_folder(&dir).is_ok_and(|found| found == hash) {
            let _ = fs::remove_dir_all(temporary);
            return Ok((hash, dir));
        }
        self.clear(&dir)?;
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

    /// A path under `tmp/` where `create`, which fails where something is already, has made something new. So neither another process,
    /// on whatever machine, nor what a killed one left behind is in the way.
    fn temporary(&self, create: impl Fn(&Path) -> std::io::Result<()>) -> Result<PathBuf, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let dir = self.root.join("tmp");
        create_dir(&dir)?;
        loop {
            let path = dir.join(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
            match create(&path) {
                Ok(()) => return Ok(path),
                Err(e) if e.kind() == Io::AlreadyExists => {}
                Err(e) => return Err(write_error(&path, e)),
            }
        }
    }

    /// Moves whatever is damaged and stands at a path out of the way.
    fn clear(&self, path: &Path) -> Result<(), Error> {
        if !path.is_dir() {
            return Ok(());
        }
        let damaged = self.temporary(|path| fs::create_dir(path))?;
        fs::rename(path, &damaged).map_err(|e| write_error(path, e))?;
        let _ = fs::remove_dir_all(damaged);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        create_dir(path.parent().expect("the path has a folder"))?;
        let temporary = self.temporary(|path| File::create_new(path).map(drop))?;
        self.clear(path)?;
        let written = File::options()
            .write(true)
            .open(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, path));
        written.map_err(|e| {
            let _ = fs::remove_file(&temporary);
            write_error(path, e)
        })
    }
}

/// The hash of the names and contents of a folder's files, but for hidden ones, which file managers leave behind.
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
    paths.retain(|path| !path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b"."));
    paths.sort();
    Ok(paths)
}

fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory | Io::IsADirectory) => Ok(None),
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
        let lock = store.try_lock(&key).unwrap();
        assert!(lock.is_some() && store.try_lock(&key).unwrap().is_none());
        assert!(store.try_lock(&Hash::of(b"another recipe")).unwrap().is_some());
        drop(lock);
        assert!(store.try_lock(&key).unwrap().is_some());
    }

    #[test]
    fn what_others_left_behind_is_not_in_the_way() {
        let (_dir, store) = store();
        for n in 0..200 {
            fs::create_dir_all(store.root.join("tmp").join(format!("{}-{n}", std::process::id()))).unwrap();
            fs::write(store.root.join("tmp").join(format!("{}-{n}", std::process::id())).join("junk"), "").unwrap();
        }
        let key = Hash::of(b"recipe");
        let path = put(&store, &key, "weights");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        fs::write(path.join(".hidden"), "").unwrap();
        assert_eq!(store.adapter(&key).unwrap().unwrap(), path);

        // Folders where files should be are damage, and damage is mended.
        fs::create_dir(path.join("folder")).unwrap();
        assert_eq!(store.adapter(&key).unwrap(), None);
        let name = store.key_path(ADAPTERS, &key);
        fs::remove_file(&name).unwrap();
        fs::create_dir_all(name.join("folder")).unwrap();
        assert_eq!(store.adapter(&key).unwrap(), None);
        assert_eq!(put(&store, &key, "weights"), path);
        assert_eq!(store.adapter(&key).unwrap().unwrap(), path);
    }
}
