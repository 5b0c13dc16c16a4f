//! What is compiled for whom.

use std::process::Command;

/// The names of all packages that a package needs.
fn tree(args: &[&str]) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none"])
        .args(args);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn macro_and_build_script_compile_no_engine() {
    for args in [&["-p", "bake-macros", "--features", "budget"][..], &["-p", "bake-build"]] {
        let names = tree(args);
        assert!(names.iter().any(|name| name == "bake-spec"), "{names:?}");
        let engine: Vec<_> = names
            .iter()
            .filter(|name| name.starts_with("candle") || name.starts_with("gemm"))
            .collect();
        assert!(engine.is_empty(), "{args:?} compiles {engine:?}");
    }
}

#[test]
fn tokens_are_only_counted_where_that_is_wanted() {
    assert!(!tree(&["-p", "bake-macros"]).iter().any(|name| name == "tokenizers"));
    assert!(
        tree(&["-p", "bake-macros", "--features", "budget"])
            .iter()
            .any(|name| name == "tokenizers")
    );
}

#[test]
fn an_application_links_no_trainer() {
    let names = tree(&["-p", "bake", "--no-default-features", "--features", "tiny"]);
    let trainer = |name: &&String| ["candle-nn", "ctrlc", "indicatif"].contains(&name.as_str());
    assert_eq!(names.iter().filter(trainer).count(), 0, "{names:?}");
    assert!(tree(&["-p", "bake"]).iter().any(|name| name == "candle-nn"), "by default it is there");
}
