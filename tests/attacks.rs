//! Malformed files of every format that is read, in `tests/attacks`, with a folder for each format.
//! Every one must be an error that names the file: not a panic, not a hang, and no more memory than
//! a constant times its size. Files whose names begin with `ok-` are odd but valid: they must be
//! read. Those that begin with `any-` may be read or refused, but must not hang.

mod allocator;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bake::{Adapter, Device, Interrupt, Message, Model, Recipe, Role};
use bake_spec::lock::LOCK_FILE;
use bake_spec::text::{document, section};
use bake_spec::{Lock, dataset};

/// What the readers themselves need, including the model beside which a file is put.
const BYTES: usize = 128 << 20;

/// The memory that each byte of an attack may cost: a bracket becomes a node of a tree.
const BYTES_PER_BYTE: usize = 2000;

/// Far more than any attack takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads an attack as one format, and returns what the reader said.
type Reader = fn(&Path) -> Result<(), String>;

/// Formats whose readers are not in the library, and which other tests go through.
const ELSEWHERE: [&str; 1] = ["archive"];

const FORMATS: [(&str, Reader); 23] = [
    ("adapter", |file| adapter("adapter_model.safetensors", file)),
    ("adapter_config", |file| adapter("adapter_config.json", file)),
    ("added_tokens", |file| model("added_tokens.json", file)),
    ("config", |file| model("config.json", file)),
    ("dataset", |file| {
        let format = dataset::Format::of(&shown(file)).unwrap_or(dataset::Format::Lines);
        let read = dataset::read(file, shown(file), format, "question", None);
        read.map(drop).map_err(|e| e.to_string())
    }),
    ("document", |file| {
        let text = document::read(file, shown(file)).map_err(|e| e.to_string())?;
        assert!(!section::sections(&text).is_empty());
        Ok(())
    }),
    ("examples", |file| {
        let recipe = Recipe::builder().root(env!("CARGO_MANIFEST_DIR"));
        let examples = format!("tests/attacks/examples/{}", shown(file));
        let recipe = recipe
            .target("keys", |target| target.document("tests/docs/keys.md").examples_from(examples));
        recipe.build().map(drop).map_err(|e| e.to_string())
    }),
    ("expectations", |file| {
        let recipe = Recipe::builder().root(file.parent().unwrap());
        let recipe = recipe.target("keys", |target| target.prompt("Mind the keys."));
        let recipe = recipe.expect_from(None, &shown(file)).build();
        recipe.map(drop).map_err(|e| e.to_string())
    }),
    ("generation_config", |file| model("generation_config.json", file)),
    ("gguf", loaded),
    ("index", index),
    ("lock", |file| {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(file, folder.path().join(LOCK_FILE)).unwrap();
        Lock::read(folder.path()).map(drop).map_err(|e| e.to_string())
    }),
    ("manifest", |file| {
        let package = tempfile::tempdir().unwrap();
        fs::copy(file, package.path().join("Cargo.toml")).unwrap();
        let found = bake_spec::sources::find(package.path(), None);
        found.map(drop).map_err(|e| e.to_string())
    }),
    ("prompt", |file| {
        let recipe = Recipe::builder().root(file.parent().unwrap());
        let recipe = recipe.target("keys", |target| target.prompt_from(shown(file)));
        recipe.build().map(drop).map_err(|e| e.to_string())
    }),
    ("report", report),
    ("source", source),
    ("special_tokens_map", |file| model("special_tokens_map.json", file)),
    ("template", |file| model("chat_template.jinja", file)),
    ("tokenizer", |file| model("tokenizer.json", file)),
    ("tokenizer_config", |file| model("tokenizer_config.json", file)),
    ("weights", |file| model("model.safetensors", file)),
    ("folder", |name| model(&shown(name), Path::new("tests"))),
    ("adapter_folder", |name| adapter(&shown(name), Path::new("tests"))),
];

/// What an error must name, unless it is the name that the attack has beside a model.
fn named(format: &str, file: &Path) -> Vec<String> {
    match format {
        "adapter" => vec!["adapter_model.safetensors".into()],
        "adapter_config" => vec!["adapter_config.json".into()],
        "dataset" | "document" | "examples" | "expectations" | "gguf" | "prompt" => {
            vec![shown(file)]
        }
        // One names `config.json` as if it contained tensors.
        "index" => vec!["model.safetensors.index.json".into(), "config.json".into()],
        "lock" => vec![LOCK_FILE.into()],
        "manifest" => vec!["Cargo.toml".into()],
        "report" => vec!["bake.json".into()],
        "source" => vec!["main.rs".into()],
        "template" => vec!["chat_template.jinja".into()],
        "weights" => vec!["model.safetensors".into()],
        "folder" | "adapter_folder" => vec![shown(file)],
        other => vec![format!("{other}.json")],
    }
}

fn shown(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A copy of a folder in which one file is the attack, which may itself be a folder.
fn with(folder: &str, name: &str, attack: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(fixture(folder)).unwrap() {
        let file = file.unwrap().path();
        if !shown(&file).starts_with("expected.") {
            fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let place = copy.path().join(name);
    if attack.is_dir() {
        let _ = fs::remove_file(&place);
        fs::create_dir(&place).unwrap();
    } else {
        fs::copy(attack, &place).unwrap();
    }
    copy
}

/// Loads a model with the attack as one of its files, and puts a question into tokens.
fn model(name: &str, attack: &Path) -> Result<(), String> {
    loaded(with("models/llama-tied", name, attack).path())
}

/// Loads a model, and puts a question into tokens.
fn loaded(path: &Path) -> Result<(), String> {
    let model = Model::load(path, Device::Cpu).map_err(|e| e.to_string())?;
    let question = Message::new(Role::User, "Who has the key? aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    model.encode(&[question]).map(drop).map_err(|e| e.to_string())
}

fn index(attack: &Path) -> Result<(), String> {
    let folder = with("models/llama-tied", "model.safetensors.index.json", attack);
    fs::create_dir(folder.path().join("sub")).unwrap();
    let whole = folder.path().join("model.safetensors");
    fs::copy(&whole, folder.path().join("sub/part.safetensors")).unwrap();
    fs::rename(&whole, folder.path().join("part.safetensors")).unwrap();
    Model::load(folder.path(), Device::Cpu).map(drop).map_err(|e| e.to_string())
}

fn adapter(name: &str, attack: &Path) -> Result<(), String> {
    let folder = with("adapters/llama-tied-qv", name, attack);
    let model = Model::load(&fixture("models/llama-tied"), Device::Cpu).unwrap();
    let adapter = Adapter::load(folder.path(), &model).map_err(|e| e.to_string())?;
    model.forward(&[1, 2], Some(&adapter)).map(drop).map_err(|e| e.to_string())
}

/// The report of an existing bake. If it cannot be read, the bake counts as not made: it begins
/// again, and is stopped at once.
fn report(attack: &Path) -> Result<(), String> {
    let store = tempfile::tempdir().unwrap();
    let store = bake::Store::new(store.path());
    let model = Model::tiny().map_err(|e| e.to_string())?;
    let recipe = <Reported as bake::Declaration>::RECIPE;
    let put = store.put_adapter(&recipe.hash(model.hash()), |folder| {
        fs::copy(attack, folder.join("bake.json")).unwrap();
        Ok::<(), bake_spec::Error>(())
    });
    put.map_err(|e| e.to_string())?;
    let interrupt = Interrupt::new();
    interrupt.set();
    let options = bake::BakeOptions::new().store(store).progress(bake::Silent).interrupt(interrupt);
    match Reported::bake_with(&options) {
        Ok(_) => Ok(()),
        Err(e) if e.is_interrupted() => Err("bake.json was not read".into()),
        Err(e) => Err(e.to_string()),
    }
}

bake::bake! {
    bake Reported {
        target keys from "tests/docs/keys.md";
    }
}

fn source(attack: &Path) -> Result<(), String> {
    let package = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(package.path().join(name), bytes).unwrap();
    fs::create_dir(package.path().join("src")).unwrap();
    write("Cargo.toml", b"[package]\nname = \"a\"\n");
    write("a.md", b"Ask Bob.");
    write("latin-1.md", b"caf\xe9");
    let main = package.path().join("src/main.rs");
    fs::copy(attack, &main).unwrap();
    let _ = bake_spec::format(&String::from_utf8_lossy(&fs::read(main).unwrap()));
    let sources = bake_spec::sources::find(package.path(), None).map_err(|e| e.to_string())?;
    let wrong: Vec<String> =
        sources.iter().filter(|source| source.has_errors()).flat_map(|s| s.said()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// What is wrong with how an attack was handled; nothing if it was handled as it should be.
fn take(format: &'static str, read: Reader, file: &Path) -> Option<String> {
    let size = fs::metadata(file).map_or(0, |metadata| metadata.len() as usize);
    let (sender, receiver) = mpsc::channel();
    allocator::reset();
    let before = allocator::in_use();
    let path = file.to_owned();
    let work = move || {
        let said = catch_unwind(AssertUnwindSafe(|| read(&path)));
        // Nobody listens any more if this took too long.
        let _ = sender.send(said);
    };
    std::thread::spawn(work);
    let Ok(said) = receiver.recv_timeout(PATIENCE) else {
        return Some(format!("is still being read after {} seconds", PATIENCE.as_secs()));
    };
    let bytes = allocator::peak().saturating_sub(before);
    if bytes > BYTES + BYTES_PER_BYTE * size {
        return Some(format!("is a file of {size} bytes, and reading it took {bytes}"));
    }
    match said {
        Err(_) => Some("is a panic".into()),
        Ok(_) if shown(file).starts_with("any-") => None,
        Ok(Ok(())) if shown(file).starts_with("ok-") => None,
        Ok(Ok(())) => Some("is taken as if nothing were wrong with it".into()),
        Ok(Err(e)) if shown(file).starts_with("ok-") => Some(format!("is refused: {e}")),
        Ok(Err(e)) => {
            let unnamed = !named(format, file).iter().any(|name| e.contains(name));
            unnamed.then(|| format!("is an error that does not name it: {e}"))
        }
    }
}

/// The attacks of a format; for `folder`, the files that a folder replaces.
fn attacks(format: &str) -> Vec<PathBuf> {
    let files: &[&str] = match format {
        "folder" => &[
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ],
        "adapter_folder" => &["adapter_config.json", "adapter_model.safetensors"],
        _ => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks").join(format);
            let mut files: Vec<PathBuf> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            return files;
        }
    };
    files.iter().map(PathBuf::from).collect()
}

#[test]
fn every_attack_is_an_error_that_names_the_file() {
    let (mut taken, mut wrong) = (0, Vec::new());
    for (format, read) in FORMATS {
        for file in attacks(format) {
            taken += 1;
            if let Some(what) = take(format, read, &file) {
                wrong.push(format!("{format}/{} {what}", shown(&file)));
            }
        }
    }
    assert!(taken > 400, "only {taken} attacks were found");
    assert!(wrong.is_empty(), "{} of {taken}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_folder_of_attacks_is_gone_through() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let known = |name: &str| shown(&path) == name;
        let taken = ELSEWHERE.into_iter().chain(FORMATS.map(|(format, _)| format)).any(known);
        assert!(taken || path.is_file(), "nothing reads {}", path.display());
    }
}
