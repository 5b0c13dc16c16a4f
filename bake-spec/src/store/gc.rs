//! Cleaning a store of what has not been used for long.
//!
//! What would be removed is found first and can be shown; then exactly that is removed, except what
//! has been used meanwhile.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{ADAPTERS, ARTIFACTS, Store, USED, entries, lock, packages, read_if_present};
use crate::error::Error;
use crate::hash::Hash;

/// A file or folder under `tmp/` that was touched within this time may still be on its way to its
/// name.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3600);

/// What a thing in a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GarbageKind {
    /// An adapter.
    Adapter,
    /// Questions, answers or teacher states.
    Product,
    /// What a stopped training resumes from.
    Checkpoint,
    /// What killed processes left behind, locks, and records of packages that are gone.
    LeftOver,
}

impl GarbageKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Adapter, Self::Product, Self::Checkpoint, Self::LeftOver];

    /// The plural name of the kind.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Adapter => "adapters",
            Self::Product => "products",
            Self::Checkpoint => "checkpoints",
            Self::LeftOver => "leftovers",
        }
    }
}

/// The contents of a store that have not been used for long.
#[derive(Debug)]
pub struct Garbage {
    unused_since: SystemTime,
    things: Vec<Thing>,
}

/// How much of one kind there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The kind.
    pub kind: GarbageKind,
    /// How many things.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// When the one that has been unused for longest was last used.
    pub oldest: SystemTime,
}

#[derive(Debug)]
struct Thing {
    kind: GarbageKind,
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
    /// Files that only name it or record its use, and are removed with it.
    beside: Vec<PathBuf>,
}

impl Garbage {
    /// How much there is of each kind, without empty kinds.
    pub fn shares(&self) -> Vec<Share> {
        let mut shares = Vec::new();
        for kind in GarbageKind::ALL {
            let things = || self.things.iter().filter(|thing| thing.kind == kind);
            if let Some(oldest) = things().map(|thing| thing.used).min() {
                let bytes = things().map(|thing| thing.bytes).sum();
                shares.push(Share { kind, count: things().count(), bytes, oldest });
            }
        }
        shares
    }
}

impl Store {
    /// What has not been used for this long, except the adapters of `keep`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn garbage(&self, unused_for: Duration, keep: &[Hash]) -> Result<Garbage, Error> {
        let unused_since = SystemTime::now().checked_sub(unused_for);
        let unused_since = unused_since.unwrap_or(SystemTime::UNIX_EPOCH);
        let mut garbage = Garbage { unused_since, things: Vec::new() };
        self.old_adapters(keep, &mut garbage)?;
        for stage in entries(&self.root.join("keys"))? {
            if !stage.ends_with(ADAPTERS) {
                garbage.add_old_files(GarbageKind::Product, entries(&stage)?);
            }
        }
        for folder in entries(&self.root.join("blobs"))? {
            garbage.add_old_files(GarbageKind::Product, entries(&folder)?);
        }
        for stage in entries(&self.root.join("latest"))? {
            garbage.add_old_files(GarbageKind::Checkpoint, entries(&stage)?);
        }
        self.leftovers(&mut garbage)?;
        Ok(garbage)
    }

    fn old_adapters(&self, keep: &[Hash], garbage: &mut Garbage) -> Result<(), Error> {
        // Which adapter belongs to which recipe.
        let mut names = Vec::new();
        for key in entries(&self.root.join("keys").join(ADAPTERS))? {
            let name = read_if_present(&key)?.unwrap_or_default();
            names.push((String::from_utf8_lossy(&name).trim().to_owned(), key));
        }
        for dir in entries(&self.root.join(ARTIFACTS))? {
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let kept = keep.iter().any(|hash| hash.to_string() == name);
            let used = self.root.join(USED).join(&name);
            let of_this = names.iter().filter(|(of, _)| *of == name);
            let beside: Vec<PathBuf> =
                of_this.map(|(_, key)| key.clone()).chain([used.clone()]).collect();
            if !kept {
                let noted = beside.iter().filter_map(|path| modified(path)).max();
                garbage.add(GarbageKind::Adapter, dir, noted, beside);
            }
        }
        // A key whose adapter is gone names nothing.
        let there = |name: &String| self.root.join(ARTIFACTS).join(name).is_dir();
        let kept = |name: &String| keep.iter().any(|hash| hash.to_string() == *name);
        let gone = names.into_iter().filter(|(name, _)| !there(name) && !kept(name));
        garbage.add_old_files(GarbageKind::LeftOver, gone.map(|(_, key)| key));
        Ok(())
    }

    fn leftovers(&self, garbage: &mut Garbage) -> Result<(), Error> {
        let young = SystemTime::now().checked_sub(WRITTEN_WITHIN);
        for path in entries(&self.root.join("tmp"))? {
            if newest(&path).is_some_and(|used| young.is_some_and(|young| used < young)) {
                garbage.add(GarbageKind::LeftOver, path, None, Vec::new());
            }
        }
        if let Some(_gate) = self.closed_gate() {
            let locks = entries(&self.root.join("locks"))?;
            let free = locks.into_iter().filter(|lock| !lock::is_held(lock));
            garbage.add_old_files(GarbageKind::LeftOver, free);
        }
        let notes = entries(&self.root.join("packages"))?;
        let past = notes.into_iter().filter(|note| packages::is_of_the_past(note));
        garbage.add_old_files(GarbageKind::LeftOver, past);
        Ok(())
    }

    /// Removes garbage, except what has been used since it was found.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove(&self, garbage: &Garbage) -> Result<(), Error> {
        for thing in &garbage.things {
            let noted = thing.beside.iter().filter_map(|path| modified(path)).max();
            let used = newest(&thing.path).max(noted);
            if used.is_some_and(|used| used >= garbage.unused_since) {
                continue;
            }
            if thing.path.starts_with(self.root.join("locks")) {
                self.remove_lock(&thing.path)?;
                continue;
            }
            thing.beside.iter().try_for_each(|path| self.remove_file(path))?;
            if thing.path.is_dir() {
                self.clear(&thing.path)?;
            } else {
                self.remove_file(&thing.path)?;
            }
        }
        for folder in entries(&self.root.join("blobs"))? {
            // Fails if the folder is not empty, which then stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    /// Removes a lock that nobody holds, while nobody takes one.
    fn remove_lock(&self, path: &Path) -> Result<(), Error> {
        match self.closed_gate() {
            Some(_gate) if !lock::is_held(path) => self.remove_file(path),
            _ => Ok(()),
        }
    }
}

impl Garbage {
    fn add_old_files(&mut self, kind: GarbageKind, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            self.add(kind, path, None, Vec::new());
        }
    }

    /// Adds a thing, unless it was used since. `noted` is when its use was recorded elsewhere.
    fn add(
        &mut self,
        kind: GarbageKind,
        path: PathBuf,
        noted: Option<SystemTime>,
        beside: Vec<PathBuf>,
    ) {
        // If it is gone meanwhile, another process removed it.
        let Some(used) = newest(&path).max(noted).filter(|used| *used < self.unused_since) else {
            return;
        };
        self.things.push(Thing { kind, bytes: bytes(&path), path, used, beside });
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.symlink_metadata().and_then(|metadata| metadata.modified()).ok()
}

/// When a file, or the newest file of a folder, was written; of an empty folder, when that was.
fn newest(path: &Path) -> Option<SystemTime> {
    let own = modified(path);
    if !path.is_dir() {
        return own;
    }
    entries(path).unwrap_or_default().iter().filter_map(|path| newest(path)).max().or(own)
}

/// The bytes of a file, or of a folder's files.
fn bytes(path: &Path) -> u64 {
    if path.is_dir() {
        return entries(path).unwrap_or_default().iter().map(|path| bytes(path)).sum();
    }
    path.symlink_metadata().as_ref().map_or(0, Metadata::len)
}

#[cfg(test)]
mod tests;
