//! The loop of a training: epochs, steps, and what is kept between them.

use bake_spec::recipe::Recipe;

use super::optimizer::{self, Muon};
use super::schedule::{Course, lowest};
use super::shards::Shards;
use super::step::{Student, measure};
use super::{Checkpoints, TrainingSet};
use crate::adapter::{Adapter, Gradients};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::model::block::WeightView;
use crate::progress::{Monitor, Stage};

/// The default learning rate times the model's hidden size. Wider layers add up more inputs, so
/// each weight may move less (Yang et al. 2022, arXiv 2203.03466).
const RATE_TIMES_HIDDEN: f64 = 1.5;

/// A training of one adapter.
///
/// A block's activations are kept for the backward pass while all kept ones fit `activation_bytes`,
/// and computed again from the block's input otherwise. The result has the same bits either way,
/// and also when a training that was stopped resumes from a checkpoint.
#[derive(Clone, Copy)]
pub(crate) struct Training<'a> {
    pub(crate) model: &'a Model,
    /// The same as it is multiplied in a step.
    pub(crate) student: &'a Model,
    pub(crate) recipe: &'a Recipe,
    pub(crate) training_set: &'a TrainingSet,
    pub(crate) activation_bytes: usize,
    pub(crate) checkpoints: &'a Checkpoints<'a>,
    pub(crate) monitor: Monitor<'a>,
}

/// What changes from step to step.
pub(super) struct TrainingState {
    pub(super) adapter: Adapter,
    pub(super) optimizer: Muon,
    /// The loss of each finished step.
    pub(super) losses: Vec<f64>,
    /// The divergence on what is held out, after each finished epoch.
    pub(super) held_out: Vec<f64>,
    /// The adapter with the lowest of these.
    pub(super) best: Option<Adapter>,
}

/// What came out of a training.
pub(crate) struct Trained {
    pub(crate) adapter: Adapter,
    /// The mean divergence in each epoch.
    pub(crate) epochs: Vec<f64>,
    /// The divergence on what is held out, after each epoch; empty where nothing is.
    pub(crate) held_out: Vec<f64>,
}

impl Training<'_> {
    /// Trains an adapter, which changes nothing yet, until all epochs are done, the divergence is
    /// low enough, or what is held out has stopped getting nearer to the teacher and the rate has
    /// fallen to zero. The adapter is that of the epoch after which what is held out was nearest.
    pub(crate) fn run(self, adapter: Adapter) -> Result<Trained> {
        let settings = &self.recipe.train;
        let optimizer = Muon::new(&adapter, settings.weight_decay)?;
        let (losses, held_out) = (Vec::new(), Vec::new());
        let mut state = TrainingState { adapter, optimizer, losses, held_out, best: None };
        let steps_per_epoch = self.steps_per_epoch();
        self.checkpoints.load(&mut state)?;
        let done = state.losses.len();
        let shards = Shards::new()?;
        let steps = settings.epochs * steps_per_epoch;
        let stage = Stage { name: "training", target: "", total: steps, unit: "steps" };
        self.monitor.stage(stage, |ticker| {
            ticker.advance(done, "")?;
            for epoch in done / steps_per_epoch..settings.epochs {
                if self.is_enough(&state) {
                    break;
                }
                let skipped = state.losses.len() - epoch * steps_per_epoch;
                let order = self.training_set.order(settings.seed, epoch);
                for sequences in order.chunks(self.sequences_per_step()).skip(skipped) {
                    let loss = self.step(&shards, &mut state, sequences, done)?;
                    let ends_epoch = state.losses.len().is_multiple_of(steps_per_epoch);
                    if ends_epoch {
                        self.measure_held_out(&mut state)?;
                        self.checkpoints.keep(epoch + 1, &state.adapter)?;
                    }
                    let last = state.losses.len() == steps || ends_epoch && self.is_enough(&state);
                    self.checkpoints.step(&state, last)?;
                    ticker.advance(1, &note(loss, &state.held_out))?;
                }
            }
            Ok(())
        })?;
        let epochs = state.losses.chunks(steps_per_epoch).map(mean).collect();
        let TrainingState { adapter, held_out, best, .. } = state;
        Ok(Trained { adapter: best.unwrap_or(adapter), epochs, held_out })
    }

    /// Measures what is held out after an epoch, and keeps the adapter if it is nearer to the
    /// teacher than after all epochs before.
    fn measure_held_out(&self, state: &mut TrainingState) -> Result<()> {
        let Self { model, recipe, training_set, .. } = self;
        if training_set.held_out.is_empty() {
            return Ok(());
        }
        let view = WeightView { adapter: Some(&state.adapter), dropout: None };
        let now = measure(model, &recipe.train, training_set, &training_set.held_out, view)?;
        state.held_out.push(now);
        if lowest(&state.held_out) == Some(state.held_out.len() - 1) {
            // The optimiser changes the numbers of the other where they are.
            state.best = Some(state.adapter.copied()?);
        }
        Ok(())
    }

    /// Whether training ends before all epochs are done; known at the end of an epoch.
    fn is_enough(&self, state: &TrainingState) -> bool {
        let settings = &self.recipe.train;
        let steps_per_epoch = self.steps_per_epoch();
        let low_enough = settings.stop_at_kl.is_some_and(|limit| {
            let epoch = state.losses.chunks_exact(steps_per_epoch).next_back();
            state
                .held_out
                .last()
                .copied()
                .or(epoch.map(mean))
                .is_some_and(|divergence| divergence < limit)
        });
        low_enough || state.losses.len() >= self.course(state).end * steps_per_epoch
    }

    fn course(&self, state: &TrainingState) -> Course {
        Course::of(&self.recipe.train, &state.held_out)
    }

    /// Learns from these sequences; returns their loss. `first` is the first step that this process
    /// does.
    fn step(
        &self,
        shards: &Shards,
        state: &mut TrainingState,
        sequences: &[usize],
        first: usize,
    ) -> Result<f64> {
        let settings = &self.recipe.train;
        let step = state.losses.len();
        let (loss, mut gradients) = self.gradients(shards, &state.adapter, sequences, step)?;
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
        let share = self.course(state).share_of_rate(settings, step, self.steps_per_epoch());
        let rate = self.highest_rate() * share;
        state.optimizer.step(&state.adapter, &gradients, rate)?;
        state.losses.push(loss);
        Ok(loss)
    }

    /// The loss of the sequences of one step and the gradients of the adapter, added up over the
    /// parts that are computed together.
    fn gradients(
        &self,
        shards: &Shards,
        adapter: &Adapter,
        sequences: &[usize],
        step: usize,
    ) -> Result<(f64, Gradients)> {
        let settings = &self.recipe.train;
        let student = Student {
            model: self.student,
            adapter,
            settings,
            dropout: self.recipe.lora.dropout,
            activation_bytes: self.activation_bytes,
        };
        // Over an epoch the weights sum to one: each step is scaled so that the mean of all is the
        // weighted loss.
        let scale = self.steps_per_epoch() as f64;
        let (mut total, mut part, mut gradients) = (0.0, 0, Gradients::default());
        for numbers in sequences.chunks(settings.batch) {
            let sequences: Vec<_> =
                numbers.iter().map(|&i| &self.training_set.sequences[i]).collect();
            for shard in
                student.in_shards(shards, self.training_set, &sequences, scale, (step, part))
            {
                let (loss, new) = shard?;
                total += loss;
                part += 1;
                gradients.add(new)?;
            }
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

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// What is said of a step.
fn note(loss: f64, held_out: &[f64]) -> String {
    match held_out.last() {
        Some(last) => format!("KL {loss:.4}, held out {last:.4}"),
        None => format!("KL {loss:.4}"),
    }
}
