//! `cargo bake new`: a starter project.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use bake_spec::store::write::{Durability, replace};
use cargo_metadata::MetadataCommand;

use crate::args::{Common, New};
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
        bail!("{} exists already; name a folder that does not", folder.display());
    }
    let checkout = args.path.as_deref().map(checkout).transpose()?;
    make_package(folder)?;
    let folder = folder.canonicalize().context("the new folder cannot be found")?;
    let workspace = workspace_of(&folder)?;
    let name = folder.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let manifest = manifest(name, &folder, checkout.as_deref(), workspace.is_some())?;
    for (file, text) in [("Cargo.toml", manifest.as_str())].into_iter().chain(FILES) {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        replace(&path, text.as_bytes(), Durability::Cache)?;
    }
    if !common.quiet {
        status("Created", format_args!("`{name}` in {}", args.folder.display()));
        if let Some(workspace) = workspace {
            let root = workspace.join("Cargo.toml");
            status(
                "Member",
                format_args!("of the workspace of {}; add this to it:", root.display()),
            );
            anstream::eprint!("{PROFILE}");
        }
        let path = args.folder.display();
        next_step(format_args!("`cd {path}`, then `cargo bake`, then `cargo run`"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Creates a package through cargo, which knows which names are allowed, and makes it a member of
/// the workspace around it.
fn make_package(folder: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["new", "--quiet", "--bin", "--edition", "2024"]).arg(folder);
    let output = command
        .output()
        .map_err(|e| anyhow!("cargo cannot be started ({e}); install it from https://rustup.rs"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    Ok(())
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
        format!("{} is not a checkout of bake; name its folder with --path", given.display())
    })
}

/// The path from one absolute folder to another: with `..` where they have more in common than the
/// root, and absolute otherwise.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let from: Vec<&OsStr> = from.components().map(Component::as_os_str).collect();
    let to: Vec<&OsStr> = to.components().map(Component::as_os_str).collect();
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    if common < 2 {
        return to.iter().collect();
    }
    let up = from[common..].iter().map(|_| OsStr::new(".."));
    up.chain(to[common..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_beside_each_other_are_named_relative_to_each_other() {
        let path = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
        assert_eq!(path("/code/me/hello", "/code/me/bake"), Path::new("../bake"));
        assert_eq!(path("/code/me/a/b", "/code/me"), Path::new("../.."));
        assert_eq!(path("/srv/hello", "/code/me/bake"), Path::new("/code/me/bake"));
    }

    #[test]
    fn the_profile_is_a_part_of_the_manifest() {
        assert!(MANIFEST.contains(PROFILE));
    }
}
