//! The loop of a training: epochs, steps, and what is kept between them.

use bake_spec::recipe::Recipe;

use super::optimizer::{self, Muon};
use super::rehearsal::Rehearsal;
use super::schedule::{Course, lowest};
use super::shards::Shards;
use super::step::{Learned, Student, measure};
use super::{Checkpoints, StudentSequence, TrainingSet};
use crate::adapter::{Adapter, Gradients};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
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
    /// How many steps are finished.
    pub(super) steps: usize,
    /// The mean divergence in each finished epoch, of each sequence when it was last trained on.
    pub(super) epochs: Vec<f64>,
    /// What is known of each sequence.
    pub(super) rehearsal: Rehearsal,
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
        let mut state = TrainingState {
            optimizer: Muon::new(&adapter, settings.weight_decay)?,
            adapter,
            steps: 0,
            epochs: Vec::new(),
            rehearsal: Rehearsal::new(self.training_set.sequences.len()),
            held_out: Vec::new(),
            best: None,
        };
        self.checkpoints.load(&mut state)?;
        let shards = Shards::new()?;
        let first = state.steps;
        let total = settings.epochs * self.steps_per_epoch();
        let stage = Stage { name: "training", target: "", total, unit: "steps" };
        self.monitor.stage(stage, |ticker| {
            let mut epoch = self.epoch(&state);
            if state.rehearsal.seen() >= epoch.order.len() {
                // A checkpoint of a version that chose others.
                state.rehearsal.restart();
            }
            ticker.advance(epoch.place(self.done(&state)), "")?;
            while !self.is_enough(&state) {
                let done = self.done(&state);
                for sequences in epoch.order.chunks(self.sequences_per_step()).skip(done) {
                    let place = epoch.place(self.done(&state));
                    let loss = self.step(&shards, &mut state, sequences, (place, first))?;
                    let after = epoch.place(self.done(&state));
                    let ends_epoch = state.rehearsal.seen() == epoch.order.len();
                    if ends_epoch {
                        self.end_epoch(&mut state, &epoch)?;
                    }
                    self.checkpoints.step(&state, ends_epoch && self.is_enough(&state))?;
                    ticker.advance(after - place, &note(loss, &state.held_out))?;
                }
                epoch = self.epoch(&state);
            }
            Ok(())
        })?;
        let TrainingState { adapter, epochs, held_out, best, .. } = state;
        Ok(Trained { adapter: best.unwrap_or(adapter), epochs, held_out })
    }

    /// The epoch that is being trained, or is next.
    fn epoch(&self, state: &TrainingState) -> Epoch {
        let (settings, number) = (&self.recipe.train, state.epochs.len());
        let all = self.training_set.order(settings.seed, number);
        let order = state.rehearsal.chosen(all, number, settings.rehearse);
        let steps = order.len().div_ceil(self.sequences_per_step());
        Epoch { number, order, steps, full: self.steps_per_epoch() }
    }

    /// How many steps of its epoch a training has finished.
    fn done(&self, state: &TrainingState) -> usize {
        state.rehearsal.seen().div_ceil(self.sequences_per_step())
    }

    /// Notes what an epoch has reached, and keeps what is to be kept of it.
    fn end_epoch(&self, state: &mut TrainingState, epoch: &Epoch) -> Result<()> {
        state.rehearsal.end(epoch.number, &epoch.order);
        let weight = |it: &StudentSequence| it.token_weight * it.answer as f64;
        let weights = self.training_set.sequences.iter().map(weight);
        state.epochs.push(state.rehearsal.mean(weights));
        self.measure_held_out(state)?;
        self.checkpoints.keep(epoch.number + 1, &state.adapter)
    }

    /// Measures what is held out after an epoch, and keeps the adapter if it is nearer to the
    /// teacher than after all epochs before.
    fn measure_held_out(&self, state: &mut TrainingState) -> Result<()> {
        let Self { model, training_set, .. } = self;
        if training_set.held_out.is_empty() {
            return Ok(());
        }
        let view = self.model.view(Some(&state.adapter));
        let check = |_| self.monitor.check();
        let held_out = &training_set.held_out;
        let now = measure(model, training_set, held_out, view, &check)?;
        if !now.is_finite() {
            let message =
                format!("the held-out divergence is {now} after step {}; lower `lr`", state.steps);
            return Err(Error::new(ErrorKind::Training, message));
        }
        state.held_out.push(now);
        if lowest(&state.held_out) == Some(state.held_out.len() - 1) {
            // The optimiser changes the numbers of the other where they are.
            state.best = Some(state.adapter.copied()?);
        }
        Ok(())
    }

    /// Whether training ends before all epochs are done; known at the end of an epoch.
    fn is_enough(&self, state: &TrainingState) -> bool {
        let low_enough = self.recipe.train.stop_at_kl.is_some_and(|limit| {
            let reached = state.held_out.last().or(state.epochs.last());
            reached.is_some_and(|&divergence| divergence < limit)
        });
        low_enough || state.epochs.len() >= self.course(state).end
    }

    fn course(&self, state: &TrainingState) -> Course {
        Course::of(&self.recipe.train, &state.held_out)
    }

    /// Learns from these sequences; returns their loss. `place` is that of the step in a training
    /// in which every epoch has all sequences, and `first` the first step that this process does.
    fn step(
        &self,
        shards: &Shards,
        state: &mut TrainingState,
        sequences: &[usize],
        (place, first): (usize, usize),
    ) -> Result<f64> {
        let (settings, step) = (&self.recipe.train, state.steps);
        let Learned { loss, mut gradients, divergences } =
            self.learn(shards, &state.adapter, sequences, step)?;
        if step == first {
            gradients.check_complete(&state.adapter)?;
        }
        if let Some(parent) = self.model.parent() {
            gradients.leave(parent)?;
        }
        let norm = optimizer::clip(&mut gradients, settings.clip)?;
        if !(loss.is_finite() && norm.is_finite()) {
            let message = format!(
                "the loss is {loss} and the gradient's norm {norm} at step {step}; lower `lr`"
            );
            return Err(Error::new(ErrorKind::Training, message));
        }
        let share = self.course(state).share_of_rate(settings, place, self.steps_per_epoch());
        let rate = self.highest_rate() * share;
        state.optimizer.step(&state.adapter, &gradients, rate)?;
        state.rehearsal.saw(&divergences);
        state.steps += 1;
        Ok(loss)
    }

    /// What the sequences of one step give, added up over the parts that are computed together.
    fn learn(
        &self,
        shards: &Shards,
        adapter: &Adapter,
        sequences: &[usize],
        step: usize,
    ) -> Result<Learned> {
        let settings = &self.recipe.train;
        let student = Student {
            model: self.student,
            adapter,
            settings,
            dropout: self.recipe.lora.dropout,
            activation_bytes: self.activation_bytes,
        };
        // Over an epoch of all sequences the weights sum to one: each step is scaled so that the
        // mean of all is the weighted loss.
        let scale = self.steps_per_epoch() as f64;
        let divergences = Vec::with_capacity(sequences.len());
        let mut all = Learned { loss: 0.0, gradients: Gradients::default(), divergences };
        let mut part = 0;
        for numbers in sequences.chunks(settings.batch) {
            let sequences: Vec<_> =
                numbers.iter().map(|&i| &self.training_set.sequences[i]).collect();
            let found =
                student.in_shards(shards, self.training_set, &sequences, scale, (step, part))?;
            let mut divergences = vec![0.0; sequences.len()];
            for (places, learned) in found {
                all.loss += learned.loss;
                part += 1;
                all.gradients.add(learned.gradients)?;
                for (place, divergence) in places.into_iter().zip(learned.divergences) {
                    divergences[place] = divergence;
                }
            }
            all.divergences.extend(divergences);
        }
        Ok(all)
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

/// One epoch.
struct Epoch {
    number: usize,
    /// The sequences that it trains on.
    order: Vec<usize>,
    /// How many steps these are, and how many all sequences would be.
    steps: usize,
    full: usize,
}

impl Epoch {
    /// Where a training is after so many steps of this epoch, in steps of a training in which every
    /// epoch has all sequences: the learning rate and the progress go by these.
    fn place(&self, steps: usize) -> usize {
        self.number * self.full + steps * self.full / self.steps.max(1)
    }
}

/// What is said of a step.
fn note(loss: f64, held_out: &[f64]) -> String {
    match held_out.last() {
        Some(last) => format!("KL {loss:.4}, held out {last:.4}"),
        None => format!("KL {loss:.4}"),
    }
}
