use std::path::{Path, PathBuf};

use super::*;
use crate::adapter::{LowRank, initial};
use crate::device::gpu::testing::on_gpus;
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::weight::Precision;
use crate::text::template::Message;
use crate::train::optimizer::Muon;
use bake_spec::recipe::{Divergence, Lora, LoraFields, Prompt, TrainFields};
use candle_core::{Device, IndexOp as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn settings(divergence: Divergence) -> Train {
    let fields = TrainFields { epochs: 1, batch: 4, divergence, seed: 1, ..TrainFields::DEFAULT };
    Train::new(fields).unwrap()
}

fn lora(rank: usize, alpha: f64) -> Lora {
    Lora::new(LoraFields { rank, alpha, ..LoraFields::DEFAULT }).unwrap()
}

/// An adapter in which no matrix is zero, so that each has a gradient.
fn adapter(model: &Model, rank: usize) -> Adapter {
    let mut adapter = initial(model.config(), &lora(rank, 8.0), 5, &Device::Cpu).unwrap();
    let places: Vec<_> = adapter.iter().map(|(layer, projection, _)| (layer, projection)).collect();
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
    let ids: Vec<u32> = (0..30).map(|i| i * 37 % 300).collect();
    let rows: Vec<u32> = vec![5, 6, 7, 26, 27, 28, 29];
    let teacher = noise(&[rows.len(), model.config().hidden_size()], 3, 1.0);
    let weights = vec![0.1, 0.2, 0.1, 0.0, 0.3, 0.2, 0.1];
    Batch {
        ids,
        shared: 0,
        // The second is longer than a window.
        lengths: vec![8, 22],
        rows: Tensor::new(rows, &Device::Cpu).unwrap(),
        teacher,
        weights,
        answers: vec![3, 4],
    }
}

/// What a model reads that has been trained: it is steady on text, and need not be on other tokens.
fn text(model: &Model) -> Vec<u32> {
    let prompt = Prompt::from("## Lost key\nAsk Bob in the blue office, from nine to five.");
    model.encode(&Message::question(&prompt, "I lost my key")).unwrap()
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

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models").join(name)
}

/// The embedded model, and one of each other family.
fn models() -> Vec<Model> {
    let families = ["mistral", "qwen2", "qwen3", "gemma3_text", "phi3", "smollm3"];
    let load = |name: &str| Model::load(&fixture(name), crate::device::Device::Cpu).unwrap();
    std::iter::once(Model::tiny().unwrap()).chain(families.map(load)).collect()
}

/// Along its gradient the loss changes at a rate equal to the gradient's norm: through head, norms,
/// attention, feed-forward layers and changes.
#[test]
fn the_gradient_of_the_whole_loss_is_its_slope() {
    for (i, model) in models().iter().enumerate() {
        check_slope(model, Divergence::ForwardKl, 0.0);
        if i == 0 {
            check_slope(model, Divergence::ReverseKl, 0.3);
            check_slope(model, Divergence::Jsd(0.4), 0.0);
        }
    }
}

fn check_slope(model: &Model, divergence: Divergence, dropout: f64) {
    let (adapter, batch, settings) = (adapter(model, 4), batch(model), settings(divergence));
    let loss_and_gradients = |adapter: &Adapter, bytes| {
        student(model, adapter, &settings, dropout, bytes).gradients(&batch, 2.0, (0, 0)).unwrap()
    };
    let Learned { gradients, .. } = loss_and_gradients(&adapter, 1 << 28);
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
        loss_and_gradients(&moved, 0).loss
    };
    // Far enough that rounding in f32 does not matter, near enough that curvature does not.
    let step = 2e-3 / f64::from(squared).sqrt();
    let slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
    let error = (slope / f64::from(squared) - 1.0).abs();
    let name = model.name();
    assert!(error < 1e-2, "{name} {divergence:?}: slope {slope}, squared gradient {squared}");
}

#[test]
fn activations_that_are_computed_again_give_the_same_bits() {
    let model = Model::tiny().unwrap();
    let (adapter, batch) = (adapter(&model, 4), batch(&model));
    let bits = |bytes, dropout| {
        let Learned { loss, gradients, .. } =
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

/// A training set of sequences that are divided into shards, and begin with the same tokens.
fn long_set(model: &Model) -> TrainingSet {
    let lengths: Vec<usize> = (0..12).map(|i| 30 + i * 13 % 40).collect();
    // They begin with the same tokens, and go on at different places of the text.
    let text = text(model);
    let sequence = |(number, &length): (usize, &usize)| StudentSequence {
        ids: (0..length).map(|i| text[(i + i / 9 * number) % text.len()]).collect(),
        answer: 5,
        first_state: 5 * number,
        token_weight: 1.0 / 60.0,
    };
    let sequences: Vec<_> = lengths.iter().enumerate().map(sequence).collect();
    let states = noise(&[60, model.config().hidden_size()], 3, 0.3);
    TrainingSet { sequences, held_out: Vec::new(), states }
}

#[test]
fn shards_have_the_gradients_of_each_sequence_and_the_same_bits_on_any_number_of_threads() {
    let model = Model::tiny().unwrap();
    let (adapter, set) = (adapter(&model, 4), long_set(&model));
    let settings = settings(Divergence::ForwardKl);
    let student = student(&model, &adapter, &settings, 0.0, 1 << 28);
    let sequences: Vec<_> = set.sequences.iter().collect();
    let numbers = |gradients: &Gradients| -> Vec<f32> {
        let all = gradients.iter().flat_map(|(.., g)| [&g.a, &g.b]);
        all.flat_map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
    };
    let added = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let shards = Shards::new().unwrap();
            let (mut loss, mut sum) = (0.0, Gradients::default());
            let mut divergences = vec![0.0; sequences.len()];
            let found = student.in_shards(&shards, &set, &sequences, 1.0, (0, 0)).unwrap();
            assert!(found.len() > 1);
            for (places, learned) in found {
                sum.add(learned.gradients).unwrap();
                loss += learned.loss;
                for (place, divergence) in places.into_iter().zip(learned.divergences) {
                    divergences[place] = divergence;
                }
            }
            (loss, numbers(&sum), divergences)
        })
    };
    let (loss, sum, divergences) = added(1);
    assert_eq!((loss, sum.clone(), divergences.clone()), added(3));
    assert_eq!(set.batch(&set.sequences, &Device::Cpu).unwrap().shared, 9);
    let (mut whole, mut gradients) = (0.0, Gradients::default());
    for (sequence, divergence) in set.sequences.iter().zip(divergences) {
        let batch = set.batch([sequence], &Device::Cpu).unwrap();
        assert_eq!(batch.shared, 0);
        let own = student.gradients(&batch, 1.0, (0, 0)).unwrap();
        gradients.add(own.gradients).unwrap();
        whole += own.loss;
        // Its five tokens have the same weight.
        let mean = own.loss * 60.0 / 5.0;
        assert!((own.divergences[0] - mean).abs() < 1e-6 * mean, "{mean}");
        assert!((divergence - mean).abs() < 1e-4 * mean, "{divergence} {mean}");
    }
    assert!((loss - whole).abs() < 1e-5 * whole, "{loss} {whole}");
    let largest = sum.iter().fold(0f32, |largest, g| largest.max(g.abs()));
    for (got, want) in sum.iter().zip(numbers(&gradients)) {
        assert!((got - want).abs() < 1e-4 * largest, "{got} {want}");
    }
}

#[test]
fn on_a_gpu_loss_and_gradients_are_those_of_the_processor() {
    let tiny = |device: &Device| Model::tiny_at(device).unwrap();
    check_on_gpus(tiny, Divergence::ForwardKl, 0.0, 1 << 28);
    check_on_gpus(tiny, Divergence::Jsd(0.3), 0.3, 0);
}

/// Gemma 3 has whatever a block can have, but for layers that turn nothing.
#[test]
fn on_a_gpu_other_families_are_those_of_the_processor() {
    for name in ["gemma3_text", "smollm3"] {
        let load =
            |device: &Device| Model::load_at(&fixture(name), device, Precision::f32()).unwrap();
        check_on_gpus(load, Divergence::ForwardKl, 0.0, 1 << 28);
    }
}

fn check_on_gpus(
    load: impl Fn(&Device) -> Model + Sync,
    divergence: Divergence,
    dropout: f64,
    bytes: usize,
) {
    let model = load(&Device::Cpu);
    let (adapter, batch) = (adapter(&model, 4), batch(&model));
    let settings = settings(divergence);
    let Learned { loss: want, gradients: expected, .. } =
        student(&model, &adapter, &settings, dropout, bytes)
            .gradients(&batch, 2.0, (0, 0))
            .unwrap();
    let run = |device: &Device| {
        let model = load(device);
        let to = |t: &Tensor| t.to_device(device).unwrap();
        let mut there = Adapter::empty(model.config().layers());
        for (layer, projection, LowRank { a, b, scale }) in adapter.iter() {
            there.set(layer, projection, LowRank { a: to(a), b: to(b), scale: *scale });
        }
        let batch = Batch { rows: to(&batch.rows), teacher: to(&batch.teacher), ..batch.clone() };
        let Learned { loss, gradients, .. } = student(&model, &there, &settings, dropout, bytes)
            .gradients(&batch, 2.0, (0, 0))
            .unwrap();
        assert!((loss - want).abs() <= 1e-5 * want, "{loss} {want}");
        gradients.check_complete(&there).unwrap();
        for ((layer, projection, got), (.., want)) in gradients.iter().zip(expected.iter()) {
            for (got, want) in [(&got.a, &want.a), (&got.b, &want.b)] {
                let largest =
                    |t: &Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                let error = largest(&(got.to_device(&Device::Cpu).unwrap() - want).unwrap())
                    / largest(want);
                assert!(error < 1e-3, "{layer} {projection:?}: {error}");
            }
        }
    };
    on_gpus(run);
}

#[test]
fn a_student_that_is_the_teacher_has_nothing_to_learn() {
    let model = Model::tiny().unwrap();
    let mut batch = batch(&model);
    let hidden =
        model.decoder().forward(&batch.ids, batch.sequences(), WeightView::default()).unwrap();
    batch.teacher = hidden.index_select(&batch.rows, 0).unwrap();
    let unchanged = initial(model.config(), &lora(2, 2.0), 0, &Device::Cpu).unwrap();
    let Learned { loss, gradients, divergences } =
        student(&model, &unchanged, &settings(Divergence::ForwardKl), 0.0, 0)
            .gradients(&batch, 1.0, (0, 0))
            .unwrap();
    assert_eq!((loss, divergences), (0.0, vec![0.0; 2]));
    for (.., gradient) in gradients.iter() {
        for tensor in [&gradient.a, &gradient.b] {
            assert!(
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|g| *g == 0.0)
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
    let Learned { gradients, .. } =
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

/// A student that learns with frozen weights that are multiplied in bf16 comes as near to its
/// teacher, as far as products in f32 can tell.
#[test]
fn packed_weights_lead_to_nearly_the_same_divergence() {
    // A small one, as the emulated unit is slow.
    let model = Model::load(&fixture("mistral"), crate::device::Device::Cpu).unwrap();
    let packed = model.packed(Bf16Unit::Emulated).unwrap();
    let (batch, settings) = (batch(&model), settings(Divergence::ForwardKl));
    let loss = |learner: &Model, adapter: &Adapter, step| {
        let student = student(learner, adapter, &settings, 0.0, 1 << 28);
        student.gradients(&batch, 1.0, (step, 0)).unwrap()
    };
    let trained = |learner: &Model| {
        let adapter = initial(model.config(), &lora(4, 8.0), 5, &Device::Cpu).unwrap();
        let optimizer = Muon::new(&adapter, 0.0).unwrap();
        for step in 0..40 {
            let Learned { gradients, .. } = loss(learner, &adapter, step);
            optimizer.step(&adapter, &gradients, 0.01).unwrap();
        }
        loss(&model, &adapter, 0).loss
    };
    let before = loss(&model, &adapter(&model, 4), 0).loss;
    let [exact, rounded] = [&model, &packed].map(trained);
    assert!(exact < 0.5 * before, "{before} {exact}");
    assert!((rounded / exact - 1.0).abs() < 0.02, "{exact} {rounded}");
}

/// The gradient of a model whose frozen weights are multiplied in bf16 points where that in f32
/// does.
#[test]
fn packed_weights_give_nearly_the_same_gradient() {
    for (i, model) in models().into_iter().enumerate() {
        let packed = model.packed(Bf16Unit::Emulated).unwrap();
        let (adapter, mut batch, settings) =
            (adapter(&model, 4), batch(&model), settings(Divergence::ForwardKl));
        if i == 0 {
            batch.ids = text(&model).into_iter().cycle().take(batch.ids.len()).collect();
        }
        let of = |model: &Model| {
            student(model, &adapter, &settings, 0.0, 1 << 28)
                .gradients(&batch, 1.0, (0, 0))
                .unwrap()
        };
        let (exact, rounded) = (of(&model), of(&packed));
        let (loss, near) = (exact.loss, rounded.loss);
        assert!((loss / near - 1.0).abs() < 0.02, "{loss} {near}");
        let (mut along, mut lengths) = (0.0, [0.0; 2]);
        for ((.., exact), (.., rounded)) in exact.gradients.iter().zip(rounded.gradients.iter()) {
            for (exact, rounded) in [(&exact.a, &rounded.a), (&exact.b, &rounded.b)] {
                let dot = |a: &Tensor, b: &Tensor| {
                    let sum = (a * b).unwrap().sum_all().unwrap();
                    f64::from(sum.to_scalar::<f32>().unwrap())
                };
                along += dot(exact, rounded);
                lengths[0] += dot(exact, exact);
                lengths[1] += dot(rounded, rounded);
            }
        }
        let cosine = along / (lengths[0] * lengths[1]).sqrt();
        assert!(cosine > 0.99 && cosine < 1.0, "{cosine}");
    }
}
