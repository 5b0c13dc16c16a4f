//! `cargo bake vendor`: copies adapters into the package, to be committed.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bake_spec::Store;
use bake_spec::lock::{State, VENDOR_DIR};
use bake_spec::store::write::{Durability, replace};
use bake_spec::store::{copy_folder, hash_folder};

use crate::args::Common;
use crate::terminal::{bytes, next_step, status, warning};
use crate::workspace::{Models, Package, packages, select};

/// More than this does not fit into a package for the registry, with everything else in it.
const LARGE: u64 = 8_000_000;

pub(crate) fn run(names: &[String], common: &Common) -> Result<ExitCode> {
    let (packages, mut models, store) = (packages(common)?, Models::default(), Store::user()?);
    for (package, found) in select(&packages, names)? {
        let state = package.state(found, &mut models)?;
        let Some(locked) =
            package.lock.bakes.get(found.name()).filter(|_| state.state == State::Fresh)
        else {
            bail!("{}; run `cargo bake` first", package.not_fresh(&state));
        };
        let Some(folder) = locked.find_adapter(&package.root, &store) else { continue };
        place(package, found.name(), &folder)?;
        keep_line_ends(package)?;
        if locked.bytes > LARGE {
            warning(format_args!(
                "the adapter of `{}` is {}; consider Git LFS, or share it with `cargo bake push`",
                found.name(),
                bytes(locked.bytes)
            ));
        }
        if !common.quiet {
            status(
                "Vendored",
                format_args!("{VENDOR_DIR}/{} ({})", found.name(), bytes(locked.bytes)),
            );
        }
    }
    if !common.quiet {
        next_step(format_args!("commit `{VENDOR_DIR}` and bake.lock"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells git to leave the files as they are: the lock has the hash of their bytes.
fn keep_line_ends(package: &Package) -> Result<()> {
    let path = package.root.join(VENDOR_DIR).join(".gitattributes");
    // One that somebody has written is theirs; an empty one says nothing.
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    Ok(replace(&path, b"* -text\n", Durability::Disk)?)
}

/// Replaces the copy of a bake that was made again, or that a killed run left half replaced.
pub(crate) fn refresh(package: &Package, name: &str, adapter: &Path) -> Result<()> {
    match package.root.join(VENDOR_DIR).join(name).is_dir() {
        true => place(package, name, adapter),
        false => Ok(()),
    }
}

fn place(package: &Package, name: &str, adapter: &Path) -> Result<()> {
    let folder = package.root.join(VENDOR_DIR).join(name);
    if adapter == folder
        || hash_folder(&folder)
            .is_ok_and(|there| hash_folder(adapter).is_ok_and(|new| there == new))
    {
        return Ok(());
    }
    copy_folder(adapter, &folder)?;
    Ok(())
}
