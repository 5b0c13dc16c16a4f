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
