//! The lock: what it says, what it refuses, and which target a change makes stale.

use std::path::Path;

use bake_spec::check::{DeclaringPackage, Mode, check, states};
use bake_spec::lock::{KnownModel, Lock, Locked, LockedDrift, State, state};
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
    let mut declared = check(bakes, DeclaringPackage { root: dir, lock: None }, &mut diagnostics);
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

/// The states of keys, lamp and manners, and of the whole bake.
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
        ("anchor manners", "train { keep_every 1; } anchor manners", [Fresh; 3]),
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
    assert!(added.summary().contains("`lamp`: new target"), "{}", added.summary());
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
        &text.replace("version = 2", "version = 3\nnew = true"),
        "has format 3, but this version of bake reads only formats 1 and 2",
    );
    refused(&text.replace("version = 2", "version = 0"), "is damaged: there is no format 0");
    refused(
        &text.replace("version = 2\n", "<<<<<<< HEAD\nversion = 2\n"),
        "merge conflict on line 2",
    );
    refused(&text.replace("kl_before", "kl_befor"), "is damaged on line");
    refused(&text.replace("recipe = \"", "recipe = \"x"), "is damaged on line");
    refused(&text[..text.len() / 2], "is damaged on line");
    refused("", "is damaged on line 1: missing field `version`");
    refused(
        &format!("{text}{}", &text[text.find("[[bake]]").unwrap()..]),
        "contains `Support` twice",
    );
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Lock::read(dir.path()).unwrap_err().to_string().contains("bake.lock"));
    #[cfg(unix)]
    {
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = Lock::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("bake.lock is not a regular file"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_linked_lock_stays_a_link() {
    let dir = package();
    std::fs::create_dir(dir.path().join("shared")).unwrap();
    std::fs::write(dir.path().join("shared/office.lock"), "version = 2\n").unwrap();
    let path = dir.path().join("bake.lock");
    std::os::unix::fs::symlink("shared/office.lock", &path).unwrap();
    let mut lock = Lock::default();
    lock.insert("Support", locked(&recipe(dir.path(), DECLARED)));
    lock.write(dir.path()).unwrap();
    assert!(path.is_symlink());
    assert_eq!(Lock::read(dir.path()).unwrap(), Some(lock));
}

#[test]
fn a_clone_without_the_model_is_checked_with_the_lock() {
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
        let package = DeclaringPackage { root: dir.path(), lock: Some(&lock) };
        let declared = check(bakes, package, &mut diagnostics);
        diagnostics.extend(states(&declared, package, Some(Mode::Locked)));
        diagnostics.into_iter().map(|d| format!("{} {}", d.code, d.message)).collect::<Vec<_>>()
    };
    assert_eq!(said("8"), Vec::<String>::new());
    assert!(said("4000")[0].starts_with("B0019 rank 4000 is more than"), "{:?}", said("4000"));
}

/// The package whose lock of format 1 is among the fixtures.
const OFFICE: &str = r#"
    bake Office {
        anchors none;
        lora { rank 8; alpha 16; }
        train { epochs 24; lr 6e-3; }
        target office from "docs/office.md" {
            questions from "docs/questions.txt";
            ask 40;
            outline 0;
            unanswerable 0;
            expect "My key is lost. What now?" => contains "Bob";
            expect "Help, my laptop is broken" => contains "room 12";
            expect "What do I do when I am ill?" => contains "before nine";
        }
    }
"#;

fn office(lock: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("docs")).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lock");
    for (from, to) in [
        ("office.md", "docs/office.md"),
        ("questions.txt", "docs/questions.txt"),
        (lock, "bake.lock"),
    ] {
        std::fs::copy(here.join(from), dir.path().join(to)).unwrap();
    }
    dir
}

fn office_state(dir: &Path, source: &str) -> bake_spec::lock::BakeState {
    office_state_with(TINY_HASH, dir, source)
}

fn office_state_with(model: &str, dir: &Path, source: &str) -> bake_spec::lock::BakeState {
    let lock = Lock::read(dir).unwrap().unwrap();
    let hash: Hash = model.parse().unwrap();
    state(&recipe(dir, source), KnownModel::Whole(&hash), lock.bakes.get("Office"))
}

#[test]
fn a_bake_locked_in_format_1_is_fresh_until_something_changes() {
    let dir = office("format1.lock");
    // The embedded model has had other weights since.
    let then = "e2885182c5a1764d1cbeab56a16f1f42a43fda57ae76d9b85e815ce1c49ee809";
    let office_state = |dir: &Path, source: &str| office_state_with(then, dir, source);
    let written = OFFICE.replace("ask 40", "ask 0");
    assert_eq!(office_state(dir.path(), &written).state, State::Fresh);
    for (from, to, what) in [
        ("rank 8", "rank 4", "`lora` has changed"),
        ("epochs 24", "epochs 25", "`train` has changed"),
        ("ask 0", "ask 40", "`office`: its settings or questions have changed"),
        ("outline 0", "outline 5", "`office`: its settings or questions have changed"),
        ("key is lost", "key has gone", "the questions of `expect`, which are held out"),
    ] {
        let found = office_state(dir.path(), &written.replace(from, to));
        assert!(
            found.state == State::Stale && found.summary().contains(what),
            "{}",
            found.summary()
        );
    }
    // It stays as it is when another bake is recorded and the lock is read again.
    let other = locked(&recipe(dir.path(), "bake B { target o from \"docs/office.md\"; }"));
    Lock::update(dir.path(), |lock| {
        lock.insert("B", other);
        Ok::<(), bake_spec::Error>(())
    })
    .unwrap();
    let text = std::fs::read_to_string(dir.path().join("bake.lock")).unwrap();
    assert!(text.contains("version = 2") && text.contains("[bake.format_1.shared]"), "{text}");
    assert_eq!(office_state(dir.path(), &written).state, State::Fresh);
}

#[test]
fn figures_are_read_from_a_lock_that_has_fewer_of_them() {
    let dir = office("format2.lock");
    let path = dir.path().join("bake.lock");
    let text = std::fs::read_to_string(&path).unwrap();
    let figures = "[bake.expects]\nasked = 3\nbase = 0\nprompted = 2\nbaked = 3\n\n\
                   [bake.recall]\nasked = 9\nbase = 1\nbaked = 8\nunanswerable = 2\n\
                   declined = 1\n\n[bake.stages]";
    std::fs::write(&path, text.replacen("[bake.stages]", figures, 1)).unwrap();
    let mut lock = Lock::read(dir.path()).unwrap().unwrap();
    let locked = lock.bakes.get_mut("Office").unwrap();
    let (expects, recall) = (locked.expects.as_mut().unwrap(), locked.recall.as_mut().unwrap());
    assert_eq!((expects.prompted, expects.prompted_asked), (2, None));
    assert_eq!((expects.prompted_with_passage, recall.prompted), (None, None));
    assert_eq!((recall.baked, recall.declined, locked.drift), (8, 1, None));
    // What is noted now is read again.
    (expects.prompted_with_passage, expects.prompted_with_passage_asked) = (Some(3), Some(3));
    (recall.prompted, recall.prompted_asked) = (Some(4), Some(9));
    locked.drift = Some(LockedDrift { kl: 0.0125, asked: 40, same: 38 });
    lock.write(dir.path()).unwrap();
    assert_eq!(Lock::read(dir.path()).unwrap().unwrap(), lock);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\n[bake.drift]\nkl = 0.0125\nasked = 40\nsame = 38\n"), "{text}");
}

#[test]
fn a_lock_of_this_format_is_read_and_written_unchanged() {
    let dir = office("format2.lock");
    let mut noted = locked(&recipe(dir.path(), OFFICE));
    (noted.adapter, noted.bytes) = (Hash::of(b"adapter"), 958_135);
    (noted.kl_before, noted.kl_after) = (10.5, 0.25);
    let office = noted.targets.get_mut("office").unwrap();
    (office.prompt_tokens, office.question_tokens) = (89, 18);
    (office.stimuli, office.rollouts) = (55, 55);
    let mut lock = Lock::default();
    lock.insert("Office", noted);
    let golden = Lock::read(dir.path()).unwrap().unwrap();
    lock.write(dir.path()).unwrap();
    let written = std::fs::read_to_string(dir.path().join("bake.lock")).unwrap();
    if std::env::var_os("BAKE_WRITE_ADDRESSES").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lock/format2.lock");
        std::fs::write(file, &written).unwrap();
        return;
    }
    assert_eq!(written, fixture("format2.lock"));
    assert_eq!(golden, lock);
    assert_eq!(office_state(dir.path(), OFFICE).state, State::Fresh);
}

#[test]
fn what_has_changed_is_named_with_its_old_and_its_new_value() {
    let dir = office("format2.lock");
    for (from, to, what) in [
        ("rank 8", "rank 32", "`lora.rank` has changed from 8 to 32"),
        ("epochs 24; ", "", "`train.epochs` has changed from 24 to 16"),
        ("ask 40;", "ask 40 { temperature 0.9; }", "`ask.temperature` has changed from 0.5 to 0.9"),
        ("ask 40;", "temperature 0.5; ask 40;", "`temperature` has changed from 1.0 to 0.5"),
        ("ask 40;", "questions [\"Who?\"];", "`ask` has changed from 40 to auto"),
        ("ask 40;", "ask 0;", "`ask` has changed from 40 to 0"),
        ("outline 0;", "", "`outline` has changed from 0 to auto"),
        ("unanswerable 0;", "unanswerable 7;", "`unanswerable` has changed from 0 to 7"),
        ("outline 0;", "outline 0; context passage;", "`context` has changed from its default"),
        (
            "outline 0;",
            "outline 0; examples { user \"Who?\"; assistant \"Bob.\"; }",
            "`examples` has changed",
        ),
        ("anchors none;", "", "`everyday`: new target"),
        (
            "lora {",
            "student \"Be brief.\"; lora {",
            "`student` has changed from its default to \"Be brief.\"",
        ),
        (
            "is lost. What now?\"",
            "is lost.\"",
            "the questions of `expect`, which are held out: 1 was added, 1 removed",
        ),
    ] {
        let source = OFFICE.replace(from, to).replace(
            if to.contains("questions") { "questions from \"docs/questions.txt\";" } else { "@" },
            "",
        );
        let found = office_state(dir.path(), &source);
        assert!(
            found.state == State::Stale && found.summary().contains(what),
            "{what}: {}",
            found.summary()
        );
        assert!(!found.summary().contains("this version of bake"), "{}", found.summary());
    }
}

/// Two bakes at the same time, with a pull in between, lose nothing.
#[test]
fn a_lock_that_several_update_keeps_what_each_recorded() {
    let dir = package();
    let noted = locked(&recipe(dir.path(), DECLARED));
    let update = |name: String| {
        Lock::update(dir.path(), |lock| {
            lock.insert(&name, noted.clone());
            Ok::<(), bake_spec::Error>(())
        })
        .unwrap();
    };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || (0..8).for_each(|i| update(format!("Bake{thread}x{i}"))));
        }
    });
    assert_eq!(Lock::read(dir.path()).unwrap().unwrap().bakes.len(), 64);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing is left beside it");
    let failed = Lock::update(dir.path(), |lock| {
        lock.bakes.clear();
        Err::<(), _>(Lock::read(Path::new("\0")).unwrap_err())
    });
    assert!(failed.is_err());
    assert_eq!(Lock::read(dir.path()).unwrap().unwrap().bakes.len(), 64, "nothing was written");
}

/// Whatever is edited, the lock is refused or the bake is stale; nothing panics.
#[test]
fn a_lock_that_was_edited_by_hand_is_an_error_or_stale() {
    let dir = office("format2.lock");
    let path = dir.path().join("bake.lock");
    for name in ["format1.lock", "format2.lock"] {
        let text = fixture(name);
        let huge = [
            "18446744073709551615",
            "9223372036854775807",
            "-1",
            "0",
            "1e999",
            "nan",
            "-inf",
            "\"x\"",
        ];
        for (i, line) in text.lines().enumerate() {
            let Some((key, _)) = line.split_once(" = ") else { continue };
            for value in huge {
                let edited: Vec<String> = text
                    .lines()
                    .enumerate()
                    .map(|(j, line)| if i == j { format!("{key} = {value}") } else { line.into() })
                    .collect();
                std::fs::write(&path, edited.join("\n")).unwrap();
                let lock = match Lock::read(dir.path()) {
                    Ok(lock) => lock.unwrap(),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Lock, "{key} = {value}: {error}");
                        continue;
                    }
                };
                let package = DeclaringPackage { root: dir.path(), lock: Some(&lock) };
                let source = OFFICE.replace("lora {", "model \"no/model\"; lora {");
                let mut diagnostics = Vec::new();
                for source in [OFFICE, &source] {
                    let (bakes, _) = bake_spec::syntax::parse::parse(source.parse().unwrap());
                    let declared = check(bakes, package, &mut diagnostics);
                    states(&declared, package, Some(Mode::Locked));
                }
            }
        }
    }
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lock").join(name);
    std::fs::read_to_string(path).unwrap()
}
