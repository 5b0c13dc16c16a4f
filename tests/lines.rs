//! What every line must be: no wider than a window with two files beside each other, and, where it
//! is of an example in the documentation, what a program can say that depends on `bake` alone.

use std::path::{Path, PathBuf};

/// The most characters of a line.
const WIDEST: usize = 100;

/// Kinds of files that people write and read here, beside scripts.
const KINDS: [&str; 8] = ["cpp", "cu", "cuh", "h", "md", "py", "rs", "toml"];

/// What is made by programs, or malformed on purpose, or wide because a user's may be.
const LEFT_OUT: [&str; 5] = ["target", "tests/attacks", "tests/docs", "tests/ui", "fuzz/seeds"];

/// The crates whose items a program gets from `bake`.
const INNER: [&str; 2] = ["bake_runtime::", "bake_spec::"];

/// What `bake` does not export, so that an example can only name the crate where it is.
const INTERNAL: [&str; 6] = [
    "bake_spec::Config",
    "bake_spec::KeyHasher",
    "bake_spec::document::",
    "bake_spec::format(",
    "bake_spec::room::",
    "bake_spec::text::",
];

fn files(folder: &Path, root: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let place = path.strip_prefix(root).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && name != ".ci";
        if hidden || path.is_symlink() || LEFT_OUT.iter().any(|left| place.ends_with(left)) {
            continue;
        }
        if path.is_dir() {
            files(&path, root, found);
        } else if match path.extension() {
            Some(kind) => KINDS.iter().any(|known| kind == *known),
            None => is_script(&path),
        } {
            found.push(path);
        }
    }
}

fn is_script(path: &Path) -> bool {
    std::fs::read(path).unwrap().starts_with(b"#!")
}

/// Tables of Markdown and addresses cannot be wrapped.
fn must_be_one_line(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!']).trim_start();
    text.starts_with('|') || text.contains("https://")
}

#[test]
fn lines_have_at_most_a_hundred_characters() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(root, root, &mut found);
    for known in [".ci/run", "benches/loss_peers.py", "bake-runtime/kernels/loss.cu", "scripts"] {
        let place = root.join(known);
        assert!(found.iter().any(|file| file.starts_with(&place)), "{known}: {found:?}");
    }
    let mut wide = String::new();
    for file in found {
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            if line.chars().count() > WIDEST && !must_be_one_line(line) {
                wide += &format!("{}:{}\n", file.display(), number + 1);
            }
        }
    }
    assert!(wide.is_empty(), "lines of more than {WIDEST} characters:\n{wide}");
}

/// The lines that are shown of the examples in a source's documentation, with their numbers.
fn examples(source: &str) -> Vec<(usize, &str)> {
    let mut shown = Vec::new();
    let mut is_code = false;
    for (number, line) in source.lines().enumerate() {
        let line = line.trim_start();
        match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim) {
            None => is_code = false,
            Some(text) if text.starts_with("```") => is_code = !is_code,
            Some(text) if is_code && !text.starts_with("# ") => shown.push((number + 1, text)),
            Some(_) => {}
        }
    }
    shown
}

#[test]
fn examples_name_only_bake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for sources in ["bake-runtime/src", "bake-spec/src"] {
        files(&root.join(sources), root, &mut found);
    }
    let mut wrong = String::new();
    let mut unused = INTERNAL.to_vec();
    for file in found {
        for (number, line) in examples(&std::fs::read_to_string(&file).unwrap()) {
            unused.retain(|name| !line.contains(name));
            let names = |listed: &[&str]| listed.iter().any(|name| line.contains(name));
            if names(&INNER) && !names(&INTERNAL) {
                wrong += &format!("{}:{number}\n", file.display());
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "examples say `use bake::…` after a hidden `# extern crate … as bake;`, but not:\n{wrong}"
    );
    assert!(unused.is_empty(), "no example says {unused:?}");
}
