//! The numbered checkpoints of a bake.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bake_runtime::{KeptCheckpoint, KeptCheckpoints, Report};
use bake_spec::{Store, file};

use crate::args::NumberedArgs;
use crate::workspace::{DeclaredBake, Package};

/// The folder of a bake's adapter, or of the checkpoint of it that is asked for, and what is known
/// of that.
pub(super) fn folder(
    bake: &str,
    adapter: PathBuf,
    numbered: &NumberedArgs,
) -> Result<(PathBuf, Option<KeptCheckpoint>)> {
    let Some(number) = numbered.checkpoint else { return Ok((adapter, None)) };
    let kept = KeptCheckpoints::of(&adapter)?;
    let folder = kept.find(bake, number, Some(&Store::user()?))?;
    Ok((folder, Some(kept.get(bake, number)?.clone())))
}

/// How many a bake has, whether they are on this machine or not.
pub(super) fn count(adapter: &Path) -> Result<usize> {
    Ok(KeptCheckpoints::of(adapter)?.list().len())
}

/// What is said of so many of them.
pub(super) fn line(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} checkpoint{plural} (see `cargo bake show metrics`)")
}

/// That a fresh bake has none although some are declared: it was made before they were.
pub(super) fn lacking(package: &Package, found: DeclaredBake<'_>) -> Option<String> {
    let every = found.declared.recipe.train.keep_every?;
    let locked = package.lock.bakes.get(found.name())?;
    let adapter = locked.find_adapter(&package.root, &Store::user().ok()?)?;
    let report = file::read(&adapter.join("bake.json")).ok()?;
    let report: Report = serde_json::from_slice(&report).ok()?;
    (report.checkpoints.is_empty() && report.epochs.len() >= every).then(|| {
        format!(
            "baked without `keep_every {every}`; `cargo bake --fresh` bakes it again with \
             checkpoints"
        )
    })
}
