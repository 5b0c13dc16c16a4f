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
    package.write("rustfmt.toml", "max_width = \"wide\"\n");
    package.fails(&["fmt"], 101, "`max_width`");
}
