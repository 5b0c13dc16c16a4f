//! The builder of recipes can set everything that a declaration can.

#[path = "shared/declared.rs"]
mod declared;

use std::path::Path;

use Scope::{
    AnchorBody, AnchorHead, Ask, Bake, Dataset, Examples, Lora, Persona, Prompt, Rephrase,
    TargetBody, TargetHead, Train, Unanswerable,
};
use bake_spec::Recipe;
use bake_spec::recipe::builder::{AnchorBuilder, TargetBuilder};
use bake_spec::recipe::{Divergence, RecipeBuilder, Schedule, TeacherContext};
use bake_spec::settings::{SETTINGS, Scope, find};
use declared::{package, without_mistakes};

/// A setting, words of a declaration that set it, and methods that do.
type Row<B> = (Scope, &'static str, &'static str, fn(B) -> B);

/// Settings that no recipe has: they say when an adapter is embedded, and what `cargo bake` asks of
/// it.
const NOT_OF_A_RECIPE: [&str; 4] = ["embed", "gate", "kl", "expects"];

/// Settings that the macro refuses, since the engine does not have them.
const NOT_YET: [&str; 2] = ["student in a target", "stop"];

/// Beside `target keys from "keys.md";`.
const OF_BAKES: &[Row<RecipeBuilder>] = &[
    (Bake, "parent", "parent \"adapter\";", |b| b.parent("adapter")),
    (Bake, "student", "student \"Be brief.\";", |b| b.student("Be brief.")),
    (Bake, "student", "student from \"asked.txt\";", |b| b.student_from("asked.txt")),
    (Bake, "student", "student { user \"Hi\"; assistant \"Hello.\"; }", |b| {
        b.student_turns(|turns| turns.user("Hi").assistant("Hello."))
    }),
    (Bake, "prompt", "prompt \"Mind the keys.\";", |b| b.prompt("Mind the keys.")),
    (Bake, "prompt", "prompt from \"asked.txt\";", |b| b.prompt_from("asked.txt")),
    (Prompt, "system", "prompt { system \"Mind.\"; }", |b| {
        b.prompt_turns(|turns| turns.system("Mind."))
    }),
    (Prompt, "system", "prompt { system from \"asked.txt\"; }", |b| {
        b.prompt_turns(|turns| turns.system_from("asked.txt"))
    }),
    (Prompt, "user", "prompt { user \"Hi\"; assistant \"Hello.\"; }", |b| {
        b.prompt_turns(|turns| turns.user("Hi").assistant("Hello."))
    }),
    (Prompt, "assistant", "prompt { user from \"asked.txt\"; assistant from \"lamp.md\"; }", |b| {
        b.prompt_turns(|turns| turns.user_from("asked.txt").assistant_from("lamp.md"))
    }),
    (Bake, "documents", "documents anywhere; target out from \"../lamp.md\";", |b| {
        b.documents_anywhere().target("out", |target| target.document("../lamp.md"))
    }),
    (TargetHead, "from", "target lamp from \"lamp.md\";", |b| {
        b.target("lamp", |target| target.document("lamp.md"))
    }),
    (Bake, "context", "context document;", |b| b.context(TeacherContext::Document)),
    (Bake, "examples", "examples { user \"Who?\"; assistant \"Bob.\"; }", |b| {
        b.examples(|examples| examples.user("Who?").assistant("Bob."))
    }),
    (Bake, "examples", "examples from \"worked.jsonl\";", |b| b.examples_from("worked.jsonl")),
    (Bake, "questions", "questions [\"Who?\"];", |b| b.questions(["Who?"])),
    (Bake, "questions", "questions from \"asked.txt\";", |b| b.questions_from("asked.txt")),
    (Bake, "outline", "outline 30;", |b| b.outline(30)),
    (Bake, "template", "template \"What is {{ heading }}?\";", |b| {
        b.template("What is {{ heading }}?")
    }),
    (Bake, "ask", "ask 40;", |b| b.ask(40)),
    (Bake, "ask", "ask { temperature 0.9; }", |b| b.ask_with(None, |ask| ask.temperature(0.9))),
    (Bake, "persona", "persona 12;", |b| b.persona(12, |persona| persona)),
    (Bake, "rephrase", "rephrase 6;", |b| b.rephrase(6)),
    (Bake, "rephrase", "rephrase 6 { temperature 0.4; }", |b| {
        b.rephrase_with(6, |rephrase| rephrase.temperature(0.4))
    }),
    (Bake, "unanswerable", "unanswerable 9;", |b| b.unanswerable(9)),
    (Bake, "unanswerable", "unanswerable { decline \"No idea.\"; }", |b| {
        b.unanswerable_with(None, "No idea.")
    }),
    (Bake, "anchors", "anchors none;", |b| b.no_anchors()),
    (Bake, "dataset", "dataset \"asked.csv\" { field \"q\"; }", |b| b.dataset("asked.csv", "q")),
    (Bake, "rollouts", "rollouts 3;", |b| b.rollouts(3)),
    (Bake, "max_tokens", "max_tokens 64;", |b| b.max_tokens(64)),
    (Bake, "temperature", "temperature 0.5;", |b| b.temperature(0.5)),
    (Bake, "top_p", "top_p 0.9;", |b| b.top_p(0.9)),
    (Bake, "top_k", "top_k 40;", |b| b.top_k(40)),
    (Bake, "on_policy", "on_policy 0.5;", |b| b.on_policy(0.5)),
    (Bake, "seed", "seed 7;", |b| b.seed(7)),
    (Bake, "lora", "lora { rank 8; alpha 16; }", |b| b.lora(|lora| lora.rank(8).alpha(16.0))),
    (Lora, "rank", "lora { rank 8; }", |b| b.lora(|lora| lora.rank(8))),
    (Lora, "alpha", "lora { alpha 16; }", |b| b.lora(|lora| lora.alpha(16.0))),
    (Lora, "dropout", "lora { dropout 0.1; }", |b| b.lora(|lora| lora.dropout(0.1))),
    (Lora, "modules", "lora { modules [q_proj]; }", |b| b.lora(|lora| lora.modules(&["q_proj"]))),
    (Lora, "layers", "lora { layers 1..3; }", |b| b.lora(|lora| lora.layers(1..3))),
    (Bake, "train", "train { epochs 3; seed 11; }", |b| b.train(|train| train.epochs(3).seed(11))),
    (Train, "epochs", "train { epochs 3; }", |b| b.train(|train| train.epochs(3))),
    (Train, "lr", "train { lr 1e-4; }", |b| b.train(|train| train.lr(1e-4))),
    (Train, "batch", "train { batch 2; }", |b| b.train(|train| train.batch(2))),
    (Train, "accumulate", "train { accumulate 4; }", |b| b.train(|train| train.accumulate(4))),
    (Train, "schedule", "train { schedule cosine; }", |b| {
        b.train(|train| train.schedule(Schedule::Cosine))
    }),
    (Train, "schedule", "train { schedule constant; }", |b| {
        b.train(|train| train.schedule(Schedule::Constant))
    }),
    (Train, "warmup", "train { warmup 0.2; }", |b| b.train(|train| train.warmup(0.2))),
    (Train, "divergence", "train { divergence reverse_kl; }", |b| {
        b.train(|train| train.divergence(Divergence::ReverseKl))
    }),
    (Train, "divergence", "train { divergence jsd(0.3); }", |b| {
        b.train(|train| train.divergence(Divergence::Jsd(0.3)))
    }),
    (Train, "temperature", "train { temperature 2; }", |b| b.train(|train| train.temperature(2.0))),
    (Train, "clip", "train { clip 0.5; }", |b| b.train(|train| train.clip(0.5))),
    (Train, "weight_decay", "train { weight_decay 0.1; }", |b| {
        b.train(|train| train.weight_decay(0.1))
    }),
    (Train, "seed", "train { seed 11; }", |b| b.train(|train| train.seed(11))),
    (Train, "checkpoint_every", "train { checkpoint_every 5; }", |b| {
        b.train(|train| train.checkpoint_every(5))
    }),
    (Train, "keep_every", "train { keep_every 2; }", |b| b.train(|train| train.keep_every(2))),
    (Train, "teacher", "train { teacher anyway; }", |b| {
        b.train(|train| train.teacher_anyway(true))
    }),
    (Train, "held_out", "train { held_out 0.2; }", |b| b.train(|train| train.held_out(0.2))),
    (Train, "patience", "train { patience 3; }", |b| b.train(|train| train.patience(3))),
    (Train, "rehearse", "train { rehearse 2; }", |b| b.train(|train| train.rehearse(2))),
    (Train, "stop_at_kl", "train { stop_at_kl 0.01; }", |b| {
        b.train(|train| train.stop_at_kl(0.01))
    }),
    (Train, "until_covered", "train { until_covered 2; }", |b| {
        b.train(|train| train.until_covered(2))
    }),
];

/// After `target keys from "keys.md"`.
const OF_TARGETS: &[Row<TargetBuilder>] = &[
    (TargetHead, "weight", "weight 2.0;", |t| t.weight(2.0)),
    (TargetHead, "prompt", "prompt \"Mind the keys.\";", |t| t.prompt("Mind the keys.")),
    (TargetHead, "prompt", "prompt from \"asked.txt\";", |t| t.prompt_from("asked.txt")),
    (TargetHead, "prompt", "prompt { user \"Hi\"; assistant \"Hello.\"; }", |t| {
        t.prompt_turns(|turns| turns.user("Hi").assistant("Hello."))
    }),
    (TargetBody, "context", "{ context retrieved; }", |t| t.context(TeacherContext::Retrieved)),
    (TargetBody, "examples", "{ examples from \"worked.jsonl\"; }", |t| {
        t.examples_from("worked.jsonl")
    }),
    (
        Examples,
        "passage",
        "{ examples { passage \"Ask.\"; user \"Who?\"; assistant \"Bob.\"; } }",
        |t| t.examples(|examples| examples.passage("Ask.").user("Who?").assistant("Bob.")),
    ),
    (
        Examples,
        "passage",
        "{ examples { passage from \"lamp.md\"; user \"Who?\"; assistant \"Bob.\"; } }",
        |t| t.examples(|examples| examples.passage_from("lamp.md").user("Who?").assistant("Bob.")),
    ),
    (Examples, "user", "{ examples { user from \"asked.txt\"; assistant \"Bob.\"; } }", |t| {
        t.examples(|examples| examples.user_from("asked.txt").assistant("Bob."))
    }),
    (Examples, "assistant", "{ examples { user \"Who?\"; assistant from \"keys.md\"; } }", |t| {
        t.examples(|examples| examples.user("Who?").assistant_from("keys.md"))
    }),
    (TargetBody, "questions", "{ questions [\"Who?\"]; }", |t| t.questions(["Who?"])),
    (TargetBody, "questions", "{ questions from \"asked.txt\"; }", |t| {
        t.questions_from("asked.txt")
    }),
    (TargetBody, "outline", "{ outline 30; }", |t| t.outline(30)),
    (TargetBody, "template", "{ template \"What?\"; }", |t| t.template("What?")),
    (TargetBody, "ask", "{ ask 40; }", |t| t.ask(40)),
    (Ask, "temperature", "{ ask 40 { temperature 0.9; } }", |t| {
        t.ask_with(40, |ask| ask.temperature(0.9))
    }),
    (Ask, "template", "{ ask { template \"Ask one.\"; } }", |t| {
        t.ask_with(None, |ask| ask.template("Ask one."))
    }),
    (TargetBody, "persona", "{ persona 12; }", |t| t.persona(12, |persona| persona)),
    (Persona, "temperature", "{ persona { temperature 0.8; } }", |t| {
        t.persona(None, |persona| persona.temperature(0.8))
    }),
    (Persona, "people", "{ persona { people [\"a child\", \"a clerk\"]; } }", |t| {
        t.persona(None, |persona| persona.people(&["a child", "a clerk"]))
    }),
    (Persona, "people", "{ persona 4 { people from \"asked.txt\"; } }", |t| {
        t.persona(4, |persona| persona.people_from("asked.txt"))
    }),
    (TargetBody, "rephrase", "{ rephrase; }", |t| t.rephrase(None)),
    (Rephrase, "temperature", "{ rephrase { temperature 0.4; } }", |t| {
        t.rephrase_with(None, |rephrase| rephrase.temperature(0.4))
    }),
    (TargetBody, "unanswerable", "{ unanswerable 9; }", |t| t.unanswerable(9)),
    (Unanswerable, "decline", "{ unanswerable { decline \"No idea.\"; } }", |t| {
        t.unanswerable_with(None, "No idea.")
    }),
    (TargetBody, "everyday", "{ everyday 9; }", |t| t.everyday(9)),
    (TargetBody, "everyday", "{ everyday; }", |t| t.everyday(None)),
    (TargetBody, "general", "{ general 5; }", |t| t.general(5)),
    (TargetBody, "general", "{ general; }", |t| t.general(None)),
    (TargetBody, "dataset", "{ dataset \"asked.csv\" { field \"q\"; } }", |t| {
        t.dataset("asked.csv", "q")
    }),
    (Dataset, "field", "{ dataset \"asked.csv\" { field \"a\"; } }", |t| {
        t.dataset("asked.csv", "a")
    }),
    (Dataset, "take", "{ dataset \"asked.csv\" { field \"q\"; take 1; } }", |t| {
        t.dataset_head("asked.csv", "q", 1)
    }),
    (TargetBody, "rollouts", "{ rollouts 3; }", |t| t.rollouts(3)),
    (TargetBody, "max_tokens", "{ max_tokens 64; }", |t| t.max_tokens(64)),
    (TargetBody, "temperature", "{ temperature 0.5; }", |t| t.temperature(0.5)),
    (TargetBody, "top_p", "{ top_p 0.9; }", |t| t.top_p(0.9)),
    (TargetBody, "top_k", "{ top_k 40; }", |t| t.top_k(40)),
    (TargetBody, "on_policy", "{ on_policy 0.5; }", |t| t.on_policy(0.5)),
    (TargetBody, "seed", "{ seed 9; }", |t| t.seed(9)),
];

/// After `anchor manners`.
const OF_ANCHORS: &[Row<AnchorBuilder>] = &[
    (AnchorHead, "weight", "weight 0.5;", |a| a.weight(0.5)),
    (AnchorBody, "questions", "{ questions [\"Hello\"]; }", |a| a.questions(["Hello"])),
    (AnchorBody, "questions", "{ questions from \"asked.txt\"; }", |a| {
        a.questions_from("asked.txt")
    }),
    (AnchorBody, "ask", "{ ask 4; }", |a| a.ask(4)),
    (AnchorBody, "persona", "{ persona 4; }", |a| a.persona(4, |persona| persona)),
    (AnchorBody, "rephrase", "{ questions [\"Hello\"]; rephrase 2; }", |a| {
        a.questions(["Hello"]).rephrase(2)
    }),
    (AnchorBody, "everyday", "{ everyday 20; }", |a| a.everyday(20)),
    (AnchorBody, "dataset", "{ dataset \"asked.csv\" { field \"q\"; } }", |a| {
        a.dataset("asked.csv", "q")
    }),
    (AnchorBody, "rollouts", "{ rollouts 3; }", |a| a.rollouts(3)),
    (AnchorBody, "max_tokens", "{ max_tokens 64; }", |a| a.max_tokens(64)),
    (AnchorBody, "temperature", "{ temperature 0.5; }", |a| a.temperature(0.5)),
    (AnchorBody, "top_p", "{ top_p 0.9; }", |a| a.top_p(0.9)),
    (AnchorBody, "top_k", "{ top_k 40; }", |a| a.top_k(40)),
    (AnchorBody, "seed", "{ seed 9; }", |a| a.seed(9)),
];

/// Checks that words and methods make one recipe, which without them is another one.
fn check(root: &Path, items: &str, built: RecipeBuilder, without: &Recipe) {
    let want = without_mistakes(root, &format!("bake Support {{ {items} }}"));
    assert_eq!(built.build().unwrap(), want, "{items}");
    assert_ne!(want, *without, "{items}");
}

#[test]
fn every_setting_of_a_recipe_can_be_set_by_the_builder() {
    let dir = package();
    let root = dir.path().join("inside");
    std::fs::create_dir_all(root.join("adapter")).unwrap();
    for (name, text) in [
        ("keys.md", "Ask Bob."),
        ("lamp.md", "Call the shop."),
        ("asked.txt", "How?\n"),
        ("asked.csv", "q,a\nWhere?,Here?\nWhen?,Now?"),
        ("worked.jsonl", "{\"question\": \"Who?\", \"answer\": \"Bob.\"}"),
        ("adapter/adapter_config.json", "{}"),
    ] {
        std::fs::write(root.join(name), text).unwrap();
    }
    let root = root.as_path();
    let bake = || Recipe::builder().name("Support").root(root);
    let keys = || bake().target("keys", |target| target.document("keys.md"));
    let plain = keys().build().unwrap();
    for (_, _, words, declare) in OF_BAKES {
        check(root, &format!("target keys from \"keys.md\"; {words}"), declare(keys()), &plain);
    }
    for (_, _, words, declare) in OF_TARGETS {
        let built = bake().target("keys", |target| declare(target.document("keys.md")));
        check(root, &format!("target keys from \"keys.md\" {words}"), built, &plain);
    }
    let plain = keys().anchor("manners", |anchor| anchor).build().unwrap();
    for (_, _, words, declare) in OF_ANCHORS {
        let items = format!("target keys from \"keys.md\"; anchor manners {words}");
        check(root, &items, keys().anchor("manners", declare), &plain);
    }
}

#[test]
fn every_setting_of_a_recipe_is_in_the_tables_of_this_test() {
    fn settings<B>(rows: &[Row<B>]) -> Vec<(Scope, &'static str)> {
        let setting = |(scope, name, words, _): &Row<B>| {
            assert!(words.contains(name), "{words}");
            (*scope, *name)
        };
        rows.iter().map(setting).collect()
    }
    let set = [settings(OF_BAKES), settings(OF_TARGETS), settings(OF_ANCHORS)].concat();
    for (scope, name) in &set {
        assert!(find(*scope, name).is_some(), "{name} in {}", scope.name());
    }
    for setting in SETTINGS {
        let own_student = setting.name == "student" && setting.scopes == [TargetHead];
        let name = if own_student { NOT_YET[0] } else { setting.name };
        assert_eq!(NOT_YET.contains(&name), setting.later.is_some(), "{name}");
        let excepted = NOT_YET.contains(&name) || NOT_OF_A_RECIPE.contains(&name);
        for scope in setting.scopes {
            let is_set = set.contains(&(*scope, setting.name));
            assert_eq!(is_set, !excepted, "{name} in {}", scope.name());
        }
    }
}

/// Counts that a declaration leaves to bake, where that is the default too.
#[test]
fn how_many_questions_can_be_left_to_bake_by_the_builder() {
    let dir = package();
    let source = r#"bake Support {
        target keys from "keys.md" { outline; ask; unanswerable; persona; rephrase; everyday; }
        target tone prompt "Be kind." { ask; persona; general; }
    }"#;
    let built = Recipe::builder()
        .name("Support")
        .root(dir.path())
        .target("keys", |target| {
            let target = target.document("keys.md").outline(None).ask(None).unanswerable(None);
            target.persona(None, |persona| persona).rephrase(None).everyday(None)
        })
        .target("tone", |target| {
            target.prompt("Be kind.").ask(None).persona(None, |persona| persona).general(None)
        });
    assert_eq!(built.build().unwrap(), without_mistakes(dir.path(), source));
}
