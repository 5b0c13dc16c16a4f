//! `cargo bake fmt`: formats declarations in place.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use bake_spec::store::write::{Durability, replace};
use bake_spec::syntax::{WIDTH, format_to};
use bake_spec::{file, sources};

use crate::args::Common;
use crate::paths::from_here;
use crate::terminal::{say, status};
use crate::workspace::roots;

pub(crate) fn run(check: bool, common: &Common) -> Result<ExitCode> {
    let mut changed = 0;
    for (_, root) in roots(common)? {
        let width = width(&root)?;
        for file in sources::files(&root)? {
            let text = file::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            // Most files contain no declaration, and need not be tokenized.
            if !text.contains("bake") {
                continue;
            }
            let formatted = format_to(&text, width)
                .with_context(|| format!("cannot format {}", file.display()))?;
            if formatted == text {
                continue;
            }
            changed += 1;
            let shown = from_here(&file);
            if check {
                say!("{}", shown.display());
                continue;
            }
            write(&file, &formatted)?;
            if !common.quiet {
                status("Formatted", shown.display());
            }
        }
    }
    Ok(if check && changed > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn write(file: &Path, formatted: &str) -> Result<()> {
    // A link stays a link, and what is read-only is meant to be.
    let file = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
    if std::fs::metadata(&file).is_ok_and(|metadata| metadata.permissions().readonly()) {
        bail!("{} is read-only; make it writable", file.display());
    }
    replace(&file, formatted.as_bytes(), Durability::Disk)?;
    Ok(())
}

/// The width of a line, as rustfmt is configured for this package: `max_width` in the nearest
/// `rustfmt.toml` or `.rustfmt.toml`.
fn width(package: &Path) -> Result<usize> {
    for folder in package.ancestors() {
        for name in ["rustfmt.toml", ".rustfmt.toml"] {
            let path = folder.join(name);
            let text = match file::read_to_string(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    let message = format!("cannot read {}; correct or remove it", path.display());
                    return Err(anyhow::Error::new(e).context(message));
                }
            };
            let settings: toml::Table = text
                .parse()
                .with_context(|| format!("{} is not valid TOML; correct it", path.display()))?;
            let Some(width) = settings.get("max_width") else { return Ok(WIDTH) };
            let width = width.as_integer().and_then(|width| usize::try_from(width).ok());
            return width
                .with_context(|| format!("`max_width` in {} is not a number", path.display()));
        }
    }
    Ok(WIDTH)
}
