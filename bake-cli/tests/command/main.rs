//! The commands, run as a user would on a package made for the tests.

mod bake;
mod checkpoints;
mod completions;
mod export;
mod format;
mod gc;
mod gguf;
mod json;
mod listings;
mod mistakes;
mod model;
mod parent;
mod share;
mod starter;
mod verdict;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const MAIN: &str = r#"
bake::bake! {
    bake Office {
        anchors none; outline 0; unanswerable 0; lora { rank 4; alpha 8; }
        train { epochs 2; checkpoint_every 1; }
        target keys from "keys.md" {
            questions ["I lost my key", "Where is my key?"];
            ask 0;
            max_tokens 24;
        }
        target lamp from "lamp.md" { questions ["My lamp is broken"]; ask 0; max_tokens 24; }
    }
}
"#;

/// A package with its own store.
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

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn run(&self, args: &[&str]) -> Output {
        run(&self.root(), &self.store(), args)
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
