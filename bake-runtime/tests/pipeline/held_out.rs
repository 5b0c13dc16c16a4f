//! What is held out of training, and when training ends.

use bake_spec::recipe::{General, GeneralFields, Outline, OutlineFields};

use super::*;

/// Two of the four questions about each passage are held out.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    let outline = Outline::new(OutlineFields { count: Some(8) }).unwrap();
    fixture.only(Declared::Outline(outline));
    fixture.train(|train| (train.held_out, train.epochs) = (0.5, 6));
    fixture
}

#[test]
fn what_is_held_out_is_measured_after_each_epoch() {
    let fixture = fixture();
    let report = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().report;
    assert_eq!(report.targets[0].held_out, 4);
    assert_eq!((report.epochs.len(), report.held_out.len()), (6, 6));
    let lowest = report.held_out.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(report.held_out[report.best_epoch() - 1], lowest);
    assert!(lowest < report.held_out[0], "{report:?}");
}

#[test]
fn a_behaviour_is_learned_from_general_requests_of_which_some_are_held_out() {
    let mut fixture = Fixture::new();
    fixture.only(Declared::General(General::new(GeneralFields { count: Some(10) }).unwrap()));
    fixture.target(|target| {
        (target.document, target.prompt) = (None, "End every answer with: Over and out.".into());
    });
    fixture.train(|train| (train.held_out, train.epochs) = (0.3, 1));
    let options = fixture.options("store");
    let planned = plan(&fixture.recipe, &options).unwrap();
    assert_eq!((planned.targets[0].written, planned.targets[0].made), (10, 0));
    let report = bake_recipe(&fixture.recipe, &options).unwrap().report;
    let target = &report.targets[0];
    assert_eq!((target.stimuli, target.held_out, report.held_out.len()), (10, 3, 1));
}

#[test]
fn a_training_that_no_longer_helps_ends_with_its_best_adapter() {
    let mut fixture = fixture();
    fixture.train(|train| {
        (train.lr, train.warmup) = (Some(0.02), 0.0);
        train.schedule = Schedule::Constant;
        (train.epochs, train.patience) = (40, 2);
    });
    let long = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    let best = long.report.best_epoch();
    assert_eq!(long.report.epochs.len(), best + 2, "{:?}", long.report.held_out);
    // The same training, without the epochs after its best.
    fixture.train(|train| train.epochs = best);
    let short = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert!(weights(&long.adapter) == weights(&short.adapter));
    assert_eq!(long.report.held_out[..best], short.report.held_out);
    assert_eq!(long.report.kl_after, short.report.kl_after);
}

#[test]
fn when_patience_has_run_out_training_ends_as_many_epochs_later() {
    let mut fixture = fixture();
    fixture.train(|train| {
        (train.lr, train.warmup) = (Some(0.02), 0.0);
        (train.epochs, train.patience) = (40, 2);
    });
    let report = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().report;
    let lowest_before = |end: usize| {
        let lowest = report.held_out[..end].iter().copied().fold(f64::INFINITY, f64::min);
        report.held_out.iter().position(|kl| *kl == lowest).unwrap() + 1
    };
    let ran_out = (1..=40).find(|end| end - lowest_before(*end) >= 2).unwrap();
    assert!(ran_out + 2 < 40, "{:?}", report.held_out);
    assert_eq!(report.epochs.len(), ran_out + 2, "{:?}", report.held_out);
}

#[test]
fn a_training_that_is_near_enough_ends() {
    let mut fixture = fixture();
    fixture.train(|train| train.stop_at_kl = Some(1000.0));
    let with_held_out = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().report;
    assert_eq!((with_held_out.epochs.len(), with_held_out.held_out.len()), (1, 1));
    fixture.train(|train| train.held_out = 0.0);
    let without = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().report;
    assert_eq!((without.epochs.len(), without.held_out.len(), without.best_epoch()), (1, 0, 1));
    assert_eq!(without.targets[0].held_out, 0);
}

#[test]
fn what_was_held_out_is_also_asked_with_the_document_and_with_its_passage() {
    let fixture = fixture();
    let report = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().report;
    let recall = report.recall().unwrap();
    assert_eq!(recall.asked, 4);
    assert_eq!((recall.prompted.of, recall.prompted_with_passage.of), (4, 4));
    assert!(recall.prompted_with_passage.right > recall.base, "{recall:?}");
    // It is found again with the adapter.
    let again = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert!(again.reused && again.report.recall() == Some(recall));
}
