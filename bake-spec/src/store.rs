//! The store: the products of bakes, by content.
//!
//! ```text
//! blobs/ab/ab12…           a product of a stage; its name is its hash
//! artifacts/ab12…/         an adapter folder; its name is the hash of its files
//!     checkpoints/2/       the same adapter, as it was earlier in its training
//! keys/STAGE/cd34…         64 digits: the name of what the stage makes from inputs of that hash
//! latest/STAGE/cd34…       the hash and the content of what a stage replaces as it goes
//! locks/cd34…              held while an adapter is being made
//! used/ab12…               touched when the adapter of that hash is used
//! packages/ef56…           the folder of a package whose `bake.lock` names adapters of this store
//! tmp/                     files on their way to their names
//! ```
//!
//! Everything is written under `tmp/` and renamed, so that a reader sees all of it or nothing. A
//! product whose content does not match its name is never returned; it counts as not made.

mod folder;
pub mod gc;
mod lock;
mod packages;
#[cfg(test)]
mod tests;
pub mod write;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::file;
use crate::hash::Hash;
use folder::CHECKPOINTS;
pub use folder::{
    ADAPTER_FILES, checkpoint_folder, copy_folder, folder_bytes, hash_adapter, hash_files,
    hash_folder,
};
pub use lock::StoreLock;
use write::{Durability, remedy, temporary, write_by_way_of};

/// The folder of a package that contains adapters beside their declarations, by the names of the
/// bakes.
pub const VENDOR_DIR: &str = "bakes";

/// The environment variable that names the store's folder.
pub const DIR_VARIABLE: &str = "BAKE_CACHE_DIR";

const ADAPTERS: &str = "adapters";
const ARTIFACTS: &str = "artifacts";
const USED: &str = "used";

/// A use is recorded at most this often.
const NOTED_EVERY: Duration = Duration::from_secs(3600);

/// A folder of baked adapters and of the products of the stages that made them.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    owner: Owner,
}

/// Whose store it is, for the advice where it cannot be written.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// The user's.
    User,
    /// Of several people, who name its folder.
    Shared,
}

impl Store {
    /// A store in a folder, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), owner: Owner::User }
    }

    /// A store in a folder that several people share and that is named for each use.
    pub fn shared(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), owner: Owner::Shared }
    }

    /// The user's store: `BAKE_CACHE_DIR` if it is set, or else `bake/v1` in the platform's cache
    /// folder.
    ///
    /// # Errors
    /// When the variable is a relative path, and when the platform has no such folder, for example
    /// because no home directory is known.
    pub fn user() -> Result<Self, Error> {
        match user_folder(DIR_VARIABLE, "v1", ErrorKind::Store)? {
            Some(folder) => Ok(Self::new(folder)),
            None => Err(Error::new(
                ErrorKind::Store,
                format!("{NO_FOLDER}, or set {DIR_VARIABLE} to a folder for them"),
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
    /// When a file exists but cannot be read. A damaged product is not an error: it counts as not
    /// made.
    pub fn product(&self, stage: &str, key: &Hash) -> Result<Option<Vec<u8>>, Error> {
        let Some(hash) = self.named(stage, key)? else { return Ok(None) };
        note_use(&self.key_path(stage, key));
        note_use(&self.blob_path(&hash));
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

    /// What a stage last kept for inputs of this key, as training keeps its checkpoints.
    ///
    /// # Errors
    /// When a file exists but cannot be read. A damaged file counts as missing.
    pub fn latest(&self, stage: &str, key: &Hash) -> Result<Option<Vec<u8>>, Error> {
        let path = self.latest_path(stage, key);
        note_use(&path);
        let Some(mut bytes) = read_if_present(&path)? else { return Ok(None) };
        let content = bytes.split_off(bytes.len().min(DIGITS));
        let hash = std::str::from_utf8(&bytes).ok().and_then(|digits| digits.parse().ok());
        Ok((hash == Some(Hash::of(&content))).then_some(content))
    }

    /// Replaces what the stage had kept for inputs of this key. Unlike a product, it is not shared
    /// with other keys, so replacing it takes nothing from anyone.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_latest(&self, stage: &str, key: &Hash, bytes: &[u8]) -> Result<(), Error> {
        let digits = Hash::of(bytes).to_string();
        self.write(&self.latest_path(stage, key), &[digits.as_bytes(), bytes].concat())
    }

    /// Forgets what a stage last kept for inputs of this key.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove_latest(&self, stage: &str, key: &Hash) -> Result<(), Error> {
        self.remove_file(&self.latest_path(stage, key))
    }

    /// The folder of the adapter of a recipe.
    ///
    /// # Errors
    /// When a file exists but cannot be read. A damaged adapter is not an error: it counts as not
    /// made.
    pub fn adapter(&self, recipe: &Hash) -> Result<Option<PathBuf>, Error> {
        let Some(hash) = self.named(ADAPTERS, recipe)? else { return Ok(None) };
        let found = self.artifact(&hash);
        if found.is_some() {
            note_use(&self.key_path(ADAPTERS, recipe));
        }
        Ok(found)
    }

    /// Keeps the adapter of a recipe: `write` fills an empty folder, which is then given its name.
    /// Beside the adapter's files, it may write [checkpoints](checkpoint_folder).
    ///
    /// # Errors
    /// When `write` fails or the store cannot be written.
    pub fn put_adapter<E: From<Error>>(
        &self,
        recipe: &Hash,
        write: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let temporary = self.temporary_folder()?;
        let placed = write(&temporary).and_then(|()| Ok(self.place(&temporary)?));
        if placed.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        let (hash, dir) = placed?;
        self.write(&self.key_path(ADAPTERS, recipe), hash.to_string().as_bytes())?;
        Ok(dir)
    }

    /// The folder of the adapter with this hash; none if it is missing or damaged.
    pub fn artifact(&self, hash: &Hash) -> Option<PathBuf> {
        let dir = self.artifact_path(hash);
        Self::holds(&dir, hash).then_some(dir)
    }

    /// Whether the adapter's files in a folder have this hash. If the folder is that of an adapter
    /// in a store, its use is recorded, so that cleaning leaves it.
    pub fn holds(dir: &Path, hash: &Hash) -> bool {
        let holds = hash_folder(dir).is_ok_and(|found| found == *hash);
        if holds {
            Self::note_use_of(dir);
        }
        holds
    }

    /// Records that the adapter in a folder is used, if the folder is that of an adapter in a
    /// store: cleaning then leaves it. The folder itself stays as it is, since build scripts watch
    /// it.
    pub fn note_use_of(dir: &Path) {
        let is_hash = |name: &&OsStr| name.to_str().is_some_and(|it| it.parse::<Hash>().is_ok());
        let in_store = |parent: &&Path| parent.ends_with(ARTIFACTS);
        let (Some(name), Some(artifacts)) =
            (dir.file_name().filter(is_hash), dir.parent().filter(in_store))
        else {
            return;
        };
        let used = artifacts.with_file_name(USED);
        if fs::create_dir_all(&used).is_ok() {
            let file = used.join(name);
            let _ = File::options().create(true).append(true).open(&file);
            note_use(&file);
        }
    }

    /// Copies an adapter's folder, which must have this hash, and keeps it as the adapter of a
    /// recipe.
    ///
    /// # Errors
    /// When its hash is different, or the store cannot be written.
    pub fn adopt(&self, dir: &Path, hash: &Hash, recipe: &Hash) -> Result<PathBuf, Error> {
        if !Self::holds(dir, hash) {
            let message = format!(
                "{} is not the adapter that bake.lock names; it is damaged, or was changed",
                dir.display()
            );
            return Err(Error::new(ErrorKind::Store, message));
        }
        self.put_adapter(recipe, |copy| copy_folder(dir, copy))
    }

    /// Gives a finished folder its name. If the same content is there already, it stays, but for
    /// the checkpoints, which its name does not cover; a damaged folder is replaced.
    fn place(&self, temporary: &Path) -> Result<(Hash, PathBuf), Error> {
        for name in ADAPTER_FILES {
            let file = temporary.join(name);
            if file.is_file() {
                file::open(&file)
                    .and_then(|f| f.sync_all())
                    .map_err(|e| self.write_error(&file, e))?;
            }
        }
        let hash = hash_folder(temporary)?;
        let dir = self.artifact_path(&hash);
        self.create_dir(dir.parent().expect("the path has a folder"))?;
        if Self::holds(&dir, &hash) {
            let checkpoints = temporary.join(CHECKPOINTS);
            if checkpoints.is_dir() {
                let there = dir.join(CHECKPOINTS);
                self.clear(&there)?;
                fs::rename(&checkpoints, &there).map_err(|e| self.write_error(&there, e))?;
            }
            let _ = fs::remove_dir_all(temporary);
            return Ok((hash, dir));
        }
        self.clear(&dir)?;
        fs::rename(temporary, &dir).map_err(|e| self.write_error(&dir, e))?;
        Ok((hash, dir))
    }

    fn named(&self, stage: &str, key: &Hash) -> Result<Option<Hash>, Error> {
        let bytes = read_if_present(&self.key_path(stage, key))?;
        Ok(bytes.and_then(|b| std::str::from_utf8(&b).ok()?.trim().parse().ok()))
    }

    fn key_path(&self, stage: &str, key: &Hash) -> PathBuf {
        self.root.join("keys").join(stage).join(key.to_string())
    }

    fn latest_path(&self, stage: &str, key: &Hash) -> PathBuf {
        self.root.join("latest").join(stage).join(key.to_string())
    }

    fn blob_path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        self.root.join("blobs").join(&name[..2]).join(name)
    }

    pub(crate) fn artifact_path(&self, hash: &Hash) -> PathBuf {
        self.root.join(ARTIFACTS).join(hash.to_string())
    }

    /// The prefix of the paths of files that do not have their names yet.
    fn temporary_prefix(&self) -> Result<PathBuf, Error> {
        let dir = self.root.join("tmp");
        self.create_dir(&dir)?;
        Ok(dir.join("new"))
    }

    fn temporary_folder(&self) -> Result<PathBuf, Error> {
        let prefix = self.temporary_prefix()?;
        let made = temporary(&prefix, |path| fs::create_dir(path));
        made.map(|(path, ())| path).map_err(|e| self.write_error(&prefix, e))
    }

    fn create_dir(&self, dir: &Path) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(|e| self.write_error(dir, e))
    }

    fn remove_file(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != Io::NotFound => Err(self.write_error(path, e)),
            _ => Ok(()),
        }
    }

    /// What could not be written, and what helps.
    fn write_error(&self, path: &Path, e: std::io::Error) -> Error {
        let (what, elsewhere) = match self.owner {
            Owner::User => {
                ("the store of baked adapters", format!("set {DIR_VARIABLE} to another"))
            }
            Owner::Shared => ("the shared folder", "name another".to_owned()),
        };
        let remedy = remedy(&e);
        let message =
            format!("cannot write {} in {what}; {remedy}, or {elsewhere}", path.display());
        Error::io(ErrorKind::Store, message, e)
    }

    /// Moves a folder that is damaged or no longer needed out of its place, and removes it.
    fn clear(&self, path: &Path) -> Result<(), Error> {
        if !path.is_dir() {
            return Ok(());
        }
        let damaged = self.temporary_folder()?;
        fs::rename(path, &damaged).map_err(|e| self.write_error(path, e))?;
        let _ = fs::remove_dir_all(damaged);
        Ok(())
    }

    /// Writes something that is compared with its hash whenever it is read, or that only names such
    /// a thing.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.create_dir(path.parent().expect("the path has a folder"))?;
        self.clear(path)?;
        write_by_way_of(&self.temporary_prefix()?, path, bytes, Durability::Cache)
            .map_err(|e| self.write_error(&e.path, e.source))
    }
}

/// The digits of a hash.
const DIGITS: usize = 64;

/// Records that a file was used, so that cleaning leaves it. Nobody cleans a store that can only be
/// read.
fn note_use(path: &Path) {
    let now = SystemTime::now();
    let noted = |modified: SystemTime| {
        now.duration_since(modified).map_or(modified == now, |age| age < NOTED_EVERY)
    };
    if fs::metadata(path).and_then(|file| file.modified()).is_ok_and(noted) {
        return;
    }
    let _ = File::options().append(true).open(path).and_then(|file| file.set_modified(now));
}

/// The files and folders in a folder, sorted by name, except hidden ones; none if there is no such
/// folder.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read =
        || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = match read() {
        Ok(paths) => paths,
        Err(e) if e.kind() == Io::NotFound => Vec::new(),
        Err(e) => return Err(read_error(dir, e)),
    };
    paths.retain(|path| !path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b"."));
    paths.sort();
    Ok(paths)
}

/// The content of a file; none where there is nothing, or something that is not a file.
fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match file::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) => match e.kind() {
            Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::InvalidInput => Ok(None),
            _ => Err(read_error(path, e)),
        },
    }
}

/// The folder that an environment variable names if it is set, or else `bake/…` in the platform's
/// cache folder; none if that is not known. An error is of the given kind.
pub(crate) fn user_folder(
    variable: &str,
    name: &str,
    kind: ErrorKind,
) -> Result<Option<PathBuf>, Error> {
    match std::env::var_os(variable).filter(|dir| !dir.is_empty()) {
        // Build scripts, tools and programs run in different folders.
        Some(dir) if Path::new(&dir).is_absolute() => Ok(Some(dir.into())),
        Some(dir) => {
            Err(Error::new(kind, format!("{variable} is {dir:?}; set it to an absolute path")))
        }
        None => Ok(cache_folder().map(|folder| folder.join("bake").join(name))),
    }
}

/// The platform's cache folder, if it is known.
#[cfg(feature = "user-store")]
fn cache_folder() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(etcetera::BaseStrategy::cache_dir(&strategy))
}

/// Programs whose adapters are embedded need no store, so they do not link the code that finds it.
#[cfg(not(feature = "user-store"))]
fn cache_folder() -> Option<PathBuf> {
    None
}

/// What to say where it is not known.
const NO_FOLDER: &str = if cfg!(feature = "user-store") {
    "cannot find a home directory to keep baked adapters in; set HOME"
} else {
    "this program has no store of baked adapters; call `bake_build::embed()` in its build script \
     to embed them, enable bake's feature `store`"
};

fn read_error(path: &Path, e: std::io::Error) -> Error {
    let message = format!("cannot read {}; make it readable, or remove it", path.display());
    Error::io(ErrorKind::Store, message, e)
}
