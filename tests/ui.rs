//! What the compiler says about mistakes in a declaration.

use std::path::Path;

use bake_spec::check::{Package, check};
use bake_spec::lock::{Lock, Locked};
use bake_spec::model::{self, Identity};
use bake_spec::syntax::parse::parse;
use bake_spec::{Config, Hash};

/// trybuild compiles the cases in a separate package, which is where their documents must be.
fn put_documents() -> std::io::Result<()> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target"));
    let docs = target.join("tests/trybuild/bake/docs");
    std::fs::create_dir_all(&docs)?;
    for entry in std::fs::read_dir("tests/docs")? {
        let path = entry?.path();
        std::fs::copy(&path, docs.join(path.file_name().unwrap_or_default()))?;
    }
    lock(docs.parent().unwrap_or(&docs))
}

/// A lock in which one bake matches its declaration in `tests/ui/stale.rs`, and two do not.
fn lock(package: &Path) -> std::io::Result<()> {
    let recipe = |source: &str| {
        let (bakes, mut mistakes) = parse(source.parse().unwrap());
        let mut declared = check(bakes, Package { root: package, lock: None }, &mut mistakes);
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

#[test]
fn every_mistake_is_named_where_it_is() {
    put_documents().unwrap();
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
