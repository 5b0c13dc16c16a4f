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
//! Everything is written under `tmp/` and renamed, so that a reader sees all of it or nothing. A
//! thing whose content does not match its name is never returned; it is as if it had not been made.

#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind as Io, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::hash::{Hash, KeyHasher};

/// The environment variable that names the store's folder.
pub const DIR_VARIABLE: &str = "BAKE_CACHE_DIR";

const ADAPTERS: &str = "adapters";

/// A file or folder under `tmp/` that was touched within this time may still be on its way to its
/// name.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3600);

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

    /// The user's store: `BAKE_CACHE_DIR` where it is set, else `bake/v1` in the platform's folder
    /// for caches.
    ///
    /// # Errors
    /// When the variable holds a relative path, and when the platform has no such folder, as where
    /// no home directory is known.
    pub fn user() -> Result<Self, Error> {
        if let Some(dir) = std::env::var_os(DIR_VARIABLE).filter(|dir| !dir.is_empty()) {
            // Build scripts, tools and programs run in different folders.
            return match Path::new(&dir).is_absolute() {
                true => Ok(Self::new(dir)),
                false => Err(Error::new(
                    ErrorKind::Store,
                    format!("{DIR_VARIABLE} is {dir:?}; set it to an absolute path"),
                )),
            };
        }
        match cache_folder() {
            Ok(folder) => Ok(Self::new(folder.join("bake").join("v1"))),
            Err(why) => Err(Error::new(
                ErrorKind::Store,
                format!("{why}, or set {DIR_VARIABLE} to the folder that keeps them"),
            )),
        }
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What a stage has made from inputs of this key.
    ///
    /// # Errors
    /// When a file is there and cannot be read. A damaged product is no error: it is as if it had
    /// not been made.
    pub fn product(&self, stage: &str, key: &Hash) -> Result<Option<Vec<u8>>, Error> {
        let Some(hash) = self.named(stage, key)? else { return Ok(None) };
        used(&self.key_path(stage, key));
        used(&self.blob_path(&hash));
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
    /// When a file is there and cannot be read. A damaged adapter is no error: it is as if it had
    /// not been made.
    pub fn adapter(&self, recipe: &Hash) -> Result<Option<PathBuf>, Error> {
        let Some(hash) = self.named(ADAPTERS, recipe)? else { return Ok(None) };
        let dir = self.artifact_path(&hash);
        Ok(hash_folder(&dir).is_ok_and(|found| found == hash).then_some(dir))
    }

    /// Keeps the adapter of a recipe: `write` fills an empty folder, which then gets its name.
    ///
    /// # Errors
    /// When `write` fails or the store cannot be written.
    pub fn put_adapter<E: From<Error>>(
        &self,
        recipe: &Hash,
        write: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let temporary = self.temporary(|path| fs::create_dir(path))?;
        let placed = write(&temporary).and_then(|()| Ok(self.place(&temporary)?));
        if placed.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        let (hash, dir) = placed?;
        self.write(&self.key_path(ADAPTERS, recipe), hash.to_string().as_bytes())?;
        Ok(dir)
    }

    /// The folder of the adapter with this hash; none where it is not here, or damaged.
    pub fn artifact(&self, hash: &Hash) -> Option<PathBuf> {
        let dir = self.artifact_path(hash);
        Self::holds(&dir, hash).then_some(dir)
    }

    /// Whether a folder's files have this hash.
    pub fn holds(dir: &Path, hash: &Hash) -> bool {
        hash_folder(dir).is_ok_and(|found| found == *hash)
    }

    /// Copies an adapter's folder, which must have this hash, and keeps it as the adapter of a
    /// recipe.
    ///
    /// # Errors
    /// When it is not what the hash says, or the store cannot be written.
    pub fn adopt(&self, dir: &Path, hash: &Hash, recipe: &Hash) -> Result<PathBuf, Error> {
        if !Self::holds(dir, hash) {
            let message = format!(
                "{} is not the adapter that is locked; it is damaged, or was changed",
                dir.display()
            );
            return Err(Error::new(ErrorKind::Store, message));
        }
        self.put_adapter(recipe, |copy| copy_folder(dir, copy))
    }

    /// Keeps what a stage has made in place of what it had made from the same inputs before.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn replace_product(&self, stage: &str, key: &Hash, bytes: &[u8]) -> Result<Hash, Error> {
        let before = self.named(stage, key)?;
        let hash = self.put_product(stage, key, bytes)?;
        if let Some(before) = before.filter(|before| *before != hash) {
            remove(&self.blob_path(&before))?;
        }
        Ok(hash)
    }

    /// Forgets what a stage has made from inputs of this key.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove_product(&self, stage: &str, key: &Hash) -> Result<(), Error> {
        if let Some(hash) = self.named(stage, key)? {
            remove(&self.key_path(stage, key))?;
            remove(&self.blob_path(&hash))?;
        }
        Ok(())
    }

    /// Removes what was not used for this long, but for the adapters of `keep`: products, adapters,
    /// and what killed processes left behind. What is being made now is younger. Returns the number
    /// of files and their bytes.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clean(&self, unused_for: Duration, keep: &[Hash]) -> Result<(usize, u64), Error> {
        let Some(before) = SystemTime::now().checked_sub(unused_for) else { return Ok((0, 0)) };
        let kept: Vec<String> = keep.iter().map(Hash::to_string).collect();
        let (mut files, mut bytes) = (0, 0);
        for part in ["tmp", "blobs", "keys", "artifacts", "locks"] {
            let mut waiting = vec![self.root.join(part)];
            while let Some(dir) = waiting.pop() {
                for path in if dir.is_dir() { entries(&dir)? } else { Vec::new() } {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    if kept.contains(&name) {
                        continue;
                    }
                    // A folder that is gone meanwhile was another process's.
                    let Ok(metadata) = path.symlink_metadata() else { continue };
                    // What is being written, and what is being made, is left alone.
                    let in_work = match part {
                        "tmp" => metadata.modified().is_ok_and(|modified| {
                            modified.elapsed().is_ok_and(|age| age < WRITTEN_WITHIN)
                        }),
                        "locks" => File::open(&path).is_ok_and(|file| file.try_lock().is_err()),
                        _ => false,
                    };
                    if in_work {
                        continue;
                    }
                    if metadata.is_dir() {
                        waiting.push(path);
                    } else if metadata.modified().is_ok_and(|modified| modified < before)
                        && !names_kept(&path, &kept)
                    {
                        remove(&path)?;
                        (files, bytes) = (files + 1, bytes + metadata.len());
                    }
                }
            }
        }
        self.remove_empty_folders();
        Ok((files, bytes))
    }

    fn remove_empty_folders(&self) {
        for part in ["tmp", "blobs", "artifacts"] {
            for path in entries(&self.root.join(part)).unwrap_or_default() {
                // Fails for one that is not empty, which then stays.
                let _ = fs::remove_dir(path);
            }
        }
    }

    /// Keeps others from making the thing of this key until the lock is dropped; none while another
    /// process keeps it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn try_lock(&self, key: &Hash) -> Result<Option<StoreLock>, Error> {
        let path = self.root.join("locks").join(key.to_string());
        create_dir(path.parent().expect("the path has a folder"))?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| write_error(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(StoreLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(write_error(&path, e)),
        }
    }

    /// Gives a finished folder its name. Where the same content is there already, it stays; a
    /// damaged one is replaced.
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

    /// A path under `tmp/` where `create`, which fails where something is already, has made
    /// something new. So neither another process, on whatever machine, nor what a killed one left
    /// behind is in the way.
    fn temporary(&self, create: impl Fn(&Path) -> std::io::Result<()>) -> Result<PathBuf, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let dir = self.root.join("tmp");
        create_dir(&dir)?;
        loop {
            let path = dir.join(format!(
                "{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ));
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

/// The hash of the names and contents of a folder's files, but for hidden ones, which file managers
/// leave behind.
///
/// # Errors
/// When one cannot be read.
pub fn hash_folder(dir: &Path) -> Result<Hash, Error> {
    let read = |path: &PathBuf| {
        let content = fs::read(path).map_err(|e| read_error(path, e))?;
        Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), content))
    };
    let files = entries(dir)?.iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    Ok(hash_files(files.iter().map(|(name, content)| (name.as_str(), content.as_slice()))))
}

/// The same hash, of files that are in memory, in the order of their names.
pub fn hash_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Hash {
    let add =
        |hasher: KeyHasher, (name, content): (&str, &[u8])| hasher.field(name, &Hash::of(content));
    files.into_iter().fold(KeyHasher::new("folder", 1), add).finish()
}

/// Copies the files of a folder into another, but for hidden ones.
///
/// # Errors
/// When one cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    create_dir(to)?;
    for path in entries(from)? {
        let copied = fs::copy(&path, to.join(path.file_name().unwrap_or_default()));
        copied.map_err(|e| {
            Error::io(
                ErrorKind::Store,
                format!("cannot copy {} to {}", path.display(), to.display()),
                e,
            )
        })?;
    }
    Ok(())
}

/// Notes that a file was used, so that cleaning leaves it. In a store that can only be read, nobody
/// cleans.
fn used(path: &Path) {
    let _ = File::options()
        .append(true)
        .open(path)
        .and_then(|file| file.set_modified(SystemTime::now()));
}

/// Whether a file is the name of an adapter that is kept.
fn names_kept(path: &Path, kept: &[String]) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|stage| stage == ADAPTERS)
        && fs::read_to_string(path).is_ok_and(|hash| kept.contains(&hash))
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != Io::NotFound => Err(write_error(path, e)),
        _ => Ok(()),
    }
}

/// The files of a folder, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read =
        || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = read().map_err(|e| read_error(dir, e))?;
    paths.retain(|path| !path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b"."));
    paths.sort();
    Ok(paths)
}

fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory | Io::IsADirectory) => {
            Ok(None)
        }
        Err(e) => Err(read_error(path, e)),
    }
}

/// The platform's folder for caches, or why none is known.
#[cfg(feature = "user-store")]
fn cache_folder() -> Result<PathBuf, &'static str> {
    let strategy = etcetera::choose_base_strategy();
    let strategy = strategy
        .map_err(|_| "no home directory is known to keep baked adapters in; make one known")?;
    Ok(etcetera::BaseStrategy::cache_dir(&strategy))
}

/// Programs whose adapters are embedded need no store, so they do not link what finds it.
#[cfg(not(feature = "user-store"))]
fn cache_folder() -> Result<PathBuf, &'static str> {
    Err("this program has no store of baked adapters; call `bake_build::embed()` in its build \
         script to embed them, turn on the feature `store` of bake")
}

fn create_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|e| write_error(dir, e))
}

fn read_error(path: &Path, e: std::io::Error) -> Error {
    Error::io(
        ErrorKind::Store,
        format!("cannot read {} in the store of baked adapters", path.display()),
        e,
    )
}

fn write_error(path: &Path, e: std::io::Error) -> Error {
    let message = format!(
        "cannot write {} in the store of baked adapters; make its folder writable or set \
         {DIR_VARIABLE} to another",
        path.display()
    );
    Error::io(ErrorKind::Store, message, e)
}
