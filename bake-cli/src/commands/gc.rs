//! `cargo bake gc`: removes what the store has not needed for long.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use bake_spec::{Hash, Lock, Store};
use serde::Serialize;

use crate::args::Common;
use crate::terminal::{self, bytes, status};
use crate::workspace::roots;

#[derive(Serialize)]
struct Removed {
    store: String,
    files: usize,
    bytes: u64,
}

pub(crate) fn run(days: u32, common: &Common) -> Result<ExitCode> {
    // What the packages here have locked stays, however old it is. Outside of a package there is
    // none.
    let mut keep: Vec<Hash> = Vec::new();
    for (_, root) in roots(common).unwrap_or_default() {
        if let Some(lock) = Lock::read(&root)? {
            keep.extend(lock.bakes.values().map(|locked| locked.adapter));
        }
    }
    let store = Store::user()?;
    let (files, removed) =
        store.clean(Duration::from_secs(u64::from(days) * 24 * 60 * 60), &keep)?;
    if common.json {
        terminal::json(&Removed {
            store: store.root().display().to_string(),
            files,
            bytes: removed,
        })?;
    } else if !common.quiet {
        status(
            "Removed",
            format_args!("{files} files, {}, from {}", bytes(removed), store.root().display()),
        );
    }
    Ok(ExitCode::SUCCESS)
}
