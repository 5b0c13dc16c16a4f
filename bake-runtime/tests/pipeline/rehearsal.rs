//! Trainings in which what is known is rehearsed.

use super::*;

const EPOCHS: usize = 16;

/// Seven stimuli, each of which is a step of its own.
fn fixture(rehearse: usize) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.train(|train| {
        (train.batch, train.accumulate, train.epochs) = (1, 1, EPOCHS);
        (train.rehearse, train.checkpoint_every) = (rehearse, Some(1));
    });
    fixture
}

#[test]
fn what_is_known_takes_fewer_steps_and_is_learned_all_the_same() {
    let (all, some) = (fixture(1), fixture(4));
    let (every, all_steps) = bake_for(&all, "all", usize::MAX);
    let (rehearsed, steps) = bake_for(&some, "some", usize::MAX);
    let (every, rehearsed) = (every.unwrap(), rehearsed.unwrap());
    let first = all_steps / EPOCHS;
    assert_eq!((all_steps, every.report.epochs.len()), (EPOCHS * first, EPOCHS));
    assert!((5 * first..12 * first).contains(&steps), "{steps} of {all_steps}");
    // The first two epochs differ in nothing but what the second leaves out.
    let (every, rehearsed) = (every.report, rehearsed.report);
    assert_eq!(every.epochs[0], rehearsed.epochs[0]);
    assert_eq!(rehearsed.epochs.len(), EPOCHS);
    assert!(rehearsed.kl_after < 0.5 * rehearsed.kl_before, "{rehearsed:?}");
    let longest = plan(&all.recipe, &all.options("new")).unwrap();
    let planned = plan(&some.recipe, &some.options("new")).unwrap();
    assert!(planned.seconds.training < longest.seconds.training && planned.steps >= steps);
}

#[test]
fn a_training_that_was_stopped_knows_what_it_had_rehearsed() {
    let fixture = fixture(3);
    let (undisturbed, steps) = bake_for(&fixture, "undisturbed", usize::MAX);
    let undisturbed = undisturbed.unwrap();
    // Three steps at a time, so that it is stopped within epochs and at their ends.
    let (mut done, mut runs) = (0, 0);
    let resumed = loop {
        let (result, steps) = bake_for(&fixture, "store", 3);
        (done, runs) = (done + steps, runs + 1);
        match result {
            Ok(bake) => break bake,
            Err(error) => assert!(error.is_interrupted() && runs < 100, "{error}"),
        }
    };
    assert!(done == steps && runs >= steps / 3, "{done} steps in {runs} runs, not {steps}");
    assert_eq!(weights(&resumed.adapter), weights(&undisturbed.adapter));
    assert_eq!(resumed.report, undisturbed.report);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
    assert!(pool.install(|| fixture.bytes("threads")) == weights(&undisturbed.adapter));
}
