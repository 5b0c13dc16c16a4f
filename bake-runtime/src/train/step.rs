//! One step of a training: the loss of a batch, and the gradients of the adapter.

#[cfg(test)]
mod tests;

use bake_spec::recipe::{Recipe, Train};
use bake_spec::{KeyHasher, Projection};
use candle_core::Tensor;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Batch, StudentSequence, TrainingSet};
use crate::adapter::{Adapter, Gradients};
use crate::distill::{Compared, Options, compare};
use crate::error::Result;
use crate::model::Model;
use crate::model::attention::Attention;
use crate::model::block::{Activations, DropoutMasks, WeightView};

/// Sequences that are measured together when nothing is trained.
const MEASURED_TOGETHER: usize = 32;

/// The weighted mean divergence over some sequences of a training set, in nats per token.
pub(crate) fn measure(
    model: &Model,
    settings: &Train,
    training_set: &TrainingSet,
    sequences: &[StudentSequence],
    view: WeightView<'_>,
) -> Result<f64> {
    let mut total = 0.0;
    for sequences in sequences.chunks(MEASURED_TOGETHER) {
        let batch = training_set.batch(sequences, model.decoder().device())?;
        let hidden = model
            .decoder()
            .forward(&batch.ids, &batch.lengths, view)?
            .index_select(&batch.rows, 0)?;
        let (loss, _) = compared(model, settings, &batch, &hidden, 1.0)?;
        total += loss;
    }
    Ok(total)
}

/// The weighted loss of a batch whose states `[rows, hidden]` are given, and its gradient with
/// respect to them; both times `scale`.
fn compared(
    model: &Model,
    settings: &Train,
    batch: &Batch,
    hidden: &Tensor,
    scale: f64,
) -> Result<(f64, Tensor)> {
    let weights: Vec<f32> = batch.weights.iter().map(|w| (w * scale) as f32).collect();
    let weights = Tensor::new(weights, hidden.device())?;
    let states = Compared {
        teacher: &batch.teacher,
        student: hidden,
        head: model.decoder().head(),
        weights: &weights,
        masked: None,
    };
    let options = Options {
        divergence: settings.divergence,
        temperature: settings.temperature,
        ..Options::default()
    };
    let loss = compare(states, options)?;
    let per_token = loss.per_token.to_vec1::<f32>()?;
    let total = per_token
        .iter()
        .zip(&batch.weights)
        .map(|(&loss, weight)| f64::from(loss) * weight * scale)
        .sum();
    Ok((total, loss.gradient))
}

/// A model with an adapter that learns.
pub(super) struct Student<'a> {
    pub(super) model: &'a Model,
    pub(super) adapter: &'a Adapter,
    pub(super) settings: &'a Train,
    pub(super) dropout: f64,
    pub(super) activation_bytes: usize,
}

impl Student<'_> {
    /// The scaled loss of a batch and the gradients of the adapter.
    pub(super) fn gradients(
        &self,
        batch: &Batch,
        scale: f64,
        step: (usize, usize),
    ) -> Result<(f64, Gradients)> {
        let decoder = self.model.decoder();
        let positions = decoder.positions(&batch.lengths)?;
        let masks =
            Masks { rate: self.dropout, seed: self.settings.seed, step, device: decoder.device() };
        let dropout = (self.dropout > 0.0).then_some(&masks as &dyn DropoutMasks);
        let view = WeightView { adapter: Some(self.adapter), dropout };
        let pass = decoder.pass(&positions, Attention::Whole(&batch.lengths), view)?;

        // Below the lowest changed block nothing is trained, so nothing is kept. Of the other
        // blocks, as many upper ones as there is room for keep their activations, and the lower
        // ones their inputs.
        let (layers, lowest) = (decoder.blocks().len(), self.adapter.lowest_layer());
        let room =
            self.activation_bytes / Activations::bytes(decoder.config(), batch.ids.len()).max(1);
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
        let (loss, gradient) =
            compared(self.model, self.settings, batch, &decoder.norm().forward(&last)?, scale)?;
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
        Ok((loss, gradients))
    }
}

/// What the backward pass of a block starts from.
enum Saved {
    Activations(Activations),
    Input(Tensor),
}

/// Dropout masks that depend on seed, step and place only, so that a block that is computed again
/// gets the same masks.
struct Masks<'a> {
    rate: f64,
    seed: u64,
    step: (usize, usize),
    device: &'a candle_core::Device,
}

impl DropoutMasks for Masks<'_> {
    fn mask(
        &self,
        layer: usize,
        projection: Projection,
        shape: (usize, usize),
    ) -> candle_core::Result<Tensor> {
        let key = KeyHasher::new("dropout", 1).field("seed", &self.seed).field("step", &self.step);
        let key = key.field("place", &(layer, projection)).finish();
        let mut rng = ChaCha8Rng::from_seed(*key.as_bytes());
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let mask: Vec<f32> = (0..shape.0 * shape.1)
            .map(|_| if rng.random::<f64>() < self.rate { 0.0 } else { kept })
            .collect();
        Tensor::from_vec(mask, shape, self.device)
    }
}

/// One forward and backward pass over a full batch of these tokens, to see how long it takes with
/// this room for activations. Returns the number of its tokens.
pub(crate) fn probe(
    model: &Model,
    recipe: &Recipe,
    ids: &[u32],
    activation_bytes: usize,
) -> Result<usize> {
    let adapter =
        crate::adapter::initial(model.config(), &recipe.lora, 0, model.decoder().device())?;
    let answer = ids.len() / 2;
    let hidden = model.decoder().forward(ids, &[ids.len()], WeightView::default())?;
    let states = hidden.narrow(0, ids.len() - answer, answer)?;
    let sequence = StudentSequence {
        ids: ids.to_vec(),
        answer,
        first_state: 0,
        token_weight: 1.0 / answer as f64,
    };
    let training_set = TrainingSet { sequences: Vec::new(), held_out: Vec::new(), states };
    let sequences = std::iter::repeat_n(&sequence, recipe.train.batch.min(16));
    let batch = training_set.batch(sequences, model.decoder().device())?;
    let student = Student {
        model,
        adapter: &adapter,
        settings: &recipe.train,
        dropout: 0.0,
        activation_bytes,
    };
    rayon::scope(|_| student.gradients(&batch, 1.0, (0, 0)))?;
    Ok(batch.ids.len())
}
