//! The loop of a training: epochs, steps, and what is kept between them.

use bake_spec::recipe::Recipe;

use super::optimizer::{self, AdamW, AdamWSettings};
use super::step::Student;
use super::{Checkpoints, TrainingSet, schedule};
use crate::adapter::{Adapter, Gradients};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::progress::{Monitor, Stage};

/// The default learning rate times the model's hidden size. Wider layers add up more inputs, so
/// each weight may move less (Yang et al. 2022, arXiv 2203.03466).
const RATE_TIMES_HIDDEN: f64 = 0.75;

/// A training of one adapter.
///
/// A block's activations are kept for the backward pass while all kept ones fit `activation_bytes`,
/// and computed again from the block's input otherwise. The result has the same bits either way,
/// and also when a training that was stopped resumes from a checkpoint.
#[derive(Clone, Copy)]
pub(crate) struct Training<'a> {
    pub(crate) model: &'a Model,
    pub(crate) recipe: &'a Recipe,
    pub(crate) training_set: &'a TrainingSet,
    pub(crate) activation_bytes: usize,
    pub(crate) checkpoints: &'a Checkpoints<'a>,
    pub(crate) monitor: Monitor<'a>,
}

/// What changes from step to step.
struct TrainingState {
    adapter: Adapter,
    optimizer: AdamW,
    /// The loss of each finished step.
    losses: Vec<f64>,
}

impl Training<'_> {
    /// Trains an adapter, which changes nothing yet. Returns it with the mean divergence in each
    /// epoch.
    pub(crate) fn run(self, adapter: Adapter) -> Result<(Adapter, Vec<f64>)> {
        let settings = &self.recipe.train;
        let optimizer = AdamW::new(&adapter, AdamWSettings::new(settings.weight_decay))?;
        let mut state = TrainingState { adapter, optimizer, losses: Vec::new() };
        state.losses = self.checkpoints.load(&mut state.adapter, &mut state.optimizer)?;
        let (done, steps_per_epoch) = (state.losses.len(), self.steps_per_epoch());
        let steps = settings.epochs * steps_per_epoch;
        let stage = Stage { name: "training", target: "", total: steps, unit: "steps" };
        self.monitor.stage(stage, |ticker| {
            ticker.advance(done, "")?;
            for epoch in done / steps_per_epoch..settings.epochs {
                let skipped = state.losses.len() - epoch * steps_per_epoch;
                let order = self.training_set.order(settings.seed, epoch);
                for sequences in order.chunks(self.sequences_per_step()).skip(skipped) {
                    let loss = self.step(&mut state, sequences, steps, done)?;
                    let TrainingState { adapter, optimizer, losses } = &state;
                    self.checkpoints.step(losses, steps, adapter, optimizer)?;
                    ticker.advance(1, &format!("KL {loss:.4}"))?;
                }
            }
            Ok(())
        })?;
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let epochs = state.losses.chunks(steps_per_epoch).map(mean).collect();
        Ok((state.adapter, epochs))
    }

    /// Learns from these sequences; returns their loss. `first` is the first step that this process
    /// does.
    fn step(
        &self,
        state: &mut TrainingState,
        sequences: &[usize],
        steps: usize,
        first: usize,
    ) -> Result<f64> {
        let settings = &self.recipe.train;
        let step = state.losses.len();
        let (loss, mut gradients) = self.gradients(&state.adapter, sequences, step)?;
        if step == first {
            gradients.check_complete(&state.adapter)?;
        }
        let norm = optimizer::clip(&mut gradients, settings.clip)?;
        if !(loss.is_finite() && norm.is_finite()) {
            let message = format!(
                "the loss is {loss} and the gradient's norm {norm} at step {step}; lower `lr`"
            );
            return Err(Error::new(ErrorKind::Training, message));
        }
        let rate = self.highest_rate() * schedule::share_of_rate(settings, step, steps);
        state.optimizer.step(&mut state.adapter, &gradients, rate)?;
        state.losses.push(loss);
        Ok(loss)
    }

    /// The loss of the sequences of one step and the gradients of the adapter, added up over the
    /// parts that are computed together.
    fn gradients(
        &self,
        adapter: &Adapter,
        sequences: &[usize],
        step: usize,
    ) -> Result<(f64, Gradients)> {
        let settings = &self.recipe.train;
        let student = Student {
            model: self.model,
            adapter,
            settings,
            dropout: self.recipe.lora.dropout,
            activation_bytes: self.activation_bytes,
        };
        // Over an epoch the weights sum to one: each step is scaled so that the mean of all is the
        // weighted loss.
        let scale = self.steps_per_epoch() as f64;
        let (mut total, mut gradients) = (0.0, Gradients::default());
        for (part, numbers) in sequences.chunks(settings.batch).enumerate() {
            let batch = self.training_set.batch(numbers, self.model.decoder().device())?;
            let (loss, new) = rayon::scope(|_| student.gradients(&batch, scale, (step, part)))?;
            total += loss;
            gradients.add(new)?;
        }
        Ok((total, gradients))
    }

    fn highest_rate(&self) -> f64 {
        let hidden = self.model.config().hidden_size() as f64;
        self.recipe.train.lr.unwrap_or(RATE_TIMES_HIDDEN / hidden)
    }

    fn sequences_per_step(&self) -> usize {
        self.recipe.train.batch * self.recipe.train.accumulate
    }

    fn steps_per_epoch(&self) -> usize {
        self.training_set.sequences.len().div_ceil(self.sequences_per_step())
    }
}
