//! Which models a declaration can name, and what is known of them.

use std::path::Path;

use bake_spec::check::{Declared, DeclaringPackage, Mode, check, states};
use bake_spec::lock::{KnownModel, Lock, Locked, State, state};
use bake_spec::model::named::NamedModel;
use bake_spec::model::{self, Identity};
use bake_spec::recipe::ModelSource;
use bake_spec::{Config, Recipe};
use proc_macro2::TokenStream;

fn package() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("keys.md"), "Ask Bob.").unwrap();
    dir
}

/// A declaration with this model, and what is wrong with it.
fn declared(root: &Path, model: &str, lock: Option<&Lock>) -> (Vec<Declared>, Vec<String>) {
    let source = format!("bake Support {{ model {model}; target keys from \"keys.md\"; }}");
    let (bakes, mut diagnostics) =
        bake_spec::syntax::parse::parse(source.parse::<TokenStream>().unwrap());
    let package = DeclaringPackage { root, lock };
    let declared = check(bakes, package, &mut diagnostics);
    if lock.is_some() {
        diagnostics.extend(states(&declared, package, Some(Mode::Locked)));
    }
    let said = diagnostics.into_iter().map(|d| format!("{} {}", d.code, d.message));
    (declared, said.collect())
}

#[test]
fn a_model_that_has_a_name_is_checked_without_its_file() {
    let dir = package();
    let (bakes, said) = declared(dir.path(), "smollm2", None);
    assert_eq!(said, [""; 0]);
    let recipe = &bakes[0].recipe;
    let named = NamedModel::declared("smollm2");
    assert_eq!(recipe.model, ModelSource::Named(named));
    assert_eq!(bakes[0].files, ["keys.md"], "the compiler watches no model");
    let built = Recipe::builder().name("Support").root(dir.path()).named_model(named);
    let built = built.target("keys", |target| target.document("keys.md")).build().unwrap();
    assert_eq!(built, *recipe);
    // What the adapter changes is as narrow as the keys of its attention.
    let (_, said) = declared(dir.path(), "smollm2; lora { rank 193; }", None);
    assert!(said[0].starts_with("B0019 rank 193 is more than 192"), "{said:?}");
    let (_, said) = declared(dir.path(), "smollm2; lora { layers 0..31; }", None);
    assert!(said[0].contains("only blocks 0..30"), "{said:?}");
    // The tokens of a long document are counted when it is baked.
    std::fs::write(dir.path().join("keys.md"), "Ask Bob. ".repeat(1000)).unwrap();
    assert_eq!(declared(dir.path(), "smollm2", None).1, [""; 0]);
}

#[test]
fn a_model_that_has_a_name_is_known_by_its_content() {
    let dir = package();
    let recipe = declared(dir.path(), "smollm2", None).0.remove(0).recipe;
    let named = NamedModel::declared("smollm2");
    let hash = model::hash(dir.path(), &recipe.model).unwrap();
    assert_eq!(hash, named.hash());
    let identity = Identity::of(dir.path(), &recipe.model).unwrap();
    let config = Config::parse(named.config(), "smollm2").unwrap();
    let mut lock = Lock::default();
    lock.insert("Support", Locked::new(&recipe, hash, &identity, &config));
    let locked = &lock.bakes["Support"];
    assert_eq!(locked.model.source, "smollm2");
    for known in [KnownModel::Whole(&hash), KnownModel::Identity(Some(&identity))] {
        assert_eq!(state(&recipe, known, Some(locked)).state, State::Fresh);
    }
    assert_eq!(declared(dir.path(), "smollm2", Some(&lock)).1, [""; 0]);
    let (_, said) = declared(dir.path(), "tiny", Some(&lock));
    assert!(said[0].contains("the model has changed"), "{said:?}");
}

#[test]
fn a_name_that_no_model_has_is_refused() {
    let dir = package();
    let (_, said) = declared(dir.path(), "smolm2", None);
    assert_eq!(said, ["B0002 unknown model `smolm2`; did you mean `smollm2`?"]);
    let (_, said) = declared(dir.path(), "zzzzzzzz", None);
    assert!(said[0].contains("write `tiny`, `smollm2`, or the path"), "{said:?}");
}

#[test]
fn a_path_without_a_model_says_what_is_there() {
    let dir = package();
    for folder in ["docs", "adapter"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    std::fs::write(dir.path().join("adapter/adapter_config.json"), "{}").unwrap();
    let format = "name the folder of a model in the Hugging Face format";
    for (path, why) in [
        (
            "llama",
            "does not exist (paths are relative to the folder of Cargo.toml); built-in models are \
             written without quotes: `tiny`, `smollm2`"
                .to_owned(),
        ),
        ("tiny", "is a built-in name; write `model tiny;` without quotes".to_owned()),
        (
            "adapter",
            "contains an adapter and no model; name it as `parent`, and its base model here"
                .to_owned(),
        ),
        ("docs", format!("has no config.json; {format}")),
        ("keys.md", format!("is neither a folder nor a .gguf file; {format}")),
    ] {
        let (_, said) = declared(dir.path(), &format!("\"{path}\""), None);
        assert_eq!(said, [format!("B0010 `{path}` {why}")]);
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf");
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn a_gguf_file_is_checked_by_its_header_and_known_by_its_size() {
    let dir = package();
    let file = dir.path().join("m.gguf");
    std::fs::write(&file, fixture("llama-tied.gguf")).unwrap();
    let (bakes, said) = declared(dir.path(), "\"m.gguf\"", None);
    assert_eq!(said, [""; 0]);
    let recipe = &bakes[0].recipe;
    assert_eq!(recipe.model, ModelSource::Gguf("m.gguf".into()));
    assert_eq!(bakes[0].files, ["keys.md"], "its weights are not read by the compiler");
    let (_, said) = declared(dir.path(), "\"m.gguf\"; lora { rank 4000; }", None);
    assert!(said[0].starts_with("B0019 rank 4000 is more than"), "{said:?}");

    let config = model::gguf::read_header(&file).unwrap().config().unwrap();
    let identity = Identity::of(dir.path(), &recipe.model).unwrap();
    let hash = model::hash(dir.path(), &recipe.model).unwrap();
    let mut lock = Lock::default();
    lock.insert("Support", Locked::new(recipe, hash, &identity, &config));
    assert_eq!(declared(dir.path(), "\"m.gguf\"", Some(&lock)).1, [""; 0]);

    // Another file in its place is another model, and half of one is not a model.
    for (bytes, said_first) in [
        (fixture("llama-tied-q8_0.gguf"), "the model has changed"),
        (fixture("llama-tied.gguf")[..3000].to_vec(), "m.gguf"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let (_, said) = declared(dir.path(), "\"m.gguf\"", Some(&lock));
        assert!(said[0].contains(said_first), "{said:?}");
        let changed = Identity::of(dir.path(), &recipe.model).unwrap();
        assert!(!changed.matches(&identity));
    }

    // A clone without it is checked by what the lock says.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(declared(dir.path(), "\"m.gguf\"", Some(&lock)).1, [""; 0]);
    let rank = "\"m.gguf\"; lora { rank 4000; }";
    assert!(declared(dir.path(), rank, Some(&lock)).1[0].starts_with("B0019"));
    let (_, said) = declared(dir.path(), "\"m.gguf\"", None);
    assert!(said[0].starts_with("B0010 `m.gguf` does not exist"), "{said:?}");
}
