//! What a bake will take, before anything of it is done.

use std::time::{Duration, Instant};

use bake_spec::recipe::Recipe;
use bake_spec::{Hash, KeyHasher, Projection};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::adapter::initial;
use crate::device::Device;
use crate::error::Result;
use crate::generate::sample::Sampling;
use crate::generate::{Request, complete};
use crate::inputs::{Inputs, load_model};
use crate::model::Model;
use crate::model::block::{Activations, WeightView};
use crate::text::template::Message;
use crate::train::probe;

/// What a bake will take at most. Numbers of tokens are exact for prompts; an answer counts half of
/// the tokens that it may have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The targets and anchors.
    pub targets: Vec<TargetPlan>,
    /// Answers that are learned from.
    pub answers: usize,
    /// Steps of the training.
    pub steps: usize,
    /// Numbers in the adapter.
    pub adapter_parameters: usize,
    /// The most memory that is held at once, in bytes, beside the program itself.
    pub memory_bytes: u64,
    /// Seconds for questions, answers, teacher states, and training, estimated from a short trial
    /// on this machine.
    pub seconds: [f64; 4],
}

/// What a target will take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetPlan {
    /// Its name.
    pub name: String,
    /// Tokens of the teacher's prompt.
    pub prompt_tokens: usize,
    /// Questions that are written down.
    pub written: usize,
    /// Questions that the model writes.
    pub asked: usize,
    /// Answers.
    pub answers: usize,
    /// The most tokens of an answer.
    pub max_tokens: usize,
}

impl Plan {
    /// The whole time.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.iter().sum())
    }
}

/// Plans a bake on a device. The model is loaded, and tried for about a second.
///
/// # Errors
/// When the model or a document cannot be read, or the device cannot be used.
pub fn plan(recipe: &Recipe, device: Device) -> Result<Plan> {
    let model = load_model(recipe, device)?;
    let mut targets = Vec::new();
    for target in recipe.targets.iter() {
        let inputs = Inputs::read(recipe, target)?;
        let (written, asked) =
            (inputs.questions.len(), target.stimuli.ask.as_ref().map_or(0, |ask| ask.count));
        targets.push(TargetPlan {
            name: target.name.to_string(),
            prompt_tokens: model.encode(&Message::question(&inputs.prompt, ""))?.len(),
            written,
            asked,
            answers: (written + asked) * target.rollout.answers,
            max_tokens: target.rollout.max_tokens(model.config().context()),
        });
    }
    let answers: usize = targets.iter().map(|target| target.answers).sum();
    let answer_tokens: usize =
        targets.iter().map(|target| target.answers * (target.max_tokens / 2).max(1)).sum();
    let train = &recipe.train;
    let steps = train.epochs * answers.div_ceil(train.batch * train.accumulate);
    let adapter = initial(model.config(), &recipe.lora, train.seed, model.decoder().device())?;

    let Trial { written, read, learned } = trial(&model, recipe)?;
    // A question is some 12 tokens, and two are sampled for each that is kept.
    let asked: usize = targets.iter().map(|target| target.asked).sum();
    let questions = (24 * asked) as f64 * written;
    let rollouts = answer_tokens as f64 * written
        + targets.iter().map(|t| t.prompt_tokens).sum::<usize>() as f64 * read;
    let states = (answer_tokens + 12 * answers) as f64 * read;
    let training = train.epochs as f64 * (answer_tokens + 24 * answers) as f64 * learned;

    let mean_tokens = (answer_tokens / answers.max(1) + 24) * train.batch;
    let weights = model.decoder().parameters() as u64 * 4;
    let activations =
        (Activations::bytes(model.config(), mean_tokens) * model.config().layers()) as u64;
    // The adapter with its gradients and two moments, the loss's two chunks, and the teacher's
    // states.
    let learning = 16 * adapter.parameters() as u64 + (64 << 20) + activations.min(256 << 20);
    let memory_bytes =
        weights + learning + (answer_tokens * model.config().hidden_size() * 4) as u64;
    Ok(Plan {
        targets,
        answers,
        steps,
        adapter_parameters: adapter.parameters(),
        memory_bytes,
        seconds: [questions, rollouts, states, training],
    })
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
fn trial(model: &Model, recipe: &Recipe) -> Result<Trial> {
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
        let sampling = Sampling::temperature(2.0, 0)?.max_tokens(16)?;
        let completions = complete(model, requests, &sampling, WeightView::default(), |_| Ok(()))?;
        Ok(completions.iter().map(|completion| completion.ids.len()).sum())
    })?;
    let learned = timed(&|| probe(model, recipe, &ids))?;
    Ok(Trial { written, read, learned })
}

impl crate::model::decoder::Decoder {
    /// Numbers in the weights.
    fn parameters(&self) -> usize {
        let config = self.config();
        let blocks: usize = Projection::ALL
            .iter()
            .map(|p| config.projection_shape(*p).iter().product::<usize>())
            .sum();
        let head: usize = self.head().dims().iter().product();
        let tables = if config.tied_head() { 1 } else { 2 };
        config.layers() * blocks + tables * head
    }
}

impl Plan {
    /// The memory, for messages: `238 MB`.
    pub fn memory(&self) -> String {
        format!("{} MB", self.memory_bytes.div_ceil(1 << 20))
    }
}
