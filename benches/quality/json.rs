//! The figures for programs.

use std::error::Error;
use std::path::Path;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::document::{Half, Kind};
use crate::interval::wilson;
use crate::run::{RUNGS, Run};
use crate::score::Score;

/// The names of the rungs.
const NAMES: [&str; RUNGS.len()] = ["base", "prompted", "prompted_with_passage", "baked"];

/// Writes all that is known so far.
pub(crate) fn write(
    path: &Path,
    arguments: &Arguments,
    runs: &[Run<'_>],
) -> Result<(), Box<dyn Error>> {
    let mut scores = Vec::new();
    for half in &arguments.halves {
        for kind in Kind::ALL.map(Some).into_iter().chain([None]) {
            for (rung, name) in NAMES.iter().enumerate() {
                let score = Score::of(runs, Some(*half), kind, rung);
                scores.push(of_score(*half, kind, name, &score));
            }
        }
    }
    let all = json!({
        "model": arguments.model,
        "seeds": arguments.seeds,
        "scores": scores,
        "bakes": runs.iter().map(of_run).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&all)? + "\n";
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn of_score(half: Half, kind: Option<Kind>, rung: &str, score: &Score) -> Value {
    let (low, high) = wilson(score.right, score.of);
    json!({
        "half": half.name(),
        "questions": kind.map_or("all".to_owned(), |kind| kind.to_string()),
        "rung": rung,
        "right": score.right,
        "of": score.of,
        "low": low,
        "high": high,
        "too_long": score.too_long,
        "not_asked": score.not_asked,
        "empty": score.empty,
        "repeats": score.repeats,
        "never_ended": score.never_ended,
    })
}

fn of_run(run: &Run<'_>) -> Value {
    let baked = Score::of(std::slice::from_ref(run), None, None, RUNGS.len() - 1);
    json!({
        "document": run.document.name,
        "half": run.document.half.name(),
        "words": run.document.words(),
        "seed": run.seed,
        "seconds": run.seconds,
        "seconds_per_page": run.seconds_per_page(),
        "refused": run.refused,
        "right": baked.right,
        "of": baked.of,
        "answers": answers(run),
    })
}

/// What was answered about a document that may be looked at.
fn answers(run: &Run<'_>) -> Option<Vec<Value>> {
    if run.document.half != Half::Seen {
        return None;
    }
    let mut answers = Vec::new();
    for (line, attempts) in run.document.lines.iter().zip(&run.attempts) {
        let mut answer = json!({ "question": line.question, "kind": line.kind.to_string() });
        for (name, attempt) in NAMES.iter().zip(attempts) {
            if let Some(graded) = attempt.graded() {
                answer[*name] = json!({ "answer": graded.answer, "right": graded.right });
            }
        }
        answers.push(answer);
    }
    Some(answers)
}
