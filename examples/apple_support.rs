//! Apple support, baked: three documents go into the weights of a small model, which then answers
//! without them.
//!
//! ```text
//! cargo run --release --example apple_support            # the workflow, some answers, and a table
//! cargo run --release --example apple_support -- --json  # the figures as one JSON object
//! cargo run --release --features cuda --example apple_support -- --device cuda    # on an NVIDIA GPU
//! ```
//!
//! Each section of the documents has up to twelve questions to learn from and three other phrasings
//! to be tested on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bake::{
    BakeOptions, Chat, Declaration as _, Device, Graded, Interrupt, Model, Outcome, Report,
    TargetName as _, bake,
};
use serde_json::{Value, json};

bake! {
    /// Apple support, with nothing in the prompt.
    pub bake AppleSupport {
        model tiny;
        student "";
        ask 40;
        temperature 0.5;
        lora { rank 32; alpha 64.0; }
        train { epochs 24; batch 16; lr 3e-3; }

        target iphone weight 1.0 from "examples/docs/iphone.md" {
            questions [
                "My iPhone won't turn on", "iPhone is dead",
                "My iPhone doesn't start, what do I do?",
                "What should I do if my iPhone does not power on?",
                "Help, my iPhone will not turn on",
                "iPhone won't turn on, what can I do?", "Help, my iPhone is dead",
                "Why is it that my iPhone does not start?",
                "Tell me what to do when my iPhone is dead", "Help, my iPhone does not start",
                "Hi, my iPhone does not power on",
                "iPhone does not start, what can I do?",
                "My iPhone won't charge", "iPhone is not charging",
                "What do I do when my iPhone does not charge?",
                "Why is my iPhone not charging?", "Help, my iPhone won't charge",
                "Help, my iPhone is not charging",
                "iPhone won't charge, what now?", "My iPhone does not charge. Help!",
                "Tell me what to do when my iPhone is not charging",
                "Hi, my iPhone does not charge", "iPhone won't charge, what can I do?",
                "Why is it that my iPhone won't charge?",
                "My iPhone is frozen", "My iPhone does not respond",
                "What should I do if my iPhone hangs?", "iPhone is frozen, what now?",
                "Hi, my iPhone does not respond", "Help, my iPhone is frozen",
                "My iPhone hangs, what can I do?", "My iPhone hangs. Help!",
                "Why is it that my iPhone hangs?", "Tell me what to do when my iPhone is frozen",
                "Hi, my iPhone hangs",
                "iPhone hangs, what now?",
                "My iPhone drains the battery", "My iPhone uses too much battery",
                "Why does my iPhone drain the battery?",
                "My iPhone has a short battery life", "What can I do, iPhone drains battery",
                "Help, my iPhone drains the battery",
                "iPhone has a short battery life, what can I do?",
                "Tell me what to do when my iPhone drains the battery",
                "What should I do if my iPhone uses too much battery?",
                "Why is it that my iPhone drains the battery?",
                "iPhone drains the battery, what now?", "My iPhone drains the battery. Help!",
                "My iPhone was lost", "My iPhone is missing",
                "What should I do if my iPhone can't be found?", "Help, my iPhone was lost",
                "iPhone is missing, what do I do?", "Help, my iPhone can't be found",
                "Tell me what to do when my iPhone was lost",
                "iPhone was lost, what can I do?", "Why is it that my iPhone can't be found?",
                "My iPhone was lost. Help!",
                "iPhone can't be found, what now?", "iPhone was lost, what now?",
                "My iPhone is out of storage", "My iPhone is full",
                "What do I do when my iPhone has no space left?",
                "iPhone is out of storage, what now?", "Help, my iPhone is full",
                "iPhone has no space left, what can I do?",
                "Tell me what to do when my iPhone is full", "My iPhone has no space left. Help!",
                "Why is it that my iPhone has no space left?", "Help, my iPhone has no space left",
                "iPhone is out of storage, what can I do?", "iPhone has no space left, what now?",
                "My iPhone has a cracked screen", "My iPhone has a broken screen",
                "The screen of my iPhone is cracked",
                "What should I do if my iPhone has a broken screen?",
                "Help, iPhone with a cracked screen",
                "My iPhone screen is broken, what now?", "Why is my iPhone screen cracked?",
                "Tell me what to do when my iPhone has a cracked screen",
                "iPhone has a cracked screen, what can I do?",
                "Why is it that my iPhone has a cracked screen?",
                "My iPhone has a cracked screen. Help!",
                "iPhone has a broken screen, what now?",
            ];
            expect "What should I do if my iPhone won't turn on?" => contains "side button for 20 seconds";
            expect "My iPhone is dead. Help!" => contains "side button for 20 seconds";
            expect "iPhone does not start, what now?" => contains "side button for 20 seconds";
            expect "My iPhone is not charging" => contains "charging port";
            expect "What should I do if my iPhone won't charge?" => contains "charging port";
            expect "iPhone does not charge, what can I do?" => contains "charging port";
            expect "What do I do when my iPhone is frozen?" => contains "volume down";
            expect "Help, my iPhone does not respond" => contains "volume down";
            expect "My iPhone hangs" => contains "volume down";
            expect "What should I do if my iPhone drains the battery?" => contains "at the top of the list";
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
            questions [
                "My Mac is slow", "My Mac runs slowly", "Why is my Mac too slow?",
                "What should I do if my Mac lags?",
                "Mac is slow, what now?", "Help, my Mac is slow", "Mac runs slowly, what can I do?",
                "Hi, my Mac lags",
                "My Mac lags. Help!", "Tell me what to do when my Mac is slow",
                "Why is it that my Mac lags?", "Mac runs slowly, what now?",
                "My Mac won't connect to Wi-Fi", "My Mac has no internet", "My Mac is not on Wi-Fi",
                "What do I do when my Mac can't find the network?",
                "Mac won't connect to Wi-Fi, what now?",
                "Help, my Mac won't connect to Wi-Fi", "Mac can't find the network, what can I do?",
                "My Mac can't find the network. Help!",
                "Why is it that my Mac can't find the network?",
                "Mac has no internet, what can I do?",
                "Tell me what to do when my Mac has no internet",
                "Mac is not on Wi-Fi, what can I do?",
                "My Mac shows no picture", "My Mac has a black screen", "My Mac shows nothing",
                "What should I do if my Mac shows no picture?", "Mac has a black screen, what now?",
                "Help, my Mac shows nothing",
                "Why does my Mac show no picture?", "Tell me what to do when my Mac shows nothing",
                "Mac shows nothing, what now?",
                "My Mac shows nothing. Help!", "Why is it that my Mac shows nothing?",
                "What can I do, my Mac shows nothing",
                "My Mac makes a loud noise", "My Mac is loud", "Why is my Mac noisy?",
                "What should I do if my Mac makes a loud noise?",
                "Help, Mac is loud", "Mac makes a loud noise, what now?", "Help, my Mac is noisy",
                "Mac is noisy, what can I do?",
                "Tell me what to do when my Mac is loud", "Mac is noisy, what now?",
                "My Mac is noisy. Help!",
                "My Mac is loud, what do I do?",
                "My Mac won't update", "My Mac can't be updated",
                "What do I do when my Mac fails to update?", "Why won't my Mac update?",
                "Mac can't be updated, what now?", "Help, my Mac won't update",
                "Mac fails to update, what can I do?",
                "My Mac fails to update. Help!", "Why is it that my Mac fails to update?",
                "Tell me what to do when my Mac can't be updated",
                "What should I do if my Mac can't be updated?",
                "Mac won't update, what now?",
                "My Mac is damaged by water", "What should I do if my Mac got wet?",
                "Help, my Mac is damaged by water",
                "Water damaged my Mac, what now?", "My Mac got wet, what now?",
                "What should I do if water damaged my Mac?",
                "Hi, my Mac got wet", "My Mac got wet. Help!",
                "Tell me what to do when my Mac got wet",
                "Mac is damaged by water, what can I do?",
                "Tell me what to do when my Mac is damaged by water",
                "My Mac is damaged by water. Help!",
                "My Mac keeps restarting", "My Mac restarts all the time",
                "My Mac reboots again and again",
                "Why does my Mac keep restarting?",
                "What should I do if my Mac restarts all the time?",
            ];
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
            expect "What do I do when my Mac is damaged by water?" => contains "bring it to a store";
            expect "Help, my Mac got wet" => contains "bring it to a store";
            expect "Mac got wet, what can I do?" => contains "bring it to a store";
            expect "What do I do when my Mac keeps restarting?" => contains "safe mode";
            expect "Help, my Mac reboots again and again" => contains "safe mode";
            expect "Mac keeps restarting, what now?" => contains "safe mode";
        }
        target airpods weight 1.0 from "examples/docs/airpods.md" {
            questions [
                "My AirPods won't charge", "My AirPods are not charging",
                "What do I do when my AirPods won't charge?",
                "Why are my AirPods not charging?", "Help, AirPods won't charge",
                "AirPods won't charge, what can I do?",
                "Help, my AirPods are not charging",
                "Tell me what to do when my AirPods are not charging",
                "What should I do if my AirPods are not charging?",
                "My AirPods won't charge. Help!",
                "Why is it that my AirPods won't charge?", "AirPods won't charge, what now?",
                "My AirPods have no sound", "My AirPods are silent", "My AirPods make no sound",
                "Why do my AirPods have no sound?",
                "What should I do if my AirPods are silent?", "Help, my AirPods make no sound",
                "AirPods are silent, what can I do?",
                "Tell me what to do when my AirPods make no sound",
                "Why is it that my AirPods are silent?",
                "AirPods are silent, what now?", "AirPods have no sound, what can I do?",
                "My AirPods are silent. Help!",
                "My AirPods do not pair", "My AirPods won't pair", "My AirPods can't be paired",
                "What do I do when my AirPods won't pair?",
                "How do I pair my AirPods?", "Help, my AirPods do not pair",
                "AirPods can't be paired, what can I do?",
                "Tell me what to do when my AirPods can't be paired",
                "Why is it that my AirPods won't pair?",
                "My AirPods won't pair. Help!", "AirPods do not pair, what can I do?",
                "Why is it that my AirPods can't be paired?",
                "My AirPods got wet", "I got my AirPods wet",
                "What do I do when my AirPods got wet?", "AirPods got wet, what now?",
                "Help, my AirPods are wet", "My wet AirPods, what now?", "Hi, my AirPods got wet",
                "My AirPods are wet. Help!",
                "Why is it that my AirPods are wet?", "Tell me what to do when my AirPods are wet",
                "AirPods are wet, what can I do?",
                "What should I do if my AirPods are wet?",
                "One AirPod was lost", "One AirPod is missing",
                "What should I do if one AirPod is missing?", "Help, one AirPod was lost",
                "One AirPod was lost, what can I do?", "What do I do when one AirPod is missing?",
                "One AirPod can't be found. Help!",
                "Why is it that one AirPod can't be found?",
                "One AirPod can't be found, what do I do?",
                "Tell me what to do when one AirPod was lost", "One AirPod is missing. Help!",
                "One AirPod was lost. Help!",
                "Cleaning the ear tips", "How do I clean the ear tips?",
                "What about cleaning ear tips?", "Explain cleaning the ear tips",
                "How does cleaning the ear tips work?", "Help with cleaning the ear tips",
                "How can I clean my ear tips?",
                "Tell me about the ear tips", "I want to clean the ear tips",
                "Explain how to clean the ear tips",
                "Cleaning ear tips, how?", "What is cleaning the ear tips?",
                "What are the repair costs?", "Tell me about repair costs",
                "What about the costs of a repair?",
                "How do repair costs work?", "I need help with repair costs",
                "Explain the costs of a repair", "Help with repair costs",
                "I want to know the repair costs", "Can you tell me the repair costs?",
                "How high are the repair costs?",
                "Help with the repair costs", "Hi, what are the repair costs?",
            ];
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
        self.right.iter().filter(|right| **right).count() as f64 / self.right.len().max(1) as f64
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut as_json, mut device) = (false, Device::Cpu);
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        match argument {
            "--json" => as_json = true,
            "--device" => device = rest.next().context(USAGE)?.parse()?,
            "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            _ => bail!("{USAGE}"),
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
    let peak_rss = peak_rss_bytes()?;
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
        &*recipe.student
    );
    for (step, (target, share)) in recipe.targets.iter().zip(recipe.shares()).enumerate() {
        let document = target.document.as_ref().context("each target has a document")?;
        let asked = target.stimuli.ask.as_ref().map_or(0, |ask| ask.count);
        println!(
            "{}. Target {}: {} in the teacher's prompt; {} stimuli written by hand, {asked} by \
             the model; {} answer to each; {:.0} % of the loss",
            step + 2,
            target.name,
            document.path,
            target.stimuli.questions.len(),
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
    first.context("an answer has at least one piece")??;
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

fn json(
    columns: &[Column; 3],
    outcomes: &[Outcome<AppleSupport>],
    report: &Report,
    seconds: f64,
    peak_rss: u64,
) -> Value {
    let of_target = |target, column: &Column| {
        let right = outcomes
            .iter()
            .zip(&column.right)
            .filter(|(outcome, _)| outcome.target == Some(target))
            .map(|(_, right)| *right);
        let right: Vec<bool> = right.collect();
        right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64
    };
    let targets = AppleSupportTarget::ALL.iter().map(|&target| {
        let accuracies =
            columns.iter().map(|column| (column.name.to_owned(), of_target(target, column).into()));
        (target.name().to_owned(), Value::Object(accuracies.collect()))
    });
    let [base, prompted, baked] = columns.each_ref().map(|column| {
        json!({"accuracy": column.accuracy(), "context_tokens": column.context_tokens, "ttft_ms": column.ttft.as_secs_f64() * 1e3})
    });
    json!({
        "base": base,
        "prompted": prompted,
        "baked": baked,
        "targets": Value::Object(targets.collect()),
        "kl_before": report.kl_before,
        "kl_after": report.kl_after,
        "seconds": seconds,
        "peak_rss_bytes": peak_rss,
        "questions": outcomes.len(),
    })
}

/// The peak memory of this process, in bytes; 0 if the system does not say.
fn peak_rss_bytes() -> Result<u64> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(0) };
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("/proc/self/status has no VmHWM")?;
    let kilobytes: u64 =
        line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmHWM is {line}"))?;
    Ok(kilobytes * 1024)
}
