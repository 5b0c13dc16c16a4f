//! Sharing adapters: push, pull and vendor.

use super::*;

#[test]
fn adapters_are_shared_through_a_folder_and_vendored() {
    let package = Package::new();
    package.fails(&["push", "../shared"], 101, "`Office` has not been baked");
    package.fails(&["pull", "../shared"], 101, "is not a folder");
    package.fails(&["vendor"], 101, "`Office` has not been baked; run `cargo bake` first");
    package.ok(&[]);
    package.ok(&["push", "../shared"]);
    let store = package.dir.path().join("store");
    std::fs::remove_dir_all(&store).unwrap();
    package.ok(&["pull", "../shared"]);
    assert_eq!(package.states(), ["fresh"; 3]);
    assert!(said(&package.run(&[])).contains("Fresh Office"), "nothing is baked again");

    // A damaged adapter is not accepted.
    std::fs::remove_dir_all(&store).unwrap();
    let artifact = std::fs::read_dir(package.dir.path().join("shared/artifacts"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(artifact.join("adapter_model.safetensors"), "damaged").unwrap();
    package.fails(&["pull", "../shared"], 101, "does not contain the whole adapter of `Office`");
    assert_eq!(package.states()[0], "missing");

    package.ok(&[]);
    package.ok(&["vendor"]);
    std::fs::remove_dir_all(&store).unwrap();
    assert_eq!(package.states(), ["fresh"; 3], "it is in `bakes`");
    // The copy follows the bake.
    package.write("lamp.md", "## Broken lamp\nCall them.\n");
    package.ok(&[]);
    std::fs::remove_dir_all(&store).unwrap();
    assert_eq!(package.states(), ["fresh"; 3]);
}

#[cfg(unix)]
#[test]
fn a_vendored_adapter_is_never_gone_and_a_killed_copy_is_restored() {
    use std::os::unix::fs::MetadataExt as _;
    let package = Package::new();
    package.ok(&[]);
    package.ok(&["vendor"]);
    assert_eq!(package.read("bakes/.gitattributes"), "* -text\n");
    // As older versions left it when they were killed.
    package.write("bakes/.gitattributes", "");
    package.ok(&["vendor"]);
    assert_eq!(package.read("bakes/.gitattributes"), "* -text\n");
    package.write("bakes/.gitattributes", "* binary\n");
    package.ok(&["vendor"]);
    assert_eq!(package.read("bakes/.gitattributes"), "* binary\n", "it is the user's");
    let folder = package.root().join("bakes/Office");
    let weights = folder.join("adapter_model.safetensors");
    let (place, before) = (folder.metadata().unwrap().ino(), std::fs::read(&weights).unwrap());
    package.write("lamp.md", "## Broken lamp\nCall them.\n");
    package.ok(&[]);
    assert_ne!(std::fs::read(&weights).unwrap(), before);
    assert_eq!(folder.metadata().unwrap().ino(), place, "files were replaced, and not the folder");

    // As it is left by a run that was killed between two files.
    let after = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, before).unwrap();
    let damaged = "the files in `bakes/Office` are not those that bake.lock names";
    package.fails(&["check"], 1, damaged);
    package.fails(&["--locked"], 101, damaged);
    let restored = said(&package.run(&[]));
    assert!(restored.contains("Restored bakes/Office"), "{restored}");
    assert!(restored.contains("Fresh Office"), "nothing is baked again: {restored}");
    assert_eq!(std::fs::read(&weights).unwrap(), after);
    package.ok(&["check"]);
}

#[test]
fn a_failed_push_says_what_helps_where_it_failed() {
    let package = Package::new();
    package.ok(&[]);
    package.write("taken", "");
    let output = package.run(&["push", "taken"]);
    assert_eq!(output.status.code(), Some(101));
    let said = said(&output);
    for part in ["`Office` was not pushed", "in the shared folder", "name another"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("BAKE_CACHE_DIR"), "{said}");
}
