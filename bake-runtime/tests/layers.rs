//! Which parts of the engine may use which: dependencies run one way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Parts of `src`, and what their code must not name.
const FORBIDDEN: [(&str, &[&str]); 12] = [
    ("tensor", &["adapter", "bake", "device", "distill", "generate", "handle", "model", "train"]),
    ("device", &["adapter", "bake", "distill", "generate", "handle", "model", "train"]),
    ("distill", &["adapter", "bake", "generate", "handle", "model", "train"]),
    (
        "adapter",
        &["bake", "device", "distill", "eval", "generate", "handle", "model", "text", "train"],
    ),
    ("eval", &["bake", "handle", "train"]),
    ("model", &["bake", "eval", "handle", "train"]),
    ("generate", &["bake", "eval", "handle", "train"]),
    ("train", &["bake", "eval", "handle"]),
    (
        "text",
        &[
            "adapter",
            "bake",
            "checkpoint",
            "device",
            "distill",
            "eval",
            "generate",
            "handle",
            "model",
            "tensor",
            "train",
        ],
    ),
    ("checkpoint", &["adapter", "bake", "distill", "eval", "generate", "handle", "train"]),
    ("inputs", &["adapter", "bake", "distill", "eval", "generate", "handle", "train"]),
    ("export", &["bake", "distill", "eval", "generate", "handle", "train"]),
];

/// The operations of the decoder, from which blocks are made.
const OPERATIONS: [&str; 6] = ["attention", "dropout", "gate", "linear", "norm", "rope"];

fn files(part: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = files_in(vec![src.join(part)]);
    files.push(src.join(format!("{part}.rs")));
    files
}

/// All files in these folders.
fn files_in(mut folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// The code of a file before its tests, without comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Whether a file is compiled for tests only.
fn of_tests(file: &Path) -> bool {
    let names =
        ["tests", "testing", "oracle", "parity", "families", "gradient_check"].map(Path::new);
    file.components().any(|part| names.contains(&Path::new(&part).with_extension("").as_path()))
}

/// The parts of the engine, as `lib.rs` names them.
fn parts() -> Vec<String> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let lib = std::fs::read_to_string(lib).unwrap();
    let named = |line: &str| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?;
        Some(name.to_owned())
    };
    lib.lines().filter_map(named).collect()
}

fn assert_unused(part: &str, forbidden: &[String]) {
    let files = files(part);
    assert!(files.iter().all(|file| file.is_file()), "{part} has moved: {files:?}");
    for file in files.into_iter().filter(|file| !of_tests(file)) {
        for path in forbidden {
            let (code, file) = (code(&file), file.display());
            let names = |end: &str| code.contains(&format!("{path}{end}"));
            assert!(![":", ";", "{", ","].iter().any(|end| names(end)), "{file} uses {path}");
        }
    }
}

#[test]
fn parts_use_only_what_lies_below_them() {
    for (part, forbidden) in FORBIDDEN {
        let forbidden: Vec<_> = forbidden.iter().map(|other| format!("crate::{other}")).collect();
        assert_unused(part, &forbidden);
    }
}

/// Only users of the library name its types without their modules, so that what a part uses can be
/// seen.
#[test]
fn parts_name_each_other_by_their_modules() {
    let files = parts().into_iter().flat_map(|part| files(&part));
    for file in files.filter(|file| !of_tests(file)) {
        for line in code(&file).lines() {
            let mut roots = line.split("crate::").skip(1);
            let short = roots.any(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
            assert!(!short, "{}: {line}", file.display());
        }
    }
}

#[test]
fn operations_know_neither_block_nor_decoder() {
    for operation in OPERATIONS {
        let forbidden = ["block", "decoder"].map(|other| format!("crate::model::{other}"));
        assert_unused(&format!("model/{operation}"), &forbidden);
    }
}

/// What differs between families of models is data.
#[test]
fn no_family_is_named_where_a_model_is_computed() {
    for part in ["distill", "generate", "model", "tensor", "train"] {
        for file in files(part).into_iter().filter(|file| !of_tests(file)) {
            let code = code(&file).to_lowercase();
            for family in ["gemma", "llama", "mistral", "phi3", "qwen", "smollm"] {
                assert!(!code.contains(family), "{} names {family}", file.display());
            }
        }
    }
}

/// So that the same program computes in the same place, whatever it was built with.
#[test]
fn only_devices_know_the_feature_of_gpus() {
    assert_eq!(bake_runtime::Device::default(), bake_runtime::Device::Cpu);
    let mut named = Vec::new();
    for part in parts() {
        let files = files(&part).into_iter().filter(|file| !of_tests(file));
        if files.into_iter().any(|file| code(&file).contains("feature = \"cuda\"")) {
            named.push(part);
        }
    }
    assert_eq!(named, ["device"]);
}

/// The code of the workspace's crates.
const CRATES: [&str; 8] = [
    "src",
    "bake-build/src",
    "bake-cli/src",
    "bake-macros/src",
    "bake-runtime/emulator/src",
    "bake-runtime/src",
    "bake-spec/src",
    "examples/server/src",
];

/// Opening a pipe may wait forever.
#[test]
fn files_are_opened_where_pipes_are_refused() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut opened = Vec::new();
    for file in CRATES.iter().flat_map(|folder| files_in(vec![workspace.join(folder)])) {
        let code = code(&file);
        let opens = ["fs::read(", "fs::read_to_string(", "::File::open(", " File::open("];
        if !of_tests(&file) && opens.iter().any(|call| code.contains(call)) {
            opened.push(file.strip_prefix(workspace).unwrap().display().to_string());
        }
    }
    // The first reads what the system says of itself.
    assert_eq!(opened, ["bake-runtime/src/bake/activations.rs", "bake-spec/src/file.rs"]);
}

/// What traits call the types of those that implement them.
const ASSOCIATED: [&str; 6] = ["Err", "Error", "Item", "Output", "Target", "Value"];

/// The name that a line declares a type by. A macro makes types of lines such as
/// `Target of TargetFields`.
fn declared(line: &str) -> Option<&str> {
    let indented = line.starts_with(' ');
    let mut line = line.trim_start();
    if let Some(public) = line.strip_prefix("pub") {
        let to_some = public.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        line = to_some.map_or(public, |(_, rest)| rest);
    }
    let mut words = line.split_whitespace().skip_while(|word| *word == "unsafe");
    let (kind, name) = (words.next()?, words.next()?);
    if name == "of"
        && words.next().is_some_and(|fields| fields.strip_suffix("Fields") == Some(kind))
    {
        return Some(kind);
    }
    let name = name.split(|c: char| !c.is_alphanumeric()).next().filter(|name| !name.is_empty())?;
    // Within a trait or its implementation a `type` is not one more name.
    let is_type = ["struct", "enum", "trait", "union"].contains(&kind)
        || kind == "type" && !(indented && ASSOCIATED.contains(&name));
    is_type.then_some(name)
}

#[test]
fn no_two_types_have_one_name() {
    for (line, name) in [
        ("pub(in crate::bake::stimuli) enum Form {", Some("Form")),
        ("    pub struct Kept<'a>(&'a str);", Some("Kept")),
        ("pub(crate) unsafe trait Plain: Copy {", Some("Plain")),
        ("    Target of TargetFields", Some("Target")),
        ("pub(super) type Parsed<T> = Result<T, Reported>;", Some("Parsed")),
        ("    type Keyed = Vec<(Hash, usize)>;", Some("Keyed")),
        ("    type Target = Chat;", None),
        ("let part = whole of", None),
        ("publish(struct_of);", None),
        ("pub struct $builder {", None),
    ] {
        assert_eq!(declared(line), name, "{line}");
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut wrong, mut found) = (String::new(), BTreeMap::<String, PathBuf>::new());
    for folder in CRATES {
        let files = files_in(vec![workspace.join(folder)]);
        assert!(files.iter().any(|file| file.ends_with("lib.rs") || file.ends_with("main.rs")));
        for file in files.into_iter().filter(|file| !of_tests(file)) {
            for name in code(&file).lines().filter_map(declared) {
                // Crates have errors and results of their own, under the names that all crates use.
                if ["Error", "Result"].contains(&name) {
                    continue;
                }
                // One file has a type twice only where features choose.
                match found.insert(name.to_owned(), file.clone()) {
                    Some(other) if other != file => {
                        wrong += &format!("{name}: {} and {}\n", other.display(), file.display());
                    }
                    _ => {}
                }
            }
        }
    }
    for known in ["RmsNorm", "Target", "EmulatedLaunch"] {
        assert!(found.contains_key(known), "{known}");
    }
    assert!(wrong.is_empty(), "types of one name:\n{wrong}");
}
