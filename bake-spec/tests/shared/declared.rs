//! Declarations as the macro takes them, in a small package.

use std::path::Path;

use bake_spec::Recipe;
use bake_spec::check::{DeclaringPackage, check};

/// A package with documents and questions.
pub(crate) fn package() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("keys.md", "Ask Bob."),
        ("lamp.md", "Call the shop."),
        ("asked.csv", "q\nWhere?\nWhen?"),
        ("asked.txt", "How?\n"),
        ("long.md", &"and so on ".repeat(1000)),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// What the macro makes of a declaration, and what it reports.
pub(crate) fn declared(root: &Path, source: &str) -> (Recipe, Vec<String>) {
    let (bakes, mut diagnostics) = bake_spec::syntax::parse::parse(source.parse().unwrap());
    let recipe =
        check(bakes, DeclaringPackage { root, lock: None }, &mut diagnostics).remove(0).recipe;
    // The macro does not warn about declarations with mistakes.
    let mistakes = diagnostics.iter().filter(|d| !d.warning);
    let said = mistakes.map(|d| format!("{} [{}]", d.message, d.code)).collect();
    (recipe, said)
}

/// What the macro makes of a declaration that has no mistakes.
pub(crate) fn without_mistakes(root: &Path, source: &str) -> Recipe {
    let (recipe, said) = declared(root, source);
    assert_eq!(said, Vec::<String>::new());
    recipe
}
