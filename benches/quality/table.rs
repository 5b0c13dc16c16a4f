//! The figures as tables in Markdown.

use bake::Report;

use crate::arguments::Arguments;
use crate::document::{Half, Kind};
use crate::interval::wilson;
use crate::run::{RUNGS, Run};
use crate::score::{Score, mean};

/// The rung of the baked model.
const BAKED: usize = RUNGS.len() - 1;

const COLUMNS: &str = "base | prompted | with the passage | baked |";

/// What one bake came to.
pub(crate) fn line(run: &Run<'_>) -> String {
    let mut line = String::from("  right:");
    for kind in Kind::ALL.map(Some).into_iter().chain([None]) {
        let score = Score::of(std::slice::from_ref(run), None, kind, BAKED);
        line += &format!(" {} {}/{},", name(kind), score.right, score.of);
    }
    line + &format!(" {} s a page", seconds(run.seconds_per_page()))
}

/// All tables: a half at a time.
pub(crate) fn print(arguments: &Arguments, runs: &[Run<'_>]) {
    for half in arguments.halves.iter().copied() {
        let of_half = || runs.iter().filter(|run| run.document.half == half);
        if of_half().next().is_none() {
            continue;
        }
        let checked = if arguments.unchecked { ", without the check for room" } else { "" };
        let (model, seeds) = (&arguments.model, arguments.seeds);
        println!("\n## {model}, {}: bakes of each document: {seeds}{checked}\n", half.name());
        println!("Right answers, of so many, in percent (with intervals of 95 %).\n");
        println!("| questions | {COLUMNS}\n|---|---|---|---|---|");
        for kind in Kind::ALL.map(Some).into_iter().chain([None]) {
            println!("| {} |{}", name(kind), row(runs, half, kind));
        }
        println!("\n| no answers | {COLUMNS}\n|---|---|---|---|---|");
        for (what, count) in FAILURES {
            let counts =
                (0..RUNGS.len()).map(|rung| count(&Score::of(runs, Some(half), None, rung)));
            let counts: String = counts.map(|count| format!(" {count} |")).collect();
            println!("| {what} |{counts}");
        }
        println!(
            "\n| document | words | {COLUMNS} seconds a page |\n|---|---|---|---|---|---|---|"
        );
        documents(runs, half);
        let all = mean(of_half().filter_map(Run::seconds_per_page));
        println!("\nA page of 400 words takes {} s in the mean.", seconds(all));
        if arguments.trainings.len() > 1 {
            trainings(arguments, runs, half);
        }
        for run in of_half().filter(|run| run.refused.is_some()) {
            let why = run.refused.as_deref().unwrap_or_default();
            println!("\nRefused: {} (seed {}): {why}", run.document.name, run.seed);
        }
    }
}

/// Picks a figure.
type Figure = fn(&Score) -> usize;

/// What is counted of questions that have no usable answer.
const FAILURES: [(&str, Figure); 5] = [
    ("do not fit the context", |score| score.too_long),
    ("there is no bake", |score| score.not_asked),
    ("empty", |score| score.empty),
    ("the same words again and again", |score| score.repeats),
    ("never ended", |score| score.never_ended),
];

fn name(kind: Option<Kind>) -> String {
    kind.map_or("all".to_owned(), |kind| kind.to_string())
}

fn row(runs: &[Run<'_>], half: Half, kind: Option<Kind>) -> String {
    let mut row = String::new();
    for rung in 0..RUNGS.len() {
        let score = Score::of(runs, Some(half), kind, rung);
        let (low, high) = wilson(score.right, score.of);
        let share = percent(score.right as f64 / score.of.max(1) as f64);
        let interval = format!("({}–{})", percent(low), percent(high));
        row += &format!(" {} of {}: {share} {interval} |", score.right, score.of);
    }
    row
}

/// A row for each document, over its seeds.
fn documents(runs: &[Run<'_>], half: Half) {
    for of_document in runs.chunk_by(|a, b| std::ptr::eq(a.document, b.document)) {
        let document = of_document[0].document;
        if document.half != half {
            continue;
        }
        let mut row = format!("| {} | {} |", document.name, document.words());
        for rung in 0..RUNGS.len() {
            let score = Score::of(of_document, None, None, rung);
            row += &format!(" {} of {} |", score.right, score.of);
        }
        let page = mean(of_document.iter().filter_map(Run::seconds_per_page));
        println!("{row} {} |", seconds(page));
    }
}

/// A row for each training, over all documents and seeds.
fn trainings(arguments: &Arguments, runs: &[Run<'_>], half: Half) {
    println!(
        "\n| epochs | learning rate × hidden size | rehearsed within | close | all \
         | recalled of what was held out | divergence | of what was held out | seconds a page |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    for &training in &arguments.trainings {
        let is = |run: &&Run<'_>| run.training == training && run.document.half == half;
        let of: Vec<Run<'_>> = runs.iter().filter(is).cloned().collect();
        let (mut recalled, mut asked) = (0, 0);
        let right = |kind| {
            let scores =
                of.iter().map(|run| Score::of(std::slice::from_ref(run), None, kind, BAKED));
            let sum = |(right, all), score: Score| (right + score.right, all + score.of);
            let (right, all) = scores.fold((0, 0), sum);
            format!("{right} of {all}")
        };
        let reports = || of.iter().filter_map(|run| run.report.as_ref());
        for recall in reports().filter_map(Report::recall) {
            (recalled, asked) = (recalled + recall.baked, asked + recall.asked);
        }
        let lowest = |report: &Report| report.held_out.iter().copied().reduce(f64::min);
        let figure = |figure: Option<f64>| figure.map_or("–".into(), |f| format!("{f:.3}"));
        let given = |given: Option<f64>| given.map_or("default".to_owned(), |x| x.to_string());
        println!(
            "| {} | {} | {} | {} | {} | {recalled} of {asked} | {} | {} | {} |",
            given(training.epochs.map(|epochs| epochs as f64)),
            given(training.rate),
            given(training.rehearse.map(|epochs| epochs as f64)),
            right(Some(Kind::Close)),
            right(None),
            figure(mean(reports().map(|report| report.kl_after))),
            figure(mean(reports().filter_map(lowest))),
            seconds(mean(of.iter().filter_map(|run| run.seconds_per_page()))),
        );
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}", 100.0 * share)
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or("–".to_owned(), |seconds| format!("{seconds:.1}"))
}
