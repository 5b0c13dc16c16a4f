//! The commands on a package of their own, as a user calls them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const MAIN: &str = r#"
bake::bake! {
    bake Office {
        lora { rank 4; alpha 8; }
        train { epochs 2; checkpoint_every 1; }
        target keys from "keys.md" { questions ["I lost my key", "Where is my key?"]; ask 0; max_tokens 24; }
        target lamp from "lamp.md" { questions ["My lamp is broken"]; ask 0; max_tokens 24; }
    }
}
"#;

/// A package, and a store of its own.
struct Package {
    dir: tempfile::TempDir,
}

impl Package {
    fn new() -> Self {
        let package = Self { dir: tempfile::tempdir().unwrap() };
        package
            .write("Cargo.toml", "[package]\nname = \"office\"\nedition = \"2024\"\n[workspace]\n");
        package.write("keys.md", "## Lost key\nAsk Bob in the blue office.\n");
        package.write("lamp.md", "## Broken lamp\nCall the shop.\n");
        package.write("src/main.rs", MAIN);
        package
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("office")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root().join(name)).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        run(&self.root(), &self.dir.path().join("store"), args)
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, args: &[&str], code: i32, what: &str) {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(what), "{args:?}: {}", said(&output));
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    /// The state of the bake, and those of its targets.
    fn states(&self) -> Vec<String> {
        let bake = &self.status()["bakes"][0];
        let targets = bake["targets"].as_array().unwrap();
        std::iter::once(bake)
            .chain(targets)
            .map(|state| state["state"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn run(root: &Path, store: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
    // As cargo calls it.
    command.arg("bake").args(args).current_dir(root).env("BAKE_CACHE_DIR", store).output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_bake_goes_from_missing_to_fresh_and_back_to_stale() {
    let package = Package::new();
    assert_eq!(package.states(), ["missing"; 3]);
    package.fails(&["check"], 1, "it has not been baked");
    package.fails(&["--locked"], 101, "--locked forbids to bake it");
    package.ok(&[]);
    assert_eq!(package.states(), ["fresh"; 3]);
    package.ok(&["check"]);
    let lock = package.read("bake.lock");
    assert!(said(&package.run(&["--locked"])).contains("Fresh Office"));

    // The same bake in another store, on another machine as it were, writes the same lock.
    let other = run(&package.root(), &package.dir.path().join("other"), &["--fresh"]);
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
        output.status.success() && !said(&output).contains("answers on keys"),
        "what keys needs is kept: {}",
        said(&output)
    );
    assert_eq!(package.states(), ["fresh"; 3]);

    // Without its adapter a locked bake is missing, and with it again it is fresh.
    std::fs::remove_dir_all(package.dir.path().join("store")).unwrap();
    assert_eq!(package.states(), ["missing", "fresh", "fresh"]);
    package.ok(&[]);
    assert_eq!(package.states(), ["fresh"; 3]);

    // Options may stand before the command, too.
    assert!(
        package
            .ok(&["--color", "never", "-p", "office", "status"])
            .starts_with("Office (office) fresh")
    );

    // What is no longer declared leaves the lock, and a slip in a source is no reason for that.
    package.write("src/main.rs", &format!("fn slip( {{ {MAIN}"));
    package.fails(&[], 101, "this is no Rust");
    assert!(package.read("bake.lock").contains("Office"));
    package.write("src/main.rs", &MAIN.replace("Office", "Renamed"));
    package.fails(&["check"], 1, "Office");
    package.fails(&["--locked"], 101, "--locked forbids");
    package.ok(&["--quiet"]);
    assert!(!package.read("bake.lock").contains("Office"));
}

#[test]
fn adapters_are_shared_through_a_folder_and_vendored() {
    let package = Package::new();
    package.fails(&["push", "../shared"], 101, "`Office` has not been baked");
    package.fails(&["pull", "../shared"], 101, "is not a folder");
    package.fails(&["vendor"], 101, "is not fresh");
    package.ok(&[]);
    package.ok(&["push", "../shared"]);
    let store = package.dir.path().join("store");
    std::fs::remove_dir_all(&store).unwrap();
    package.ok(&["pull", "../shared"]);
    assert_eq!(package.states(), ["fresh"; 3]);
    assert!(said(&package.run(&[])).contains("Fresh Office"), "nothing is baked again");

    // A damaged adapter is not taken over.
    std::fs::remove_dir_all(&store).unwrap();
    let artifact = std::fs::read_dir(package.dir.path().join("shared/artifacts"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(artifact.join("adapter_model.safetensors"), "damaged").unwrap();
    package.fails(&["pull", "../shared"], 101, "does not hold the adapter of `Office` whole");
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

#[test]
fn listings_say_what_there_is() {
    let package = Package::new();
    let json = |args: &[&str]| serde_json::from_str::<Value>(&package.ok(args)).unwrap();
    let list = json(&["list", "--json"]);
    assert_eq!(list["bakes"][0]["file"], "src/main.rs");
    assert_eq!(list["bakes"][0]["targets"][1]["document"], "lamp.md");
    assert_eq!(list["bakes"][0]["targets"][1]["share"], 0.5);
    let plan = json(&["plan", "--json"]);
    assert_eq!((&plan["bakes"][0]["answers"], &plan["bakes"][0]["steps"]), (&3.into(), &2.into()));
    assert!(
        plan["bakes"][0]["seconds"]
            .as_array()
            .unwrap()
            .iter()
            .all(|seconds| seconds.as_f64().unwrap() >= 0.0)
    );
    assert!(plan["bakes"][0]["memory_bytes"].as_u64().unwrap() > 20_000_000);
    assert!(package.ok(&["show", "stimuli"]).contains("not kept here"));
    package.ok(&[]);
    let rollouts = json(&["show", "rollouts", "--json"]);
    assert_eq!(rollouts["bakes"][0]["targets"][0]["questions"][0], "I lost my key");
    assert!(rollouts["bakes"][0]["targets"][0]["answers"][0][0].is_string());
    let metrics = json(&["show", "metrics", "--json"]);
    assert_eq!(metrics["bakes"][0]["epochs"].as_array().unwrap().len(), 2);
    assert!(package.ok(&["show", "metrics"]).contains("epoch 2"));
    assert_eq!(
        package.ok(&["chat", "--who", "prompted", "--ask", "I lost my key"]).trim(),
        "Ask Bob in the blue office."
    );
    package.fails(&["chat", "--target", "lmap", "--ask", "x"], 101, "did you mean `lamp`?");
    // Nothing is old enough to go.
    assert_eq!(json(&["gc", "--json"])["files"], 0);
    assert_eq!(package.states(), ["fresh"; 3]);
}

#[test]
fn a_target_alone_is_baked_beside_the_lock() {
    let package = Package::new();
    let adapter = package.ok(&["--target", "lamp"]);
    assert!(Path::new(adapter.trim()).join("adapter_model.safetensors").is_file(), "{adapter}");
    assert!(!package.root().join("bake.lock").exists());
    package.fails(&["--target", "lmap"], 101, "did you mean `lamp`?");
}

#[test]
fn mistakes_are_said_with_what_to_do() {
    let package = Package::new();
    package.fails(&["Ofice"], 101, "did you mean `Office`?");
    package.fails(&["-p", "ofice"], 101, "did you mean `office`?");
    package.fails(&["--manifest-path", "no/Cargo.toml"], 101, "no/Cargo.toml");
    package.fails(&["explain", "B0099"], 101, "the codes are B0001 to B0019");
    package.fails(&["explain", "rnk"], 101, "did you mean `rank`?");
    package.fails(&["stauts"], 101, "did you mean");
    package.fails(&["new", "../office"], 101, "exists already");
    package.fails(&["new", "1st"], 101, "cannot be the name of a package");
    package.fails(&["show", "nothing"], 2, "possible values: stimuli, rollouts, metrics");
    assert!(package.ok(&["explain", "b0007"]).starts_with("# B0007: "));
    assert!(
        package
            .ok(&["explain", "rank"])
            .contains("`rank`, in `lora`: a whole number from 1 to 4096. Default: `32`.")
    );

    package.write("src/main.rs", &MAIN.replace("target lamp", "target lamp wieght 2"));
    package.fails(
        &[],
        101,
        "src/main.rs:7:21: error[B0002]: unknown keyword `wieght`; did you mean `weight`?",
    );
    package.write("src/main.rs", MAIN);
    let other = "bake::bake! { bake Other { target lamp from \"lamp.md\"; } }";
    package.write("src/other.rs", &format!("fn slip( {{ {other}"));
    package.fails(&[], 101, "src/other.rs:1:10: error[B0001]: this is no Rust");
    std::fs::remove_file(package.root().join("src/other.rs")).unwrap();
    package.fails(&["push", "s3://bucket/x"], 101, "is an address");
    package.write("bake.lock", "<<<<<<< HEAD\nversion = 1\n");
    package.fails(&["status"], 101, "merge conflict in line 1");
    package.write("bake.lock", "version = 7\n");
    package.fails(&[], 101, "use a newer bake");
    std::fs::remove_file(package.root().join("bake.lock")).unwrap();
    package.write("src/main.rs", "fn main() {}");
    package.fails(&["status"], 101, "cargo bake new");
}

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

#[test]
fn in_a_workspace_the_package_is_the_one_that_one_is_in() {
    let package = Package::new();
    package.write(
        "Cargo.toml",
        "[package]\nname = \"office\"\nedition = \"2024\"\n[workspace]\nmembers = [\"sub\"]\n",
    );
    package.write("sub/Cargo.toml", "[package]\nname = \"sub\"\nedition = \"2024\"\n");
    package.write(
        "sub/src/lib.rs",
        "bake::bake! { bake Sub { target keys prompt \"Be kind.\" { \
        questions [\"Hello\"]; ask 0; } } }",
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
}
