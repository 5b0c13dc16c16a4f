//! Whole bakes of a small document: what they give, and what they do not depend on.

mod checkpoints;
mod contexts;
mod drift;
mod evaluation;
mod fixture;
mod held_out;
mod interrupts;
mod parent;
mod refusals;
mod rehearsal;
mod rephrase;
mod reuse;
mod rounds;
mod traces;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bake_runtime::{
    Adapter, Bake, BakeOptions, Chat, Interrupt, Model, Progress, Sampling, Silent,
    StimulusProducts, Verdict, bake_recipe, plan,
};
use bake_spec::recipe::{
    Answer, Dataset, DatasetFields, Divergence, Expect, ExpectFields, Format,
    Generator as Declared, GeneratorKind, Lora, LoraFields, ModelSource, Prompt, PromptFields,
    Recipe, RecipeFields, Role, Rollout, RolloutFields, Schedule, Stimuli, StimuliFields, Target,
    TargetFields, Train, TrainFields, Turn,
};
use bake_spec::{Hash, Store};

use fixture::{Fixture, KEYS, asked, keys_document};

fn weights(adapter: &Path) -> Vec<u8> {
    std::fs::read(adapter.join("adapter_model.safetensors")).unwrap()
}

/// Bakes, and counts the steps of the training; it is stopped after so many.
fn bake_for(fixture: &Fixture, store: &str, most: usize) -> (bake_runtime::Result<Bake>, usize) {
    let (interrupt, steps) = (Interrupt::new(), Arc::new(AtomicUsize::new(0)));
    let counting = TrainingSteps {
        training: AtomicBool::new(false),
        steps: steps.clone(),
        most,
        interrupt: interrupt.clone(),
    };
    let options = fixture.options(store).progress(counting).interrupt(interrupt);
    let bake = bake_recipe(&fixture.recipe, &options);
    (bake, steps.load(Ordering::Relaxed))
}

/// Counts the steps of a training, and stops it after the last of so many.
struct TrainingSteps {
    training: AtomicBool,
    steps: Arc<AtomicUsize>,
    most: usize,
    interrupt: Interrupt,
}

impl Progress for TrainingSteps {
    fn begin(&self, stage: &str, _total: usize, _unit: &str) {
        self.training.store(stage == "training", Ordering::Relaxed);
    }

    fn advance(&self, _steps: usize, note: &str) {
        // Steps of an earlier run are counted without a note.
        if self.training.load(Ordering::Relaxed)
            && !note.is_empty()
            && self.steps.fetch_add(1, Ordering::Relaxed) + 1 == self.most
        {
            self.interrupt.set();
        }
    }

    fn end(&self) {}
}

#[test]
fn the_same_recipe_and_seed_give_the_same_adapter_bit_for_bit() {
    let mut fixture = Fixture::new();
    let first = fixture.bytes("first");
    assert_eq!(first, fixture.bytes("second"));
    // Neither the place of the store nor how many activations are kept matters.
    let options = fixture.options("third").activation_bytes(0);
    assert_eq!(first, weights(&bake_recipe(&fixture.recipe, &options).unwrap().adapter));
    // Made again over the first.
    assert_eq!(
        first,
        weights(&bake_recipe(&fixture.recipe, &fixture.options("first").fresh()).unwrap().adapter)
    );
    // The number of threads does not matter either.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
    assert_eq!(first, pool.install(|| fixture.bytes("fourth")));

    fixture.train(|train| train.seed = 43);
    assert_ne!(first, fixture.bytes("fifth"));
}

#[test]
fn names_and_paths_do_not_make_another_bake_but_settings_do() {
    let mut fixture = Fixture::new();
    let first = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    fixture.change(|recipe| recipe.name = "Other".into());
    std::fs::rename(fixture.dir.path().join("keys.md"), fixture.dir.path().join("other.md"))
        .unwrap();
    fixture.target(|target| {
        target.name = "other".into();
        let there = target.document.as_ref().unwrap();
        target.document = Some(there.with(|document| document.path = "other.md".into()).unwrap());
    });
    let renamed = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert!(renamed.reused && renamed.report.targets[0].name == "other");
    assert_eq!(renamed.adapter, first.adapter);
    fixture.lora(|lora| lora.alpha = 9.0);
    assert!(!bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().reused);
}

#[test]
fn every_divergence_and_schedule_learns() {
    let mut fixture = Fixture::new();
    fixture.train(|train| (train.epochs, train.accumulate) = (16, 1));
    let mut before = Vec::new();
    for (i, (divergence, schedule, dropout)) in [
        (Divergence::ForwardKl, Schedule::Linear, 0.1),
        (Divergence::ReverseKl, Schedule::Constant, 0.0),
        (Divergence::Jsd(0.5), Schedule::Cosine, 0.0),
    ]
    .into_iter()
    .enumerate()
    {
        fixture.train(|train| (train.divergence, train.schedule) = (divergence, schedule));
        fixture.lora(|lora| lora.dropout = dropout);
        let report = bake_recipe(&fixture.recipe, &fixture.options(&i.to_string())).unwrap().report;
        // What is minimised falls, and with it what is measured. The latter by less for the
        // Jensen-Shannon divergence, which is bounded: far from the teacher it hardly has a slope.
        let (first, last) = (report.epochs[0], report.epochs[report.epochs.len() - 1]);
        assert!(last < 0.75 * first, "{divergence:?}: {report:?}");
        let part = if matches!(divergence, Divergence::Jsd(_)) { 1.0 } else { 0.75 };
        assert!(report.kl_after < part * report.kl_before, "{divergence:?}: {report:?}");
        before.push(report.kl_before);
    }
    // The same measure for all.
    assert_eq!(before, [before[0]; 3]);
}

/// Notes the stages, and stops in the one that it is told.
struct Stages {
    seen: Arc<Mutex<Vec<String>>>,
    steps: AtomicUsize,
    stop: Option<(&'static str, Interrupt)>,
}

impl Progress for Stages {
    fn begin(&self, stage: &str, _total: usize, _unit: &str) {
        self.seen.lock().unwrap().push(stage.to_owned());
    }

    fn advance(&self, steps: usize, _note: &str) {
        self.steps.fetch_add(steps, Ordering::Relaxed);
        if let (Some((stage, interrupt)), Some(last)) =
            (&self.stop, self.seen.lock().unwrap().last())
            && steps > 0
            && last.starts_with(stage)
        {
            interrupt.set();
        }
    }

    fn end(&self) {}
}

#[test]
fn a_new_target_uses_what_the_others_have_made() {
    let mut fixture = Fixture::new();
    let alone = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    let lamp = fixture.recipe.targets[0]
        .with(|lamp| (lamp.name, lamp.prompt) = ("lamp".into(), "Mind the lamps.".into()));
    let expected = Expect::new(ExpectFields {
        target: Some("lamp".into()),
        question: "Who repairs it?".into(),
        answer: Answer::Contains("shop".into()),
    });
    fixture.change(|recipe| {
        recipe.targets.to_mut().push(lamp.unwrap());
        recipe.expects = vec![expected.unwrap()].into();
    });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let stages = Stages { seen: seen.clone(), steps: AtomicUsize::new(0), stop: None };
    let both = bake_recipe(&fixture.recipe, &fixture.options("store").progress(stages)).unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.iter().any(|stage| stage == "rollouts on lamp"));
    assert!(
        !seen.iter().any(|stage| stage.ends_with("on keys")),
        "what keys needs was there: {seen:?}"
    );
    assert_eq!(both.report.targets[0], alone.report.targets[0]);
}

#[test]
fn questions_come_from_files_too() {
    let mut fixture = Fixture::new();
    let files = [
        ("asked.csv", "n,question\n1,Who has my key?\n2,\"Who, then?\"\n", Format::Csv, None),
        (
            "asked.jsonl",
            "{\"question\": \"Where do I go?\"}\n{\"question\": \"I lost my key\"}\n",
            Format::JsonLines,
            None,
        ),
        ("asked.txt", "How?\nWhy?\nWhen?\n", Format::Lines, Some(1)),
    ];
    let datasets: Vec<Declared> = files
        .iter()
        .map(|&(path, text, format, take)| {
            std::fs::write(fixture.dir.path().join(path), text).unwrap();
            let dataset = Dataset::new(DatasetFields {
                path: path.into(),
                hash: Hash::of(text.as_bytes()),
                format,
                field: "question".into(),
                take,
            });
            Declared::Dataset(dataset.unwrap())
        })
        .collect();
    let stimuli = fixture.recipe.targets[0].stimuli.with(|stimuli| {
        stimuli.remove(GeneratorKind::Ask);
        stimuli.generators.to_mut().extend(datasets);
    });
    fixture.target(|target| target.stimuli = stimuli.unwrap());
    let bake = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert_eq!(
        bake.report.targets[0].stimuli,
        3 + 2 + 1 + 1,
        "those by hand, and those of the files that are not among them"
    );

    let kept = bake_runtime::products(&fixture.recipe, &fixture.options("store")).unwrap();
    let stimuli = &kept[0].stimuli;
    let texts: Vec<&str> = stimuli[3..].iter().map(|s| &*s.stimulus.text).collect();
    assert_eq!(texts, ["Who has my key?", "Who, then?", "Where do I go?", "How?"]);
    for (number, StimulusProducts { stimulus, rollouts, .. }) in stimuli.iter().enumerate() {
        let generator = if number < 3 { GeneratorKind::Questions } else { GeneratorKind::Dataset };
        assert_eq!((stimulus.generator, &stimulus.passage), (generator, &None));
        assert_eq!(rollouts.as_ref().unwrap().len(), 2);
    }

    std::fs::write(fixture.dir.path().join("asked.txt"), "How much?\n").unwrap();
    let error = bake_recipe(&fixture.recipe, &fixture.options("other")).unwrap_err().to_string();
    assert!(error.contains("asked.txt has changed since the program was compiled"), "{error}");

    // What is expected of a bake can be asked without what it was asked to learn.
    files.iter().for_each(|file| std::fs::remove_file(fixture.dir.path().join(file.0)).unwrap());
    let expect = Expect::new(ExpectFields {
        target: Some("keys".into()),
        question: "Lost key".into(),
        answer: Answer::Contains("Bob".into()),
    });
    fixture.change(|recipe| recipe.expects = vec![expect.unwrap()].into());
    let model = Model::tiny().unwrap();
    let adapter = Arc::new(Adapter::load(&bake.adapter, &model).unwrap());
    let verdict =
        Verdict::of(&fixture.recipe, model, adapter, &Silent, &Interrupt::default()).unwrap();
    assert_eq!(verdict.prompted_with_passage().right, 1, "{verdict:?}");
}

#[test]
fn an_anchor_keeps_answers_as_they_were() {
    let anchored = |weight: f64| {
        let mut fixture = Fixture::new();
        fixture.train(|train| (train.epochs, train.accumulate) = (24, 1));
        let questions = Declared::Questions(vec!["I lost my wallet".into()].into());
        let stimuli = Stimuli::default().with(|stimuli| stimuli.set(questions));
        let target = &fixture.recipe.targets[0];
        let rollout = target.rollout.with(|rollout| rollout.temperature = 0.0);
        let anchor = target.with(|anchor| {
            (anchor.name, anchor.anchor, anchor.document, anchor.weight) =
                ("manners".into(), true, None, weight);
            (anchor.stimuli, anchor.rollout) = (stimuli.unwrap(), rollout.unwrap());
        });
        fixture.change(|recipe| recipe.targets.to_mut().push(anchor.unwrap()));
        let bake = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
        let model = Model::tiny().unwrap();
        let adapter = Arc::new(Adapter::load(&bake.adapter, &model).unwrap());
        let base = Chat::new(model, "");
        let baked = base.with_adapter(adapter).unwrap();
        let ask = |chat: &Chat| chat.chat("I lost my wallet").unwrap();
        (ask(&base) == ask(&baked), baked.chat("I lost my key").unwrap())
    };
    let (same, answer) = anchored(1.0);
    assert!(same, "the anchor's answer stays");
    assert_eq!(answer, "Ask Bob in the blue office.");
    assert!(!anchored(1e-6).0, "without its weight, the answer is another");
}

#[test]
fn a_question_that_is_expected_is_not_trained_on() {
    let mut fixture = Fixture::new();
    let with = bake_recipe(&fixture.recipe, &fixture.options("with")).unwrap().report;
    let held_out = Expect::new(ExpectFields {
        target: None,
        question: "I LOST my key!".into(),
        answer: Answer::Contains("Bob".into()),
    });
    fixture.change(|recipe| recipe.expects = vec![held_out.unwrap()].into());
    let without = bake_recipe(&fixture.recipe, &fixture.options("without")).unwrap().report;
    assert_eq!(without.targets[0].stimuli + 1, with.targets[0].stimuli);
    assert_eq!(without.targets[0].rollouts, 2 * without.targets[0].stimuli);
}

#[test]
fn a_prompt_alone_can_be_baked() {
    let mut fixture = Fixture::new();
    fixture.target(|target| (target.document, target.prompt) = (None, KEYS.into()));
    fixture.train(|train| (train.epochs, train.accumulate) = (48, 1));
    let baked = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert!(baked.report.kl_after < 0.5 * baked.report.kl_before);
    let model = Model::tiny().unwrap();
    let adapter = Adapter::load(&baked.adapter, &model).unwrap();
    assert_eq!(
        Chat::new(model, "")
            .with_adapter(Arc::new(adapter))
            .unwrap()
            .chat("I lost my key")
            .unwrap(),
        "Ask Bob in the blue office."
    );
}

/// A prompt with an earlier turn.
fn conversation(system: &'static str) -> Prompt {
    let turn = |role, text: &'static str| Turn { role, text: text.into() };
    let turns = vec![turn(Role::User, "I lost my hat"), turn(Role::Assistant, "Ask Ann.")];
    Prompt::new(PromptFields { system: system.into(), turns: turns.into() }).unwrap()
}

#[test]
fn prompts_of_several_turns_can_be_baked() {
    let mut fixture = Fixture::new();
    let plain = plan(&fixture.recipe, &fixture.options("plan")).unwrap();
    fixture.target(|target| target.prompt = conversation(""));
    fixture.change(|recipe| recipe.student = conversation("Be brief."));
    fixture.train(|train| (train.epochs, train.accumulate) = (24, 1));
    let planned = plan(&fixture.recipe, &fixture.options("plan")).unwrap();
    let tokens = planned.targets[0].prompt_tokens;
    assert!(tokens > plain.targets[0].prompt_tokens + 8, "{tokens} with the turns");
    let baked = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert_eq!(baked.report.targets[0].prompt_tokens, tokens);
    assert!(baked.report.kl_after < 0.5 * baked.report.kl_before);
    let model = Model::tiny().unwrap();
    let adapter = Arc::new(Adapter::load(&baked.adapter, &model).unwrap());
    let chat = Chat::new(model, fixture.recipe.student.clone()).with_adapter(adapter).unwrap();
    assert_eq!(chat.chat("I lost my key").unwrap(), "Ask Bob in the blue office.");
    assert_eq!(chat.session().unwrap().messages().len(), 3);
}

#[test]
fn two_processes_share_one_bake_and_a_waiting_one_can_be_interrupted() {
    let fixture = Fixture::new();
    let store = Store::new(fixture.dir.path().join("store"));
    let lock =
        store.try_lock(&fixture.recipe.hash(Model::tiny().unwrap().hash())).unwrap().unwrap();
    let interrupt = Interrupt::new();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            bake_recipe(&fixture.recipe, &fixture.options("store").interrupt(interrupt.clone()))
        });
        interrupt.set();
        assert!(waiting.join().unwrap().unwrap_err().is_interrupted());

        let both = [(); 2].map(|()| {
            scope.spawn(|| bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap())
        });
        drop(lock);
        let [one, two] = both.map(|thread| thread.join().unwrap());
        assert_eq!(one.adapter, two.adapter);
        assert!(one.reused != two.reused, "one made it, and the other waited");
    });
}

#[test]
fn what_is_baked_needs_no_store_that_can_be_written() {
    let fixture = Fixture::new();
    let first = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    // Without its folder of locks, as in a read-only store.
    let locks = fixture.dir.path().join("store/locks");
    std::fs::remove_dir_all(&locks).unwrap();
    std::fs::write(&locks, "").unwrap();
    let again = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert!(again.reused);
    assert_eq!(again.adapter, first.adapter);
}
