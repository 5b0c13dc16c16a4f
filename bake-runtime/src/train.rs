//! Training: the student learns to answer without the document as the teacher answers with it.

mod batch;
mod checkpoint;
pub(crate) mod optimizer;
mod schedule;

use bake_spec::recipe::{Recipe, Train};
use bake_spec::{KeyHasher, Projection};
use candle_core::Tensor;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::adapter::{Adapter, Gradients};
use crate::distill::{Options, States, distill};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::model::attention::Attention;
use crate::model::block::{Activations, DropoutMasks, WeightView};
use crate::progress::Monitor;
pub(crate) use batch::{Batch, StudentSequence, TrainingSet};
pub(crate) use checkpoint::Checkpoints;
use optimizer::{AdamW, AdamWSettings};

/// The default learning rate times the model's hidden size. Wider layers add up more inputs, so
/// each weight may move less (Yang et al. 2022, arXiv 2203.03466).
const RATE_TIMES_HIDDEN: f64 = 0.75;

/// Examples that are measured together when nothing is learned.
const MEASURED_TOGETHER: usize = 32;

/// Trains an adapter, which changes nothing yet, on the training_set. Returns it with the mean
/// divergence in each epoch.
///
/// A block's activations are kept for the backward pass while all kept ones fit `activation_bytes`,
/// and computed again from the block's input otherwise. The bits of the result are the same either
/// way, and also when a training that was stopped goes on from a checkpoint.
pub(crate) fn train(
    model: &Model,
    recipe: &Recipe,
    training_set: &TrainingSet,
    mut adapter: Adapter,
    activation_bytes: usize,
    checkpoints: &Checkpoints<'_>,
    monitor: Monitor<'_>,
) -> Result<(Adapter, Vec<f64>)> {
    let settings = &recipe.train;
    let highest_rate =
        settings.lr.unwrap_or(RATE_TIMES_HIDDEN / model.config().hidden_size() as f64);
    let mut optimizer = AdamW::new(&adapter, AdamWSettings::new(settings.weight_decay))?;
    let per_step = settings.batch * settings.accumulate;
    let steps_per_epoch = training_set.sequences.len().div_ceil(per_step);
    let steps = settings.epochs * steps_per_epoch;
    let mut losses = checkpoints.load(&mut adapter, &mut optimizer)?;
    let done = losses.len();
    monitor.stage("training", steps, "steps", |ticker| {
        ticker.advance(done, "")?;
        let mut step = done;
        for epoch in done / steps_per_epoch..settings.epochs {
            let skipped = step - epoch * steps_per_epoch;
            for sequences in training_set.order(settings.seed, epoch).chunks(per_step).skip(skipped)
            {
                let student = Student {
                    model,
                    adapter: &adapter,
                    settings,
                    dropout: recipe.lora.dropout,
                    activation_bytes,
                };
                let (mut total, mut gradients) = (0.0, Gradients::default());
                for (part, numbers) in sequences.chunks(settings.batch).enumerate() {
                    let batch = training_set.batch(numbers, model.decoder().device())?;
                    // Over an epoch the weights sum to one: each step is scaled so that the mean of
                    // all is the weighted loss.
                    let (loss, new) = rayon::scope(|_| {
                        student.gradients(&batch, steps_per_epoch as f64, (step, part))
                    })?;
                    total += loss;
                    gradients.add(new)?;
                }
                if step == done {
                    gradients.check_complete(&adapter)?;
                }
                let norm = optimizer::clip(&mut gradients, settings.clip)?;
                if !(total.is_finite() && norm.is_finite()) {
                    let message = format!(
                        "the loss is {total} and the gradient's norm {norm} at \
                        step {step}; lower `lr`"
                    );
                    return Err(Error::new(ErrorKind::Training, message));
                }
                optimizer.step(
                    &mut adapter,
                    &gradients,
                    highest_rate * schedule::share_of_rate(settings, step, steps),
                )?;
                step += 1;
                losses.push(total);
                checkpoints.step(&losses, steps, &adapter, &optimizer)?;
                ticker.advance(1, &format!("KL {total:.4}"))?;
            }
        }
        Ok(())
    })?;
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    Ok((adapter, losses.chunks(steps_per_epoch).map(mean).collect()))
}

/// One forward and backward pass over a full batch of these tokens, to see how long it takes.
/// Returns the number of its tokens.
pub(crate) fn probe(model: &Model, recipe: &Recipe, ids: &[u32]) -> Result<usize> {
    let adapter =
        crate::adapter::initial(model.config(), &recipe.lora, 0, model.decoder().device())?;
    let answer = ids.len() / 2;
    let hidden = model.decoder().forward(ids, &[ids.len()], WeightView::default())?;
    let states = hidden.narrow(0, ids.len() - answer, answer)?;
    let example = StudentSequence {
        ids: ids.to_vec(),
        answer,
        first_state: 0,
        token_weight: 1.0 / answer as f64,
    };
    let training_set = TrainingSet { sequences: vec![example], states };
    let batch =
        training_set.batch(&vec![0; recipe.train.batch.min(16)], model.decoder().device())?;
    let student = Student {
        model,
        adapter: &adapter,
        settings: &recipe.train,
        dropout: 0.0,
        activation_bytes: 256 << 20,
    };
    rayon::scope(|_| student.gradients(&batch, 1.0, (0, 0)))?;
    Ok(batch.ids.len())
}

/// The weighted mean divergence over all training_set, in nats a token.
pub(crate) fn measure(
    model: &Model,
    settings: &Train,
    training_set: &TrainingSet,
    view: WeightView<'_>,
) -> Result<f64> {
    let numbers: Vec<usize> = (0..training_set.sequences.len()).collect();
    let mut total = 0.0;
    for numbers in numbers.chunks(MEASURED_TOGETHER) {
        let batch = training_set.batch(numbers, model.decoder().device())?;
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
    let states = States {
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
    let loss = distill(states, options)?;
    let per_token = loss.per_token.to_vec1::<f32>()?;
    let total = per_token
        .iter()
        .zip(&batch.weights)
        .map(|(&loss, weight)| f64::from(loss) * weight * scale)
        .sum();
    Ok((total, loss.gradient))
}

/// A model with an adapter that learns.
struct Student<'a> {
    model: &'a Model,
    adapter: &'a Adapter,
    settings: &'a Train,
    dropout: f64,
    activation_bytes: usize,
}

impl Student<'_> {
    /// The scaled loss of a batch and the gradients of the adapter.
    fn gradients(
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

        // Below the lowest changed block nothing is learned, so nothing is kept. Of the others the
        // upper ones keep their activations, as many as there is room for, and the lower ones their
        // inputs.
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
        let d_last = decoder.norm().backward(&last, &gradient, &last.zeros_like()?)?;
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

/// What the backward pass of a block begins with.
enum Saved {
    Activations(Activations),
    Input(Tensor),
}

/// Dropout masks that depend on seed, step and place only, so that a block that is computed again
/// gets the same.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{LowRank, initial};
    use crate::device::gpu::testing::on_gpus;
    use bake_spec::recipe::{Divergence, Lora, LoraFields, TrainFields};
    use candle_core::{Device, IndexOp as _};

    fn settings(divergence: Divergence) -> Train {
        let fields =
            TrainFields { epochs: 1, batch: 4, divergence, seed: 1, ..TrainFields::DEFAULT };
        Train::new(fields).unwrap()
    }

    fn lora(rank: usize, alpha: f64) -> Lora {
        Lora::new(LoraFields { rank, alpha, ..LoraFields::DEFAULT }).unwrap()
    }

    /// An adapter of which no matrix is zero, so that each has a gradient.
    fn adapter(model: &Model, rank: usize) -> Adapter {
        let mut adapter = initial(model.config(), &lora(rank, 8.0), 5, &Device::Cpu).unwrap();
        let places: Vec<_> =
            adapter.iter().map(|(layer, projection, _)| (layer, projection)).collect();
        for (i, (layer, projection)) in places.into_iter().enumerate() {
            let change = adapter.change_mut(layer, projection).unwrap();
            change.b = noise(change.b.dims(), 100 + i as u64, 0.02);
        }
        adapter
    }

    fn noise(shape: &[usize], seed: u64, size: f32) -> Tensor {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let data: Vec<f32> =
            (0..shape.iter().product()).map(|_| rng.random_range(-size..size)).collect();
        Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
    }

    fn batch(model: &Model) -> Batch {
        let ids: Vec<u32> = (0..24).map(|i| i * 37 % 300).collect();
        let rows: Vec<u32> = vec![5, 6, 7, 20, 21, 22, 23];
        let teacher = noise(&[rows.len(), model.config().hidden_size()], 3, 1.0);
        let weights = vec![0.1, 0.2, 0.1, 0.0, 0.3, 0.2, 0.1];
        Batch {
            ids,
            lengths: vec![8, 16],
            rows: Tensor::new(rows, &Device::Cpu).unwrap(),
            teacher,
            weights,
        }
    }

    fn student<'a>(
        model: &'a Model,
        adapter: &'a Adapter,
        settings: &'a Train,
        dropout: f64,
        bytes: usize,
    ) -> Student<'a> {
        Student { model, adapter, settings, dropout, activation_bytes: bytes }
    }

    /// The loss moves along a gradient as fast as the gradient is long: through head, norms,
    /// attention, feed-forward layers and changes.
    #[test]
    fn the_gradient_of_the_whole_loss_is_its_slope() {
        let model = Model::tiny().unwrap();
        let (adapter, batch) = (adapter(&model, 4), batch(&model));
        for (divergence, dropout) in [
            (Divergence::ForwardKl, 0.0),
            (Divergence::ReverseKl, 0.3),
            (Divergence::Jsd(0.4), 0.0),
        ] {
            let settings = settings(divergence);
            let (_, gradients) = student(&model, &adapter, &settings, dropout, 1 << 28)
                .gradients(&batch, 2.0, (0, 0))
                .unwrap();
            gradients.check_complete(&adapter).unwrap();
            let squared: f32 = gradients
                .iter()
                .flat_map(|(.., g)| [&g.a, &g.b])
                .map(|g| g.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
                .sum();
            let loss_at = |step: f64| {
                let mut moved = adapter.clone();
                for (layer, projection, gradient) in gradients.iter() {
                    let change = moved.change_mut(layer, projection).unwrap();
                    change.a = (&change.a + (&gradient.a * step).unwrap()).unwrap();
                    change.b = (&change.b + (&gradient.b * step).unwrap()).unwrap();
                }
                student(&model, &moved, &settings, dropout, 0)
                    .gradients(&batch, 2.0, (0, 0))
                    .unwrap()
                    .0
            };
            // Far enough that rounding in f32 does not matter, near enough that the curve does not.
            let step = 2e-3 / f64::from(squared).sqrt();
            let slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
            let error = (slope / f64::from(squared) - 1.0).abs();
            assert!(error < 1e-2, "{divergence:?}: slope {slope}, squared gradient {squared}");
        }
    }

    #[test]
    fn activations_that_are_computed_again_give_the_same_bits() {
        let model = Model::tiny().unwrap();
        let (adapter, batch) = (adapter(&model, 4), batch(&model));
        let bits = |bytes, dropout| {
            let (loss, gradients) =
                student(&model, &adapter, &settings(Divergence::ForwardKl), dropout, bytes)
                    .gradients(&batch, 1.0, (3, 1))
                    .unwrap();
            let all = gradients
                .iter()
                .flat_map(|(.., g)| [&g.a, &g.b])
                .flat_map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            (loss.to_bits(), all.map(f32::to_bits).collect::<Vec<_>>())
        };
        let some = 2 * Activations::bytes(model.config(), batch.ids.len());
        for dropout in [0.0, 0.5] {
            let all_kept = bits(usize::MAX, dropout);
            assert_eq!(all_kept, bits(0, dropout));
            assert_eq!(all_kept, bits(some, dropout));
        }
        assert_ne!(bits(0, 0.0), bits(0, 0.5));
    }

    #[test]
    fn on_a_gpu_loss_and_gradients_are_those_of_the_processor() {
        let model = Model::tiny().unwrap();
        let (adapter, batch) = (adapter(&model, 4), batch(&model));
        for (divergence, dropout, bytes) in
            [(Divergence::ForwardKl, 0.0, 1 << 28), (Divergence::Jsd(0.3), 0.3, 0)]
        {
            let settings = settings(divergence);
            let (want, expected) = student(&model, &adapter, &settings, dropout, bytes)
                .gradients(&batch, 2.0, (0, 0))
                .unwrap();
            let run = |device: &Device| {
                let model = Model::tiny_at(device).unwrap();
                let to = |t: &Tensor| t.to_device(device).unwrap();
                let mut there = Adapter::empty(model.config().layers());
                for (layer, projection, LowRank { a, b, scale }) in adapter.iter() {
                    there.set(layer, projection, LowRank { a: to(a), b: to(b), scale: *scale });
                }
                let Batch { ids, lengths, rows, teacher, weights } = &batch;
                let (ids, lengths, weights) = (ids.clone(), lengths.clone(), weights.clone());
                let batch = Batch { ids, lengths, rows: to(rows), teacher: to(teacher), weights };
                let (loss, gradients) = student(&model, &there, &settings, dropout, bytes)
                    .gradients(&batch, 2.0, (0, 0))
                    .unwrap();
                assert!((loss - want).abs() <= 1e-5 * want, "{loss} {want}");
                gradients.check_complete(&there).unwrap();
                for ((layer, projection, got), (.., want)) in gradients.iter().zip(expected.iter())
                {
                    for (got, want) in [(&got.a, &want.a), (&got.b, &want.b)] {
                        let largest = |t: &Tensor| {
                            t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
                        };
                        let error =
                            largest(&(got.to_device(&Device::Cpu).unwrap() - want).unwrap())
                                / largest(want);
                        assert!(error < 1e-3, "{layer} {projection:?}: {error}");
                    }
                }
            };
            on_gpus(run);
        }
    }

    #[test]
    fn a_student_that_is_the_teacher_has_nothing_to_learn() {
        let model = Model::tiny().unwrap();
        let mut batch = batch(&model);
        let hidden =
            model.decoder().forward(&batch.ids, &batch.lengths, WeightView::default()).unwrap();
        batch.teacher = hidden.index_select(&batch.rows, 0).unwrap();
        let unchanged = initial(model.config(), &lora(2, 2.0), 0, &Device::Cpu).unwrap();
        let (loss, gradients) =
            student(&model, &unchanged, &settings(Divergence::ForwardKl), 0.0, 0)
                .gradients(&batch, 1.0, (0, 0))
                .unwrap();
        assert_eq!(loss, 0.0);
        for (.., gradient) in gradients.iter() {
            for tensor in [&gradient.a, &gradient.b] {
                assert!(
                    tensor
                        .flatten_all()
                        .unwrap()
                        .to_vec1::<f32>()
                        .unwrap()
                        .iter()
                        .all(|g| *g == 0.0)
                );
            }
        }
    }

    #[test]
    fn blocks_below_the_adapter_are_left_alone() {
        let model = Model::tiny().unwrap();
        let batch = batch(&model);
        let whole = adapter(&model, 4);
        let mut upper = Adapter::empty(model.config().layers());
        for (layer, projection, change) in whole.iter().filter(|(layer, ..)| *layer >= 4) {
            upper.set(
                layer,
                projection,
                LowRank { a: change.a.clone(), b: change.b.clone(), scale: change.scale },
            );
        }
        let (_, gradients) =
            student(&model, &upper, &settings(Divergence::ForwardKl), 0.0, 1 << 28)
                .gradients(&batch, 1.0, (0, 0))
                .unwrap();
        gradients.check_complete(&upper).unwrap();
        assert_eq!(gradients.iter().map(|(layer, ..)| layer).min(), Some(4));
        assert!(
            gradients.iter().all(|(.., g)| g
                .a
                .i(0)
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .iter()
                .any(|x| *x != 0.0))
        );
    }
}
