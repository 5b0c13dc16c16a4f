//! `cargo bake fmt`: formats declarations in place.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use bake_spec::format;
use bake_spec::store::write::{Durability, replace};
use bake_spec::syntax::find;

use crate::args::Common;
use crate::terminal::{say, status};
use crate::workspace::roots;

pub(crate) fn run(check: bool, common: &Common) -> Result<ExitCode> {
    let mut changed = 0;
    for (_, root) in roots(common)? {
        for file in find::files(&root)? {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            // Most files hold no declaration, and need not be cut into tokens.
            if !text.contains("bake") {
                continue;
            }
            let formatted =
                format(&text).with_context(|| format!("cannot format {}", file.display()))?;
            if formatted == text {
                continue;
            }
            changed += 1;
            let shown = file.strip_prefix(&root).unwrap_or(&file).to_owned();
            if check {
                say!("{}", shown.display());
                continue;
            }
            // A link stays one, and what was made read-only is meant to be.
            let file =
                file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
            if std::fs::metadata(&file).is_ok_and(|metadata| metadata.permissions().readonly()) {
                bail!("{} is read-only; make it writable", file.display());
            }
            replace(&file, formatted.as_bytes(), Durability::Disk)?;
            if !common.quiet {
                status("Formatted", shown.display());
            }
        }
    }
    Ok(if check && changed > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
