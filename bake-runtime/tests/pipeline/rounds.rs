//! Further rounds for passages that are not known after a training.

use bake_runtime::{KeptCheckpoint, RoundReport};
use bake_spec::recipe::{Outline, OutlineFields};

use super::*;

/// Two of the four questions about each passage are held out.
fn fixture(epochs: usize, rounds: Option<usize>) -> Fixture {
    let mut fixture = Fixture::new();
    let outline = Outline::new(OutlineFields { count: Some(8) }).unwrap();
    fixture.stimuli(|stimuli| stimuli.generators = vec![Declared::Outline(outline)].into());
    fixture.train(|train| (train.held_out, train.epochs) = (0.5, epochs));
    fixture.train(|train| train.until_covered = rounds);
    fixture
}

fn bake(fixture: &Fixture, store: &str) -> Bake {
    bake_recipe(&fixture.recipe, &fixture.options(store)).unwrap()
}

#[test]
fn what_is_not_known_is_asked_more_about_and_named_in_the_end() {
    let mut fixture = fixture(1, Some(2));
    fixture.train(|train| (train.lr, train.keep_every) = (Some(1e-4), Some(1)));
    let report = bake(&fixture, "store").report;
    let both = ["Lost key", "Broken lamp"];
    assert_eq!(report.uncovered, both);
    assert_eq!(report.rounds.len(), 2, "{:?}", report.rounds);
    let mut stimuli = 8;
    for RoundReport { passages, stimuli: more, epochs, held_out, .. } in &report.rounds {
        assert_eq!(passages, &both);
        assert!((1..=8).contains(more), "{more}");
        assert_eq!((epochs.len(), held_out.len()), (1, 1));
        stimuli += more;
    }
    let kept = |kept: &KeptCheckpoint| [kept.number, kept.round, kept.epoch];
    let kept: Vec<_> = report.checkpoints.iter().map(kept).collect();
    assert_eq!(kept, [[1, 0, 1], [2, 1, 1], [3, 2, 1]]);
    // What is held out stays what it was.
    assert_eq!((report.targets[0].stimuli, report.targets[0].held_out), (stimuli, 4));
}

#[test]
fn a_further_round_goes_on_from_the_adapter_and_brings_more() {
    let mut fixture = fixture(6, None);
    let few = bake(&fixture, "store").report;
    fixture.train(|train| train.until_covered = Some(3));
    let covered = bake(&fixture, "store").report;
    assert_eq!(few.held_out, covered.held_out, "the first training is the same");
    assert!(few.rounds.is_empty() && few.uncovered.is_empty());
    let first = &covered.rounds[0];
    assert!(first.kept && first.held_out[0] < few.held_out[0], "{covered:?}");
    assert!(covered.kl_after < few.kl_after);
    let (few, covered) = (few.recall().unwrap(), covered.recall().unwrap());
    assert_eq!(few.asked, covered.asked);
    assert!(covered.baked > few.baked, "{few:?} {covered:?}");
}

#[test]
fn where_nothing_is_asked_there_is_no_further_round() {
    let mut fixture = fixture(1, None);
    fixture.train(|train| train.held_out = 0.0);
    let plain = bake(&fixture, "plain");
    fixture.train(|train| train.until_covered = Some(2));
    let covered = bake(&fixture, "covered");
    assert!(covered.report.rounds.is_empty() && covered.report.uncovered.is_empty());
    assert!(!covered.reused && weights(&plain.adapter) == weights(&covered.adapter));
}

#[test]
fn rounds_also_have_more_questions_of_the_model_and_make_nothing_again() {
    let mut fixture = fixture(1, Some(1));
    fixture.stimuli(|stimuli| stimuli.generators.to_mut().push(asked(4)));
    fixture.train(|train| train.lr = Some(1e-6));
    let without = {
        let mut fixture = self::fixture(1, Some(1));
        fixture.train(|train| train.lr = Some(1e-6));
        bake(&fixture, "without").report
    };
    let options = fixture.options("store").fresh();
    let first = bake_recipe(&fixture.recipe, &options).unwrap();
    let more = first.report.rounds[0].stimuli;
    assert!(more > without.rounds[0].stimuli, "{more} with `ask`");
    // From the products that there are, and from none.
    let adapter = weights(&first.adapter);
    std::fs::remove_dir_all(fixture.dir.path().join("store/artifacts")).unwrap();
    let again = bake(&fixture, "store");
    assert!(!again.reused && weights(&again.adapter) == adapter);
    assert_eq!(again.report, first.report);
    assert_eq!(weights(&bake(&fixture, "another").adapter), adapter);
}

#[test]
fn a_round_on_policy_learns_along_the_students_own_answers() {
    let mut fixture = fixture(4, None);
    let outline = Outline::new(OutlineFields { count: Some(12) }).unwrap();
    fixture.stimuli(|stimuli| stimuli.generators = vec![Declared::Outline(outline)].into());
    let without = bake(&fixture, "store").report;
    fixture.rollout(|rollout| rollout.on_policy = 1.0);
    let first = bake(&fixture, "store");
    let report = &first.report;
    assert_eq!(report.epochs, without.epochs, "the first training is the same");
    let [round] = &report.rounds[..] else { panic!("{:?}", report.rounds) };
    let target = &report.targets[0];
    // An answer of the student that does not end is not learned.
    let trained_on = target.stimuli - target.held_out;
    assert!((1..=trained_on).contains(&round.on_policy), "{round:?}");
    assert_eq!((round.stimuli, round.passages.len(), round.epochs.len()), (0, 0, 4));
    assert!(report.uncovered.is_empty());
    // What is measured is along the teacher's answers: those that were there before.
    assert_eq!((report.kl_before, target.tokens), (without.kl_before, without.targets[0].tokens));
    if !round.kept {
        assert_eq!(report.kl_after, without.kl_after);
    }
    // From the products that there are, and from none.
    let adapter = weights(&first.adapter);
    std::fs::remove_dir_all(fixture.dir.path().join("store/artifacts")).unwrap();
    let again = bake(&fixture, "store");
    assert!(!again.reused && weights(&again.adapter) == adapter && again.report == *report);
    // On another machine, with another name.
    let mut renamed = fixture.recipe.clone();
    let target = renamed.targets[0].with(|target| target.name = "office".into()).unwrap();
    renamed = renamed.with(|recipe| recipe.targets = vec![target].into()).unwrap();
    let another = bake_recipe(&renamed, &fixture.options("another")).unwrap();
    assert_eq!(weights(&another.adapter), adapter);
    // Fewer answers of the student, and another training.
    fixture.rollout(|rollout| rollout.on_policy = 0.5);
    let some = bake(&fixture, "store").report.rounds.remove(0);
    assert!((1..round.on_policy).contains(&some.on_policy), "{some:?} {round:?}");
    assert_ne!(some.epochs, round.epochs);
}
