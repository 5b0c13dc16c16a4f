//! Cleaning the store.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::*;

/// Makes everything in a folder look as if it was last used forty days ago.
fn age(path: &Path) {
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| age(&entry.unwrap().path()));
    } else {
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(40 * 24 * 3600)).unwrap();
    }
}

fn adapters(store: &Path) -> usize {
    std::fs::read_dir(store.join("artifacts")).unwrap().count()
}

/// How many of a kind a cleaning removed, or would remove.
fn removed(listing: &Value, kind: &str) -> u64 {
    let kinds = listing["removed"].as_array().unwrap().iter();
    kinds.filter(|of| of["kind"] == kind).map(|of| of["count"].as_u64().unwrap()).sum()
}

/// What a package's `bake.lock` names stays, in whatever package of the machine the command is run,
/// and what none names is removed when it has not been used for a long time.
#[test]
fn what_a_lock_names_stays_and_what_none_names_is_removed() {
    let package = Package::new();
    package.ok(&[]);
    let other = Package::new();
    other.write("keys.md", "## Lost key\nAsk Eva in the red office.\n");
    let clean = |package: &Package, args: &[&str]| {
        let output = run(&package.root(), &other.store(), &[&["gc", "--json"], args].concat());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    other.ok(&[]);
    other.ok(&["push", package.store().to_str().unwrap()]);
    package.ok(&["push", other.store().to_str().unwrap()]);
    assert_eq!(adapters(&other.store()), 2);

    // The first package has not used the second one's store, so its lock is not known there.
    age(&other.store());
    let shown = clean(&other, &["--dry-run"]);
    assert_eq!((removed(&shown, "adapters"), &shown["dry_run"]), (1, &true.into()));
    assert!(removed(&shown, "products") > 0, "{shown}");
    assert_eq!(adapters(&other.store()), 2, "a dry run removes nothing");

    // Once it has, the lock is known, wherever the command is run.
    let listed = run(&package.root(), &other.store(), &["status"]);
    assert!(said(&listed).contains("fresh"), "{}", said(&listed));
    age(&other.store());
    let shown = clean(&other, &["--dry-run"]);
    assert_eq!((removed(&shown, "adapters"), &shown["locked"]), (0, &2.into()));
    assert!(removed(&clean(&other, &[]), "products") > 0);
    assert_eq!(adapters(&other.store()), 2);
    assert_eq!(clean(&other, &[])["removed"], serde_json::json!([]));

    // When its folder is gone, its lock no longer counts.
    std::fs::remove_dir_all(package.root()).unwrap();
    age(&other.store());
    assert_eq!(removed(&clean(&other, &[]), "adapters"), 1);
    assert_eq!(adapters(&other.store()), 1);
    assert_eq!(other.states(), ["fresh"; 3]);
}

#[test]
fn the_locks_of_all_packages_of_the_workspace_count() {
    let package = Package::new();
    package.ok(&[]);
    package.write(
        "Cargo.toml",
        "[package]\nname = \"office\"\nedition = \"2024\"\n[workspace]\nmembers = [\"sub\"]\n",
    );
    package.write("sub/Cargo.toml", "[package]\nname = \"sub\"\nedition = \"2024\"\n");
    package.write("sub/src/lib.rs", "");
    std::fs::remove_dir_all(package.store().join("packages")).unwrap();
    age(&package.store());
    let output = run(&package.root().join("sub"), &package.store(), &["gc"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(adapters(&package.store()), 1);
}

#[test]
fn nothing_is_removed_where_it_is_unknown_what_is_in_use() {
    let package = Package::new();
    package.ok(&[]);
    age(&package.store());
    let lock = package.read("bake.lock");
    std::fs::remove_file(package.root().join("bake.lock")).unwrap();
    let manifest = package.read("Cargo.toml");

    package.fails(&["gc", "-p", "ofice"], 2, "did you mean `office`?");
    package.write("Cargo.toml", "[package\n");
    package.fails(&["gc"], 101, "nothing was removed");
    package.write("Cargo.toml", &manifest);
    package.write("bake.lock", "<<<<<<< HEAD\nversion = 1\n");
    package.fails(&["gc"], 101, "nothing was removed");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
    command.args(["bake", "gc"]).current_dir(package.root());
    command.env("BAKE_CACHE_DIR", package.store()).env("CARGO", "no-such-cargo");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    assert!(said(&output).contains("cannot run cargo"), "{}", said(&output));

    // A lock of another package that cannot be read counts as well.
    package.write("bake.lock", &lock);
    package.ok(&["status"]);
    package.write("bake.lock", "damaged");
    let outside = |args: &[&str]| run(package.dir.path(), &package.store(), args);
    for args in [&["gc", "--by-use"][..], &["gc", "--dry-run"]] {
        let output = outside(args);
        assert_eq!(output.status.code(), Some(101), "{args:?}");
        assert!(said(&output).contains("bake.lock is damaged"), "{}", said(&output));
    }
    package.write("bake.lock", &lock);

    // Outside any package, `--by-use` is required.
    let output = outside(&["gc"]);
    assert_eq!(output.status.code(), Some(101));
    assert!(said(&output).contains("--by-use"), "{}", said(&output));
    assert_eq!(adapters(&package.store()), 1);
    assert!(outside(&["gc", "--by-use"]).status.success());
    assert_eq!(package.states(), ["fresh"; 3], "its lock is known");
    std::fs::remove_file(package.root().join("bake.lock")).unwrap();
    age(&package.store());
    assert!(outside(&["gc", "--by-use"]).status.success());
    assert_eq!(adapters(&package.store()), 0);
}

#[test]
fn a_dry_run_says_what_would_be_removed() {
    let package = Package::new();
    package.ok(&[]);
    let shown = package.ok(&["gc", "--dry-run"]);
    assert!(shown.starts_with("nothing to remove: everything in "), "{shown}");
    assert!(said(&package.run(&["gc"])).contains("Nothing to remove: everything in "));
    age(&package.store());
    let shown = package.ok(&["gc", "--dry-run"]);
    assert!(shown.contains("products") && shown.contains("unused for up to 40 days"), "{shown}");
    assert!(shown.contains("would be removed") && !shown.contains("adapters"), "{shown}");
    assert!(said(&package.run(&["gc"])).contains("Removed"));
    package.ok(&["gc", "--days", "0"]);
    assert_eq!(package.states(), ["fresh"; 3]);
}
