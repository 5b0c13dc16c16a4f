//! Numbered checkpoints: which are kept, and that they load.

use std::borrow::Cow;

use bake_runtime::{ErrorKind, KeptCheckpoints, Loader};
use bake_spec::Declaration;
use bake_spec::recipe::{General, GeneralFields, TargetName};
use bake_spec::store::{checkpoint_folder, copy_folder, hash_folder};

use super::*;

/// A manner, of whose ten requests three are held out, and of whose training each epoch is kept.
const POLITE: Recipe = Recipe::declared(RecipeFields {
    name: Cow::Borrowed("Polite"),
    root: Cow::Borrowed(""),
    model: ModelSource::Tiny,
    parent: None,
    student: Prompt::declared(PromptFields {
        system: Cow::Borrowed(""),
        turns: Cow::Borrowed(&[]),
    }),
    targets: Cow::Borrowed(
        const {
            &[Target::declared(TargetFields {
                name: Cow::Borrowed("polite"),
                anchor: false,
                weight: 1.0,
                prompt: Prompt::declared(PromptFields {
                    system: Cow::Borrowed("End every answer with: Over and out."),
                    turns: Cow::Borrowed(&[]),
                }),
                document: None,
                context: None,
                examples: Cow::Borrowed(&[]),
                stimuli: Stimuli::declared(StimuliFields {
                    generators: Cow::Borrowed(
                        const {
                            &[Declared::General(General::declared(GeneralFields {
                                count: Some(10),
                            }))]
                        },
                    ),
                }),
                rollout: Rollout::declared(RolloutFields {
                    max_tokens: Some(24),
                    ..RolloutFields::DEFAULT
                }),
            })]
        },
    ),
    lora: Lora::declared(LoraFields { rank: 4, alpha: 8.0, ..LoraFields::DEFAULT }),
    train: Train::declared(TrainFields {
        epochs: 3,
        batch: 2,
        held_out: 0.3,
        keep_every: Some(1),
        ..TrainFields::DEFAULT
    }),
    expects: Cow::Borrowed(&[]),
});

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Polite;

impl TargetName for Polite {
    const ALL: &'static [Self] = &[Self];

    fn index(self) -> usize {
        0
    }

    fn name(self) -> &'static str {
        "polite"
    }
}

impl Declaration for Polite {
    type Target = Self;
    const RECIPE: &'static Recipe = &POLITE;
}

fn bake(dir: &tempfile::TempDir, store: &str, change: impl FnOnce(&mut TrainFields)) -> Bake {
    let train = POLITE.train.with(change).unwrap();
    let recipe = POLITE.with(|recipe| recipe.train = train).unwrap();
    let store = Store::new(dir.path().join(store));
    bake_recipe(&recipe, &BakeOptions::new().store(store).progress(Silent)).unwrap()
}

/// The numbers of checkpoints, with the round and the epoch of each.
fn places(bake: &Bake) -> Vec<[usize; 3]> {
    bake.report.checkpoints.iter().map(|kept| [kept.number, kept.round, kept.epoch]).collect()
}

#[test]
fn each_epoch_is_kept_and_the_nearest_to_the_teacher_is_the_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let baked = bake(&dir, "store", |_| ());
    let report = &baked.report;
    assert_eq!(places(&baked), [[1, 0, 1], [2, 0, 2], [3, 0, 3]]);
    let mut all = Vec::new();
    for kept in &report.checkpoints {
        assert_eq!(kept.kl, report.epochs[kept.epoch - 1]);
        assert_eq!(kept.held_out, Some(report.held_out[kept.epoch - 1]));
        let folder = checkpoint_folder(&baked.adapter, kept.number);
        assert_eq!(hash_folder(&folder).unwrap(), kept.adapter);
        all.push(weights(&folder));
    }
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    let (round, best) = report.end();
    assert_eq!((round, best), (0, report.best_epoch()));
    assert!(all[best - 1] == weights(&baked.adapter));
    let left = dir.path().join("store/latest/kept");
    assert_eq!(std::fs::read_dir(left).unwrap().count(), 0, "they are in one place only");

    // That they are kept changes neither the adapter nor its address, and nothing is baked again
    // for them.
    let plain = bake(&dir, "plain", |train| train.keep_every = None);
    assert!(weights(&plain.adapter) == weights(&baked.adapter));
    assert!(plain.report.checkpoints.is_empty() && !plain.adapter.join("checkpoints").exists());
    let again = bake(&dir, "plain", |_| ());
    assert!(again.reused && again.report.checkpoints.is_empty());
    let again = bake(&dir, "store", |train| train.keep_every = Some(2));
    assert!(again.reused && again.report == baked.report);
    let every_second = bake(&dir, "second", |train| train.keep_every = Some(2));
    assert_eq!(places(&every_second), [[1, 0, 2]]);
    assert!(weights(&checkpoint_folder(&every_second.adapter, 1)) == all[1]);
}

#[test]
fn a_checkpoint_is_loaded_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let baked = bake(&dir, "store", |_| ());
    let store = Store::new(dir.path().join("store"));
    let loader = || Loader::<Polite>::new().store(store.clone());
    let answer = |loader: Loader<Polite>| loader.load().unwrap().chat("Tell me a joke").unwrap();
    let model = Model::tiny().unwrap();
    for number in 1..=3 {
        let folder = checkpoint_folder(&baked.adapter, number);
        let adapter = Arc::new(Adapter::load(&folder, &model).unwrap());
        let chat = Chat::new(model.clone(), "").with_adapter(adapter).unwrap();
        let want = chat.chat("Tell me a joke").unwrap();
        assert_eq!(answer(loader().checkpoint(number)), want);
        let beside = Loader::<Polite>::new().adapter(&baked.adapter).checkpoint(number);
        assert_eq!(answer(beside), want);
    }
    assert_eq!(answer(loader().checkpoint(baked.report.best_epoch())), answer(loader()));

    let error = |loader: Loader<Polite>| loader.load().unwrap_err();
    for number in [0, 4] {
        let error = error(loader().checkpoint(number));
        assert_eq!(error.kind(), ErrorKind::Adapter);
        let error = error.to_string();
        assert!(error.contains(&format!("`Polite` has no checkpoint {number};")), "{error}");
        for kept in &baked.report.checkpoints {
            assert!(error.contains(&format!("{} ({kept})", kept.number)), "{error}");
            let held_out = kept.held_out.unwrap();
            assert!(kept.to_string().contains(&format!("epoch {}: ", kept.epoch)), "{kept}");
            assert!(kept.to_string().contains(&format!("{held_out:.4} on held-out")), "{kept}");
        }
    }

    // A copy has none, but finds those of the store that has the adapter.
    let copy = dir.path().join("copy");
    copy_folder(&baked.adapter, &copy).unwrap();
    let kept = KeptCheckpoints::of(&copy).unwrap();
    assert_eq!(kept.list(), baked.report.checkpoints);
    let folder = kept.find("Polite", 2, Some(&store)).unwrap();
    assert_eq!(folder, checkpoint_folder(&baked.adapter, 2));
    let missing = error(Loader::new().adapter(&copy).checkpoint(2));
    assert!(missing.is_not_baked(), "{missing}");
    assert!(missing.to_string().contains("checkpoint 2 of `Polite` is not on this machine"));

    // A damaged one is not loaded, and comes back when the bake is made again.
    std::fs::write(folder.join("adapter_config.json"), "{}").unwrap();
    assert!(error(loader().checkpoint(2)).is_not_baked());
    answer(loader().checkpoint(1));
    let options = BakeOptions::new().store(store.clone()).progress(Silent).fresh();
    let again = bake_recipe(&POLITE, &options).unwrap();
    assert!(!again.reused && again.adapter == baked.adapter);
    answer(loader().checkpoint(2));

    let plain = bake(&dir, "plain", |train| train.keep_every = None);
    let error = error(Loader::new().adapter(&plain.adapter).checkpoint(1));
    assert!(error.is_not_baked() && error.to_string().contains("keep_every 1;"), "{error}");
}
