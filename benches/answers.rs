//! How fast models load, read and answer on the processor, and how much memory that takes:
//! `cargo bench --bench answers`, or with folders of models, `cargo bench --bench answers -- DIR`.
//!
//! Each model is measured in a process of its own, whose peak memory is read at the end. Reading
//! is timed up to the first token of an answer; each further token is a pass over the cache, alone
//! and for eight questions at once.

#[path = "../examples/shared/memory.rs"]
mod memory;
#[path = "shared/random.rs"]
mod random;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use bake::{Chat, Device, Model, Sampling};

const ROUNDS: usize = 5;
const ANSWER: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, name, model] = arguments.as_slice()
        && flag == "--measure"
    {
        return measure(name, model);
    }
    println!(
        "| model | load | prompt | reading it, tokens/s | answering, tokens/s | eight at once | \
         peak memory |"
    );
    println!("|---|---|---|---|---|---|---|");
    if !arguments.is_empty() {
        return arguments.iter().try_for_each(|dir| in_own_process(dir, dir));
    }
    let dir = tempfile::tempdir()?;
    in_own_process("tiny", "")?;
    for (name, shape) in [("135M", random::SHAPE_135M), ("0.5B", random::SHAPE_05B)] {
        let folder = dir.path().join(name);
        random::model(&folder, shape)?;
        in_own_process(&format!("{name}, random"), &folder.to_string_lossy())?;
    }
    Ok(())
}

fn in_own_process(name: &str, model: &str) -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let status = Command::new(program).args(["--measure", name, model]).status()?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}").into()) }
}

fn measure(name: &str, model: &str) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let model = match model {
        "" => Model::tiny()?,
        dir => Model::load(Path::new(dir), Device::Cpu)?,
    };
    let load = begin.elapsed().as_secs_f64();
    let room = |i: usize| format!("Room {i} is at the end of the hall, behind the stairs.\n");
    let system: String = (0..24).map(room).collect();
    let chat = Chat::new(model, system);
    let questions: Vec<String> =
        (0..8).map(|i| format!("Describe the way to room {i} in detail")).collect();
    let prompt = chat.prompt_tokens(&questions[0])?;

    let first = chat.with_sampling(Sampling::greedy().max_tokens(1));
    let whole = chat.with_sampling(Sampling::greedy().max_tokens(ANSWER));
    let (mut reading, mut single, mut eight) = (Vec::new(), Vec::new(), Vec::new());
    let tokens: Vec<usize> =
        questions.iter().map(|question| answer(&whole, question)).collect::<Result<_, _>>()?;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        answer(&first, &questions[0])?;
        let read = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        answer(&whole, &questions[0])?;
        single.push((tokens[0] - 1) as f64 / (begin.elapsed().as_secs_f64() - read));
        reading.push(prompt as f64 / read);
        let begin = Instant::now();
        first.chat_all(&questions)?;
        let read = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        whole.chat_all(&questions)?;
        let further: usize = tokens.iter().map(|tokens| tokens - 1).sum();
        eight.push(further as f64 / (begin.elapsed().as_secs_f64() - read));
    }
    println!(
        "| {name} | {load:.2} s | {prompt} | {:.0} | {:.0} | {:.0} | {} MB |",
        median(reading),
        median(single),
        median(eight),
        memory::peak_bytes() / 1_000_000
    );
    Ok(())
}

/// Answers, and counts the answer's tokens.
fn answer(chat: &Chat, question: &str) -> bake::Result<usize> {
    let mut stream = chat.stream(question)?;
    for piece in stream.by_ref() {
        piece?;
    }
    Ok(stream.tokens())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
