//! Which share of a training step the distillation loss takes on the processor: `cargo bench
//! --bench step`.
//!
//! A short bake of `tiny`, and one of a random model in the shape of a 135M one (30 layers, width
//! 576, vocabulary 49152), are timed step by step. The loss of as many answer tokens as a step has
//! is timed by itself, as it is and in the plain form: both logits, two log-softmaxes, and candle's
//! own backward pass through the student's side of them. The step with the plain form is the
//! measured step with one exchanged for the other.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bake::distill::{Options, States, distill};
use bake::recipe::{
    Lora, ModelSource, Recipe, RecipeFields, Rollout, RolloutFields, Schedule, Stimuli, Target,
    TargetFields, Train, TrainFields,
};
use bake::{BakeOptions, Interrupt, Model, Progress, Store};
use bake_runtime::bake_recipe;
use candle_core::{D, DType, Device, Tensor, Var};

const ROUNDS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    random_model(&dir.path().join("random-135m"))?;
    println!(
        "| model | answer tokens a step | a step | loss | share | plain loss | its share of a step \
         with it |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, source, batch) in [
        ("tiny", ModelSource::Tiny, 16),
        ("135M, random", ModelSource::Folder("random-135m".into()), 4),
    ] {
        let recipe = recipe(dir.path(), source, batch)?;
        let (step_ms, tokens) = step(&recipe, dir.path())?;
        let (loss_ms, plain_ms) = losses(&recipe, tokens)?;
        let (share, plain_share) =
            (100.0 * loss_ms / step_ms, 100.0 * plain_ms / (step_ms - loss_ms + plain_ms));
        println!(
            "| {name} | {tokens} | {step_ms:.1} ms | {loss_ms:.1} ms | {share:.0} % | \
             {plain_ms:.1} ms | {plain_share:.0} % |"
        );
    }
    Ok(())
}

fn recipe(root: &Path, model: ModelSource, batch: usize) -> bake::Result<Recipe> {
    let questions: Vec<_> =
        (0..2 * batch).map(|i| format!("What is said about room {i}?").into()).collect();
    let prompt: String =
        (0..4).map(|i| format!("## Room {i}\nRoom {i} is at the end of the hall.\n\n")).collect();
    // Answers are sampled hot, so that a random model's have all their tokens.
    let rollout =
        RolloutFields { max_tokens: Some(24), temperature: 3.0, seed: 1, ..RolloutFields::DEFAULT };
    let target = TargetFields {
        name: "rooms".into(),
        anchor: false,
        weight: 1.0,
        prompt: prompt.into(),
        document: None,
        stimuli: Stimuli::default().with(|stimuli| stimuli.questions = questions.into())?,
        rollout: Rollout::new(rollout)?,
    };
    let train = TrainFields {
        epochs: 4,
        lr: Some(1e-5),
        batch,
        schedule: Schedule::Constant,
        warmup: 0.0,
        seed: 1,
        checkpoint_every: Some(1000),
        ..TrainFields::DEFAULT
    };
    Ok(Recipe::new(RecipeFields {
        name: "Rooms".into(),
        root: root.to_string_lossy().into_owned().into(),
        model,
        student: "".into(),
        targets: vec![Target::new(target)?].into(),
        lora: Lora::default(),
        train: Train::new(train)?,
        expects: vec![].into(),
    })?)
}

/// Notes when each step of the training ends.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<(bool, Vec<Instant>)>>);

impl Steps {
    fn with<R>(&self, f: impl FnOnce(&mut (bool, Vec<Instant>)) -> R) -> R {
        f(&mut self.0.lock().expect("nobody panics meanwhile"))
    }
}

impl Progress for Steps {
    fn begin(&self, stage: &str, _total: usize, _unit: &str) {
        self.with(|(training, _)| *training = stage == "training");
    }

    fn advance(&self, _steps: usize, _note: &str) {
        self.with(|(training, times)| {
            if *training {
                times.push(Instant::now())
            }
        });
    }

    fn end(&self) {
        self.with(|(training, _)| *training = false);
    }
}

/// The median time of a training step in milliseconds, and the answer tokens that it has.
fn step(recipe: &Recipe, dir: &Path) -> Result<(f64, usize), Box<dyn Error>> {
    let steps = Steps::default();
    let options = BakeOptions::new()
        .store(Store::new(dir.join("store")))
        .progress(steps.clone())
        .interrupt(Interrupt::new());
    let report = bake_recipe(recipe, &options)?.report;
    let times = steps.with(|(_, times)| {
        times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3).collect()
    });
    let steps_an_epoch = report.targets[0].answers.div_ceil(recipe.train.batch);
    Ok((median(times), report.targets[0].tokens / steps_an_epoch))
}

/// The median times of the loss and of its plain form, in milliseconds.
fn losses(recipe: &Recipe, tokens: usize) -> Result<(f64, f64), Box<dyn Error>> {
    let model = bake_runtime::load_model(recipe, bake::Device::Cpu)?;
    let (vocabulary, hidden) = (model.config().vocab_size(), model.config().hidden_size());
    let head = Tensor::randn(0f32, 0.05, (vocabulary, hidden), &Device::Cpu)?;
    let teacher = Tensor::randn(0f32, 1.0, (tokens, hidden), &Device::Cpu)?;
    let student = (&teacher + Tensor::randn(0f32, 0.1, (tokens, hidden), &Device::Cpu)?)?;
    let weights = Tensor::ones(tokens, DType::F32, &Device::Cpu)?;
    let states = States {
        teacher: &teacher,
        student: &student,
        head: &head,
        weights: &weights,
        masked: None,
    };
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        distill(states, Options::default())?;
        ours.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let student = Var::from_tensor(&student)?;
        let logs = |states: &Tensor| {
            let z = states.matmul(&head.t()?)?;
            z.broadcast_sub(&z.log_sum_exp(D::Minus1)?.unsqueeze(1)?)
        };
        let (p, q) = (logs(&teacher)?, logs(&student)?);
        (p.exp()? * (p - q)?)?.sum_all()?.backward()?;
        plain.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((median(ours), median(plain)))
}

/// A folder with a model of random weights, and the tokenizer of `tiny`.
fn random_model(dir: &Path) -> Result<(), Box<dyn Error>> {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    let (layers, hidden, intermediate, vocabulary, kv) = (30, 576, 1536, 49_152, 192);
    std::fs::create_dir_all(dir)?;
    for file in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        std::fs::copy(tiny.join(file), dir.join(file))?;
    }
    let config = format!(
        r#"{{"model_type": "llama", "vocab_size": {vocabulary}, "hidden_size": {hidden}, "intermediate_size": {intermediate},
        "num_hidden_layers": {layers}, "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": true}}"#
    );
    std::fs::write(dir.join("config.json"), config)?;
    let random = |shape: (usize, usize)| {
        Tensor::randn(0f32, 0.02, shape, &Device::Cpu)?.to_dtype(DType::BF16)
    };
    let ones = || Tensor::ones(hidden, DType::BF16, &Device::Cpu);
    let mut tensors = std::collections::HashMap::new();
    tensors.insert("model.embed_tokens.weight".to_owned(), random((vocabulary, hidden))?);
    tensors.insert("model.norm.weight".to_owned(), ones()?);
    for layer in 0..layers {
        let mut put = |name: &str, tensor| {
            tensors.insert(format!("model.layers.{layer}.{name}.weight"), tensor)
        };
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            put(norm, ones()?);
        }
        let shapes = [
            ("q_proj", (hidden, hidden)),
            ("k_proj", (kv, hidden)),
            ("v_proj", (kv, hidden)),
            ("o_proj", (hidden, hidden)),
        ];
        for (name, shape) in shapes {
            put(&format!("self_attn.{name}"), random(shape)?);
        }
        for (name, shape) in [
            ("gate_proj", (intermediate, hidden)),
            ("up_proj", (intermediate, hidden)),
            ("down_proj", (hidden, intermediate)),
        ] {
            put(&format!("mlp.{name}"), random(shape)?);
        }
    }
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors"))?;
    Model::load(dir, bake::Device::Cpu)?;
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
