//! One step of a training: the loss of a batch, and the gradients of the adapter.

#[cfg(test)]
mod tests;

use bake_spec::recipe::{Recipe, Train};
use bake_spec::{Config, KeyHasher};
use candle_core::{D, DType, Tensor};

use super::shards::{self, Shards};
use super::{Batch, StudentSequence, TrainingRoom, TrainingSet, first_adapter};
use crate::adapter::{Adapter, Gradients};
use crate::distill::{Compared, Divergence, Options, compare};
use crate::error::Result;
use crate::generate::token_chunks;
use crate::model::Model;
use crate::model::attention::Attention;
use crate::model::block::{Activations, WeightView};
use crate::model::dropout::Dropout;

/// How student and teacher are compared, unless a recipe says otherwise.
pub(super) const LOSS: Options =
    Options { divergence: Divergence::ForwardKl, temperature: 1.0, scratch_bytes: None };

/// The weighted mean of the forward KL divergence over some sequences of a training set, in nats
/// per token, whatever a recipe minimises: others are not comparable, and vanish with their
/// temperature or β. It is not a number where a state is the remains of an overflow. How many of
/// the sequences are done is reported as it goes.
pub(crate) fn measure(
    model: &Model,
    training_set: &TrainingSet,
    sequences: &[StudentSequence],
    view: WeightView<'_>,
    advance: &dyn Fn(usize) -> Result<()>,
) -> Result<f64> {
    let mut total = 0.0;
    for sequences in token_chunks(sequences, |sequence| sequence.ids.len()) {
        let batch = training_set.batch(sequences, model.decoder().device())?;
        let hidden = model
            .decoder()
            .forward(&batch.ids, batch.sequences(), view)?
            .index_select(&batch.rows, 0)?;
        if overflowed(&hidden)? {
            return Ok(f64::NAN);
        }
        total += compared(model, LOSS, &batch, &hidden, 1.0)?.loss;
        advance(sequences.len())?;
    }
    Ok(total)
}

/// Whether one of some states `[rows, hidden]` is zero throughout. The last normalization leaves
/// that of what is too large to be squared, and the head then says that all tokens are equally
/// likely, which can be nearer to the teacher than the base model is.
fn overflowed(hidden: &Tensor) -> Result<bool> {
    let largest = hidden.abs()?.max(D::Minus1)?.to_dtype(DType::F32)?;
    Ok(largest.min(0)?.to_scalar::<f32>()? == 0.0)
}

/// How far the student is from the teacher in a batch.
struct Distance {
    /// The weighted loss, and its gradient with respect to the student's states; both scaled.
    loss: f64,
    gradient: Tensor,
    /// The mean divergence of each sequence, in nats per token.
    divergences: Vec<f64>,
}

/// The distance of a batch whose states `[rows, hidden]` are given.
fn compared(
    model: &Model,
    options: Options,
    batch: &Batch,
    hidden: &Tensor,
    scale: f64,
) -> Result<Distance> {
    let weights: Vec<f32> = batch.weights.iter().map(|w| (w * scale) as f32).collect();
    let weights = Tensor::new(weights, hidden.device())?;
    let states = Compared {
        teacher: &batch.teacher,
        student: hidden,
        head: model.decoder().head(),
        weights: &weights,
        masked: None,
    };
    let loss = compare(states, options)?;
    let per_token = loss.per_token.to_vec1::<f32>()?;
    let total = per_token
        .iter()
        .zip(&batch.weights)
        .map(|(&loss, weight)| f64::from(loss) * weight * scale)
        .sum();
    let mut divergences = Vec::with_capacity(batch.answers.len());
    let mut rest = &per_token[..];
    for &answer in &batch.answers {
        let (own, others) = rest.split_at(answer);
        divergences.push(own.iter().map(|&loss| f64::from(loss)).sum::<f64>() / answer as f64);
        rest = others;
    }
    Ok(Distance { loss: total, gradient: loss.gradient, divergences })
}

/// How many blocks may keep their activations of this many tokens.
pub(super) fn kept_blocks(config: &Config, tokens: usize, activation_bytes: usize) -> usize {
    activation_bytes / Activations::bytes(config, tokens).max(1)
}

/// What a step, or a shard of it, found.
pub(super) struct Learned {
    /// The scaled loss.
    pub(super) loss: f64,
    pub(super) gradients: Gradients,
    /// The mean divergence of each sequence, in nats per token.
    pub(super) divergences: Vec<f64>,
}

/// A model with an adapter that learns.
#[derive(Clone, Copy)]
pub(super) struct Student<'a> {
    pub(super) model: &'a Model,
    pub(super) adapter: &'a Adapter,
    pub(super) settings: &'a Train,
    pub(super) dropout: f64,
    pub(super) activation_bytes: usize,
}

impl Student<'_> {
    /// What each shard of some sequences finds, after the places of its sequences among them.
    /// `part` is the number of the first among the shards of the step.
    pub(super) fn in_shards(
        &self,
        shards: &Shards,
        training_set: &TrainingSet,
        sequences: &[&StudentSequence],
        scale: f64,
        (step, part): (usize, usize),
    ) -> Result<Vec<(Vec<usize>, Learned)>> {
        let device = self.model.decoder().device();
        let divided = shards::divide(device, sequences);
        // The activations of those that wait are not there yet, or no longer.
        let room = self.activation_bytes / shards::at_once().min(divided.len());
        let own = Self { activation_bytes: room, ..*self };
        let found = shards.run(divided.len(), |shard| {
            let own_sequences = divided[shard].iter().map(|&place| sequences[place]);
            let batch = training_set.batch(own_sequences, device)?;
            own.gradients(&batch, scale, (step, part + shard))
        });
        divided.into_iter().zip(found).map(|(places, found)| Ok((places, found?))).collect()
    }

    /// The scaled loss of a batch, the gradients of the adapter, and its divergences.
    pub(super) fn gradients(
        &self,
        batch: &Batch,
        scale: f64,
        step: (usize, usize),
    ) -> Result<Learned> {
        let decoder = self.model.decoder();
        let positions = decoder.positions(batch.sequences())?;
        let dropout = (self.dropout > 0.0)
            .then(|| Dropout::new(self.dropout, dropout_key(self.settings.seed, step)));
        let view = WeightView { adapter: Some(self.adapter), dropout };
        let pass = decoder.pass(&positions, Attention::Whole(batch.sequences()), view)?;

        // Below the lowest changed block nothing is trained, so nothing is kept. Of the other
        // blocks, as many upper ones as there is room for keep their activations, and the lower
        // ones their inputs.
        let (layers, lowest) = (decoder.blocks().len(), self.adapter.lowest_layer());
        let room = kept_blocks(decoder.config(), batch.ids.len(), self.activation_bytes);
        let mut x = decoder.embed(&batch.ids)?;
        let mut kept = Vec::with_capacity(layers - lowest);
        for (layer, block) in decoder.blocks().iter().enumerate() {
            let (y, activations) = block.forward(layer, &x, &pass)?;
            if layer >= lowest {
                kept.push(if layers - layer <= room {
                    Saved::Activations(activations)
                } else {
                    Saved::Input(x)
                });
            }
            x = y;
        }

        let last = x.index_select(&batch.rows, 0)?;
        let (divergence, temperature) = (self.settings.divergence, self.settings.temperature);
        let options = Options { divergence, temperature, ..LOSS };
        let Distance { loss, gradient, divergences } =
            compared(self.model, options, batch, &decoder.norm().forward(&last)?, scale)?;
        let d_last = decoder.norm().backward(&last, &gradient, None)?;
        let mut upstream = x.zeros_like()?.index_add(&batch.rows, &d_last, 0)?;

        let mut gradients = Gradients::default();
        for (layer, block) in decoder.blocks().iter().enumerate().skip(lowest).rev() {
            let activations = match kept.pop() {
                Some(Saved::Activations(activations)) => activations,
                Some(Saved::Input(x)) => block.forward(layer, &x, &pass)?.1,
                None => break,
            };
            match block.backward(
                layer,
                &activations,
                &upstream,
                &pass,
                &mut gradients,
                layer > lowest,
            )? {
                Some(dx) => upstream = dx,
                None => break,
            }
        }
        Ok(Learned { loss, gradients, divergences })
    }
}

/// What makes the dropout of each step, and of each of its shards, its own.
fn dropout_key(seed: u64, step: (usize, usize)) -> [u32; 2] {
    let key = KeyHasher::new("dropout", 2).field("seed", &seed).field("step", &step).finish();
    let [a, b, c, d, e, f, g, h, ..] = *key.as_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// What the backward pass of a block starts from.
enum Saved {
    Activations(Activations),
    Input(Tensor),
}

/// A batch of made-up sequences, to see how long work on such takes.
pub(crate) struct Trial<'a> {
    model: &'a Model,
    student: Model,
    recipe: &'a Recipe,
    adapter: Adapter,
    training_set: TrainingSet,
}

/// The most sequences of a trial.
const TRIED_TOGETHER: usize = 16;

impl<'a> Trial<'a> {
    /// A batch as the recipe has it, or a part of it, of sequences with a prompt and an answer of
    /// these many tokens, of which the first `shared` are the same in all.
    pub(crate) fn new(
        model: &'a Model,
        recipe: &'a Recipe,
        room: &TrainingRoom,
        shared: usize,
        [prompt, answer]: [usize; 2],
    ) -> Result<Self> {
        let student = room.student(model)?;
        let decoder = model.decoder();
        let adapter = first_adapter(model, recipe)?;
        let count = recipe.train.batch.min(TRIED_TOGETHER);
        let (length, vocabulary) = (prompt + answer - 1, model.config().vocab_size() as u32);
        let mut sequences = Vec::with_capacity(count);
        for number in 0..count as u32 {
            let own = |i: u32| if i < shared as u32 { 0 } else { (1 + number) * 104_729 };
            let ids = (0..length as u32).map(|i| (i * 7919 + own(i)) % vocabulary);
            sequences.push(StudentSequence {
                ids: ids.collect(),
                answer,
                first_state: number as usize * answer,
                token_weight: 1.0 / (count * answer) as f64,
            });
        }
        let shape = (count * answer, model.config().hidden_size());
        let states = Tensor::zeros(shape, DType::F32, decoder.device())?;
        let training_set = TrainingSet { sequences, held_out: Vec::new(), states };
        Ok(Self { model, student, recipe, adapter, training_set })
    }

    /// The tokens of its sequences.
    pub(crate) fn tokens(&self) -> usize {
        self.training_set.sequences.iter().map(|sequence| sequence.ids.len()).sum()
    }

    /// Learns from the batch, with this room for the activations of a whole one.
    pub(crate) fn learn(&self, activation_bytes: usize) -> Result<()> {
        let sequences = &self.training_set.sequences;
        let student = Student {
            model: &self.student,
            adapter: &self.adapter,
            settings: &self.recipe.train,
            dropout: self.recipe.lora.dropout,
            activation_bytes: activation_bytes / self.recipe.train.batch * sequences.len(),
        };
        let sequences: Vec<_> = sequences.iter().collect();
        student.in_shards(&Shards::new()?, &self.training_set, &sequences, 1.0, (0, 0))?;
        Ok(())
    }

    /// Measures the batch.
    pub(crate) fn measure(&self) -> Result<()> {
        let view = WeightView { adapter: Some(&self.adapter), dropout: None };
        let sequences = &self.training_set.sequences;
        measure(self.model, &self.training_set, sequences, view, &|_| Ok(()))?;
        Ok(())
    }
}
