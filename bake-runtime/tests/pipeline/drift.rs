//! How far a baked model moves where it should stay as it is.

use super::*;

const ASKED: [&str; 3] = ["Hello", "What is the capital of France?", "Tell me a story."];

/// The small bake with an anchor of this weight.
fn fixture(weight: f64) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.written_only();
    let questions: Vec<_> = ASKED.map(Into::into).into();
    let anchor = fixture.recipe.targets[0]
        .with(|target| {
            (target.name, target.anchor, target.weight) = ("manners".into(), true, weight);
            (target.document, target.prompt) = (None, "".into());
            target.stimuli = Stimuli::default()
                .with(|stimuli| stimuli.set(Declared::Questions(questions.into())))
                .unwrap();
        })
        .unwrap();
    fixture.change(|recipe| recipe.targets.to_mut().push(anchor));
    fixture
}

/// How many questions of the anchor get the same answer with an adapter and without.
fn answered_as_before(adapter: &Path) -> usize {
    let model = Model::tiny().unwrap();
    let adapter = Arc::new(Adapter::load(adapter, &model).unwrap());
    let base = Chat::new(model, "").with_sampling(Sampling::greedy().max_tokens(24));
    let baked = base.clone().with_adapter(adapter).unwrap();
    ASKED.iter().filter(|text| base.chat(text).unwrap() == baked.chat(text).unwrap()).count()
}

#[test]
fn answers_that_stay_as_they_are_are_counted_and_divergence_is_measured() {
    let mut still = fixture(1.0);
    still.train(|train| train.lr = Some(1e-6));
    let bake = bake_recipe(&still.recipe, &still.options("store")).unwrap();
    let drift = bake.report.drift.unwrap();
    assert!(drift.kl < 1e-6 && drift.asked > 0 && drift.same == drift.asked, "{drift:?}");
    let asked = drift.asked;

    let mut moved = fixture(1e-6);
    moved.train(|train| (train.lr, train.epochs, train.warmup) = (Some(0.06), 8, 0.0));
    let bake = bake_recipe(&moved.recipe, &moved.options("store")).unwrap();
    let drift = bake.report.drift.unwrap();
    assert!(drift.kl > 0.1 && drift.same < drift.asked, "{drift:?}");
    // Answers that are cut are neither trained on nor compared.
    let cut = ASKED.len() - asked;
    assert_eq!(drift.asked, asked);
    assert!((drift.same..=drift.same + cut).contains(&answered_as_before(&bake.adapter)));
}

#[test]
fn without_anchors_there_is_no_drift() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    let report = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().report;
    assert_eq!(report.drift, None);
}
