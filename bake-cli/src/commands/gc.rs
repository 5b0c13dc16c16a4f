//! `cargo bake gc`: removes from the store what has not been used for a long time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use bake_spec::diagnostics::noun;
use bake_spec::store::gc::Share;
use bake_spec::{Hash, Lock, Store};
use serde::Serialize;

use crate::args::{Common, Gc};
use crate::json;
use crate::terminal::{bytes, say, status};
use crate::workspace::{all_roots, is_in_a_package, roots};

const DAY: u64 = 24 * 60 * 60;

#[derive(Serialize)]
struct Removed {
    store: String,
    dry_run: bool,
    locked: usize,
    removed: Vec<RemovedKind>,
}

#[derive(Serialize)]
struct RemovedKind {
    kind: &'static str,
    count: usize,
    bytes: u64,
    oldest_days: u64,
}

pub(crate) fn run(args: &Gc, common: &Common) -> Result<ExitCode> {
    let store = Store::user()?;
    let locked = in_use(args, common, &store)?;
    let garbage = store.garbage(Duration::from_secs(u64::from(args.days) * DAY), &locked)?;
    if !args.dry_run {
        store.remove(&garbage)?;
    }
    let removed: Vec<RemovedKind> = garbage.shares().iter().map(RemovedKind::of).collect();
    if args.json.json {
        json::print(&Removed {
            store: store.root().display().to_string(),
            dry_run: args.dry_run,
            locked: locked.len(),
            removed,
        })?;
    } else if args.dry_run {
        for kind in &removed {
            say!("{}", kind.line());
        }
        let nothing = if removed.is_empty() { "nothing " } else { "" };
        say!("{nothing}{}", total("would be removed", &removed, args.days, &store));
    } else if !common.quiet {
        for kind in &removed {
            status("Removed", kind.line());
        }
        let verb = if removed.is_empty() { "Nothing" } else { "Cleaned" };
        status(verb, total("removed", &removed, args.days, &store));
    }
    Ok(ExitCode::SUCCESS)
}

/// The adapters that a lock on this machine names, as far as it is known: those of the workspace's
/// packages, and of all packages that have used the store. Fails where one of them cannot be read,
/// since bake then cannot tell what is in use.
fn in_use(args: &Gc, common: &Common, store: &Store) -> Result<Vec<Hash>> {
    let mut packages: BTreeSet<PathBuf> = store.packages()?.into_iter().collect();
    if is_in_a_package(common)? {
        let unknown = "cannot tell what is in use, so nothing was removed";
        // Says so when a package that was named does not exist.
        packages.extend(roots(common).context(unknown)?.into_iter().map(|(_, root)| root));
        packages.extend(all_roots(common).context(unknown)?);
    } else if !args.by_use && !args.dry_run {
        bail!(
            "not inside a package, so it is unknown what is in use; run this in a package, or pass \
             --by-use to keep what was used recently or is in the bake.lock of a known package \
             ({} known)",
            packages.len()
        );
    }
    let mut adapters = Vec::new();
    for package in packages {
        let lock = Lock::read(&package).context("nothing was removed")?;
        adapters.extend(lock.iter().flat_map(|lock| lock.bakes.values()).map(|bake| bake.adapter));
    }
    adapters.sort_unstable();
    adapters.dedup();
    Ok(adapters)
}

impl RemovedKind {
    fn of(share: &Share) -> Self {
        let age = SystemTime::now().duration_since(share.oldest).unwrap_or_default();
        Self {
            kind: share.kind.plural(),
            count: share.count,
            bytes: share.bytes,
            oldest_days: age.as_secs() / DAY,
        }
    }

    fn line(&self) -> String {
        format!(
            "{:>5} {:<12} {:>10}, unused for up to {}",
            self.count,
            noun(self.count, self.kind),
            bytes(self.bytes),
            days(self.oldest_days)
        )
    }
}

fn days(count: u64) -> String {
    format!("{count} {}", if count == 1 { "day" } else { "days" })
}

fn total(what: &str, removed: &[RemovedKind], days: u32, store: &Store) -> String {
    let store = store.root().display();
    if !removed.is_empty() {
        let sum = removed.iter().map(|kind| kind.bytes).sum();
        return format!("{} {what} from {store}", bytes(sum));
    }
    let used = match days {
        0 => "is in use".to_owned(),
        1 => "was used in the last day".to_owned(),
        days => format!("was used in the last {days} days"),
    };
    format!("to remove: everything in {store} is in a bake.lock, or {used}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_something_is_one() {
        let line = |count, oldest_days| {
            let bytes = 10;
            RemovedKind { kind: "leftovers", count, bytes, oldest_days }.line()
        };
        assert_eq!(line(1, 1), "    1 leftover       10 bytes, unused for up to 1 day");
        assert_eq!(line(2, 0), "    2 leftovers      10 bytes, unused for up to 0 days");
    }
}
