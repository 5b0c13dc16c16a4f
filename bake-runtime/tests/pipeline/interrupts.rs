//! Bakes that are stopped and resumed.

use super::*;

#[test]
fn an_interrupted_bake_keeps_what_was_finished_and_ends_the_same() {
    let fixture = Fixture::new();
    let undisturbed = fixture.bytes("undisturbed");
    let run = |stop: Option<&'static str>| {
        let (interrupt, seen) = (Interrupt::new(), Arc::new(Mutex::new(Vec::new())));
        let stages = Stages {
            seen: seen.clone(),
            steps: AtomicUsize::new(0),
            stop: stop.map(|stage| (stage, interrupt.clone())),
        };
        let options = fixture.options("store").progress(stages).interrupt(interrupt);
        let result = bake_recipe(&fixture.recipe, &options);
        (result, std::mem::take(&mut *seen.lock().unwrap()))
    };
    for stage in ["stimuli", "rollouts", "teacher", "training"] {
        let (result, seen) = run(Some(stage));
        let error = result.unwrap_err();
        assert!(
            error.is_interrupted() && error.to_string().contains("baking again resumes"),
            "{error}"
        );
        assert!(seen.last().unwrap().starts_with(stage), "{seen:?}");
    }
    let (result, seen) = run(None);
    assert_eq!(weights(&result.unwrap().adapter), undisturbed);
    assert!(
        !seen.iter().any(|stage| stage.starts_with("stimuli") || stage.starts_with("rollouts")),
        "they were kept: {seen:?}"
    );
}

#[test]
fn a_training_that_was_stopped_goes_on_from_its_checkpoint() {
    let mut fixture = Fixture::new();
    fixture.train(|train| {
        (train.checkpoint_every, train.keep_every) = (Some(1), Some(1));
        (train.epochs, train.held_out) = (8, 0.5);
        // Patience runs out, so that the rate falls before its time.
        (train.lr, train.patience) = (Some(0.3), 1);
    });
    fixture.lora(|lora| lora.dropout = 0.2);
    let undisturbed = bake_recipe(&fixture.recipe, &fixture.options("undisturbed")).unwrap();
    // Each run does two steps and is then stopped.
    let mut runs = 0;
    let resumed = loop {
        match bake_for(&fixture, "store", 2).0 {
            Ok(bake) => break bake,
            Err(error) => assert!(error.is_interrupted(), "{error}"),
        }
        runs += 1;
        assert!(runs < 100, "it goes on");
    };
    assert!(runs >= 3, "it was stopped {runs} times");
    assert_eq!(weights(&resumed.adapter), weights(&undisturbed.adapter));
    assert_eq!(resumed.report, undisturbed.report);
    let epochs = resumed.report.epochs.len();
    assert!((3..8).contains(&epochs), "{:?}", resumed.report.held_out);
    assert_eq!(resumed.report.checkpoints.len(), epochs);
    assert_eq!(
        [kept(&fixture, "store", "checkpoints"), kept(&fixture, "store", "kept")],
        [0, 0],
        "a finished bake needs no checkpoint"
    );

    // An epoch that was kept and is gone is left out; the bake is the same without it.
    while kept(&fixture, "another", "kept") == 0 {
        assert!(bake_for(&fixture, "another", 2).0.unwrap_err().is_interrupted());
    }
    let another = fixture.dir.path().join("another");
    std::fs::remove_dir_all(another.join("latest/kept")).unwrap();
    let resumed = bake_recipe(&fixture.recipe, &fixture.options("another")).unwrap();
    assert_eq!(weights(&resumed.adapter), weights(&undisturbed.adapter));
    let left: Vec<_> = resumed.report.checkpoints.iter().map(|kept| kept.epoch).collect();
    assert_eq!(left, [2, 3]);
}

/// How many files a stage has left in a store of those that training replaces as it goes.
fn kept(fixture: &Fixture, store: &str, stage: &str) -> usize {
    let folder = fixture.dir.path().join(store).join("latest").join(stage);
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}
