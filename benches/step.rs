//! What a training step takes: `cargo bench --bench step`, or with files of models, `cargo bench
//! --bench step -- MODEL.gguf`; on a GPU `cargo bench --features cuda --bench step -- --device
//! cuda`, which has larger steps too.
//!
//! Short bakes are timed step by step, each in a process of its own, whose peak memory is read
//! before anything else is measured: of `tiny`, and of random models in bf16 in the shapes of a
//! 135M one (30 layers, width 576, vocabulary 49152) and of a 0.5B one (24 layers, width 896,
//! vocabulary 151936). A second table has what the bake took beside what its plan said.
//!
//! The loss of as many answer tokens as a step has is timed by itself, as it is and in the plain
//! form: both logits, two log-softmaxes, and candle's own backward pass through the student's side
//! of them. The step with the plain form is the measured step with one exchanged for the other.
//!
//! Last comes the same step under candle's autograd: as many tokens in as many sequences through as
//! many blocks of the same widths, written in candle's own operations, with changes on all seven
//! projections, our loss in its graph, its backward pass and its AdamW.

#[path = "step/autograd.rs"]
mod autograd;
#[path = "../examples/shared/memory.rs"]
mod memory;
#[path = "shared/random.rs"]
mod random;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bake::distill::{Options, States, distill, distill_in_graph};
use bake::recipe::{
    Generator, Lora, ModelSource, Recipe, RecipeFields, Rollout, RolloutFields, Schedule, Stimuli,
    Target, TargetFields, Train, TrainFields,
};
use bake::{BakeOptions, Device, Interrupt, Message, Model, Plan, Progress, Role, Store};
use bake_runtime::bake_recipe;
use bake_spec::{Config, Projection};
use candle_core::{D, DType, Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

const ROUNDS: usize = 9;

/// A model, by the file or folder that it is in (none for `tiny`), and what it is trained on.
struct Row<'a> {
    name: &'a str,
    model: &'a str,
    size: Size,
}

/// What a step has.
#[derive(Clone, Copy)]
struct Size {
    /// Sequences a step.
    batch: usize,
    /// Tokens that an answer has at most.
    answer: usize,
    /// Sentences that follow each question.
    chatter: usize,
}

const SHORT: Size = Size { batch: 4, answer: 24, chatter: 0 };
const LONG: Size = Size { batch: 8, answer: 60, chatter: 4 };
const LARGE: Size = Size { batch: 32, ..LONG };

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let device: Device = match arguments.as_slice() {
        [flag, device, ..] if flag == "--device" => {
            let device = device.parse()?;
            arguments.drain(..2);
            device
        }
        _ => Device::default(),
    };
    if let [flag, name, model, numbers @ ..] = arguments.as_slice()
        && flag == "--measure"
        && let [batch, answer, chatter] = numbers
    {
        let size =
            Size { batch: batch.parse()?, answer: answer.parse()?, chatter: chatter.parse()? };
        return measure(&Row { name, model, size }, device);
    }
    println!(
        "| model | sequences a step | their tokens | answer tokens | a step | tokens/s | peak \
         memory | loss | share | plain loss | its share of a step with it | the step under \
         autograd | times ours |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let dir = tempfile::tempdir()?;
    let random = |name: &str, shape| -> Result<String, Box<dyn Error>> {
        let folder = dir.path().join(name);
        random::model(&folder, shape)?;
        Ok(folder.to_str().ok_or("the folder for temporary files has no UTF-8 name")?.to_owned())
    };
    let mut plans = Vec::new();
    if arguments.is_empty() {
        let small = random("random-135m", random::SHAPE_135M)?;
        let large = random("random-0.5b", random::SHAPE_05B)?;
        let mut rows = vec![
            Row { name: "tiny", model: "", size: Size { batch: 16, ..SHORT } },
            Row { name: "135M, random", model: &small, size: SHORT },
            Row { name: "135M, random", model: &small, size: LONG },
            Row { name: "0.5B, random", model: &large, size: SHORT },
        ];
        if let Device::Cuda(_) = device {
            rows.push(Row { name: "0.5B, random", model: &large, size: LARGE });
        }
        for row in &rows {
            plans.push(in_own_process(row, device)?);
        }
    }
    for model in &arguments {
        let name = Path::new(model).file_stem().and_then(|name| name.to_str()).unwrap_or(model);
        plans.push(in_own_process(&Row { name, model, size: LONG }, device)?);
    }
    println!("\n| model | steps | planned | the bake took | planned | its peak memory |");
    println!("|---|---|---|---|---|---|");
    plans.iter().for_each(|plan| println!("{plan}"));
    Ok(())
}

/// Measures a row and prints it; returns that of the second table.
fn in_own_process(row: &Row<'_>, device: Device) -> Result<String, Box<dyn Error>> {
    let Size { batch, answer, chatter } = row.size;
    let numbers = [batch, answer, chatter].map(|number| number.to_string());
    let output = Command::new(std::env::current_exe()?)
        .args(["--device", &device.to_string(), "--measure", row.name, row.model])
        .args(numbers)
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    let mut lines = said.lines();
    match (output.status.success(), lines.next(), lines.next()) {
        (true, Some(first), Some(second)) => {
            println!("{first}");
            Ok(second.to_owned())
        }
        _ => Err(format!("{}: {}", row.name, output.status).into()),
    }
}

fn measure(row: &Row<'_>, device: Device) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let recipe = row.size.recipe(row.model, dir.path())?;
    let Step { ms: step_ms, answers, steps, planned, took, peak } =
        step(&recipe, dir.path(), device)?;
    let (model, device) = (bake_runtime::load_model(&recipe, Device::Cpu)?, device.open()?);
    let (loss_ms, plain_ms) = losses(model.config(), answers, &device)?;
    let (autograd_ms, tokens) = autograd_step(&recipe, &model, answers, &device)?;
    let (share, plain_share) =
        (100.0 * loss_ms / step_ms, 100.0 * plain_ms / (step_ms - loss_ms + plain_ms));
    let (name, batch) = (row.name, recipe.train.batch);
    println!(
        "| {name} | {batch} | {tokens} | {answers} | {step_ms:.1} ms | {:.0} | {peak} MB | \
         {loss_ms:.1} ms | {share:.0} % | {plain_ms:.1} ms | {plain_share:.0} % | \
         {autograd_ms:.1} ms | {:.2} |",
        1e3 * tokens as f64 / step_ms,
        autograd_ms / step_ms
    );
    println!(
        "| {name} | {steps} | {:.1} s | {took:.1} s | {} | {peak} MB |",
        planned.seconds.sum(),
        planned.memory()
    );
    Ok(())
}

impl Size {
    /// A bake of this model.
    fn recipe(self, model: &str, root: &Path) -> bake::Result<Recipe> {
        let Self { batch, answer, chatter } = self;
        let model = match model {
            "" => ModelSource::Tiny,
            file if file.ends_with(".gguf") => ModelSource::Gguf(file.to_owned().into()),
            folder => ModelSource::Folder(folder.to_owned().into()),
        };
        let chatter = " Please take your time and say it in your own words.".repeat(chatter);
        let questions: Vec<_> = (0..2 * batch)
            .map(|i| format!("What is said about room {i}?{chatter}").into())
            .collect();
        let prompt: String = (0..4)
            .map(|i| format!("## Room {i}\nRoom {i} is at the end of the hall.\n\n"))
            .collect();
        // Answers are sampled hot, so that a random model's have all their tokens.
        let rollout = RolloutFields {
            max_tokens: Some(answer),
            temperature: 3.0,
            seed: 1,
            ..RolloutFields::DEFAULT
        };
        let target = TargetFields {
            name: "rooms".into(),
            anchor: false,
            weight: 1.0,
            prompt: prompt.into(),
            document: None,
            context: None,
            examples: vec![].into(),
            stimuli: Stimuli::default()
                .with(|stimuli| stimuli.set(Generator::Questions(questions.into())))?,
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
            // Random weights answer at random.
            teacher_anyway: true,
            ..TrainFields::DEFAULT
        };
        Ok(Recipe::new(RecipeFields {
            name: "Rooms".into(),
            root: root.to_string_lossy().into_owned().into(),
            model,
            parent: None,
            student: "".into(),
            targets: vec![Target::new(target)?].into(),
            lora: Lora::default(),
            train: Train::new(train)?,
            expects: vec![].into(),
        })?)
    }
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

/// A step, and the bake that it is one of.
struct Step {
    /// Its median time in milliseconds.
    ms: f64,
    /// The answer tokens that it has.
    answers: usize,
    /// How many there were.
    steps: usize,
    planned: Plan,
    /// Seconds of the bake, with loading the model.
    took: f64,
    /// The most memory of the process, in MB.
    peak: u64,
}

/// Bakes, step by step.
fn step(recipe: &Recipe, dir: &Path, device: Device) -> Result<Step, Box<dyn Error>> {
    let steps = Steps::default();
    let options = BakeOptions::new()
        .device(device)
        .store(Store::new(dir.join("store")))
        .progress(steps.clone())
        .interrupt(Interrupt::new());
    let planned = bake::plan(recipe, &options)?;
    let begin = Instant::now();
    let report = bake_recipe(recipe, &options)?.report;
    let (took, peak) = (begin.elapsed().as_secs_f64(), memory::peak_bytes() / 1_000_000);
    let done = steps.with(|(_, times)| times.len());
    let times = steps.with(|(_, times)| {
        times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e3).collect()
    });
    let steps_an_epoch = report.targets[0].rollouts.div_ceil(recipe.train.batch);
    let answers = report.targets[0].tokens / steps_an_epoch;
    Ok(Step { ms: median(times), answers, steps: done, planned, took, peak })
}

/// The median times of the loss and of its plain form, in milliseconds.
fn losses(
    config: &Config,
    tokens: usize,
    device: &candle_core::Device,
) -> Result<(f64, f64), Box<dyn Error>> {
    let (vocabulary, hidden) = (config.vocab_size(), config.hidden_size());
    let head = Tensor::randn(0f32, 0.05, (vocabulary, hidden), device)?;
    let teacher = Tensor::randn(0f32, 1.0, (tokens, hidden), device)?;
    let student = (&teacher + Tensor::randn(0f32, 0.1, (tokens, hidden), device)?)?;
    let weights = Tensor::ones(tokens, DType::F32, device)?;
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
        device.synchronize()?;
        ours.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let student = Var::from_tensor(&student)?;
        let logs = |states: &Tensor| {
            let z = states.matmul(&head.t()?)?;
            z.broadcast_sub(&z.log_sum_exp(D::Minus1)?.unsqueeze(1)?)
        };
        let (p, q) = (logs(&teacher)?, logs(&student)?);
        (p.exp()? * (p - q)?)?.sum_all()?.backward()?;
        device.synchronize()?;
        plain.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((median(ours), median(plain)))
}

/// The median time of a training step under candle's autograd, in milliseconds, and the tokens of
/// its sequences.
fn autograd_step(
    recipe: &Recipe,
    model: &Model,
    tokens: usize,
    device: &candle_core::Device,
) -> Result<(f64, usize), Box<dyn Error>> {
    let (config, batch) = (model.config(), recipe.train.batch);
    let question = recipe.targets[0].stimuli.questions()[0].as_ref();
    let question = model.encode(&[Message::new(Role::User, question)])?.len();
    let answer = tokens / batch;
    let lengths = vec![question + answer; batch];
    let random = |shape: &[usize]| Tensor::randn(0f32, 0.05, shape, device);
    let student = Autograd::new(config, recipe.lora.rank, recipe.lora.alpha, device)?;
    let hidden = config.hidden_size();
    let embedded = random(&[batch * (question + answer), hidden])?;
    let (teacher, head) =
        (random(&[batch * answer, hidden])?, random(&[config.vocab_size(), hidden])?);
    let weights = Tensor::ones(batch * answer, DType::F32, device)?;
    let at = |i: usize| (0..answer).map(move |j| (i * (question + answer) + question + j) as u32);
    let answers = Tensor::new((0..batch).flat_map(at).collect::<Vec<_>>(), device)?;
    let params = ParamsAdamW { lr: 1e-5, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(student.variables.clone(), params)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let states = student.forward(&lengths, &embedded)?.index_select(&answers, 0)?;
        let states = States {
            teacher: &teacher,
            student: &states,
            head: &head,
            weights: &weights,
            masked: None,
        };
        let loss = distill_in_graph(states, Options::default())?.sum_all()?;
        optimizer.backward_step(&loss)?;
        device.synchronize()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((median(times), batch * (question + answer)))
}

/// A decoder of random weights in candle's operations.
struct Autograd {
    shape: autograd::Shape,
    blocks: Vec<autograd::Block>,
    norm: Tensor,
    /// A and B of all changes.
    variables: Vec<Var>,
}

impl Autograd {
    fn new(
        config: &Config,
        rank: usize,
        alpha: f64,
        device: &candle_core::Device,
    ) -> candle_core::Result<Self> {
        let random = |shape: &[usize]| Tensor::randn(0f32, 0.02, shape, device);
        let half = config.head_dim() / 2;
        let angles: Vec<f32> = (0..config.context())
            .flat_map(|position| (0..half).map(move |i| position as f32 / (1 + i) as f32))
            .collect();
        let angles = Tensor::from_vec(angles, (config.context(), half), device)?;
        let shape = autograd::Shape {
            heads: config.heads(),
            kv_heads: config.kv_heads(),
            head_dim: config.head_dim(),
            eps: config.norm_eps() as f32,
            turns: [angles.cos()?, angles.sin()?],
        };
        let (mut blocks, mut variables) = (Vec::new(), Vec::new());
        for _ in 0..config.layers() {
            let mut projections = Vec::new();
            for projection in Projection::ALL {
                let [outputs, inputs] = config.projection_shape(projection);
                let a = Var::from_tensor(&random(&[rank, inputs])?)?;
                let b = Var::from_tensor(&random(&[outputs, rank])?)?;
                projections.push(autograd::Changed {
                    weight: random(&[outputs, inputs])?,
                    bias: None,
                    a: a.as_tensor().clone(),
                    b: b.as_tensor().clone(),
                    scale: alpha / rank as f64,
                });
                variables.extend([a, b]);
            }
            let Ok(projections) = projections.try_into() else {
                unreachable!("there are seven projections")
            };
            let norms = [random(&[config.hidden_size()])?, random(&[config.hidden_size()])?];
            blocks.push(autograd::Block { norms, projections });
        }
        Ok(Self { shape, blocks, norm: random(&[config.hidden_size()])?, variables })
    }

    fn forward(&self, lengths: &[usize], x: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&self.shape, lengths, &x)?;
        }
        candle_nn::ops::rms_norm_slow(&x, &self.norm, self.shape.eps)
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
