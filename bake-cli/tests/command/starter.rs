//! Starter projects.

use super::*;

#[test]
fn a_starter_is_a_package_that_declares_something() {
    let package = Package::new();
    package.ok(&["new", "../starter"]);
    let starter = package.dir.path().join("starter");
    assert!(
        std::fs::read_to_string(starter.join("Cargo.toml")).unwrap().contains("name = \"starter\"")
    );
    let listed = run(&starter, &package.dir.path().join("store"), &["list", "--json"]);
    assert!(listed.status.success() && said(&listed).contains("\"Office\""), "{}", said(&listed));
    for shell in ["bash", "zsh", "fish"] {
        assert!(package.ok(&["completions", shell]).contains("cargo-bake"));
    }
}
