//! From a recipe to an adapter.
//!
//! ```text
//! recipe ──ask──▶ stimuli ──roll out──▶ rollouts ──teach──▶ teacher states ──distil──▶ adapter
//! ```
//!
//! Every product is kept in the store under the hash of everything that determines it: the
//! questions about one passage, the rollouts of one stimulus, the states of one trajectory. So
//! nothing is made twice, one more question costs only its own answers, and a bake that was killed
//! resumes from what was finished; a training resumes from its last checkpoint.

mod activations;
pub(crate) mod answers;
pub(crate) mod drift;
mod evidence;
pub(crate) mod examples;
mod excerpt;
mod freed;
mod gate;
mod held_out;
mod inputs;
pub(crate) mod layout;
mod numbered;
mod on_policy;
mod options;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod products;
mod reading;
pub(crate) mod recall;
pub(crate) mod report;
mod retrieval;
mod rollout;
mod room;
pub(crate) mod rounds;
mod spans;
mod stages;
pub(crate) mod stimuli;
pub(crate) mod support;
mod teacher;
mod trajectory;
pub(crate) mod verdict;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bake_spec::recipe::Recipe;
use bake_spec::{Config, Declaration, Hash, KeyHasher, Store, StoreLock};
use tracing::field;

use crate::adapter::Adapter;
use crate::bake::inputs::Inputs;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::{check_sources, load_model};
use crate::model::Model;
use crate::progress::{Monitor, Stage};
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::train::{
    Checkpoints, StudentSequence, Trained, Training, TrainingRoom, TrainingSet, measure,
};
use drift::Drift;
use gate::Chosen;
pub use options::BakeOptions;
use report::Report;
use rounds::Covering;
use stages::{Prepared, Stages, device_kind};

/// A finished bake.
#[derive(Clone, Debug)]
pub struct Bake {
    /// The adapter's folder in the store, in the format of PEFT.
    pub adapter: PathBuf,
    /// How it went.
    pub report: Report,
    /// Whether it was in the store already.
    pub reused: bool,
    /// The base model: the hash of its files, and its shape.
    pub model: (Hash, Config),
}

/// Bakes a declaration.
///
/// # Errors
/// Those of [`bake_recipe`].
pub fn bake<D: Declaration>(options: &BakeOptions) -> Result<Bake> {
    bake_recipe(D::RECIPE, options)
}

/// Bakes a recipe, unless its adapter is in the store already.
///
/// # Errors
/// When the model or a document cannot be read or does not fit, a document has changed since it was
/// declared, the store cannot be written,
/// training diverges (its numbers overflow, or the model ends up further from the teacher than it
/// was), or the work is interrupted. What was finished before is kept.
pub fn bake_recipe(recipe: &Recipe, options: &BakeOptions) -> Result<Bake> {
    let span = tracing::info_span!("bake", bake = &*recipe.name, recipe = field::Empty);
    let _entered = span.enter();
    let store = options.open_store()?;
    let monitor = Monitor { progress: &*options.progress, interrupt: &options.interrupt };
    check_sources(recipe)?;
    let model = load_model(recipe, options.device)?;
    let room = TrainingRoom::of(&model, options.device, options.room_for_activations());
    let hash = recipe.hash(model.hash());
    span.record("recipe", field::display(&hash));
    let (store, model) = (&store, &model);
    let baking = Baking { recipe, options, store, monitor, model, hash, room };
    // What exists can be used without a lock, even in a read-only store.
    if let Some(bake) = baking.made()? {
        return Ok(bake);
    }
    let _lock = wait_for_lock(store, &hash, monitor)?;
    match baking.made()? {
        Some(bake) => Ok(bake),
        None => baking.make(),
    }
}

/// A bake in progress.
struct Baking<'a> {
    recipe: &'a Recipe,
    options: &'a BakeOptions,
    store: &'a Store,
    monitor: Monitor<'a>,
    model: &'a Model,
    hash: Hash,
    /// As much as a plan has said: what is free is looked at as soon as the model is loaded.
    room: TrainingRoom,
}

impl Baking<'_> {
    /// The bake, if it is in the store.
    fn made(&self) -> Result<Option<Bake>> {
        if self.options.fresh {
            return Ok(None);
        }
        let Some(adapter) = self.store.adapter(&self.hash)? else { return Ok(None) };
        let report = Report::read(&adapter, self.recipe);
        Ok(report.map(|report| self.finished(adapter, report, true)))
    }

    fn finished(&self, adapter: PathBuf, report: Report, reused: bool) -> Bake {
        let model = (*self.model.hash(), self.model.config().clone());
        Bake { adapter, report, reused, model }
    }

    fn make(&self) -> Result<Bake> {
        let Self { recipe, options, store, monitor, model, .. } = *self;
        let BakeOptions { device, fresh, .. } = *options;
        let stages = Stages { recipe, model, device, store, fresh, monitor };
        let inputs = stages.inputs()?;
        let adapter = stages.check(&inputs)?;
        freed::give_back();
        let chosen = stages.choose(&inputs)?;
        let prepared = stages.prepare(&inputs, &chosen, None)?;
        if fresh {
            self.clear_checkpoints()?;
        }
        let (covering, mut report) = self.learn(&stages, &inputs, &chosen, prepared, adapter)?;
        let Covering { prepared, adapter, .. } = covering;
        let Prepared { training_set, examinations, anchored, .. } = prepared;
        report.drift = Drift::of(model, &training_set, &anchored, &adapter, monitor)?;
        drop(training_set);
        let adapter = Arc::new(adapter);
        let recalls = recall::recall(&stages, &examinations, Arc::clone(&adapter))?;
        for (report, recall) in report.targets.iter_mut().zip(recalls) {
            report.recall = recall;
        }
        let save = |dir: &Path| {
            adapter.save(dir, model.name())?;
            report.checkpoints = self.save_checkpoints(dir, &adapter, &report)?;
            report.write(dir)
        };
        let dir = tracing::info_span!("save").in_scope(|| store.put_adapter(&self.hash, save))?;
        self.clear_checkpoints()?;
        freed::give_back();
        Ok(self.finished(dir, report, false))
    }

    /// Trains the adapter, in as many rounds as it takes, and measures how far the model is from
    /// the teacher before and after.
    fn learn(
        &self,
        stages: &Stages<'_>,
        inputs: &[Inputs],
        chosen: &[Chosen],
        prepared: Prepared,
        adapter: Adapter,
    ) -> Result<(Covering, Report)> {
        let trained_on = |set: &TrainingSet, adapter: Option<&Adapter>| {
            self.divergence(set, &set.sequences, adapter)
        };
        let mut kl_before = trained_on(&prepared.training_set, None)?;
        check_divergence_before(self.model, kl_before)?;
        freed::give_back();
        let Trained { adapter, epochs, held_out } =
            self.train(&prepared.training_set, adapter, 0)?;
        freed::give_back();
        let covering = Covering::new(prepared, adapter);
        let mut covering = self.cover(stages, inputs, chosen, covering)?;
        let training_set = &covering.prepared.training_set;
        if !covering.rounds.is_empty() {
            kl_before = trained_on(training_set, None)?;
        }
        let kl_after = trained_on(training_set, Some(&covering.adapter))?;
        if let Err(error) = check_divergence_after(kl_before, kl_after) {
            self.clear_checkpoints()?;
            return Err(error);
        }
        tracing::info!(kl_before, kl_after, "baked");
        let targets = std::mem::take(&mut covering.prepared.reports);
        let rounds = std::mem::take(&mut covering.rounds);
        let uncovered = std::mem::take(&mut covering.uncovered);
        let report = Report {
            kl_before,
            kl_after,
            epochs,
            held_out,
            rounds,
            uncovered,
            drift: None,
            checkpoints: Vec::new(),
            targets,
        };
        Ok((covering, report))
    }

    /// Trains an adapter. The first round is 0; one that was finished is not trained again.
    fn train(&self, training_set: &TrainingSet, adapter: Adapter, round: usize) -> Result<Trained> {
        let student = self.room.student(self.model)?;
        let training = Training {
            model: self.model,
            student: &student,
            recipe: self.recipe,
            training_set,
            activation_bytes: self.room.activations,
            checkpoints: &self.checkpoints(round),
            monitor: self.monitor,
        };
        training.run(adapter)
    }

    /// How far the model, with an adapter or without, is from the teacher on some sequences.
    fn divergence(
        &self,
        training_set: &TrainingSet,
        sequences: &[StudentSequence],
        adapter: Option<&Adapter>,
    ) -> Result<f64> {
        let view = self.model.view(adapter);
        let whose = if adapter.is_some() { "baked" } else { "base" };
        let name = &format!("divergence of the {whose} model");
        let stage = Stage { name, target: "", total: sequences.len(), unit: "answers" };
        self.monitor.stage(stage, |ticker| {
            let advance = |done| ticker.advance(done, "");
            measure(self.model, training_set, sequences, view, &advance)
        })
    }

    /// The checkpoints of a round, which stay there until the bake is done.
    fn checkpoints(&self, round: usize) -> Checkpoints<'_> {
        let of_device = || device_kind(self.options.device, self.model);
        let key = KeyHasher::new("checkpoints", 4)
            .field("recipe", &self.hash)
            .field("device", self.room.unit().map_or_else(of_device, Bf16Unit::name));
        let key = if round > 0 { key.field("round", &round) } else { key };
        Checkpoints::new(self.store, key.finish(), &self.recipe.train)
    }

    fn clear_checkpoints(&self) -> Result<()> {
        let rounds = self.recipe.further_rounds();
        (0..=rounds).try_for_each(|round| self.checkpoints(round).clear())
    }
}

/// A base model whose divergence is not a number cannot be trained.
fn check_divergence_before(model: &Model, kl_before: f64) -> Result<()> {
    if kl_before.is_finite() {
        return Ok(());
    }
    let message = format!(
        "the divergence of the model {} from its teacher is {kl_before}: its weights give outputs \
         that are not numbers; check its files, or download them again",
        model.name()
    );
    Err(Error::new(ErrorKind::Model, message))
}

/// A training must not end further from the teacher than it began. A divergence that is not a
/// number is not a success either.
fn check_divergence_after(kl_before: f64, kl_after: f64) -> Result<()> {
    if kl_after <= kl_before {
        return Ok(());
    }
    let [before, after] = [kl_before, kl_after].map(in_digits);
    if before == after {
        let message = format!(
            "training changed nothing: the model is still {after} nats per token from the teacher; \
             raise `lr` or `epochs`"
        );
        return Err(Error::new(ErrorKind::Training, message));
    }
    let message = format!(
        "training moved the model away from the teacher: from {before} to {after} nats per token; \
         lower `lr`"
    );
    Err(Error::new(ErrorKind::Training, message))
}

/// Three digits after the point, or, of what would be shown as 0, three significant ones.
fn in_digits(divergence: f64) -> String {
    if divergence < 5e-4 { format!("{divergence:.2e}") } else { format!("{divergence:.3}") }
}

/// Waits, if necessary, until no other process is baking the same.
fn wait_for_lock(store: &Store, recipe: &Hash, monitor: Monitor<'_>) -> Result<StoreLock> {
    if let Some(lock) = store.try_lock(recipe)? {
        return Ok(lock);
    }
    let stage =
        Stage { name: "another process is baking this", target: "", total: 1, unit: "bake" };
    monitor.stage(stage, |ticker| {
        loop {
            if let Some(lock) = store.try_lock(recipe)? {
                ticker.advance(1, "")?;
                return Ok(lock);
            }
            ticker.advance(0, "waiting for it")?;
            std::thread::sleep(Duration::from_millis(200));
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use bake_spec::recipe::{
        Generator, Lora, LoraFields, ModelSource, RecipeFields, Rollout, RolloutFields, Schedule,
        Stimuli, Target, TargetFields, Train, TrainFields,
    };

    use super::*;
    use crate::adapter::kept::REPORT;
    use crate::device::Device;
    use crate::device::gpu::testing::on_two_gpus;
    use crate::progress::{Interrupt, Silent};

    /// A short bake of two answers, with nothing left to chance.
    pub(crate) fn recipe() -> Recipe {
        let questions = vec!["I lost my key".into(), "My lamp is broken".into()].into();
        let prompt = "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.";
        let target = TargetFields {
            name: "keys".into(),
            anchor: false,
            weight: 1.0,
            prompt: prompt.into(),
            document: None,
            context: None,
            examples: vec![].into(),
            stimuli: Stimuli::default()
                .with(|stimuli| stimuli.set(Generator::Questions(questions)))
                .unwrap(),
            rollout: Rollout::new(RolloutFields {
                max_tokens: Some(8),
                temperature: 0.0,
                seed: 1,
                ..RolloutFields::DEFAULT
            })
            .unwrap(),
        };
        let lora = LoraFields { rank: 4, alpha: 8.0, ..LoraFields::DEFAULT };
        let train = TrainFields {
            epochs: 2,
            batch: 1,
            accumulate: 2,
            schedule: Schedule::Cosine,
            warmup: 0.0,
            seed: 1,
            ..TrainFields::DEFAULT
        };
        Recipe::new(RecipeFields {
            name: "Keys".into(),
            root: "".into(),
            model: ModelSource::Tiny,
            parent: None,
            student: "".into(),
            targets: vec![Target::new(target).unwrap()].into(),
            lora: Lora::new(lora).unwrap(),
            train: Train::new(train).unwrap(),
            expects: vec![].into(),
        })
        .unwrap()
    }

    #[test]
    fn a_training_that_leads_away_says_by_how_much() {
        let error = check_divergence_after(2e-6, 3.25e-6).unwrap_err().to_string();
        assert!(error.contains("from 2.00e-6 to 3.25e-6 nats"), "{error}");
        let error = check_divergence_after(0.1, 12.5).unwrap_err().to_string();
        assert!(error.contains("from 0.100 to 12.500 nats"), "{error}");
    }

    #[test]
    fn a_divergence_that_is_not_a_number_is_a_failed_bake() {
        assert!(check_divergence_after(1.0, 0.5).is_ok());
        assert!(check_divergence_after(0.0, 0.0).is_ok());
        for after in [1.5, f64::NAN, f64::INFINITY] {
            let error = check_divergence_after(1.0, after).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Training);
            assert!(error.to_string().contains("lower `lr`"), "{error}");
        }
        let model = Model::tiny().unwrap();
        assert!(check_divergence_before(&model, 1.0).is_ok());
        for before in [f64::NAN, f64::INFINITY] {
            let error = check_divergence_before(&model, before).unwrap_err();
            assert!(error.to_string().contains("the model tiny"), "{error}");
        }
    }

    #[test]
    fn an_adapter_whose_report_cannot_be_read_is_made_again_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let options = BakeOptions::new().store(store.clone()).progress(Silent);
        let first = bake_recipe(&recipe(), &options).unwrap();
        let hash = recipe().hash(&first.model.0);
        store
            .put_adapter(&hash, |dir| {
                bake_spec::store::copy_folder(&first.adapter, dir)?;
                std::fs::write(dir.join(REPORT), r#"{"kl_before":1.0,"kl_after":null}"#).unwrap();
                Ok::<_, bake_spec::Error>(())
            })
            .unwrap();
        let again = bake_recipe(&recipe(), &options).unwrap();
        assert!(!again.reused && again.report == first.report);
        assert!(bake_recipe(&recipe(), &options).unwrap().reused);
    }

    #[test]
    fn products_of_one_kind_of_device_are_not_used_on_another() {
        let (recipe, model, dir) = (recipe(), Model::tiny().unwrap(), tempfile::tempdir().unwrap());
        let (store, interrupt) = (Store::new(dir.path()), Interrupt::new());
        let key = |device| {
            let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
            let (recipe, model, store) = (&recipe, &model, &store);
            let stages = Stages { recipe, model, device, store, fresh: false, monitor };
            stages.key("rollouts", 1).finish()
        };
        assert_ne!(key(Device::Cpu), key(Device::Cuda(0)));
        assert_eq!(key(Device::Cuda(0)), key(Device::Cuda(1)));
        // A small model is computed in f32 anyway.
        assert_eq!(key(Device::Cpu), key(Device::CpuF32));
    }

    #[test]
    fn a_bake_on_a_gpu_gives_nearly_the_result_of_the_processor() {
        let bake = |device| {
            let dir = tempfile::tempdir().unwrap();
            let options = BakeOptions::new()
                .store(Store::new(dir.path()))
                .progress(Silent)
                .interrupt(Interrupt::new())
                .device(device);
            let report = bake_recipe(&recipe(), &options).unwrap().report;
            (report, products::products(&recipe(), &options).unwrap())
        };
        // A processor that trains in bf16 differs by more.
        let (want, want_products) = bake(Device::CpuF32);
        assert!(want.kl_after < want.kl_before && want.epochs.len() == 2);
        on_two_gpus(|device| {
            let (got, got_products) =
                bake(if device.is_cpu() { Device::CpuF32 } else { Device::Cuda(0) });
            assert_eq!(got_products, want_products);
            assert_eq!(got.targets, want.targets);
            let numbers = |report: &Report| {
                [&report.epochs[..], &[report.kl_before, report.kl_after]].concat()
            };
            for (a, b) in numbers(&got).into_iter().zip(numbers(&want)) {
                assert!((a - b).abs() <= 1e-3 * b, "{got:?} {want:?}");
            }
        });
    }
}
