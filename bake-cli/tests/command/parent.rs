//! Bakes on top of others of their package.

use super::*;

/// Two bakes, of which the first may be on top of the second, and the second on top of the first.
fn declare(package: &Package, parents: [&str; 2]) {
    let bake = |(name, file, parent): (&str, &str, &str)| {
        format!(
            "bake {name} {{\n{parent} anchors none; outline 0; unanswerable 0;\n\
             lora {{ rank 4; alpha 8; }} train {{ epochs 1; teacher anyway; }}\n\
             target it from \"{file}\" {{ questions [\"What is to be done?\"]; ask 0; \
             max_tokens 24; }}\n}}\n"
        )
    };
    let [lamp, keys] = parents;
    let both = [("Lamp", "lamp.md", lamp), ("Keys", "keys.md", keys)].map(bake).concat();
    package.write("src/main.rs", &format!("bake::bake! {{\n{both}}}\n"));
}

#[test]
fn what_is_on_top_of_a_bake_comes_after_it_in_one_run() {
    let package = Package::new();
    let on_keys = ["parent \"bakes/Keys\";", ""];
    declare(&package, on_keys);
    package.fails(&[], 101, "run `cargo bake Keys`, and then `cargo bake vendor Keys`");
    package.fails(&["Lamp"], 101, "run `cargo bake Keys`, and then `cargo bake vendor Keys`");
    declare(&package, ["", ""]);
    package.ok(&[]);
    package.ok(&["vendor"]);
    declare(&package, on_keys);
    package.fails(&["check"], 1, "`parent` has changed");
    package.ok(&[]);
    package.ok(&["check"]);

    // Both have changed, or only the one that the other is on top of.
    package.write("lamp.md", "## Broken lamp\nCall them.\n");
    for keys in ["Ask Ann.", "Ask Eve."] {
        package.write("keys.md", &format!("## Lost key\n{keys}\n"));
        let output = package.run(&[]);
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        let [keys, lamp] = ["Baked Keys", "Baked Lamp"].map(|line| said.find(line));
        assert!(keys.is_some() && keys < lamp, "{said}");
        package.ok(&["check"]);
    }
    // The report is not what is built upon.
    package.write("bakes/Keys/bake.json", "{}");
    let said = said(&package.run(&[]));
    assert!(said.contains("Restored bakes/Keys") && said.contains("Fresh Lamp"), "{said}");
    package.ok(&["check"]);

    declare(&package, ["parent \"bakes/Keys\";", "parent \"./bakes/Lamp\";"]);
    package.fails(&[], 101, "the `parent`s of `Lamp` and `Keys` form a cycle");
    declare(&package, ["parent \"bakes/Lamp\";", ""]);
    package.fails(&["Lamp"], 101, "a bake cannot be its own `parent`");
}
