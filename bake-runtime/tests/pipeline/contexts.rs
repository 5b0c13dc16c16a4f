//! What a teacher reads, where a declaration says so.

use bake_runtime::{bake_recipe, plan};
use bake_spec::recipe::{TeacherContext, WorkedExample};

use crate::{Fixture, KEYS, keys_document};

#[test]
fn a_declared_context_is_reported_and_makes_another_bake() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    fixture.train(|train| train.epochs = 1);
    let mut adapters = Vec::new();
    for (context, read) in [
        (None, "best layout: "),
        (Some(TeacherContext::Document), "best layout: the document in "),
        (Some(TeacherContext::Retrieved), "best layout: the retrieved passages in "),
    ] {
        fixture.target(|target| target.context = context);
        let bake = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
        let probes = bake.report.targets[0].probes.as_ref().unwrap();
        assert_eq!(probes.context, context);
        assert!(probes.to_string().starts_with(read), "{probes}");
        assert!(!adapters.contains(&bake.adapter));
        adapters.push(bake.adapter);
        // What was chosen is found again, so that nothing is left to do.
        let planned = plan(&fixture.recipe, &fixture.options("store")).unwrap();
        let target = &planned.targets[0];
        assert_eq!((target.rollouts.to_make, target.states.to_make), (0, 0), "{target:?}");
    }
}

#[test]
fn a_document_that_does_not_fit_is_refused_where_all_of_it_is_to_be_read() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    let mut long = KEYS.to_owned();
    for room in 1..60 {
        long += &format!("\n\n## Room {room}\nThe lamp of room {room} is on the left.");
    }
    std::fs::write(fixture.dir.path().join("keys.md"), &long).unwrap();
    fixture.declare_document(&long);
    plan(&fixture.recipe, &fixture.options("store")).unwrap();
    fixture.target(|target| target.context = Some(TeacherContext::Document));
    let error = fixture.error().to_string();
    assert!(
        error.starts_with("keys.md (target `keys`) does not fit in the model's context: ")
            && error.ends_with("without `context document` it is read passage by passage"),
        "{error}"
    );
    assert!(!fixture.dir.path().join("store/probes").exists(), "nothing was made");
    // One that fits is read.
    fixture.declare_document(KEYS);
    std::fs::write(fixture.dir.path().join("keys.md"), KEYS).unwrap();
    assert_eq!(fixture.recipe.targets[0].document, Some(keys_document(KEYS)));
    plan(&fixture.recipe, &fixture.options("store")).unwrap();
}

#[test]
fn declared_examples_are_read_before_every_question() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    fixture.train(|train| (train.epochs, train.teacher_anyway) = (1, true));
    let plain = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    let example = WorkedExample {
        passage: Some("## Wet floor\nFetch a mop.".into()),
        question: "The floor is wet".into(),
        answer: "Fetch a mop.".into(),
    };
    fixture.target(|target| target.examples = vec![example].into());
    let bake = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert_ne!(bake.adapter, plain.adapter);
    let probes = bake.report.targets[0].probes.as_ref().unwrap();
    let tried = probes.right.iter().map(|(layout, _)| *layout).chain([probes.layout]);
    for layout in tried {
        assert!(layout.to_string().ends_with("worked examples"), "{probes}");
    }
    let planned = plan(&fixture.recipe, &fixture.options("store")).unwrap();
    let target = &planned.targets[0];
    assert_eq!((target.rollouts.to_make, target.states.to_make), (0, 0), "{target:?}");
}
