//! `cargo bake export`: what was baked, for other programs.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use bake_runtime::export;
use bake_spec::Store;
use bake_spec::lock::State;

use super::checkpoint;
use crate::args::{Common, ExportArgs};
use crate::terminal::{bytes, status};
use crate::workspace::{Models, packages, select_one};

pub(crate) fn run(args: &ExportArgs, common: &Common) -> Result<ExitCode> {
    let packages = packages(common)?;
    let (package, found) = select_one(&packages, args.name.as_deref())?;
    let state = package.state(found, &mut Models::default())?;
    let store = Store::user()?;
    let locked = package.lock.bakes.get(found.name()).filter(|_| state.state == State::Fresh);
    let Some(adapter) = locked.and_then(|locked| locked.find_adapter(&package.root, &store)) else {
        bail!("{}; run `cargo bake` first", package.not_fresh(&state));
    };
    let (adapter, _) = checkpoint::folder(found.name(), adapter, &args.numbered)?;
    let wanted = bake_runtime::Export {
        format: args.to.into(),
        dtype: args.dtype.map(Into::into),
        folder: args.folder.clone(),
        replace: args.force,
    };
    for file in export(&found.declared.recipe, &adapter, &wanted)? {
        let size = std::fs::metadata(&file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .len();
        if !common.quiet {
            status("Exported", format_args!("{} ({})", file.display(), bytes(size)));
        }
    }
    Ok(ExitCode::SUCCESS)
}
