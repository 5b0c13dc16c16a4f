//! `cargo bake new`: a starter project.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::args::{Common, New};
use crate::terminal::status;

pub(crate) fn run(args: &New, common: &Common) -> Result<ExitCode> {
    let name = package_name(&args.path)?;
    if args.path.exists() {
        bail!("{} exists already; name a folder that does not", args.path.display());
    }
    let bake = checkout(args.bake.as_deref())?;
    // The starter is the example that the tests build.
    let manifest = include_str!("../../../examples/embedded-app/Cargo.toml")
        .replace("\n# A package of its own, as a user's is.\n[workspace]\n", "")
        .replace("An application whose knowledge is in its binary", "Knows a document by heart")
        .replace("\"embedded-app\"", &format!("\"{name}\""))
        .replace("\"../..", &format!("\"{bake}"));
    let files = [
        ("Cargo.toml", manifest.as_str()),
        ("build.rs", include_str!("../../../examples/embedded-app/build.rs")),
        ("src/main.rs", include_str!("../../../examples/embedded-app/src/main.rs")),
        ("docs/office.md", include_str!("../../../examples/embedded-app/docs/office.md")),
        ("docs/questions.txt", include_str!("../../../examples/embedded-app/docs/questions.txt")),
        (".gitignore", "/target\n"),
    ];
    for (file, text) in files {
        let path = args.path.join(file);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, text));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !common.quiet {
        status(
            "Created",
            format_args!(
                "`{name}` in {}; now `cd` there, and run `cargo bake` and `cargo run`",
                args.path.display()
            ),
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn package_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    match good {
        true => Ok(name.to_owned()),
        false => {
            bail!("`{name}` cannot be the name of a package; use letters, digits, `-` and `_`")
        }
    }
}

/// The folder of bake itself, as text of a manifest.
fn checkout(given: Option<&Path>) -> Result<String> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")),
    };
    let found =
        path.canonicalize().ok().filter(|path| path.join("bake-build/Cargo.toml").is_file());
    match found.as_ref().and_then(|path| path.to_str()) {
        Some(path) => Ok(path.replace('\\', "/")),
        None => bail!("{} is no checkout of bake; name one with --bake PATH", path.display()),
    }
}
