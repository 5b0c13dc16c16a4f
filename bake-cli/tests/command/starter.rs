//! Starter projects.

use super::*;

/// The code block in README below the line that names this file.
fn shown(file: &str) -> String {
    let readme = include_str!("../../../README.md");
    let (_, after) = readme.split_once(&format!("\n`{file}`:\n\n```")).expect(file);
    let (_, code) = after.split_once('\n').unwrap();
    code.split_once("```").unwrap().0.to_owned()
}

fn read(starter: &Path, file: &str) -> String {
    std::fs::read_to_string(starter.join(file)).unwrap()
}

#[test]
fn a_starter_is_what_readme_shows_byte_for_byte() {
    let package = Package::new();
    package.ok(&["new", "../hello"]);
    let starter = package.dir.path().join("hello");
    for file in ["Cargo.toml", "build.rs", "src/main.rs", "docs/office.md"] {
        assert_eq!(read(&starter, file), shown(file), "{file}");
    }
    let listed = run(&starter, &package.store(), &["list", "--json"]);
    assert!(listed.status.success() && said(&listed).contains("\"Office\""), "{}", said(&listed));
    for args in [&["fmt", "--check"][..], &["bake", "fmt", "--check"]] {
        let mut command = match args[0] {
            "bake" => Command::new(env!("CARGO_BIN_EXE_cargo-bake")),
            _ => Command::new("cargo"),
        };
        let output = command.args(args).current_dir(&starter).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", said(&output));
    }
}

#[test]
fn a_starter_depends_on_a_checkout_where_one_is_named() {
    let package = Package::new();
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    package.ok(&["new", "../hello", "--path", checkout]);
    let starter = package.dir.path().join("hello");
    let manifest: toml::Table = read(&starter, "Cargo.toml").parse().unwrap();
    for (table, name, file) in
        [("dependencies", "bake", "src/lib.rs"), ("build-dependencies", "bake-build", "src/lib.rs")]
    {
        let path = manifest[table][name]["path"].as_str().unwrap();
        assert!(starter.join(path).join(file).is_file(), "{path}");
    }
    package.fails(&["new", "../other", "--path", "keys.md"], 101, "is not a checkout of bake");
    package.fails(&["new", "../hello"], 101, "already exists");
}

#[test]
fn names_with_which_a_starter_would_not_compile_are_refused() {
    let package = Package::new();
    for name in ["bake", "bake-spec", "bake_runtime", "cargo-bake", "std", "proc-macro", "core"] {
        package.fails(&["new", name], 101, "--name my-");
        assert!(!package.root().join(name).exists(), "{name}");
    }
    for name in ["1st", "fn", "build", "a.b"] {
        package.fails(&["new", name], 101, "choose another with --name");
        assert!(!package.root().join(name).exists(), "{name}");
    }
    package.fails(&["new", "hello", "--name", "bake"], 101, "it is part of bake");
    package.ok(&["new", "../bake", "--name", "my-bake"]);
    let starter = package.dir.path().join("bake");
    let manifest: toml::Table = read(&starter, "Cargo.toml").parse().unwrap();
    assert_eq!(manifest["package"]["name"].as_str(), Some("my-bake"));
}

#[test]
fn a_starter_in_a_workspace_is_a_member_of_it() {
    let package = Package::new();
    let output = package.run(&["new", "hello"]);
    assert!(output.status.success(), "{}", said(&output));
    let manifest: toml::Table = package.read("Cargo.toml").parse().unwrap();
    assert_eq!(manifest["workspace"]["members"][0].as_str(), Some("hello"));
    // A profile counts only in the workspace's own manifest.
    assert!(!package.read("hello/Cargo.toml").contains("[profile"));
    assert!(said(&output).contains("[profile.dev.package.\"*\"]"), "{}", said(&output));
    let listed = run(&package.root().join("hello"), &package.store(), &["list"]);
    assert!(listed.status.success(), "{}", said(&listed));
    // With a second package of that name nothing in the workspace could be built any more.
    let before = package.read("Cargo.toml");
    package.fails(&["new", "other", "--name", "hello"], 101, "already has a package `hello`");
    assert!(package.read("Cargo.toml") == before && !package.root().join("other").exists());
}
