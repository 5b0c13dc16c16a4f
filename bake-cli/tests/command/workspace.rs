//! Which package a command is about.

use super::*;

#[test]
fn in_a_workspace_the_package_is_that_of_the_current_folder() {
    let package = Package::new();
    package.write(
        "Cargo.toml",
        "[package]\nname = \"office\"\nedition = \"2024\"\n[workspace]\nmembers = [\"sub\"]\n",
    );
    package.write("sub/Cargo.toml", "[package]\nname = \"sub\"\nedition = \"2024\"\n");
    package.write(
        "sub/src/lib.rs",
        "bake::bake! { bake Sub { target keys prompt \"Be kind.\" { \
        questions [\"Hello\"]; general 0; } } }",
    );
    let store = package.dir.path().join("store");
    let listed = |folder: &str, args: &[&str]| {
        let output =
            run(&package.root().join(folder), &store, &[args, &["list", "--json"]].concat());
        let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
        let names = listing["bakes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bake| bake["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(listed("", &[]), ["Office"]);
    assert_eq!(listed("sub/src", &[]), ["Sub"]);
    assert_eq!(listed("", &["--manifest-path", "sub/Cargo.toml"]), ["Sub"]);
    assert_eq!(listed("sub", &["-p", "office"]), ["Office"]);
    assert_eq!(listed("sub", &["--workspace"]), ["Office", "Sub"]);

    // A mistake is shown with a path that can be opened where the command was run.
    package.write("sub/src/lib.rs", "bake::bake! { bake Sub { target keys wieght 2; } }");
    let shown = |folder: &str, args: &[&str]| {
        said(&run(&package.root().join(folder), &store, &[args, &["status"]].concat()))
    };
    assert!(shown("", &["-p", "sub"]).contains("--> sub/src/lib.rs:1:38"));
    assert!(shown("sub/src", &[]).contains("--> lib.rs:1:38"));
    assert!(shown("src", &["-p", "sub"]).contains("--> ../sub/src/lib.rs:1:38"));
}
