//! `cargo bake test`: asks what is declared to be expected of what was baked.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use bake_runtime::{
    Adapter, Interrupt, KeptCheckpoint, Progress, Report, Silent, Verdict, load_model,
};
use bake_spec::Hash;
use bake_spec::check::Gate;
use bake_spec::lock::{Locked, LockedDrift, LockedRecall, State};
use bake_spec::recipe::Recipe;
use serde::Serialize;

use super::{checkpoint, figures};
use crate::args::{Common, Test};
use crate::json;
use crate::terminal::{ShownProgress, next_step, rated, say, warning};
use crate::workspace::{Models, packages, select};

/// The most missed expectations that are shown after a bake.
const SHOWN: usize = 3;

/// Passages that are named of those that are not known.
const NAMED: usize = 5;

#[derive(Serialize)]
struct Tested {
    name: String,
    package: String,
    #[serde(flatten)]
    verdict: Verdict,
    /// The checkpoint that was asked; none where that was the adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<KeptCheckpoint>,
    /// How it answered what was held out of training, when it was baked.
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<LockedRecall>,
    /// How far it had moved on the questions of its anchors, when it was baked.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<LockedDrift>,
    /// What the bake fails to reach.
    shortfalls: Vec<String>,
}

pub(crate) fn run(args: &Test, common: &Common) -> Result<ExitCode> {
    let (packages, mut models, mut tested) = (packages(common)?, Models::default(), Vec::new());
    for (package, found) in select(&packages, &args.bakes.names.names)? {
        let adapter = package.adapter(found.name())?;
        let locked = &package.lock.bakes[found.name()];
        let (adapter, checkpoint) = checkpoint::folder(found.name(), adapter, &args.numbered)?;
        let state = package.state(found, &mut models)?;
        if state.state != State::Fresh && !common.quiet {
            warning(format!(
                "{}; the old adapter is tested until you run `cargo bake`",
                package.not_fresh(&state)
            ));
        }
        let (recipe, gate) = (&found.declared.recipe, found.declared.gate);
        let verdict = verdict(recipe, &adapter, common)?;
        // What the lock says was measured with the adapter, not with its checkpoints.
        let measured = checkpoint.is_none();
        tested.push(Tested {
            name: found.name().to_owned(),
            package: package.name.clone(),
            shortfalls: match measured {
                true => shortfalls(&verdict, gate, locked),
                false => verdict.shortfalls(gate.expects),
            },
            recall: locked.recall.filter(|_| measured),
            drift: locked.drift.filter(|_| measured),
            checkpoint,
            verdict,
        });
    }
    if args.bakes.json.json {
        json::print_bakes(&tested)?;
    } else {
        for one in &tested {
            report(one, common);
        }
    }
    let good = tested.iter().all(|one| one.shortfalls.is_empty());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn report(tested: &Tested, common: &Common) {
    let Tested { name, package, verdict, checkpoint, recall, drift, shortfalls } = tested;
    let recall = recall.map(figures::recall);
    if verdict.expectations.is_empty() {
        say!("{name} ({package}) has no `expect`s");
        if !common.quiet {
            next_step("add one, as in `expect TARGET \"question\" => contains \"words\";`");
        }
    } else {
        let good = shortfalls.is_empty();
        say!("{name} ({package}) {}", rated(if good { "passed" } else { "failed" }, good));
    }
    let mut rows = figures::expected(verdict);
    rows.extend(recall.as_ref().and_then(figures::held_out_in_all));
    let mut lines = Vec::new();
    lines.extend(checkpoint.as_ref().map(|kept| format!("at checkpoint {}, {kept}", kept.number)));
    lines.extend(figures::table(&rows));
    lines.extend((!verdict.expectations.is_empty()).then(|| verdict.to_string()));
    lines.extend(missed(verdict, usize::MAX));
    lines.extend(recall.map(|recall| recall.to_string()));
    lines.extend(drift.map(|drift| figures::drift(drift).to_string()));
    for line in lines.iter().chain(shortfalls) {
        say!("    {line}");
    }
}

/// Which expectations are met by the base, the prompted and the baked model.
pub(super) fn verdict(recipe: &Recipe, adapter: &Path, common: &Common) -> Result<Verdict> {
    if recipe.expects.is_empty() {
        return Ok(Verdict { expectations: Vec::new() });
    }
    let model = load_model(recipe, common.device)?;
    let adapter = Arc::new(Adapter::load(adapter, &model)?);
    let shown = ShownProgress::new(common);
    let progress: &dyn Progress = if common.quiet { &Silent } else { &shown };
    Ok(Verdict::of(recipe, model, adapter, progress, &Interrupt::on_ctrl_c())?)
}

/// What a bake fails to reach of what its `gate` requires. Where nothing is expected, what was held
/// out of training decides.
pub(super) fn shortfalls(verdict: &Verdict, gate: Gate, locked: &Locked) -> Vec<String> {
    let mut shortfalls = verdict.shortfalls(gate.expects);
    if verdict.expectations.is_empty() {
        shortfalls.extend(locked.recall.and_then(|recall| figures::recall(recall).shortfall()));
    }
    let kl_after = locked.kl_after;
    if let Some(limit) = gate.kl.filter(|limit| kl_after > *limit) {
        shortfalls.push(format!(
            "the KL to the teacher is {kl_after:.4} nats per token, but `gate` allows at most \
             {limit}"
        ));
    }
    shortfalls
}

/// Records a verdict in what the lock says of a bake.
pub(super) fn record(locked: &mut Locked, verdict: &Verdict, judged: Hash) {
    locked.judged = Some(judged);
    locked.expects = figures::locked_expects(verdict);
}

/// The first expectations that the baked model does not meet, with its answers.
pub(super) fn missed(verdict: &Verdict, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for one in verdict.missed().take(most) {
        let answer: String = one.answer.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.push(format!("missed: {:?}; answered {answer:?}", one.question));
    }
    let more = verdict.missed().count().saturating_sub(most);
    if more > 0 {
        lines.push(format!("and {more} more (see `cargo bake test`)"));
    }
    lines
}

/// The lines about a verdict after a bake: a table, and what it says in sentences. `report` is how
/// the bake went, where it was just made.
pub(super) fn after_bake(verdict: &Verdict, report: Option<&Report>) -> Vec<String> {
    let mut rows = figures::expected(verdict);
    rows.extend(report.into_iter().flat_map(figures::held_out));
    let mut lines = figures::table(&rows);
    if !verdict.expectations.is_empty() {
        lines.push(verdict.to_string());
    }
    lines.extend(missed(verdict, SHOWN));
    let Some(report) = report else { return lines };
    if let Some(recall) = report.recall() {
        lines.push(recall.to_string());
        lines.extend(named("none of the held-out questions are answered about:", &recall.lacking));
    }
    lines
        .extend(named("most of the held-out questions are still missed about:", &report.uncovered));
    lines.extend(report.drift.map(|drift| drift.to_string()));
    lines
}

/// Some of these passages, after what there is to say of them; nothing where there are none.
fn named(what: &str, passages: &[String]) -> Option<String> {
    let more = passages.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let some: Vec<&str> = passages.iter().take(NAMED).map(String::as_str).collect();
    (!some.is_empty()).then(|| format!("{what} {}{more}", some.join("; ")))
}
