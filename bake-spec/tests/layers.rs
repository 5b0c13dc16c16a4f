//! Which modules of the crate may use which: dependencies run one way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules of `src`, and the other ones that their code may name: only those before them, so
/// that none goes in a circle. A module must not name any that is not in its list.
const LAYERS: [(&str, &[&str]); 17] = [
    ("error", &[]),
    ("file", &[]),
    ("diagnostics", &[]),
    ("room", &[]),
    ("hash", &["file"]),
    ("store", &["error", "file", "hash"]),
    ("text", &["error", "file", "hash"]),
    ("status", &["text"]),
    ("model", &["error", "file", "hash", "store", "text"]),
    ("settings", &["diagnostics", "model", "text"]),
    ("recipe", &["diagnostics", "error", "hash", "model", "settings", "status", "store", "text"]),
    ("dataset", &["error", "hash", "recipe", "text"]),
    ("lock", &["error", "file", "hash", "model", "recipe", "settings", "status", "store"]),
    ("syntax", &["diagnostics", "error", "model", "settings"]),
    (
        "check",
        &[
            "dataset",
            "diagnostics",
            "error",
            "hash",
            "lock",
            "model",
            "recipe",
            "room",
            "settings",
            "store",
            "syntax",
            "text",
        ],
    ),
    ("builder", &["check", "diagnostics", "error", "recipe", "settings", "syntax"]),
    ("sources", &["check", "diagnostics", "error", "file", "lock", "syntax", "text"]),
];

/// Who declares a recipe looks for its builder beside it.
const RE_EXPORTED: &str = "pub use crate::builder::{self, RecipeBuilder};";

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of a module, without those that are compiled for tests only.
fn files(module: &str) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![src().join(module)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.push(src().join(format!("{module}.rs")));
    files.retain(|file| file.extension() == Some("rs".as_ref()) && !file.ends_with("tests.rs"));
    files
}

/// The code of a file before its tests, without comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules that some code names, and whatever else it names at the root of the crate.
fn named(code: &str) -> BTreeSet<&str> {
    let roots = code.split("crate::").skip(1);
    roots
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
        .collect()
}

#[test]
fn modules_use_only_what_lies_below_them() {
    for (i, (module, below)) in LAYERS.into_iter().enumerate() {
        for other in below {
            let known = LAYERS[..i].iter().any(|(earlier, _)| earlier == other);
            assert!(known, "{module} may use {other}, which does not come before it");
        }
        let mut used = BTreeSet::new();
        for file in files(module) {
            let code = code(&file).replace(RE_EXPORTED, "");
            for name in named(&code).into_iter().filter(|name| *name != module) {
                // A type of another module is named by that module, so that it can be seen.
                assert!(below.contains(&name), "{} uses {name:?}", file.display());
                used.insert(name.to_owned());
            }
        }
        let unused: Vec<_> = below.iter().filter(|other| !used.contains(**other)).collect();
        assert!(unused.is_empty(), "{module} does not use {unused:?}");
    }
}

/// From the file of a module, `super` would be the crate.
#[test]
fn modules_name_each_other_from_the_root() {
    for (module, _) in LAYERS {
        let file = src().join(format!("{module}.rs"));
        assert!(!code(&file).contains("super::"), "{}", file.display());
        for file in files(module) {
            assert!(!code(&file).contains("super::super::"), "{}", file.display());
        }
    }
}

#[test]
fn every_module_has_its_layer() {
    let lib = std::fs::read_to_string(src().join("lib.rs")).unwrap();
    let named = |line: &str| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?;
        Some(name.to_owned())
    };
    let modules: BTreeSet<String> = lib.lines().filter_map(named).collect();
    assert_eq!(modules, LAYERS.map(|(module, _)| module.to_owned()).into());
}

#[test]
fn what_is_named_is_seen() {
    let code = "use crate::hash::Hash;\nfn f() -> $crate::Error { crate::file::open() }\n";
    assert_eq!(Vec::from_iter(named(code)), ["Error", "file", "hash"]);
    assert_eq!(Vec::from_iter(named("use crate::{check, lock};")), [""]);
}
