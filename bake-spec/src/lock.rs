//! `bake.lock`: what each bake of a package was made from, and which adapter it gave.
//!
//! It is beside `Cargo.toml` and is committed. Only `cargo bake` writes it: sorted, one block per
//! bake, without times or names of machines, so that the same bake writes the same lock and version
//! control merges it line by line.

mod entry;
mod format1;
mod limits;
mod settings;
mod state;
#[cfg(feature = "syntax")]
mod status;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use entry::{
    AdapterPlace, Locked, LockedDrift, LockedExpects, LockedModel, LockedRecall, LockedTarget,
};
pub use limits::Limits;
pub use settings::ReadableSettings;
pub use state::{BakeState, KnownModel, State, TargetState, state};

use crate::error::{Error, ErrorKind};
use crate::file;
pub use crate::store::VENDOR_DIR;
use crate::store::write::{Durability, remedy, replace};

/// The name of the file.
pub const LOCK_FILE: &str = "bake.lock";

/// The format that this version writes. It reads the one before it too.
const VERSION: u32 = 2;

/// What helps where the file cannot be understood.
const RESTORE: &str = "restore it, or delete it and run `cargo bake`";

const HEADER: &str = "# Written by `cargo bake`, and not to be edited. It says what the bakes of \
    this package were made from.\n";

/// What was baked, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lock {
    /// An entry for each bake.
    pub bakes: BTreeMap<String, Locked>,
}

/// The file as written: a list, so that a name that appears twice is noticed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFile {
    version: u32,
    #[serde(default, rename = "bake")]
    bakes: Vec<Locked>,
}

impl Lock {
    /// The lock of a package, if it has one.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or has a format that this version does not know. The
    /// message names the line.
    pub fn read(package: &Path) -> Result<Option<Self>, Error> {
        let path = package.join(LOCK_FILE);
        // Reading another kind of file may never end.
        if std::fs::metadata(&path).is_ok_and(|it| !it.is_file() && !it.is_dir()) {
            let message = format!("{} is not a regular file; {RESTORE}", path.display());
            return Err(Error::new(ErrorKind::Lock, message));
        }
        let text = match file::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                let message = format!("{} is not text; {RESTORE}", path.display());
                return Err(Error::new(ErrorKind::Lock, message));
            }
            Err(e) => {
                let message = format!("cannot read {}; {RESTORE}", path.display());
                return Err(Error::io(ErrorKind::Lock, message, e));
            }
        };
        Self::parse(&text)
            .map(Some)
            .map_err(|what| Error::new(ErrorKind::Lock, format!("{} {what}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let marker = |line: &str| {
            ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark))
        };
        if let Some(line) = text.lines().position(marker) {
            return Err(format!(
                "has a merge conflict on line {}; take either side, and run `cargo bake`",
                line + 1
            ));
        }
        // A newer format may have anything after its number.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |e: toml::de::Error| {
            let line = e
                .span()
                .map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            format!("is damaged on line {line}: {}; {RESTORE}", e.message())
        };
        let Version { version } = toml::from_str(text).map_err(damaged)?;
        let read: Vec<Locked> = match version {
            1 => {
                let file: format1::Format1File = toml::from_str(text).map_err(damaged)?;
                file.bakes.into_iter().map(Locked::from).collect()
            }
            VERSION => toml::from_str::<LockFile>(text).map_err(damaged)?.bakes,
            0 => return Err(format!("is damaged: there is no format 0; {RESTORE}")),
            version => {
                return Err(format!(
                    "has format {version}, but this version of bake reads only formats 1 and \
                     {VERSION}; update bake"
                ));
            }
        };
        let mut bakes = BTreeMap::new();
        for bake in read {
            if !bake.is_finite() {
                return Err(format!(
                    "has a divergence of `{}` that is not a finite number; {RESTORE}",
                    bake.name
                ));
            }
            if let Some(twice) = bakes.insert(bake.name.clone(), bake) {
                return Err(format!(
                    "contains `{}` twice; delete it and run `cargo bake`",
                    twice.name
                ));
            }
        }
        Ok(Self { bakes })
    }

    /// Reads the lock of a package, changes it and writes it, while no other process does so.
    /// Returns what `change` does.
    ///
    /// The lock is read again, so that what others have written since is kept. If the file system
    /// has no locks, this is done without one.
    ///
    /// # Errors
    /// When it cannot be read or written, and when `change` fails, in which case nothing is
    /// written.
    pub fn update<T, E: From<Error>>(
        package: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let guard = guard(package);
        let mut lock = Self::read(package)?.unwrap_or_default();
        let result = change(&mut lock)?;
        lock.write(package)?;
        drop(guard);
        Ok(result)
    }

    /// Writes the lock of a package, unless that is its content already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, package: &Path) -> Result<(), Error> {
        let path = package.join(LOCK_FILE);
        let text = self.to_text();
        if file::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        // A link stays a link.
        let path = path.canonicalize().unwrap_or(path);
        replace(&path, text.as_bytes(), Durability::Disk).map_err(|e| {
            let message = format!("cannot write {}; {}", e.path.display(), remedy(&e.source));
            Error::io(ErrorKind::Lock, message, e.source)
        })
    }

    fn to_text(&self) -> String {
        let file = LockFile { version: VERSION, bakes: self.bakes.values().cloned().collect() };
        // Numbers, hashes and names always have a TOML form.
        format!("{HEADER}{}", toml::to_string(&file).expect("a lock has a TOML form"))
    }

    /// Records a bake, replacing what was recorded under its name.
    pub fn insert(&mut self, name: &str, locked: Locked) {
        self.bakes.insert(name.to_owned(), Locked { name: name.to_owned(), ..locked });
    }
}

/// Keeps other processes and threads from updating the lock of a package, until it is dropped. None
/// if that cannot be done.
///
/// It locks the folder itself, or, on systems where folders cannot be opened, a file in the folder
/// for temporary files: nothing is left beside the sources.
fn guard(package: &Path) -> Option<std::fs::File> {
    let file = file::open(package).or_else(|_| {
        let path = package.canonicalize()?;
        let hash = crate::hash::Hash::of(path.to_string_lossy().as_bytes());
        let file = std::env::temp_dir().join(format!("{LOCK_FILE}.{}", hash.short()));
        std::fs::OpenOptions::new().create(true).append(true).open(file)
    });
    let file = file.ok()?;
    file.lock().ok()?;
    Some(file)
}
