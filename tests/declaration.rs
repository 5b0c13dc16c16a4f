//! What a declaration becomes: types, and a recipe made of constants only.

use std::path::Path;
use std::process::Command;

use bake::recipe::{
    Answer, Divergence, Generator, Lora, LoraFields, ModelSource, NamedModel, Pattern, Schedule,
    TrainFields,
};
use bake::{Baked, Declaration, Recipe, Role, Switchable, TargetName, bake};

bake! { target keys weight 1.0 from "tests/docs/keys.md" }

bake! {
    /// Everything that can be declared.
    pub bake Everything {
        crate = ::bake;
        model "models/tiny";
        student "Be brief.";
        prompt "You are a caretaker.";
        questions ["Where?"];
        ask 7 { temperature 0.25; template "Write one question."; }
        rollouts 3;
        temperature 0;
        seed 7;
        target keys weight 2 from "tests/docs/keys.md" prompt "Mind the keys." {
            questions ["Where is my key?", "Who has it?"];
            ask 0;
            outline 30;
            template "What is {{ heading }}?";
            persona { temperature 0.9; people ["a child", "a clerk"]; }
            unanswerable { decline "No idea."; }
            dataset "tests/docs/questions.csv";
            max_tokens 32;
            temperature 0.5;
            top_p 0.9;
            top_k 40;
            on_policy 0.25;
            seed 8;
            expect "Is it lost?" => contains "Bob";
            expect from "tests/docs/expected.jsonl";
        }
        target r#move prompt "Say where to move." { everyday 9; general 30; }
        expect "Who are you?" => declines;
        expect r#move "Where to?" => equals "There.";
        expect r#move "And then?" => starts_with "Then";
        expect r#move "Why?" => ends_with "so";
        expect r#move "When?" => matches r"^\d{1,2}:\d\d$";
        lora { rank 8; alpha 16; dropout 0.1; modules [q_proj, down_proj]; layers 2..4; }
        train {
            epochs 3;
            lr 1e-4;
            batch 2;
            accumulate 4;
            schedule cosine;
            warmup 0.2;
            divergence jsd(0.3);
            temperature 2;
            clip 0.5;
            weight_decay 0.01;
            teacher anyway;
            seed 9;
        }
    }

    bake OfName {
        model smollm2;
        target lamp from "tests/docs/keys.md"
    }

    bake OfFile {
        model "tests/fixtures/gguf/llama-tied.gguf";
        target lamp from "tests/docs/keys.md"
    }

    bake Conversation {
        student { user "Who are you?"; assistant "The caretaker."; }
        prompt from "tests/docs/rules.txt";
        target keys from "tests/docs/keys.md" prompt {
            system "Mind the keys.";
            user "Is Ann in?";
            assistant from "tests/docs/rules.txt";
        } {
            context passage;
            examples {
                passage from "tests/docs/rules.txt"; user "Who?"; assistant "Bob.";
                user "Why?"; assistant "So.";
            }
        }
        anchor manners { questions ["Hello"]; }
    }

    bake Plain {
        target lamp from "tests/docs/keys.md"
    }

    #[cfg(any())]
    bake Absent {
        target lamp from "tests/docs/keys.md"
    }

    #[cfg(all())]
    bake Present {
        target r#fn from "tests/docs/keys.md";
        expect fn "Where?" => declines;
    }
}

/// Handles can be shared between threads: this is checked when the test is compiled.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Baked<Bake>>();
    shared::<Switchable<Bake>>();
    shared::<bake::Loader<Bake>>();
    shared::<bake::Chat>();
    shared::<bake::Session>();
    shared::<bake::AnswerStream<'static>>();
    shared::<bake::Model>();
    shared::<bake::Error>();
};

#[test]
fn the_bare_form_has_a_default_for_everything() {
    let recipe: &Recipe = Bake::RECIPE;
    assert_eq!(
        (&*recipe.name, &*recipe.root, &recipe.student),
        ("Bake", env!("CARGO_MANIFEST_DIR"), &"".into())
    );
    assert_eq!(recipe.model, ModelSource::Tiny);
    assert_eq!(recipe.expects.len(), 0);
    let [target, everyday] = &*recipe.targets else { panic!("one target is declared") };
    assert_eq!((&*everyday.name, everyday.anchor), ("everyday", true));
    assert_eq!(*everyday.stimuli.generators, [Generator::Everyday(Default::default())]);
    assert_eq!((&*target.name, target.weight, target.prompt.is_empty()), ("keys", 1.0, true));
    assert_eq!(target.document.as_ref().unwrap().path, "tests/docs/keys.md");
    let generators = [
        Generator::Outline(Default::default()),
        Generator::Unanswerable(Default::default()),
        Generator::Ask(Default::default()),
    ];
    assert_eq!(*target.stimuli.generators, generators);
    let rollout = &target.rollout;
    assert_eq!((rollout.answers, rollout.max_tokens, rollout.temperature), (1, None, 1.0));
    assert_eq!((rollout.top_p, rollout.top_k, rollout.seed), (1.0, 0, 42));
    let lora =
        LoraFields { rank: 32, alpha: 64.0, dropout: 0.0, modules: vec![].into(), layers: None };
    assert_eq!(*recipe.lora, lora);
    assert_eq!(recipe.lora, Lora::default());
    let train = TrainFields {
        epochs: 16,
        lr: None,
        batch: 8,
        accumulate: 1,
        schedule: Schedule::Linear,
        warmup: 0.1,
        divergence: Divergence::ForwardKl,
        temperature: 1.0,
        clip: 1.0,
        weight_decay: 0.0,
        seed: 42,
        held_out: 0.1,
        patience: 4,
        rehearse: 1,
        stop_at_kl: None,
        until_covered: None,
        checkpoint_every: None,
        keep_every: None,
        teacher_anyway: false,
    };
    assert_eq!(*recipe.train, train);
    assert_eq!(BakeTarget::ALL, [BakeTarget::Keys]);
}

#[test]
fn a_model_has_a_name_or_a_path() {
    assert_eq!(OfName::RECIPE.model, ModelSource::Named(NamedModel::declared("smollm2")));
    let file = ModelSource::Gguf("tests/fixtures/gguf/llama-tied.gguf".into());
    assert_eq!(OfFile::RECIPE.model, file);
}

#[test]
fn conversations_and_files_of_prompts_are_constants() {
    let (recipe, rules) = (Conversation::RECIPE, "Answer from the list.\nSay no more.");
    let said = |prompt: &bake::recipe::Prompt| {
        let turns = prompt.turns.iter().map(|turn| (turn.role, turn.text.to_string()));
        (prompt.system.to_string(), turns.collect::<Vec<_>>())
    };
    let turns = |user: &str, assistant: &str| {
        vec![(Role::User, user.to_owned()), (Role::Assistant, assistant.to_owned())]
    };
    let student = turns("Who are you?", "The caretaker.");
    assert_eq!(said(&recipe.student), (String::new(), student));
    let [keys, manners] = &*recipe.targets else { panic!("two are declared") };
    let system = format!("{rules}\n\nMind the keys.");
    assert_eq!(said(&keys.prompt), (system, turns("Is Ann in?", rules)));
    assert_eq!(manners.prompt, recipe.student);
    assert_eq!(keys.context, Some(bake::recipe::TeacherContext::Passage));
    let worked: Vec<Vec<&str>> =
        keys.examples.iter().map(|example| example.texts().collect()).collect();
    assert_eq!(worked, [vec![rules, "Who?", "Bob."], vec!["Why?", "So."]]);
}

#[test]
fn everything_that_is_declared_is_in_the_recipe() {
    let recipe = Everything::RECIPE;
    assert_eq!(recipe.model, ModelSource::Folder("models/tiny".into()));
    assert_eq!(recipe.student, "Be brief.".into());
    let [keys, to_move] = &*recipe.targets else { panic!("two targets are declared") };

    assert_eq!(
        (keys.weight, &*keys.prompt.system),
        (2.0, "You are a caretaker.\n\nMind the keys.")
    );
    assert_eq!(keys.stimuli.questions(), ["Where is my key?", "Who has it?"]);
    assert_eq!((keys.stimuli.ask(), keys.stimuli.outline().unwrap().count), (None, Some(30)));
    assert_eq!(&**keys.stimuli.template().unwrap(), "What is {{ heading }}?");
    let persona = keys.stimuli.persona().unwrap();
    assert_eq!((persona.count, persona.temperature), (None, 0.9));
    assert_eq!(&*persona.people, ["a child", "a clerk"]);
    let unanswerable = keys.stimuli.unanswerable().unwrap();
    assert_eq!((unanswerable.count, unanswerable.decline.as_deref()), (None, Some("No idea.")));
    assert_eq!(keys.stimuli.datasets().count(), 1);
    let rollout = &keys.rollout;
    assert_eq!((rollout.answers, rollout.max_tokens, rollout.temperature), (3, Some(32), 0.5));
    assert_eq!((rollout.top_p, rollout.top_k, rollout.seed), (0.9, 40, 8));
    assert_eq!(rollout.on_policy, 0.25);

    assert_eq!((&*to_move.name, to_move.weight, &to_move.document), ("move", 1.0, &None));
    assert_eq!(to_move.stimuli.questions(), ["Where?"]);
    assert_eq!(to_move.stimuli.everyday().unwrap().count, Some(9));
    assert_eq!(to_move.stimuli.general().unwrap().count, Some(30));
    let ask = to_move.stimuli.ask().unwrap();
    assert_eq!(
        (ask.count, ask.temperature, ask.template.as_deref()),
        (Some(7), 0.25, Some("Write one question."))
    );
    assert_eq!(
        (to_move.rollout.answers, to_move.rollout.temperature, to_move.rollout.seed),
        (3, 0.0, 7)
    );

    let expects: Vec<_> =
        recipe.expects.iter().map(|e| (e.target.as_deref(), &*e.question, &e.answer)).collect();
    let (equals, contains) = (Answer::Equals("There.".into()), Answer::Contains("Bob".into()));
    let (begins, ends) = (Answer::StartsWith("Then".into()), Answer::EndsWith("so".into()));
    let time = Answer::Matches(Pattern::new(r"^\d{1,2}:\d\d$").unwrap());
    let want = [
        (None, "Who are you?", &Answer::Declines),
        (Some("move"), "Where to?", &equals),
        (Some("move"), "And then?", &begins),
        (Some("move"), "Why?", &ends),
        (Some("move"), "When?", &time),
        (Some("keys"), "Is it lost?", &contains),
        (Some("keys"), "Is the key lost?", &Answer::contains_any(["Bob", "Robert"])),
        (Some("keys"), "What does a key cost?", &Answer::Declines),
    ];
    assert_eq!(expects, want);

    let modules = vec!["q_proj".into(), "down_proj".into()];
    let lora = LoraFields {
        rank: 8,
        alpha: 16.0,
        dropout: 0.1,
        modules: modules.into(),
        layers: Some((2, 4)),
    };
    assert_eq!(*recipe.lora, lora);
    let train = TrainFields {
        epochs: 3,
        lr: Some(1e-4),
        batch: 2,
        accumulate: 4,
        schedule: Schedule::Cosine,
        warmup: 0.2,
        divergence: Divergence::Jsd(0.3),
        temperature: 2.0,
        clip: 0.5,
        weight_decay: 0.01,
        seed: 9,
        held_out: 0.1,
        patience: 4,
        rehearse: 1,
        stop_at_kl: None,
        until_covered: None,
        checkpoint_every: None,
        keep_every: None,
        teacher_anyway: true,
    };
    assert_eq!(*recipe.train, train);
}

#[test]
fn targets_are_variants_that_know_their_place_and_name() {
    assert_eq!(EverythingTarget::ALL, [EverythingTarget::Keys, EverythingTarget::Move]);
    for (i, target) in EverythingTarget::ALL.iter().enumerate() {
        assert_eq!(target.index(), i);
        assert_eq!(target.name(), &*Everything::RECIPE.targets[i].name);
    }
    assert_eq!(Plain::RECIPE.name, "Plain");
    assert_eq!(PlainTarget::ALL, [PlainTarget::Lamp]);
    assert_eq!(PresentTarget::Fn.name(), "fn");
    assert_eq!(Present::RECIPE.expects[0].target.as_deref(), Some("fn"));
}

/// A package whose bake names a document. It replaces the engine by its own items, so that it
/// compiles quickly.
fn package(dir: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = format!(
        "[package]\nname = \"app\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nbake-macros = \
         {{ path = {:?} }}\nbake-spec = {{ path = {:?} }}\n",
        root.join("bake-macros"),
        root.join("bake-spec")
    );
    let source = r#"
        #![no_implicit_prelude]
        #![deny(warnings, missing_docs)]
        //! An application.

        /// Keeps it.
        #[macro_export]
        macro_rules! with_training { ($($item:item)*) => { $($item)* }; }

        /// What generated code names.
        pub mod engine {
            /// Stand-ins for the engine's items.
            pub mod __private {
                pub use ::bake_spec::{Declaration, Recipe, Status, TargetName, recipe};
                pub use crate::with_training;
                /// What editors show.
                #[path = SETTINGS]
                pub mod settings;
                pub use ::std::result::Result as StdResult;
                /// The result of a bake.
                pub struct Bake;
                /// How to bake.
                #[derive(::std::default::Default)]
                pub struct BakeOptions;
                /// A baked model.
                pub struct Baked<D>(::std::marker::PhantomData<D>);
                /// What can fail.
                pub type Result<T> = StdResult<T, ::std::string::String>;
                impl BakeOptions {
                    /// All defaults.
                    pub fn new() -> Self {
                        BakeOptions
                    }
                }
                /// Bakes.
                pub fn bake<D: Declaration>(_: &BakeOptions) -> Result<Bake> {
                    Result::Ok(Bake)
                }
                /// Loads.
                pub fn load<D: Declaration>() -> Result<Baked<D>> {
                    Result::Ok(Baked(::std::marker::PhantomData))
                }
                /// Says how to load.
                pub struct Loader<D>(::std::marker::PhantomData<D>);
                impl<D> Loader<D> {
                    /// All defaults.
                    pub fn new() -> Self {
                        Loader(::std::marker::PhantomData)
                    }
                }
                impl<D> ::std::default::Default for Loader<D> {
                    fn default() -> Self {
                        Self::new()
                    }
                }
            }
        }

        ::bake_macros::bake! {
            pub bake Support {
                crate = crate::engine;
                target keys from "keys.md";
                expect from "expected.jsonl";
            }
        }

        ::bake_macros::bake! {
            bake Unused {
                crate = crate::engine;
                target keys from "keys.md";
            }
        }
    "#;
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    std::fs::create_dir(dir.join("src")).unwrap();
    write("Cargo.toml", &manifest);
    write(
        "src/lib.rs",
        &source.replace("SETTINGS", &format!("{:?}", root.join("src/settings.rs"))),
    );
    write("keys.md", "Ask Bob.");
    write("expected.jsonl", "{\"question\": \"Who?\", \"contains\": \"Bob\"}");
    // The versions that this package was built with are available; others might not be.
    std::fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
}

/// Compiles the package; returns whether that worked and what was printed.
fn check(dir: &Path) -> (bool, String) {
    cargo(dir, &["check"], None)
}

fn cargo(dir: &Path, args: &[&str], mode: Option<&str>) -> (bool, String) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("declaration");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(args)
        .current_dir(dir)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("BAKE_MODE");
    if let Some(mode) = mode {
        cargo.env("BAKE_MODE", mode);
    }
    let output = cargo.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_edited_document_is_noticed_and_generated_code_needs_nothing_of_its_surroundings() {
    let dir = tempfile::tempdir().unwrap();
    package(dir.path());
    let (ok, said) = check(dir.path());
    assert!(ok, "{said}");
    let (ok, said) = check(dir.path());
    assert!(ok && !said.contains("Checking app"), "nothing has changed: {said}");

    std::fs::write(dir.path().join("keys.md"), "Ask Alice.").unwrap();
    let (ok, said) = check(dir.path());
    assert!(ok && said.contains("Checking app"), "the document has changed: {said}");

    std::fs::write(dir.path().join("keys.md"), "").unwrap();
    let (ok, said) = check(dir.path());
    assert!(!ok && said.contains("the document `keys.md` is empty"), "{said}");

    std::fs::remove_file(dir.path().join("keys.md")).unwrap();
    let (ok, said) = check(dir.path());
    assert!(!ok && said.contains("the document `keys.md` does not exist"), "{said}");

    std::fs::write(dir.path().join("keys.md"), "Ask Bob.").unwrap();
    let (ok, said) = check(dir.path());
    assert!(ok, "{said}");

    // So is a file of expectations.
    let expected = dir.path().join("expected.jsonl");
    std::fs::write(&expected, "{\"question\": \"Who?\", \"contains\": \"Al\"}").unwrap();
    let (ok, said) = check(dir.path());
    assert!(ok && said.contains("Checking app"), "another answer is expected: {said}");
    std::fs::write(&expected, "Who?").unwrap();
    let (ok, said) = check(dir.path());
    assert!(!ok && said.contains("`expected.jsonl`, line 1: not a JSON object"), "{said}");
    std::fs::write(&expected, "{\"question\": \"Who?\", \"declines\": true}").unwrap();
    let (ok, said) = check(dir.path());
    assert!(ok, "{said}");

    // What an editor finds for the keywords exists, also when warnings are errors.
    let (ok, said) =
        cargo(dir.path(), &["rustc", "--profile", "check", "--", "--cfg", "rust_analyzer"], None);
    assert!(ok, "{said}");

    // The mode of a build script is noticed, and so is a change of it.
    let (ok, said) = cargo(dir.path(), &["check"], Some("locked"));
    assert!(
        !ok && said.contains("`Support` has not been baked; run `cargo bake` [B0017]"),
        "{said}"
    );
    let (ok, said) = cargo(dir.path(), &["check"], Some("stub"));
    assert!(ok, "{said}");

    // So is a lock.
    std::fs::write(dir.path().join("bake.lock"), "version = 3\n").unwrap();
    std::fs::write(dir.path().join("keys.md"), "Ask Bob. He knows.").unwrap();
    let (ok, said) = check(dir.path());
    assert!(!ok && said.contains("has format 3") && said.contains("[B0018]"), "{said}");
    std::fs::write(dir.path().join("bake.lock"), "version = 1\n").unwrap();
    let (ok, said) = check(dir.path());
    assert!(
        !ok && said.contains("`Support` has not been baked; run `cargo bake` [B0017]"),
        "here, warnings are errors: {said}"
    );
}
