//! How fast this machine does the work of a bake.

use std::time::{Duration, Instant};

use bake_spec::recipe::Recipe;

use crate::error::Result;
use crate::model::Model;
use crate::model::block::WeightView;
use crate::model::decoder::Run;
use crate::train::{TrainingRoom, Trial};

/// Seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    /// A token of a prompt.
    pub(super) read: f64,
    /// A step of answers that grow together, each by a token, and what each of them adds to it.
    pub(super) step: f64,
    pub(super) token: f64,
    /// A token that is trained on: forward, loss and backward.
    pub(super) learned: f64,
    /// A token whose divergence is measured.
    pub(super) measured: f64,
}

/// What the sequences of a bake look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkShape {
    /// Tokens that a teacher reads before a question.
    pub(super) before: usize,
    /// Answers that grow together.
    pub(super) answers: usize,
    /// Tokens that all of the student's prompts begin with.
    pub(super) shared: usize,
    /// Tokens of the student's prompt and of an answer.
    pub(super) prompt: usize,
    pub(super) answer: usize,
}

/// Tokens that are read together when reading is timed.
const READ: usize = 512;

/// Work is repeated for at least this long.
const LEAST: Duration = Duration::from_millis(200);

/// Work that takes this long is done once.
const LONG: Duration = Duration::from_secs(1);

impl Speed {
    /// Does a little of each kind of work, with this room for training.
    pub(super) fn measure(
        model: &Model,
        recipe: &Recipe,
        shape: WorkShape,
        room: &TrainingRoom,
    ) -> Result<Self> {
        let context = model.config().context();
        let before = shape.before.min(context / 2);
        let run = READ.min(context - before) / 8;
        let read = extended(model, before, 8, run.max(1))?;
        let (one, all) = (extended(model, before, 1, 1)?, shape.answers.max(2));
        let token = ((extended(model, before, all, 1)? - one) / (all - 1) as f64).max(0.0);
        let lengths = [shape.prompt.max(1), shape.answer.max(1)];
        let trial = Trial::new(model, recipe, room, shape.shared, lengths)?;
        let tokens = trial.tokens() as f64;
        Ok(Self {
            read: read / (8 * run.max(1)) as f64,
            step: (one - token).max(0.0),
            token,
            learned: timed(&mut || trial.learn(room.activations))? / tokens,
            measured: timed(&mut || trial.measure())? / tokens,
        })
    }
}

/// Seconds of a pass over `tokens` new tokens in each of so many sequences, which have `before`
/// tokens before them, with the logits of the last of each.
fn extended(model: &Model, before: usize, sequences: usize, tokens: usize) -> Result<f64> {
    let decoder = model.decoder();
    let mut cache = decoder.cache(before + sequences * tokens)?;
    // What is read there does not change how long it takes.
    let past: Vec<u32> = cache.reserve(before)?.collect();
    let vocabulary = model.config().vocab_size() as u32;
    let ids: Vec<u32> = (0..tokens as u32).map(|i| (i * 7919) % vocabulary).collect();
    timed(&mut || {
        cache.truncate(before);
        let runs: Vec<_> = (0..sequences).map(|_| Run { ids: &ids, past: &past }).collect();
        let (hidden, _) = decoder.extend(&mut cache, &runs, WeightView::default())?;
        decoder.logits(&hidden.narrow(0, 0, sequences)?)?;
        Ok(())
    })
}

/// Seconds of a piece of work. The first time, which warms caches and threads, is counted only
/// where it is so long that this does not matter.
fn timed(work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let begin = Instant::now();
    work()?;
    let first = begin.elapsed();
    if first >= LONG {
        return Ok(first.as_secs_f64());
    }
    let (begin, mut times) = (Instant::now(), 0);
    while times == 0 || begin.elapsed() < LEAST {
        work()?;
        times += 1;
    }
    Ok(begin.elapsed().as_secs_f64() / f64::from(times))
}
