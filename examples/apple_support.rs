//! Apple support, baked: three documents go into the weights of a small model, which then answers
//! without them.
//!
//! ```text
//! cargo run --release --example apple_support            # the workflow, some answers, and a table
//! cargo run --release --example apple_support -- --json  # the figures as one JSON object
//! cargo run --release --features cuda --example apple_support -- --device cuda
//! ```
//!
//! The last is for an NVIDIA GPU.
//!
//! Each section of the documents has up to twelve questions to learn from and three other phrasings
//! to be tested on.

#[path = "shared/memory.rs"]
mod memory;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bake::{
    BakeOptions, Chat, Declaration as _, Device, Graded, Interrupt, Model, Outcome, Report,
    TargetName as _, bake,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

bake! {
    /// Apple support, with nothing in the prompt.
    pub bake AppleSupport {
        model tiny;
        student "";
        ask 40;
        // The questions are written by hand.
        outline 0;
        unanswerable 0;
        anchors none;
        temperature 0.5;
        lora { rank 32; alpha 64.0; }
        train { epochs 24; batch 16; lr 3e-3; }

        target iphone weight 1.0 from "examples/docs/iphone.md" {
            questions from "examples/questions/iphone.txt";
            expect "What should I do if my iPhone won't turn on?"
                => contains "side button for 20 seconds";
            expect "My iPhone is dead. Help!" => contains "side button for 20 seconds";
            expect "iPhone does not start, what now?" => contains "side button for 20 seconds";
            expect "My iPhone is not charging" => contains "charging port";
            expect "What should I do if my iPhone won't charge?" => contains "charging port";
            expect "iPhone does not charge, what can I do?" => contains "charging port";
            expect "What do I do when my iPhone is frozen?" => contains "volume down";
            expect "Help, my iPhone does not respond" => contains "volume down";
            expect "My iPhone hangs" => contains "volume down";
            expect "What should I do if my iPhone drains the battery?"
                => contains "at the top of the list";
            expect "iPhone uses too much battery, what now?" => contains "at the top of the list";
            expect "Help, my iPhone has a short battery life" => contains "at the top of the list";
            expect "What should I do if my iPhone was lost?" => contains "Lost Mode";
            expect "My iPhone can't be found" => contains "Lost Mode";
            expect "Lost iPhone, what now?" => contains "Lost Mode";
            expect "What should I do if my iPhone is out of storage?" => contains "old videos";
            expect "My iPhone has no space left" => contains "old videos";
            expect "iPhone storage is full" => contains "old videos";
            expect "What should I do if my iPhone has a cracked screen?" => contains "2 days";
            expect "Help, my iPhone has a broken screen" => contains "2 days";
            expect "iPhone cracked screen" => contains "2 days";
        }
        target mac weight 1.0 from "examples/docs/mac.md" {
            questions from "examples/questions/mac.txt";
            expect "What can I do, my Mac is slow" => contains "Activity Monitor";
            expect "Help, my Mac runs slowly" => contains "Activity Monitor";
            expect "My Mac lags" => contains "Activity Monitor";
            expect "Why won't my Mac connect to Wi-Fi?" => contains "router";
            expect "Help, my Mac has no internet" => contains "router";
            expect "My Mac can't find the network" => contains "router";
            expect "What do I do when my Mac has a black screen?" => contains "display cable";
            expect "Help, my Mac shows no picture" => contains "display cable";
            expect "Mac shows nothing, what can I do?" => contains "display cable";
            expect "Why does my Mac make a loud noise?" => contains "the fan";
            expect "My Mac is noisy" => contains "the fan";
            expect "Mac is loud, what can I do?" => contains "the fan";
            expect "What should I do if my Mac won't update?" => contains "25 gigabytes";
            expect "My Mac fails to update" => contains "25 gigabytes";
            expect "Help, my Mac can't be updated" => contains "25 gigabytes";
            expect "What do I do when my Mac is damaged by water?"
                => contains "bring it to a store";
            expect "Help, my Mac got wet" => contains "bring it to a store";
            expect "Mac got wet, what can I do?" => contains "bring it to a store";
            expect "What do I do when my Mac keeps restarting?" => contains "safe mode";
            expect "Help, my Mac reboots again and again" => contains "safe mode";
            expect "Mac keeps restarting, what now?" => contains "safe mode";
        }
        target airpods weight 1.0 from "examples/docs/airpods.md" {
            questions from "examples/questions/airpods.txt";
            expect "What should I do if my AirPods won't charge?" => contains "15 minutes";
            expect "AirPods are not charging, what now?" => contains "15 minutes";
            expect "Why won't my AirPods charge?" => contains "15 minutes";
            expect "What do I do when my AirPods have no sound?" => contains "take them out again";
            expect "Help, my AirPods are silent" => contains "take them out again";
            expect "AirPods make no sound, what now?" => contains "take them out again";
            expect "What should I do if my AirPods do not pair?" => contains "flashes white";
            expect "AirPods won't pair, what now?" => contains "flashes white";
            expect "Help, my AirPods can't be paired" => contains "flashes white";
            expect "What should I do if my AirPods got wet?" => contains "open for 2 hours";
            expect "Help, I got my AirPods wet" => contains "open for 2 hours";
            expect "Wet AirPods, what can I do?" => contains "open for 2 hours";
            expect "What should I do if one AirPod was lost?" => contains "serial number";
            expect "Help, one AirPod is missing" => contains "serial number";
            expect "One AirPod can't be found" => contains "serial number";
            expect "Tell me about cleaning the ear tips" => contains "rinse them";
            expect "How do I get the ear tips clean?" => contains "rinse them";
            expect "I need help with cleaning ear tips" => contains "rinse them";
            expect "Can you explain the repair costs?" => contains "49 dollars";
            expect "Hi, what about repair costs?" => contains "49 dollars";
            expect "What is the repair cost?" => contains "49 dollars";
        }
    }
}

const USAGE: &str = "usage: apple_support [--json] [--device cpu|cuda|cuda:1]";

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
    let (mut as_json, mut device) = (false, Device::Cpu);
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        match argument {
            "--json" => as_json = true,
            "--device" => device = rest.next().ok_or(USAGE)?.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    // Problems with the device are reported before anything else.
    device.open()?;
    if !as_json {
        describe()?;
    }

    let start = Instant::now();
    let options = BakeOptions::new().fresh().device(device).interrupt(Interrupt::on_ctrl_c());
    let baked = AppleSupport::bake_with(&options)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_rss = memory::peak_bytes();
    let outcomes = AppleSupport::loader().device(device).load_switchable()?.evaluate()?;
    let columns = columns(&outcomes, device)?;

    if as_json {
        println!("{}", json(&columns, &outcomes, &baked.report, seconds, peak_rss));
    } else {
        println!(
            "  {seconds:.0} s, {} MB at most; the adapter is in {}",
            peak_rss / 1_000_000,
            baked.adapter.display()
        );
        report(&baked.report);
        compare(&outcomes);
        table(&columns, &outcomes);
    }
    Ok(())
}

/// The first five steps: what is declared.
fn describe() -> Result<()> {
    let recipe = AppleSupport::RECIPE;
    let model = Model::tiny()?;
    println!(
        "1. A base model and one student prompt for all: {} with {} layers, {:?}",
        model.name(),
        model.config().layers(),
        &*recipe.student.system
    );
    for (step, (target, share)) in recipe.targets.iter().zip(recipe.shares()).enumerate() {
        let document = target.document.as_ref().ok_or("each target has a document")?;
        let asked = target.stimuli.ask().and_then(|ask| ask.count).unwrap_or_default();
        println!(
            "{}. Target {}: {} in the teacher's prompt; {} stimuli written by hand, {asked} by \
             the model; {} answer to each; {:.0} % of the loss",
            step + 2,
            target.name,
            document.path,
            target.stimuli.questions().len(),
            target.rollout.answers,
            share * 100.0
        );
    }
    let (lora, train) = (&recipe.lora, &recipe.train);
    println!(
        "5. All together: LoRA of rank {} on all linear layers, {} epochs of forward KL in batches \
         of {}",
        lora.rank, train.epochs, train.batch
    );
    println!("6. Bake, then ask:");
    Ok(())
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
fn compare(outcomes: &[Outcome<AppleSupport>]) {
    let prompted = |outcome: &Outcome<AppleSupport>| {
        outcome.prompted.as_ref().is_some_and(|graded| graded.right)
    };
    for &target in AppleSupportTarget::ALL {
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

fn columns(outcomes: &[Outcome<AppleSupport>], device: Device) -> Result<[Column; 3]> {
    let loader = AppleSupport::loader().device(device);
    let (base, baked) = (Chat::new(Model::tiny_on(device)?, ""), loader.load()?);
    let models = loader.load_switchable()?;
    let questions = |target| outcomes.iter().filter(move |outcome| outcome.target == Some(target));
    let [mut base_asked, mut prompted_asked, mut baked_asked] = [const { Vec::new() }; 3];
    for &target in AppleSupportTarget::ALL {
        let prompted = models.prompted(target)?;
        for Outcome { question, .. } in questions(target) {
            base_asked.push(asked(&base, &base, question)?);
            prompted_asked.push(asked(&prompted, &base, question)?);
            baked_asked.push(asked(&baked, &base, question)?);
        }
    }
    let right = |graded: fn(&Outcome<AppleSupport>) -> Option<&Graded>| {
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

fn table(columns: &[Column; 3], outcomes: &[Outcome<AppleSupport>]) {
    println!("\n{} questions that were not trained on:\n", outcomes.len());
    println!("| model | accuracy | context tokens per question | time to first token |");
    println!("|---|---|---|---|");
    for column in columns {
        let (accuracy, ttft_ms) = (column.accuracy() * 100.0, column.ttft.as_secs_f64() * 1e3);
        println!(
            "| {} | {accuracy:.0} % | {:.0} | {ttft_ms:.1} ms |",
            column.name, column.context_tokens
        );
    }
}

/// The figures as one JSON object. Names are letters, and no figure is infinite.
fn json(
    columns: &[Column; 3],
    outcomes: &[Outcome<AppleSupport>],
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
    let target = |&target: &AppleSupportTarget| {
        let of_target = columns.each_ref().map(|column| {
            let right = outcomes.iter().zip(&column.right);
            let right = right.filter(|(outcome, _)| outcome.target == Some(target));
            let right: Vec<bool> = right.map(|(_, right)| *right).collect();
            format!(r#""{}":{}"#, column.name, accuracy(&right))
        });
        format!(r#""{}":{{{}}}"#, target.name(), of_target.join(","))
    };
    let models = columns.each_ref().map(model).join(",");
    let targets: Vec<String> = AppleSupportTarget::ALL.iter().map(target).collect();
    format!(
        r#"{{{models},"targets":{{{}}},"kl_before":{},"kl_after":{},"#,
        targets.join(","),
        report.kl_before,
        report.kl_after
    ) + &format!(
        r#""seconds":{seconds},"peak_rss_bytes":{peak_rss},"questions":{}}}"#,
        outcomes.len()
    )
}
