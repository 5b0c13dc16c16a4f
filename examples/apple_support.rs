//! Apple support, baked: three documents go into the weights of a small model, which then answers
//! without them.
//!
//! ```text
//! cargo run --release --example apple_support            # the workflow, some answers, and a table
//! cargo run --release --example apple_support -- --json  # the figures as one JSON object
//! cargo run --release --example apple_support -- --model smollm2
//! cargo run --release --features cuda --example apple_support -- --device cuda
//! ```
//!
//! The third needs the model, which `cargo bake model get smollm2` fetches; the last is for an
//! NVIDIA GPU.
//!
//! No question is written by hand: all that is trained on is made from the documents. Each of their
//! sections has three questions to be tested on, which are held out of training.

#[path = "shared/memory.rs"]
mod memory;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bake::{
    BakeOptions, Chat, Declaration, Device, Graded, Interrupt, Loader, Outcome, Recipe, Report,
    Score, TargetName as _, bake,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

bake! {
    /// Apple support, with nothing in the prompt.
    pub bake AppleSupport {
        target iphone weight 1.0 from "examples/docs/iphone.md" {
            expect "My iPhone is dead. Help!" => contains "side button for 20 seconds";
        }
        target mac weight 1.0 from "examples/docs/mac.md" {
            expect "My Mac lags" => contains "Activity Monitor";
        }
        target airpods weight 1.0 from "examples/docs/airpods.md" {
            expect "Wet AirPods, what can I do?" => contains ["2 hours", "two hours"];
        }
        expect from "examples/questions/apple.jsonl";
        train { rehearse 4; }    // half the time
    }

    /// The same in a model that has read more than these documents.
    pub bake AppleSupportSmollm2 {
        model smollm2;
        target iphone weight 1.0 from "examples/docs/iphone.md";
        target mac weight 1.0 from "examples/docs/mac.md";
        target airpods weight 1.0 from "examples/docs/airpods.md";
        expect from "examples/questions/apple.jsonl";
        train { rehearse 4; }
    }
}

const USAGE: &str =
    "usage: apple_support [--model tiny|smollm2] [--json] [--device cpu|cuda|cuda:1]";

/// A row of the table: one of the three models on all questions.
struct Column {
    name: &'static str,
    right: Vec<bool>,
    context_tokens: f64,
    ttft: Duration,
}

impl Column {
    fn accuracy(&self) -> f64 {
        accuracy(&self.right)
    }
}

/// The share of answers that are right.
fn accuracy(right: &[bool]) -> f64 {
    right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--help"] {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (mut model, mut as_json, mut device) = ("tiny", false, Device::Cpu);
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        match argument {
            "--model" => model = rest.next().ok_or(USAGE)?,
            "--json" => as_json = true,
            "--device" => device = rest.next().ok_or(USAGE)?.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    // Problems with the device are reported before anything else.
    device.open()?;
    match model {
        "tiny" => bake_and_ask::<AppleSupport>(as_json, device),
        "smollm2" => bake_and_ask::<AppleSupportSmollm2>(as_json, device),
        _ => Err(USAGE.into()),
    }
}

fn bake_and_ask<D: Declaration>(as_json: bool, device: Device) -> Result<()> {
    if !as_json {
        describe(D::RECIPE);
    }
    let start = Instant::now();
    let options = BakeOptions::new().fresh().device(device).interrupt(Interrupt::on_ctrl_c());
    let baked = bake::<D>(&options)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_rss = memory::peak_bytes();
    let loader = Loader::<D>::new().device(device);
    let models = loader.load_switchable()?;
    let (outcomes, with_passage) = (models.evaluate()?, models.verdict()?.prompted_with_passage());
    let columns = columns(&loader, &outcomes)?;

    if as_json {
        println!("{}", json(&columns, with_passage, &outcomes, &baked.report, seconds, peak_rss));
    } else {
        println!(
            "  {seconds:.0} s, {} MB at most; the adapter is in {}",
            peak_rss / 1_000_000,
            baked.adapter.display()
        );
        report(&baked.report);
        compare(&outcomes);
        table(&columns, with_passage, &outcomes);
    }
    Ok(())
}

/// The first steps: what is declared.
fn describe(recipe: &Recipe) {
    println!(
        "1. A base model and one student prompt for all: {}, {:?}",
        recipe.model, &*recipe.student.system
    );
    for (step, (target, share)) in recipe.targets.iter().zip(recipe.shares()).enumerate() {
        let kind = if target.anchor { "Anchor" } else { "Target" };
        let read = match &target.document {
            Some(document) => &*document.path,
            None => "what the student reads",
        };
        let generators = target.stimuli.generators.iter();
        let generators: Vec<_> = generators.map(|made| made.kind().name()).collect();
        println!(
            "{}. {kind} {}: {read} in the teacher's prompt; questions by {}; {:.0} % of the loss",
            step + 2,
            target.name,
            generators.join(", "),
            share * 100.0
        );
    }
    let (lora, train) = (&recipe.lora, &recipe.train);
    println!(
        "{}. All together: LoRA of rank {} on all linear layers, up to {} epochs of forward KL in \
         batches of {}",
        recipe.targets.len() + 2,
        lora.rank,
        train.epochs,
        train.batch
    );
    println!("{}. Bake, then ask:", recipe.targets.len() + 3);
}

/// What the model learned from, and how far it got.
fn report(report: &Report) {
    for target in &report.targets {
        println!(
            "  {}: {} stimuli, {} rollouts of {} tokens in all",
            target.name, target.stimuli, target.rollouts, target.tokens
        );
    }
    println!(
        "  KL to the teacher: {:.3} before, {:.4} after, in nats per token",
        report.kl_before, report.kl_after
    );
}

/// Some answers side by side: the first section of each target, and one that the prompted model
/// gets wrong, if there is one.
fn compare<D: Declaration>(outcomes: &[Outcome<D>]) {
    let prompted =
        |outcome: &Outcome<D>| outcome.prompted.as_ref().is_some_and(|graded| graded.right);
    for &target in D::Target::ALL {
        let of_target = || outcomes.iter().filter(|outcome| outcome.target == Some(target));
        for outcome in
            of_target().take(1).chain(of_target().filter(|outcome| !prompted(outcome)).take(1))
        {
            println!("\n{}: {}", target.name(), outcome.question);
            let models = [
                ("base", Some(&outcome.base)),
                ("prompted", outcome.prompted.as_ref()),
                ("baked", Some(&outcome.baked)),
            ];
            for (name, Graded { answer, right, .. }) in
                models.iter().filter_map(|(name, graded)| Some((name, (*graded)?)))
            {
                println!("  {name:<9} {} {answer}", if *right { "+" } else { "-" });
            }
        }
    }
}

fn columns<D: Declaration>(loader: &Loader<D>, outcomes: &[Outcome<D>]) -> Result<[Column; 3]> {
    let (models, baked) = (loader.load_switchable()?, loader.load()?);
    let base = models.base();
    let questions = |target| outcomes.iter().filter(move |outcome| outcome.target == Some(target));
    let [mut base_asked, mut prompted_asked, mut baked_asked] = [const { Vec::new() }; 3];
    for &target in D::Target::ALL {
        let prompted = models.prompted(target)?;
        for Outcome { question, .. } in questions(target) {
            base_asked.push(asked(&base, &base, question)?);
            prompted_asked.push(asked(&prompted, &base, question)?);
            baked_asked.push(asked(&baked, &base, question)?);
        }
    }
    let right = |graded: fn(&Outcome<D>) -> Option<&Graded>| {
        outcomes
            .iter()
            .map(|outcome| graded(outcome).is_some_and(|graded| graded.right))
            .collect::<Vec<_>>()
    };
    Ok([
        column("base", right(|outcome| Some(&outcome.base)), base_asked),
        column("prompted", right(|outcome| outcome.prompted.as_ref()), prompted_asked),
        column("baked", right(|outcome| Some(&outcome.baked)), baked_asked),
    ])
}

/// Tokens of a prompt beyond those of the question alone, and the time until the first piece of the
/// answer, with nothing cached.
fn asked(chat: &Chat, alone: &Chat, question: &str) -> Result<(usize, Duration)> {
    let context = chat.prompt_tokens(question)?.saturating_sub(alone.prompt_tokens(question)?);
    let start = Instant::now();
    let first = chat.stream(question)?.next();
    let time = start.elapsed();
    first.ok_or("an answer has at least one piece")??;
    Ok((context, time))
}

fn column(name: &'static str, right: Vec<bool>, asked: Vec<(usize, Duration)>) -> Column {
    let context_tokens =
        asked.iter().map(|(tokens, _)| *tokens as f64).sum::<f64>() / asked.len().max(1) as f64;
    let mut times: Vec<Duration> = asked.into_iter().map(|(_, time)| time).collect();
    times.sort();
    let ttft = times.get(times.len() / 2).copied().unwrap_or_default();
    Column { name, right, context_tokens, ttft }
}

fn table<D: Declaration>(columns: &[Column; 3], with_passage: Score, outcomes: &[Outcome<D>]) {
    println!("\n{} questions that were not trained on:\n", outcomes.len());
    println!("| model | accuracy | context tokens per question | time to first token |");
    println!("|---|---|---|---|");
    for column in columns {
        let (accuracy, ttft_ms) = (column.accuracy() * 100.0, column.ttft.as_secs_f64() * 1e3);
        println!(
            "| {} | {accuracy:.0} % | {:.0} | {ttft_ms:.1} ms |",
            column.name, column.context_tokens
        );
        // What finding the right passage would be worth to the prompted model.
        if column.name == "prompted" {
            println!(
                "| prompted with the right passage | {:.0} % | | |",
                with_passage.share() * 100.0
            );
        }
    }
}

/// The figures as one JSON object. Names are letters, and no figure is infinite.
fn json<D: Declaration>(
    columns: &[Column; 3],
    with_passage: Score,
    outcomes: &[Outcome<D>],
    report: &Report,
    seconds: f64,
    peak_rss: u64,
) -> String {
    let model = |column: &Column| {
        let ttft_ms = column.ttft.as_secs_f64() * 1e3;
        format!(
            r#""{}":{{"accuracy":{},"context_tokens":{},"ttft_ms":{ttft_ms}}}"#,
            column.name,
            column.accuracy(),
            column.context_tokens
        )
    };
    let target = |&target: &D::Target| {
        let of_target = columns.each_ref().map(|column| {
            let right = outcomes.iter().zip(&column.right);
            let right = right.filter(|(outcome, _)| outcome.target == Some(target));
            let right: Vec<bool> = right.map(|(_, right)| *right).collect();
            format!(r#""{}":{}"#, column.name, accuracy(&right))
        });
        format!(r#""{}":{{{}}}"#, target.name(), of_target.join(","))
    };
    let models = columns.each_ref().map(model).join(",");
    let targets: Vec<String> = D::Target::ALL.iter().map(target).collect();
    format!(
        r#"{{{models},"prompted_with_passage":{{"accuracy":{}}},"targets":{{{}}},"#,
        with_passage.share(),
        targets.join(",")
    ) + &format!(r#""kl_before":{},"kl_after":{},"#, report.kl_before, report.kl_after)
        + &format!(
            r#""seconds":{seconds},"peak_rss_bytes":{peak_rss},"questions":{}}}"#,
            outcomes.len()
        )
}
