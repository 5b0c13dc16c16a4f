//! What the compiler says about mistakes in a declaration.
//!
//! The cases are compiled with what this test itself was compiled with: a package of their own, as
//! trybuild makes it, would compile candle and the tokenizers once more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bake_spec::check::{DeclaringPackage, check};
use bake_spec::lock::{Lock, Locked};
use bake_spec::model::{self, Identity};
use bake_spec::syntax::parse::parse;
use bake_spec::{Config, Hash};

/// With it what the compiler says is written down.
const WRITE: &str = "BAKE_WRITE_MESSAGES";

/// A lock in which one bake matches its declaration in `tests/ui/stale.rs`, and two do not.
fn lock(package: &Path) -> std::io::Result<()> {
    let recipe = |source: &str| {
        let (bakes, mut mistakes) = parse(source.parse().unwrap());
        let mut declared =
            check(bakes, DeclaringPackage { root: package, lock: None }, &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        declared.remove(0).recipe
    };
    let (keys, two) = ("target keys from \"docs/keys.md\";", "target lamp from \"docs/lamp.md\";");
    let mut lock = Lock::default();
    for (name, items) in [
        ("Fresh", keys.to_owned()),
        ("StaleDocument", format!("{keys} {two}")),
        ("StaleTraining", keys.to_owned()),
    ] {
        let recipe = recipe(&format!("bake {name} {{ {items} }}"));
        let config =
            Config::parse(include_str!("../models/tiny/config.json"), "config.json").unwrap();
        let identity = Identity::of(package, &recipe.model).unwrap();
        let mut locked =
            Locked::new(&recipe, model::hash(package, &recipe.model).unwrap(), &identity, &config);
        if name == "StaleDocument" {
            locked.targets.get_mut("lamp").unwrap().document = Some(Hash::of(b"another lamp"));
        }
        lock.insert(name, locked);
    }
    lock.write(package).map_err(std::io::Error::other)
}

/// The folder of the libraries that this test was compiled with, and `bake` among them: the last
/// that is older than the test.
fn libraries() -> (PathBuf, PathBuf) {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let age = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let is_bake = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libbake-") && name.ends_with(".rlib") && age(path) <= age(&test)
    };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let bake = files.filter(is_bake).max_by_key(|path| age(path)).expect("a library in deps");
    (folder.to_owned(), bake)
}

/// What the compiler says about a case in this package.
fn compile(case: &Path, package: &Path, (folder, bake): &(PathBuf, PathBuf)) -> String {
    let metadata = package.join("case.rmeta");
    let output = Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "bin", "--emit"])
        .arg(format!("metadata={}", metadata.display()))
        .args(["--color", "never", "--diagnostic-width", "140", "-L"])
        .arg(format!("dependency={}", folder.display()))
        .args(["--extern", &format!("bake={}", bake.display())])
        .arg(case)
        .env("CARGO_MANIFEST_DIR", package)
        .env_remove("BAKE")
        .env_remove("CI")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{} compiles: {said}", case.display());
    let said = said.replace(package.to_str().unwrap(), "$PACKAGE");
    // What the compiler says about all errors together is left out.
    let is_summary = |part: &&str| {
        ["error: aborting due to", "For more information about", "Some errors have detailed"]
            .iter()
            .any(|start| part.starts_with(start))
    };
    let parts: Vec<&str> = said.trim_end().split("\n\n").filter(|part| !is_summary(part)).collect();
    parts.join("\n\n") + "\n"
}

#[test]
fn every_mistake_is_named_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("bake");
    let docs = package.join("docs");
    fs::create_dir_all(&docs).unwrap();
    for entry in fs::read_dir("tests/docs").unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), docs.join(entry.file_name())).unwrap();
    }
    lock(&package).unwrap();

    let files = fs::read_dir("tests/ui").unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let (libraries, mut different) = (libraries(), Vec::new());
    for case in cases {
        let (file, said) = (case.with_extension("stderr"), compile(&case, &package, &libraries));
        if std::env::var_os(WRITE).is_some() {
            fs::write(&file, said).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != said {
            different.push(format!("{} should have this:\n{said}", file.display()));
        }
    }
    assert!(
        different.is_empty(),
        "{}\nif that is as it should be, run this test with {WRITE}=1",
        different.join("\n")
    );
}
