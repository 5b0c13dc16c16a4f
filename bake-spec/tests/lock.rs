//! The lock: what it says, what it refuses, and which target a change makes stale.

use std::path::Path;

use bake_spec::check::{Mode, Package, check, states};
use bake_spec::lock::{KnownModel, Lock, Locked, State, state};
use bake_spec::model::{self, Identity, TINY_HASH};
use bake_spec::{Config, ErrorKind, Hash, Recipe};
use proc_macro2::TokenStream;

const DECLARED: &str = r#"
    bake Support {
        target keys from "keys.md" { dataset "asked.csv"; }
        target lamp from "lamp.md";
        anchor manners { questions ["Hello"]; }
        expect keys "Who?" => contains "Bob";
    }
"#;

fn package() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in
        [("keys.md", "Ask Bob."), ("lamp.md", "Call the shop."), ("asked.csv", "question\nWhere?")]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn recipe(dir: &Path, source: &str) -> Recipe {
    let (bakes, mut diagnostics) =
        bake_spec::syntax::parse::parse(source.parse::<TokenStream>().unwrap());
    let mut declared = check(bakes, Package { root: dir, lock: None }, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    declared.remove(0).recipe
}

fn locked(recipe: &Recipe) -> Locked {
    let config =
        Config::parse(include_str!("../../models/tiny/config.json"), "config.json").unwrap();
    let identity = Identity::of(Path::new(&*recipe.root), &recipe.model).unwrap();
    let hash = model::hash(Path::new(&*recipe.root), &recipe.model).unwrap();
    Locked::new(recipe, hash, &identity, &config)
}

/// The states of keys, lamp and manners, and the whole one's.
fn states_after(dir: &Path, source: &str, locked: &Locked) -> (Vec<State>, State) {
    let recipe = recipe(dir, source);
    let hash = model::hash(dir, &recipe.model).unwrap();
    let found = state(&recipe, KnownModel::Whole(&hash), Some(locked));
    let identity = Identity::of(dir, &recipe.model).unwrap();
    assert_eq!(
        found,
        state(&recipe, KnownModel::Identity(Some(&identity)), Some(locked)),
        "what the macro sees is what `cargo bake` sees"
    );
    assert_eq!(
        found.state != State::Fresh,
        recipe.hash(&hash) != locked.recipe,
        "what makes another adapter is stale: {found:?}"
    );
    (found.targets.iter().map(|target| target.state).collect(), found.state)
}

#[test]
fn a_change_makes_the_right_target_stale_and_nothing_else() {
    use State::{Fresh, Stale};
    let dir = package();
    let locked = locked(&recipe(dir.path(), DECLARED));
    assert_eq!(states_after(dir.path(), DECLARED, &locked), (vec![Fresh; 3], Fresh));
    for (file, text, want) in [
        ("keys.md", "Ask Bob!", [Stale, Fresh, Fresh]),
        ("lamp.md", "call the shop.", [Fresh, Stale, Fresh]),
        ("asked.csv", "question\nWhere!", [Stale, Fresh, Fresh]),
    ] {
        let before = std::fs::read(dir.path().join(file)).unwrap();
        std::fs::write(dir.path().join(file), text).unwrap();
        assert_eq!(states_after(dir.path(), DECLARED, &locked), (want.to_vec(), Stale), "{file}");
        std::fs::write(dir.path().join(file), before).unwrap();
    }
    for (from, to, want) in [
        ("target lamp from", "target lamp weight 2 from", [Fresh, Stale, Fresh]),
        ("lamp.md\";", "lamp.md\" { rollouts 2; }", [Fresh, Stale, Fresh]),
        ("[\"Hello\"]", "[\"Hello\", \"Bye\"]", [Fresh, Fresh, Stale]),
        ("anchor manners", "lora { rank 8; } anchor manners", [Stale; 3]),
        ("anchor manners", "train { epochs 2; } anchor manners", [Stale; 3]),
        ("\"Who?\"", "\"Who is it?\"", [Stale; 3]),
        ("\"Bob\"", "\"Alice\"", [Fresh; 3]),
        ("anchor manners", "embed never; anchor manners", [Fresh; 3]),
        ("anchor manners", "train { checkpoint_every 7; } anchor manners", [Fresh; 3]),
    ] {
        let whole = if want.contains(&Stale) { Stale } else { Fresh };
        assert_eq!(
            states_after(dir.path(), &DECLARED.replace(from, to), &locked),
            (want.to_vec(), whole),
            "{to}"
        );
    }
}

#[test]
fn new_and_removed_targets_are_named() {
    let dir = package();
    let whole = recipe(dir.path(), DECLARED);
    let hash: Hash = TINY_HASH.parse().unwrap();
    let less = recipe(dir.path(), "bake Support { target keys from \"keys.md\"; }");
    let added = state(&whole, KnownModel::Whole(&hash), Some(&locked(&less)));
    assert!(added.summary().contains("`lamp`: it is new"), "{}", added.summary());
    let removed = state(&less, KnownModel::Whole(&hash), Some(&locked(&whole)));
    assert!(
        removed.state == State::Stale && removed.summary().contains("`lamp` is no longer declared"),
        "{}",
        removed.summary()
    );
    let other =
        state(&whole, KnownModel::Whole(&Hash::of(b"another model")), Some(&locked(&whole)));
    assert!(
        other.summary().contains("the model has changed")
            && other.targets.iter().all(|target| target.state == State::Stale)
    );
    assert_eq!(state(&whole, KnownModel::Whole(&hash), None).state, State::Missing);
}

#[test]
fn the_same_bakes_write_the_same_lock() {
    let dir = package();
    let one = locked(&recipe(dir.path(), DECLARED));
    let two = locked(&recipe(dir.path(), "bake Another { target keys from \"keys.md\"; }"));
    let write = |order: [(&str, &Locked); 2]| {
        let mut lock = Lock::default();
        order.into_iter().for_each(|(name, locked)| lock.insert(name, locked.clone()));
        lock.write(dir.path()).unwrap();
        assert_eq!(Lock::read(dir.path()).unwrap().unwrap(), lock);
        std::fs::read_to_string(dir.path().join("bake.lock")).unwrap()
    };
    let text = write([("Support", &one), ("Another", &two)]);
    assert_eq!(text, write([("Another", &two), ("Support", &one)]));
    assert!(text.find("name = \"Another\"") < text.find("name = \"Support\""));
    assert!(!text.contains(dir.path().to_str().unwrap()), "no path of this machine");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "no temporary file is left");
}

#[test]
fn a_lock_that_cannot_be_read_is_named_with_its_line() {
    let dir = package();
    assert_eq!(Lock::read(dir.path()).unwrap(), None);
    let mut lock = Lock::default();
    lock.insert("Support", locked(&recipe(dir.path(), DECLARED)));
    lock.write(dir.path()).unwrap();
    let path = dir.path().join("bake.lock");
    let text = std::fs::read_to_string(&path).unwrap();
    let refused = |text: &str, what: &str| {
        std::fs::write(&path, text).unwrap();
        let error = Lock::read(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lock);
        assert!(
            error.to_string().contains("bake.lock") && error.to_string().contains(what),
            "{error}"
        );
    };
    refused(
        &text.replace("version = 1", "version = 2\nnew = true"),
        "is of format 2, and this version of bake reads format 1",
    );
    refused(
        &text.replace("version = 1\n", "<<<<<<< HEAD\nversion = 1\n"),
        "merge conflict in line 2",
    );
    refused(&text.replace("kl_before", "kl_befor"), "is damaged in line");
    refused(&text.replace("recipe = \"", "recipe = \"x"), "is damaged in line");
    refused(&text[..text.len() / 2], "is damaged in line");
    refused("", "is damaged in line 1: missing field `version`");
    refused(&format!("{text}{}", &text[text.find("[[bake]]").unwrap()..]), "holds `Support` twice");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Lock::read(dir.path()).unwrap_err().to_string().contains("bake.lock"));
}

#[test]
fn a_clone_without_the_model_checks_with_what_the_lock_has_kept() {
    let dir = package();
    let folder = dir.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny").join(file),
            folder.join(file),
        )
        .unwrap();
    }
    let source =
        "bake Support { model \"model\"; target keys from \"keys.md\"; lora { rank RANK; } }";
    let mut lock = Lock::default();
    lock.insert("Support", locked(&recipe(dir.path(), &source.replace("RANK", "8"))));
    std::fs::remove_dir_all(&folder).unwrap();
    let said = |rank: &str| {
        let (bakes, mut diagnostics) = bake_spec::syntax::parse::parse(
            source.replace("RANK", rank).parse::<TokenStream>().unwrap(),
        );
        let package = Package { root: dir.path(), lock: Some(&lock) };
        let declared = check(bakes, package, &mut diagnostics);
        diagnostics.extend(states(&declared, package, Some(Mode::Locked)));
        diagnostics.into_iter().map(|d| format!("{} {}", d.code, d.message)).collect::<Vec<_>>()
    };
    assert_eq!(said("8"), Vec::<String>::new());
    assert!(said("4000")[0].starts_with("B0019 rank 4000 is more than"), "{:?}", said("4000"));
}
