//! Questions in other words.

use bake_runtime::{StimulusProducts, bake_recipe, plan, products};
use bake_spec::recipe::{Generator as Declared, GeneratorKind, Rephrase, RephraseFields};

use crate::Fixture;

#[test]
fn other_words_are_kept_reported_and_made_once() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    fixture.rollout(|rollout| rollout.answers = 1);
    fixture.train(|train| train.epochs = 1);
    let rephrase = RephraseFields { count: Some(3), ..RephraseFields::DEFAULT };
    let rephrase = Rephrase::new(rephrase).unwrap();
    fixture.stimuli(|stimuli| stimuli.set(Declared::Rephrase(rephrase)));
    let planned = plan(&fixture.recipe, &fixture.options("store")).unwrap();
    assert_eq!(planned.targets[0].stimuli.to_make, 3, "{planned:?}");

    let bake = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    let report = &bake.report.targets[0].generators[0];
    assert_eq!((report.generator, report.wanted), (GeneratorKind::Rephrase, 3));
    let kept = products(&fixture.recipe, &fixture.options("store")).unwrap().remove(0);
    assert!(kept.complete);
    let of = |it: &&StimulusProducts| it.stimulus.generator == GeneratorKind::Rephrase;
    assert_eq!(kept.stimuli.iter().filter(of).count(), report.made);
    assert_eq!(kept.dropped.len(), report.dropped.values().sum::<usize>());
    assert!(report.made + kept.dropped.len() > 0, "something was written: {report:?}");
    for StimulusProducts { stimulus, rollouts, .. } in &kept.stimuli {
        assert_eq!((&stimulus.passage, rollouts.as_ref().unwrap().len()), (&None, 1));
    }
    let planned = plan(&fixture.recipe, &fixture.options("store")).unwrap();
    assert_eq!(planned.targets[0].stimuli.to_make, 0, "{planned:?}");

    // Other questions are said in other words anew.
    fixture.add_question("Who has a key?");
    let planned = plan(&fixture.recipe, &fixture.options("store")).unwrap();
    assert_eq!(planned.targets[0].stimuli.to_make, 3, "{planned:?}");
}

#[test]
fn a_question_that_leaves_no_room_for_other_words_stays_as_it_is() {
    let mut fixture = Fixture::new();
    fixture.rollout(|rollout| (rollout.answers, rollout.max_tokens) = (1, Some(24)));
    let long = format!("I lost my key, {}where is it?", "and I looked for it, ".repeat(72));
    fixture.only(Declared::Questions(vec![long.into()].into()));
    let rephrase = Rephrase::new(RephraseFields { count: Some(2), ..RephraseFields::DEFAULT });
    fixture.stimuli(|stimuli| stimuli.set(Declared::Rephrase(rephrase.unwrap())));
    fixture.train(|train| (train.epochs, train.teacher_anyway) = (1, true));
    let report = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().report;
    let target = &report.targets[0];
    let rephrased = &target.generators[0];
    assert_eq!((target.stimuli, rephrased.made), (1, 0));
    assert!(rephrased.dropped.is_empty(), "nothing was written: {rephrased:?}");
}
