//! `cargo bake new`: a starter project.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use bake_spec::file;
use bake_spec::store::write::{Durability, replace};
use cargo_metadata::MetadataCommand;

use crate::args::{Common, New};
use crate::paths::relative;
use crate::terminal::{next_step, status};

const MANIFEST: &str = include_str!("../../starter/Cargo.toml.in");

/// What has to be in the workspace's own manifest for its members.
const PROFILE: &str = "\n# The engine is slow without optimisation, in debug builds too.\n\
    [profile.dev.package.\"*\"]\nopt-level = 3\n";

const FILES: [(&str, &str); 3] = [
    ("build.rs", include_str!("../../starter/build.rs")),
    ("src/main.rs", include_str!("../../starter/main.rs")),
    ("docs/office.md", include_str!("../../starter/office.md")),
];

pub(crate) fn run(args: &New, common: &Common) -> Result<ExitCode> {
    let folder = &args.folder;
    if folder.exists() {
        bail!("{} already exists; choose another folder", folder.display());
    }
    let checkout = args.path.as_deref().map(checkout).transpose()?;
    let name = match (&args.name, folder.file_name()) {
        (Some(name), _) => name.clone(),
        (None, Some(last)) => last.to_string_lossy().into_owned(),
        (None, None) => {
            bail!("no package name can be derived from {}; pass --name", folder.display());
        }
    };
    check_name(&name)?;
    let around = manifests_around(folder);
    make_package(folder, &name)?;
    let workspace = match write_files(folder, &name, checkout.as_deref()) {
        Ok(workspace) => workspace,
        Err(error) => {
            // A member that cannot be read would leave the whole workspace unusable.
            take_back(folder, &around);
            return Err(error);
        }
    };
    if !common.quiet {
        status("Created", format_args!("`{name}` in {}", args.folder.display()));
        if let Some(workspace) = workspace {
            let root = workspace.join("Cargo.toml");
            status(
                "Member",
                format_args!("of the workspace in {}; add this to that file:", root.display()),
            );
            anstream::eprint!("{PROFILE}");
        }
        let path = args.folder.display();
        next_step(format_args!("`cd {path}`, then `cargo bake`, then `cargo run`"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the files of the starter into a package that cargo has made. Returns the folder of the
/// workspace that it is a member of.
fn write_files(folder: &Path, name: &str, checkout: Option<&Path>) -> Result<Option<PathBuf>> {
    let folder = folder.canonicalize().context("cannot find the new folder")?;
    let workspace = workspace_of(&folder).map_err(|error| {
        let twice = format!("two packages named `{name}`");
        match format!("{error:#}").contains(&twice) {
            true => anyhow!(
                "the workspace already has a package `{name}`; choose another name with --name"
            ),
            false => error,
        }
    })?;
    let manifest = manifest(name, &folder, checkout, workspace.is_some())?;
    for (file, text) in [("Cargo.toml", manifest.as_str())].into_iter().chain(FILES) {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        replace(&path, text.as_bytes(), Durability::Cache)?;
    }
    Ok(workspace)
}

/// The manifests above a folder, as they are: cargo makes a new package a member of a workspace.
fn manifests_around(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let above = folder.ancestors().skip(1).map(|above| above.join("Cargo.toml"));
    above.filter_map(|path| Some((path.clone(), file::read(&path).ok()?))).collect()
}

/// Removes a package that was just made, and its name from the manifests above it.
fn take_back(folder: &Path, around: &[(PathBuf, Vec<u8>)]) {
    let _ = std::fs::remove_dir_all(folder);
    for (path, before) in around {
        if file::read(path).is_ok_and(|now| now != *before) {
            let _ = replace(path, before, Durability::Cache);
        }
    }
}

/// Packages and commands that a starter needs beside itself.
const OWN: [&str; 8] = [
    "bake",
    "bake-build",
    "bake-cli",
    "bake-emulator",
    "bake-macros",
    "bake-runtime",
    "bake-spec",
    "cargo-bake",
];

/// The libraries that every program has, of which cargo only warns.
const STANDARD: [&str; 5] = ["alloc", "core", "proc-macro", "std", "test"];

/// Refuses names with which the starter would not compile; cargo knows of others.
fn check_name(name: &str) -> Result<()> {
    let hyphens = name.replace('_', "-");
    let whose = match () {
        () if OWN.contains(&&*hyphens) => "part of bake, which the project depends on",
        () if STANDARD.contains(&&*hyphens) => "a Rust standard library crate",
        () => return Ok(()),
    };
    bail!(
        "a project cannot be called `{name}`: it is {whose}; choose another name, as with `--name \
         my-{hyphens}`"
    )
}

/// Creates a package through cargo, which knows which names are allowed, and makes it a member of
/// the workspace around it.
fn make_package(folder: &Path, name: &str) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["new", "--quiet", "--bin", "--edition", "2024", "--name", name]).arg(folder);
    let output = command.output().context("cannot run cargo; install it from https://rustup.rs")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", advice(said.trim().trim_start_matches("error: ")));
    }
    Ok(())
}

/// What cargo says; of a name, with this command's way to another.
fn advice(said: &str) -> String {
    let what = said.split("\nhelp:").next().unwrap_or(said).trim_end();
    match what.contains("package name") {
        true => format!("{what}; choose another with --name"),
        false => said.to_owned(),
    }
}

/// The folder of the workspace that a package is a member of, where it is not the package's own.
fn workspace_of(folder: &Path) -> Result<Option<PathBuf>> {
    let mut command = MetadataCommand::new();
    let metadata = command.no_deps().manifest_path(folder.join("Cargo.toml")).exec()?;
    let root = metadata.workspace_root.into_std_path_buf();
    Ok(Some(root).filter(|root| root.canonicalize().is_ok_and(|root| root != folder)))
}

fn manifest(name: &str, folder: &Path, checkout: Option<&Path>, member: bool) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let (bake, bake_build) = match checkout {
        None => (format!("version = \"{version}\""), format!("\"{version}\"")),
        Some(checkout) => {
            let path = relative(folder, checkout);
            let path = path.to_str().context("the path of bake is not UTF-8 text")?;
            let path = path.replace('\\', "/");
            (format!("path = \"{path}\""), format!("{{ path = \"{path}/bake-build\" }}"))
        }
    };
    let manifest = MANIFEST
        .replace("{name}", name)
        .replace("{bake}", &bake)
        .replace("{bake-build}", &bake_build);
    // Profiles count only in the manifest of the workspace.
    Ok(if member { manifest.replace(PROFILE, "") } else { manifest })
}

/// The folder of a checkout of bake.
fn checkout(given: &Path) -> Result<PathBuf> {
    let found =
        given.canonicalize().ok().filter(|path| path.join("bake-build/Cargo.toml").is_file());
    found.with_context(|| {
        format!("{} is not a checkout of bake; pass its folder with --path", given.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_a_part_of_the_manifest() {
        assert!(MANIFEST.contains(PROFILE));
    }
}
