//! Documents of declarations: where their files may be.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::str::FromStr as _;

use bake_spec::check::{Declared, DeclaringPackage, check};
use bake_spec::diagnostics::Code;
use bake_spec::syntax::parse::parse;
use proc_macro2::TokenStream;

/// A package with a folder beside it.
fn package() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("package/docs/top.md", "Ask Bob."),
        ("package/more/deep.md", "Ask Zoe."),
        ("beside/other.md", "Ask Ann."),
        ("beside/asked.csv", "question\nWho?\n"),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// The result of checking a declaration, and what is reported.
fn declared(dir: &Path, source: &str) -> (Vec<Declared>, Vec<(Code, String)>) {
    let (bakes, mut diagnostics) = parse(TokenStream::from_str(source).unwrap());
    let root = dir.join("package");
    let declared = check(bakes, DeclaringPackage { root: &root, lock: None }, &mut diagnostics);
    (declared, diagnostics.into_iter().map(|found| (found.code, found.message)).collect())
}

#[test]
fn links_within_the_package_are_followed() {
    let dir = package();
    symlink("../more", dir.path().join("package/docs/linked")).unwrap();
    let (bakes, said) = declared(dir.path(), "target office from \"docs\"");
    assert_eq!(said, []);
    assert_eq!(bakes[0].files, ["docs/linked/deep.md", "docs/top.md"]);
}

#[test]
fn links_out_of_the_package_need_permission() {
    let dir = package();
    let root = dir.path().join("package");
    symlink("../../beside", root.join("docs/shared")).unwrap();
    symlink("../beside/other.md", root.join("other.md")).unwrap();
    symlink("../beside/asked.csv", root.join("asked.csv")).unwrap();
    symlink("../beside", root.join("all")).unwrap();
    for (target, named) in [
        ("from \"docs\"", "the document `docs/shared/other.md` is outside the package"),
        ("from \"all\"", "the document `all/other.md` is outside the package"),
        ("from \"other.md\"", "the document `other.md` is outside the package"),
        (
            "from \"more/deep.md\" { dataset \"asked.csv\"; }",
            "the dataset `asked.csv` is outside the package",
        ),
    ] {
        let semicolon = if target.ends_with('}') { "" } else { ";" };
        let refused = format!("target office {target}{semicolon}");
        let (_, said) = declared(dir.path(), &refused);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].0 == Code::Outside && said[0].1.starts_with(named), "{said:?}");
        assert!(said[0].1.contains("beside"), "where it leads to: {said:?}");
        let permitted = format!("bake Office {{ documents anywhere; {refused} }}");
        assert_eq!(declared(dir.path(), &permitted).1, []);
    }
}
