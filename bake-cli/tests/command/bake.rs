//! Baking: what is made, what is kept, and what the lock records.

use super::*;

#[test]
fn a_bake_goes_from_missing_to_fresh_and_back_to_stale() {
    let package = Package::new();
    assert_eq!(package.states(), ["missing"; 3]);
    package.fails(&["check"], 1, "it has not been baked");
    package.fails(&["--locked"], 101, "--locked forbids baking it");
    let baked = said(&package.run(&["-v"]));
    for part in ["Baked Office in ", "(adapter: ", "nats per token", "keys: 2 stimuli", "Next"] {
        assert!(baked.contains(part), "{part}: {baked}");
    }
    // What the engine says is in words.
    assert!(baked.contains("rollouts on keys: finished 2 of 2 "), "{baked}");
    assert!(!baked.contains("INFO") && !baked.contains("bake.target"), "{baked}");
    for stage in ["rollouts on keys: ", "target `keys`: "] {
        assert_eq!(baked.matches(stage).count(), 1, "{stage}: {baked}");
    }
    assert_eq!(package.states(), ["fresh"; 3]);
    package.ok(&["check"]);
    let lock = package.read("bake.lock");
    assert!(said(&package.run(&["--locked"])).contains("Fresh Office"));

    // The same bake with another store and less memory, as on another machine, writes the same
    // lock.
    let args = ["--fresh", "--activations", "20kB"];
    let other = run(&package.root(), &package.dir.path().join("other"), &args);
    assert!(other.status.success(), "{}", said(&other));
    assert_eq!(package.read("bake.lock"), lock);

    package.write("lamp.md", "## Broken lamp\nCall the shop!\n");
    let status = package.status();
    assert_eq!(package.states(), ["stale", "fresh", "stale"]);
    assert!(
        status["bakes"][0]["targets"][1]["why"]
            .as_str()
            .unwrap()
            .starts_with("lamp.md has changed (was "),
        "{status}"
    );
    package.fails(&["check"], 1, "lamp.md has changed");
    let output = package.run(&[]);
    assert!(
        output.status.success() && !said(&output).contains("rollouts on keys"),
        "what keys needs is kept: {}",
        said(&output)
    );
    assert_eq!(package.states(), ["fresh"; 3]);

    // Without its adapter a locked bake is missing, and with it again it is fresh.
    std::fs::remove_dir_all(package.dir.path().join("store")).unwrap();
    assert_eq!(package.states(), ["missing"; 3]);
    package.fails(&["show", "metrics"], 101, "the adapter of `Office` cannot be used");
    // Nobody need read what it says meanwhile.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut unread = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
    unread.arg("bake").current_dir(package.root()).env("BAKE_CACHE_DIR", package.store());
    assert!(unread.stderr(writer).status().unwrap().success());
    assert_eq!(package.states(), ["fresh"; 3]);

    // Options may also come before the command.
    assert!(
        package
            .ok(&["--color", "never", "-p", "office", "status"])
            .starts_with("Office (office) fresh")
    );

    // What is no longer declared is removed from the lock, but not because of a typo in a source.
    package.write("src/main.rs", &format!("fn typo( {{ {MAIN}"));
    package.fails(&[], 101, "[B0001]");
    assert!(package.read("bake.lock").contains("Office"));
    package.write("src/main.rs", &MAIN.replace("Office", "Renamed"));
    package.fails(&["check"], 1, "Office");
    package.fails(&["--locked"], 101, "--locked forbids");
    package.ok(&["--quiet"]);
    assert!(!package.read("bake.lock").contains("Office"));
}

#[test]
fn the_same_model_in_another_place_is_noted_and_not_baked_again() {
    let package = Package::new();
    package.ok(&[]);
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny");
    let model = package.root().join("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(tiny).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
        }
    }
    package.write("src/main.rs", &MAIN.replace("lora {", "model \"model\"; lora {"));
    let before = package.read("bake.lock");
    assert!(said(&package.run(&["--locked"])).contains("Fresh Office"));
    assert_eq!(package.read("bake.lock"), before);
    assert!(said(&package.run(&[])).contains("Fresh Office"));
    let lock = package.read("bake.lock");
    assert!(lock.contains("source = \"model\"") && lock.contains("weights = "), "{lock}");
    package.ok(&[]);
    assert_eq!(package.read("bake.lock"), lock);
}

#[test]
fn a_target_alone_is_baked_beside_the_lock() {
    let package = Package::new();
    let adapter = package.ok(&["--target", "lamp"]);
    assert!(Path::new(adapter.trim()).join("adapter_model.safetensors").is_file(), "{adapter}");
    assert!(!package.root().join("bake.lock").exists());
    package.fails(&["--target", "lmap"], 2, "did you mean `lamp`?");
    package.fails(&["--target", "keys", "--locked"], 2, "cannot be used with");
    package.fails(&["--target", "keys", "--frozen"], 2, "cannot be used with");
}

#[test]
fn a_damaged_adapter_is_not_called_absent() {
    let package = Package::new();
    package.ok(&[]);
    let artifacts = std::fs::read_dir(package.store().join("artifacts")).unwrap();
    for folder in artifacts {
        std::fs::write(folder.unwrap().path().join("adapter_model.safetensors"), "x").unwrap();
    }
    let damaged = "its adapter in this machine's store";
    package.fails(&["check"], 1, damaged);
    for args in [&["test"][..], &["show", "metrics"], &["chat", "--ask", "Who?"], &["push", "x"]] {
        package.fails(args, 101, "is damaged; run `cargo bake`");
    }
    assert_eq!(package.states(), ["missing"; 3]);
    assert!(said(&package.run(&[])).contains(damaged));
    assert_eq!(package.states(), ["fresh"; 3]);
}

#[test]
fn files_that_others_leave_in_a_folder_change_nothing() {
    let package = Package::new();
    package.ok(&[]);
    package.ok(&["vendor"]);
    let artifacts = std::fs::read_dir(package.store().join("artifacts")).unwrap();
    let store = artifacts.map(|entry| entry.unwrap().path());
    for folder in store.chain([package.root().join("bakes/Office")]) {
        std::fs::write(folder.join("Thumbs.db"), "pictures").unwrap();
        std::fs::write(folder.join("desktop.ini"), "[.ShellClassInfo]").unwrap();
    }
    assert_eq!(package.states(), ["fresh"; 3]);
    std::fs::remove_dir_all(package.root().join("bakes")).unwrap();
    assert_eq!(package.states(), ["fresh"; 3]);
}

/// A library that is loaded before all others and takes locks away, as some file systems do.
#[cfg(target_os = "linux")]
#[test]
fn a_store_on_a_file_system_without_locks_is_used_without_them() {
    let package = Package::new();
    let (source, library) = (package.dir.path().join("no.c"), package.dir.path().join("no.so"));
    let text = "#include <errno.h>\nint flock(int f, int how) { (void)f; (void)how; errno = \
                ENOSYS; return -1; }\n";
    std::fs::write(&source, text).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let compiled =
        Command::new(compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(compiled.unwrap().success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
    command.arg("bake").current_dir(package.root());
    command.env("BAKE_CACHE_DIR", package.store()).env("LD_PRELOAD", &library);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(package.states(), ["fresh"; 3]);
}
