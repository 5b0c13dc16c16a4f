//! What is made again after a change, and what is not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bake_runtime::{Bake, PlannedSeconds, Progress, StimulusProducts, bake_recipe, plan, products};

use crate::{Fixture, conversation, weights};

/// Counts the steps of each stage.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<Vec<(String, usize)>>>);

impl Progress for Counts {
    fn begin(&self, stage: &str, _total: usize, _unit: &str) {
        self.0.lock().unwrap().push((stage.to_owned(), 0));
    }

    fn advance(&self, steps: usize, _note: &str) {
        self.0.lock().unwrap().last_mut().unwrap().1 += steps;
    }

    fn end(&self) {}
}

impl Counts {
    /// What was made, without what every bake does: training, and measuring before and after it.
    fn made(&self) -> BTreeMap<String, usize> {
        let always =
            |stage: &str| ["training", "drift"].contains(&stage) || stage.starts_with("divergence");
        let mut made = BTreeMap::new();
        for (stage, steps) in self.0.lock().unwrap().iter().filter(|(name, _)| !always(name)) {
            *made.entry(stage.clone()).or_default() += steps;
        }
        made
    }
}

fn bake(fixture: &Fixture, store: &str) -> (Bake, BTreeMap<String, usize>) {
    let counts = Counts::default();
    let options = fixture.options(store).progress(counts.clone());
    let bake = bake_recipe(&fixture.recipe, &options).unwrap();
    (bake, counts.made())
}

fn stimuli(fixture: &Fixture, store: &str) -> Vec<StimulusProducts> {
    let [target] =
        <[_; 1]>::try_from(products(&fixture.recipe, &fixture.options(store)).unwrap()).unwrap();
    assert!(target.complete);
    target.stimuli
}

/// A document with a section for each of some lost things.
fn lost_things(sections: usize) -> String {
    let names = ["Bob", "Ann", "Tim", "Eva", "Sam"];
    let mut text = "# Lost and found\n".to_owned();
    for number in 0..sections {
        let name = names[number % names.len()];
        text += &format!("\n## Lost thing {number}\nAsk {name} in room {}.\n", 10 + number);
    }
    text.trim().to_owned()
}

fn write_document(fixture: &mut Fixture, text: &str) {
    std::fs::write(fixture.dir.path().join("keys.md"), text).unwrap();
    fixture.declare_document(text);
}

#[test]
fn an_edited_turn_is_a_prompt_of_its_own() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    fixture.train(|train| train.epochs = 1);
    let made = |fixture: &Fixture| bake(fixture, "store").1["rollouts on keys"];
    let rollouts = made(&fixture);
    fixture.target(|target| target.prompt = conversation(""));
    assert_eq!(made(&fixture), rollouts, "all of them are answered again");
    // What the student reads makes neither rollouts nor states anew.
    fixture.change(|recipe| recipe.student = conversation("Be brief."));
    let (bake, made) = bake(&fixture, "store");
    // But it is also what the model reads that has no document: the probes are asked again.
    assert!(!bake.reused && made.keys().eq(["probes of keys"]), "{made:?}");
}

#[test]
fn one_more_question_makes_its_own_answers_and_states_only() {
    let mut fixture = Fixture::new();
    let (first, made) = bake(&fixture, "store");
    assert!(made["stimuli on keys by `ask`"] > 0 && made["rollouts on keys"] > 6, "{made:?}");
    let before = stimuli(&fixture, "store");

    fixture.add_question("Who looks after the bicycles?");
    let (second, made) = bake(&fixture, "store");
    assert_eq!(made["rollouts on keys"], 2, "two rollouts of one stimulus");
    assert!((1..=2).contains(&made["teacher on keys"]), "{made:?}");
    assert_eq!(made.len(), 2, "{made:?}");
    assert_eq!(
        second.report.targets[0].stimuli,
        first.report.targets[0].stimuli + 1,
        "those of before are there too"
    );
    let after = stimuli(&fixture, "store");
    assert!(before.iter().all(|stimulus| after.contains(stimulus)));
}

#[test]
fn an_edited_section_makes_again_what_reads_it_only() {
    let mut fixture = Fixture::new();
    fixture.ask_only(12);
    let text = lost_things(6);
    write_document(&mut fixture, &text);
    bake(&fixture, "store");
    let before = stimuli(&fixture, "store");

    // It is longer now, so that all that follows it begins elsewhere.
    let edited = text.replace("in room 13", "in the long room 99");
    write_document(&mut fixture, &edited);
    let (_, made) = bake(&fixture, "store");
    let after = stimuli(&fixture, "store");
    let passage = |text: &str, stimulus: &StimulusProducts| {
        text[stimulus.stimulus.passage.clone().unwrap()].to_owned()
    };
    let read_it = |stimulus: &&StimulusProducts| passage(&edited, stimulus).contains("99");
    let touched = after.iter().filter(read_it).count();
    assert!(touched >= 2, "its quota: {after:?}");
    assert_eq!(made["rollouts on keys"], 2 * touched, "{made:?}");
    assert!(made["stimuli on keys by `ask`"] <= touched, "{made:?}");
    assert!(made["teacher on keys"] <= 2 * touched, "{made:?}");
    let without_place = |text: &str, mut stimulus: StimulusProducts| {
        let passage = passage(text, &stimulus);
        stimulus.stimulus.passage = None;
        (passage, stimulus)
    };
    let before: Vec<_> = before.into_iter().map(|it| without_place(&text, it)).collect();
    let untouched = after.into_iter().filter(|stimulus| !read_it(&stimulus));
    for stimulus in untouched.map(|it| without_place(&edited, it)) {
        assert!(before.contains(&stimulus), "{stimulus:?}");
    }
}

#[test]
fn another_training_makes_nothing_but_itself() {
    let mut fixture = Fixture::new();
    let (first, _) = bake(&fixture, "store");
    fixture.retrain(1);
    let (second, made) = bake(&fixture, "store");
    assert!(made.is_empty(), "{made:?}");
    assert_eq!((first.report.epochs.len(), second.report.epochs.len()), (2, 1));
    assert_eq!(first.report.targets, second.report.targets);
}

/// Generation and the teacher's states do not depend on what is computed along with them.
#[test]
fn a_store_that_holds_a_part_gives_the_same_bits_as_an_empty_one() {
    let fixture = Fixture::new();
    let (whole, made) = bake(&fixture, "store");
    let store = fixture.dir.path().join("store");
    for keep in 0..2 {
        let mut removed = 0;
        for stage in ["stimuli", "rollouts", "states"] {
            let keys = files(&store.join("keys").join(stage));
            assert!(!keys.is_empty(), "{stage}");
            for key in keys.iter().skip(keep).step_by(2) {
                std::fs::remove_file(key).unwrap();
                removed += 1;
            }
        }
        for key in files(&store.join("keys/adapters")) {
            std::fs::remove_file(key).unwrap();
        }
        let (again, made_again) = bake(&fixture, "store");
        assert!(!again.reused && removed > 2 && !made_again.is_empty(), "{made_again:?}");
        assert!(made_again["rollouts on keys"] < made["rollouts on keys"], "{made_again:?}");
        assert!(weights(&again.adapter) == weights(&whole.adapter), "the same bits");
        assert_eq!(again.report, whole.report);
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_section_of_a_long_document_is_asked_about() {
    let mut fixture = Fixture::new();
    fixture.ask_only(40);
    fixture.retrain(1);
    write_document(&mut fixture, &lost_things(33));
    let (bake, _) = bake(&fixture, "store");
    let asked = &bake.report.targets[0].generators[0];
    assert_eq!((asked.wanted, asked.passages), (40, 33));
    let stimuli = stimuli(&fixture, "store");
    assert_eq!(stimuli.len(), asked.made);
    let mut of_sections: BTreeMap<usize, usize> = BTreeMap::new();
    for StimulusProducts { stimulus, rollouts, .. } in &stimuli {
        assert_eq!(
            (stimulus.generator, rollouts.as_ref().unwrap().len()),
            (bake_spec::recipe::GeneratorKind::Ask, 2)
        );
        *of_sections.entry(stimulus.passage.as_ref().unwrap().start).or_default() += 1;
    }
    let short = 33 - of_sections.len();
    assert!(short <= asked.short_passages, "{asked:?} {of_sections:?}");
    assert!(asked.short_passages <= 3, "{asked:?} {of_sections:?}");
    assert_eq!(asked.made + asked.missing(), 40);
    let last = lost_things(33).rfind("## Lost thing 32").unwrap();
    assert!(of_sections.keys().any(|start| *start >= last), "{of_sections:?}");
}

#[test]
fn a_plan_says_what_is_there_and_what_is_to_be_made() {
    let mut fixture = Fixture::new();
    let options = |fixture: &Fixture| fixture.options("store");
    let empty = plan(&fixture.recipe, &options(&fixture)).unwrap();
    let target = &empty.targets[0];
    assert!(!empty.adapter_kept);
    assert_eq!((target.written, target.made), (3, 4));
    assert_eq!((target.stimuli.kept, target.stimuli.to_make), (3, 4));
    assert_eq!((target.rollouts.kept, target.rollouts.to_make), (0, 14));
    assert_eq!((target.states.kept, target.states.to_make, target.learned), (0, 7, 7));
    let planned = empty.seconds;
    let PlannedSeconds { probes, stimuli, rollouts, states, training, .. } = planned;
    for seconds in [probes, stimuli, rollouts, states, training] {
        assert!(seconds > 0.0, "{planned:?}");
    }
    assert!(!fixture.dir.path().join("store/keys").exists(), "nothing was made");

    let (bake, made) = bake(&fixture, "store");
    let all = plan(&fixture.recipe, &options(&fixture)).unwrap();
    assert!(all.adapter_kept && all.seconds == PlannedSeconds::default());

    fixture.add_question("Who looks after the bicycles?");
    let one_more = plan(&fixture.recipe, &options(&fixture)).unwrap();
    let target = &one_more.targets[0];
    assert!(!one_more.adapter_kept);
    assert_eq!((target.stimuli.kept, target.stimuli.to_make), (8, 0));
    assert_eq!(target.rollouts.kept, bake.report.targets[0].rollouts);
    assert_eq!((target.rollouts.to_make, target.states.to_make), (2, 1));
    assert_eq!(target.states.kept, made["teacher on keys"]);
    assert_eq!(one_more.seconds.stimuli, 0.0);

    let afresh = plan(&fixture.recipe, &options(&fixture).fresh()).unwrap();
    assert_eq!(afresh.targets[0].rollouts.kept, 0);
}

/// Products that were cut short, as by a machine that lost its power, are made again.
#[test]
fn damaged_products_are_made_again() {
    let fixture = Fixture::new();
    let (whole, _) = bake(&fixture, "store");
    let store = fixture.dir.path().join("store");
    for folder in files(&store.join("blobs")) {
        for blob in files(&folder) {
            std::fs::write(blob, "").unwrap();
        }
    }
    for key in files(&store.join("keys/adapters")) {
        std::fs::write(key, "").unwrap();
    }
    let (again, _) = bake(&fixture, "store");
    assert!(!again.reused);
    assert!(weights(&again.adapter) == weights(&whole.adapter), "the same bits");
}
