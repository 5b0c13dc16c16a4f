//! What a bake will take, before any of it is done.

use std::time::{Duration, Instant};

use bake_spec::recipe::{Recipe, Target};
use bake_spec::{Hash, KeyHasher};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::BakeOptions;
use super::products::{Kept, KeptOfTarget, count_kept};
use super::stages::Stages;
use crate::adapter::initial;
use crate::error::Result;
use crate::generate::sample::Sampling;
use crate::generate::{Request, complete};
use crate::inputs::{Inputs, load_model};
use crate::model::Model;
use crate::model::block::{Activations, WeightView};
use crate::progress::{Interrupt, Monitor, Silent};
use crate::text::template::Message;
use crate::train::probe;

/// What a bake will take at most, and what exists already. Numbers of tokens are exact for
/// prompts; a rollout counts half of the tokens that it may have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The targets and anchors.
    pub targets: Vec<TargetPlan>,
    /// Whether the adapter is in the store, so that there is nothing to make.
    pub adapter_kept: bool,
    /// Rollouts that are learned from.
    pub rollouts: usize,
    /// Steps of the training.
    pub steps: usize,
    /// Numbers in the adapter.
    pub adapter_parameters: usize,
    /// The most memory that is held at once, in bytes, apart from the program itself.
    pub memory_bytes: u64,
    /// Seconds for the stimuli, rollouts and teacher states that are missing, and for training,
    /// estimated from a short trial on this machine.
    pub seconds: [f64; 4],
}

/// What a target will take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetPlan {
    /// Its name.
    pub name: String,
    /// Tokens of the prompt of a teacher that reads the whole document.
    pub prompt_tokens: usize,
    /// Stimuli that are written down.
    pub written: usize,
    /// Stimuli that are made from the document or written by the model.
    pub made: usize,
    /// The most tokens of a rollout.
    pub max_tokens: usize,
    /// Stimuli: those that are written down or in the store, and those still to be made.
    pub stimuli: Kept,
    /// Rollouts in the store and to be made.
    pub rollouts: Kept,
    /// Trajectories whose teacher states are in the store or to be made.
    pub states: Kept,
}

impl Plan {
    /// The whole time.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.iter().sum())
    }

    /// The plan where the adapter exists already, in the store or elsewhere: nothing is made, even
    /// if the products that it was made from were removed.
    #[must_use]
    pub fn with_adapter(mut self) -> Self {
        (self.adapter_kept, self.seconds) = (true, [0.0; 4]);
        for target in &mut self.targets {
            for kind in [&mut target.stimuli, &mut target.rollouts, &mut target.states] {
                kind.to_make = 0;
            }
        }
        self
    }

    /// The memory, for messages: `238 MB`.
    pub fn memory(&self) -> String {
        format!("{} MB", self.memory_bytes.div_ceil(1 << 20))
    }
}

impl TargetPlan {
    fn new(stages: &Stages<'_>, target: &Target, inputs: &Inputs) -> Result<Self> {
        let KeptOfTarget { stimuli, rollouts, states } = count_kept(stages, target, inputs)?;
        Ok(Self {
            name: target.name.to_string(),
            prompt_tokens: stages.model.encode(&Message::question(&inputs.prompt, ""))?.len(),
            written: inputs.stimuli.len(),
            made: (stimuli.kept + stimuli.to_make).saturating_sub(inputs.stimuli.len()),
            max_tokens: target.rollout.max_tokens(stages.model.config().context()),
            stimuli,
            rollouts,
            states,
        })
    }

    /// The tokens that a rollout probably has.
    fn rollout_tokens(&self) -> usize {
        (self.max_tokens / 2).max(1)
    }

    fn rollouts(&self) -> usize {
        self.rollouts.kept + self.rollouts.to_make
    }
}

/// Plans a bake with these options. The model is loaded, and timed for about a second unless
/// everything exists already. Nothing is made.
///
/// # Errors
/// When the model, a document or the store cannot be read, or the device cannot be used.
pub fn plan(recipe: &Recipe, options: &BakeOptions) -> Result<Plan> {
    let (model, store) = (load_model(recipe, options.device)?, options.open_store()?);
    let interrupt = Interrupt::new();
    let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
    let BakeOptions { device, fresh, .. } = *options;
    let stages = Stages { recipe, model: &model, device, store: &store, fresh, monitor };
    let mut targets = Vec::new();
    for (target, inputs) in recipe.targets.iter().zip(&Inputs::read_all(recipe)?) {
        targets.push(TargetPlan::new(&stages, target, inputs)?);
    }
    let adapter_kept = !fresh && store.adapter(&recipe.hash(model.hash()))?.is_some();
    let train = &recipe.train;
    let adapter = initial(model.config(), &recipe.lora, train.seed, model.decoder().device())?;
    let rollouts: usize = targets.iter().map(TargetPlan::rollouts).sum();
    let room = options.room_for_activations();
    let seconds = match adapter_kept {
        true => [0.0; 4],
        false => seconds(recipe, &targets, &trial(&model, recipe, room)?),
    };
    let plan = Plan {
        adapter_kept,
        rollouts,
        steps: train.epochs * rollouts.div_ceil(train.batch * train.accumulate),
        adapter_parameters: adapter.parameters(),
        memory_bytes: memory_bytes(&model, recipe, &targets, adapter.parameters(), room),
        seconds,
        targets,
    };
    Ok(if adapter_kept { plan.with_adapter() } else { plan })
}

/// The most memory that is held at once, with room for so many bytes of activations.
fn memory_bytes(
    model: &Model,
    recipe: &Recipe,
    targets: &[TargetPlan],
    adapter_parameters: usize,
    room: usize,
) -> u64 {
    let rollouts: usize = targets.iter().map(TargetPlan::rollouts).sum();
    let tokens: usize = targets.iter().map(|t| t.rollouts() * t.rollout_tokens()).sum();
    let batch_tokens = (tokens / rollouts.max(1) + 24) * recipe.train.batch;
    let weights = model.decoder().weight_bytes() as u64;
    let activations =
        (Activations::bytes(model.config(), batch_tokens) * model.config().layers()) as u64;
    // The adapter with its gradients and two moments, the loss's two chunks, and the teacher's
    // states.
    let learning = 16 * adapter_parameters as u64 + (64 << 20) + activations.min(room as u64);
    weights + learning + (tokens * model.config().hidden_size() * 4) as u64
}

/// Seconds for the stimuli, rollouts and teacher states that are missing, and for training.
fn seconds(recipe: &Recipe, targets: &[TargetPlan], trial: &Trial) -> [f64; 4] {
    let [mut stimuli, mut rollouts, mut states, mut training] = [0.0; 4];
    for target in targets {
        let tokens = |rollouts: usize| (rollouts * target.rollout_tokens()) as f64;
        // A question has about 12 tokens, and two are sampled for each that is kept.
        stimuli += (24 * target.stimuli.to_make) as f64 * trial.written;
        rollouts += tokens(target.rollouts.to_make) * trial.written;
        if target.rollouts.to_make > 0 {
            rollouts += target.prompt_tokens as f64 * trial.read;
        }
        let made = target.states.to_make;
        states += (tokens(made) + (12 * made) as f64) * trial.read;
        let read = tokens(target.rollouts()) + (24 * target.rollouts()) as f64;
        training += recipe.train.epochs as f64 * read * trial.learned;
    }
    [stimuli, rollouts, states, training]
}

/// Seconds a token.
struct Trial {
    /// Sampled, many sequences at once.
    written: f64,
    /// Read.
    read: f64,
    /// Trained on: forward, loss, backward and step.
    learned: f64,
}

/// Does a little of each kind of work.
fn trial(model: &Model, recipe: &Recipe, room: usize) -> Result<Trial> {
    let config = model.config();
    let length = 64.min(config.context() / 2);
    let ids: Vec<u32> =
        (0..length as u32).map(|i| (i * 7919) % config.vocab_size() as u32).collect();
    let timed = |work: &dyn Fn() -> Result<usize>| -> Result<f64> {
        // The first time warms caches and threads.
        work()?;
        let (begin, mut tokens) = (Instant::now(), 0);
        while begin.elapsed() < Duration::from_millis(200) {
            tokens += work()?;
        }
        Ok(begin.elapsed().as_secs_f64() / tokens.max(1) as f64)
    };
    let read = timed(&|| {
        let several: Vec<u32> = ids.iter().copied().cycle().take(8 * length).collect();
        model.decoder().forward(&several, &[length; 8], WeightView::default())?;
        Ok(8 * length)
    })?;
    let written = timed(&|| {
        let random = |i: u64| {
            let key: Hash = KeyHasher::new("trial", 1).field("sample", &i).finish();
            ChaCha8Rng::from_seed(*key.as_bytes())
        };
        let requests =
            (0..32).map(|i| Request { prompt: &ids[..8.min(length)], rng: random(i) }).collect();
        let sampling = Sampling::temperature(2.0, 0)?.max_tokens(16);
        let completions = complete(model, requests, &sampling, WeightView::default(), |_| Ok(()))?;
        Ok(completions.iter().map(|completion| completion.ids.len()).sum())
    })?;
    let learned = timed(&|| probe(model, recipe, &ids, room))?;
    Ok(Trial { written, read, learned })
}
