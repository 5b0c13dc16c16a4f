//! A bake into a GGUF file with quantised weights, through everything that can become of one.

use super::*;

/// The package with a small model of random weights, whose answers would not end.
fn package(epochs: usize) -> Package {
    let package = Package::new();
    let from =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/llama-tied-q8_0.gguf");
    std::fs::copy(from, package.root().join("small.gguf")).unwrap();
    let main = MAIN.replace("lora {", "model \"small.gguf\"; lora {");
    let main = main.replace("max_tokens 24", "max_tokens 3");
    let main = main.replace("epochs 2; ", &format!("epochs {epochs}; lr 0.02; teacher anyway; "));
    package.write("src/main.rs", &main);
    package
}

/// The weights of the one adapter of a store.
fn adapter(store: &Path) -> Vec<u8> {
    let mut folders = std::fs::read_dir(store.join("artifacts")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none(), "one bake makes one adapter");
    std::fs::read(folder.join("adapter_model.safetensors")).unwrap()
}

#[test]
fn a_bake_into_a_gguf_file_lives_as_any_other() {
    let package = package(8);
    let plan: Value = serde_json::from_str(&package.ok(&["plan", "--json"])).unwrap();
    assert_eq!(plan["bakes"][0]["targets"][0]["rollouts"]["to_make"], 2);
    package.ok(&[]);
    assert_eq!(package.states(), ["fresh"; 3]);
    assert!(said(&package.run(&[])).contains("Fresh Office"));
    let lock = package.read("bake.lock");
    assert!(lock.contains("source = \"small.gguf\""), "{lock}");

    // The adapter loads on the file again, and says something else than the file does.
    let asked = |who: &str| package.ok(&["chat", "--who", who, "--ask", "I lost my key"]);
    let (base, baked) = (asked("base"), asked("baked"));
    assert_ne!(base, baked);
    package.ok(&["vendor"]);
    std::fs::remove_dir_all(package.store()).unwrap();
    assert_eq!(package.states(), ["fresh"; 3], "it is in `bakes`");
    assert_eq!(asked("baked"), baked);

    package.write("lamp.md", "## Broken lamp\nCall them.\n");
    assert_eq!(package.states(), ["stale", "fresh", "stale"]);
    package.fails(&["check"], 1, "lamp.md has changed");
    package.ok(&[]);
    assert_eq!(package.states(), ["fresh"; 3]);

    // Another file is another model.
    let other =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf/llama-tied.gguf");
    std::fs::copy(other, package.root().join("small.gguf")).unwrap();
    assert_eq!(package.states()[0], "stale");
}

#[test]
fn a_bake_into_a_gguf_file_that_is_killed_goes_on_and_ends_the_same() {
    let package = package(200);
    let undisturbed = package.dir.path().join("undisturbed");
    let output = run(&package.root(), &undisturbed, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let lock = package.read("bake.lock");
    std::fs::remove_file(package.root().join("bake.lock")).unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
    command.arg("bake").current_dir(package.root()).env("BAKE_CACHE_DIR", package.store());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let begun = package.store().join("latest/checkpoints");
    while !std::fs::read_dir(&begun).is_ok_and(|mut kept| kept.next().is_some()) {
        assert!(child.try_wait().unwrap().is_none(), "it has a checkpoint before it ends");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(!package.root().join("bake.lock").exists());

    let resumed = said(&package.run(&["-v"]));
    assert!(!resumed.contains("rollouts on keys"), "they are kept: {resumed}");
    assert_eq!(adapter(&package.store()), adapter(&undisturbed));
    assert_eq!(package.read("bake.lock"), lock);
}
