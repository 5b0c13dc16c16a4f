//! Formatting declarations.

use super::*;

#[test]
fn declarations_are_formatted_in_place() {
    let package = Package::new();
    let before = "bake::bake! {\nbake Office {\n// Why.\ntarget   keys from \"keys.md\"  ;\n}\n}\n";
    package.write("src/main.rs", before);
    package.fails(&["fmt", "--check"], 1, "src/main.rs");
    assert_eq!(package.read("src/main.rs"), before);
    package.ok(&["fmt"]);
    let after = "bake::bake! {\n    bake Office {\n        // Why.\n        target keys from \
        \"keys.md\";\n    }\n}\n";
    assert_eq!(package.read("src/main.rs"), after);
    package.ok(&["fmt", "--check"]);
}

#[test]
fn lines_are_as_wide_as_rustfmt_is_told() {
    let package = Package::new();
    let long = "bake::bake! {\n    bake Office {\n        target keys from \"keys.md\" { questions \
                [\"One?\", \"Two?\"]; }\n    }\n}\n";
    package.write("src/main.rs", long);
    package.ok(&["fmt", "--check"]);
    package.write("rustfmt.toml", "max_width = 40\n");
    package.fails(&["fmt", "--check"], 1, "src/main.rs");
    package.ok(&["fmt"]);
    assert!(package.read("src/main.rs").lines().all(|line| line.len() <= 40));
    package.write("rustfmt.toml", "max_width = 9223372036854775807\n");
    package.ok(&["fmt", "--check"]);
}

#[test]
fn what_cannot_be_read_of_rustfmts_settings_is_an_error_that_names_the_file() {
    let package = Package::new();
    for (settings, said) in [
        ("max_width = \"wide\"\n", "`max_width`"),
        ("max_width = -1\n", "`max_width`"),
        ("max_width = 1e2\n", "`max_width`"),
        ("max_width = \n", "not valid TOML"),
    ] {
        package.write("rustfmt.toml", settings);
        package.fails(&["fmt"], 101, said);
        package.fails(&["fmt"], 101, "rustfmt.toml");
    }
    std::fs::write(package.root().join("rustfmt.toml"), b"max_width = 4\xff").unwrap();
    package.fails(&["fmt"], 101, "cannot read");
}
