//! `cargo bake push` and `cargo bake pull`: adapters through a shared folder.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use bake_spec::Store;

use crate::args::{Common, FolderArgs};
use crate::terminal::{bytes, status};
use crate::workspace::{packages, select};

pub(crate) fn push(args: &FolderArgs, common: &Common) -> Result<ExitCode> {
    if args.folder.to_string_lossy().contains("://") {
        bail!("{} is a URL; pass a folder, such as one on a mounted drive", args.folder.display());
    }
    let (packages, shared) = (packages(common)?, Store::shared(&args.folder));
    for (package, found) in select(&packages, &args.names.names)? {
        let name = found.name();
        let folder = package.adapter(name)?;
        let locked = &package.lock.bakes[name];
        shared
            .adopt(&folder, &locked.adapter, &locked.recipe)
            .with_context(|| format!("`{name}` was not pushed"))?;
        if !common.quiet {
            status(
                "Pushed",
                format_args!("{name} ({}) to {}", bytes(locked.bytes), args.folder.display()),
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn pull(args: &FolderArgs, common: &Common) -> Result<ExitCode> {
    if !args.folder.is_dir() {
        bail!(
            "{} is not a folder; pass the folder that `cargo bake push` wrote to",
            args.folder.display()
        );
    }
    let (packages, own, shared) = (packages(common)?, Store::user()?, Store::shared(&args.folder));
    for (package, found) in select(&packages, &args.names.names)? {
        let name = found.name();
        let Some(locked) = package.lock.bakes.get(name) else {
            bail!("`{name}` is not in bake.lock; pull the commit that has it, or run `cargo bake`");
        };
        if locked.find_adapter(&package.root, &own).is_some() {
            if !common.quiet {
                status("Fresh", name);
            }
            continue;
        }
        let Some(folder) = shared.artifact(&locked.adapter) else {
            bail!(
                "{} does not contain the whole adapter of `{name}`; run `cargo bake`, or have it \
                 pushed again",
                args.folder.display()
            );
        };
        own.adopt(&folder, &locked.adapter, &locked.recipe)
            .with_context(|| format!("`{name}` was not pulled"))?;
        if !common.quiet {
            status("Pulled", format_args!("{name} ({})", bytes(locked.bytes)));
        }
    }
    Ok(ExitCode::SUCCESS)
}
