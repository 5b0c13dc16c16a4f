//! The figures of a verdict: how many questions each model answers as it should, and how far the
//! baked one has moved elsewhere.

use bake_runtime::{Drift, Recall, Report, Score, Verdict};
use bake_spec::lock::{Locked, LockedDrift, LockedExpects, LockedRecall, LockedTarget};

/// The models that are compared.
const MODELS: [&str; 4] = ["base", "prompted", "with passage", "baked"];

/// A row of a table: how many of some questions each of [`MODELS`] answers as it should.
pub(super) struct FigureRow {
    name: String,
    scores: [Score; 4],
}

impl FigureRow {
    fn of_verdict(name: impl Into<String>, verdict: &Verdict) -> Self {
        let scores =
            [verdict.base(), verdict.prompted(), verdict.prompted_with_passage(), verdict.baked()];
        Self { name: name.into(), scores }
    }

    fn of_recall(name: impl Into<String>, recall: &Recall) -> Self {
        let all = |right: usize| Score { right, of: recall.asked };
        let Recall { prompted, prompted_with_passage, .. } = *recall;
        let scores = [all(recall.base), prompted, prompted_with_passage, all(recall.baked)];
        Self { name: name.into(), scores }
    }
}

/// What is expected: of each target, where there are several, and in all.
pub(super) fn expected(verdict: &Verdict) -> Vec<FigureRow> {
    let (names, mut rows) = (verdict.targets(), Vec::new());
    if names.len() > 1 {
        for name in names {
            rows.push(FigureRow::of_verdict(format!("{name}: expected"), &verdict.on_target(name)));
        }
    }
    if !verdict.expectations.is_empty() {
        rows.push(FigureRow::of_verdict("expected", verdict));
    }
    rows
}

/// What was held out of training: of each target, where there are several, and in all.
pub(super) fn held_out(report: &Report) -> Vec<FigureRow> {
    let recalls =
        report.targets.iter().filter_map(|target| Some((target, target.recall.as_ref()?)));
    let recalls: Vec<_> = recalls.filter(|(_, recall)| recall.asked > 0).collect();
    let mut rows = Vec::new();
    if recalls.len() > 1 {
        for (target, recall) in recalls {
            rows.push(FigureRow::of_recall(format!("{}: held out", target.name), recall));
        }
    }
    rows.extend(report.recall().as_ref().and_then(held_out_in_all));
    rows
}

/// What was held out of training in all.
pub(super) fn held_out_in_all(recall: &Recall) -> Option<FigureRow> {
    (recall.asked > 0).then(|| FigureRow::of_recall("held out", recall))
}

/// The lines of a table; none without rows.
pub(super) fn table(rows: &[FigureRow]) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    let line = |name: &str, cells: [String; 4]| {
        let [base, prompted, passage, baked] = cells;
        format!("{name:<width$} {base:>10} {prompted:>10} {passage:>13} {baked:>10}")
    };
    let mut lines = vec![line("", MODELS.map(str::to_owned))];
    let cell = |score: Score| if score.of == 0 { "-".to_owned() } else { score.to_string() };
    lines.extend(rows.iter().map(|row| line(&row.name, row.scores.map(cell))));
    lines
}

/// What the lock should record of a verdict.
pub(super) fn locked_expects(verdict: &Verdict) -> Option<LockedExpects> {
    let (prompted, passage) = (verdict.prompted(), verdict.prompted_with_passage());
    (!verdict.expectations.is_empty()).then(|| LockedExpects {
        asked: verdict.expectations.len(),
        base: verdict.base().right,
        prompted: prompted.right,
        prompted_asked: Some(prompted.of),
        prompted_with_passage: Some(passage.right),
        prompted_with_passage_asked: Some(passage.of),
        baked: verdict.baked().right,
    })
}

/// What the lock should record of how a bake went.
pub(super) fn record(locked: &mut Locked, report: &Report) {
    (locked.kl_before, locked.kl_after) = (report.kl_before, report.kl_after);
    locked.recall = report.recall().map(|recall| LockedRecall {
        asked: recall.asked,
        base: recall.base,
        prompted: Some(recall.prompted.right),
        prompted_asked: Some(recall.prompted.of),
        prompted_with_passage: Some(recall.prompted_with_passage.right),
        prompted_with_passage_asked: Some(recall.prompted_with_passage.of),
        baked: recall.baked,
        unanswerable: recall.unanswerable,
        declined: recall.declined,
    });
    locked.drift = report.drift.map(|Drift { kl, asked, same }| LockedDrift { kl, asked, same });
    for report in &report.targets {
        if let Some(target) = locked.targets.get_mut(&report.name) {
            (target.prompt_tokens, target.question_tokens) =
                (report.prompt_tokens, report.stimulus_tokens);
            (target.stimuli, target.rollouts) = (report.stimuli, report.rollouts);
        }
    }
}

/// What a lock says of what was held out of training.
pub(super) fn recall(locked: LockedRecall) -> Recall {
    let LockedRecall { asked, base, baked, unanswerable, declined, .. } = locked;
    let score = |right: Option<usize>, of: Option<usize>| Score {
        right: right.unwrap_or_default(),
        of: of.unwrap_or_default(),
    };
    Recall {
        asked,
        base,
        prompted: score(locked.prompted, locked.prompted_asked),
        prompted_with_passage: score(
            locked.prompted_with_passage,
            locked.prompted_with_passage_asked,
        ),
        baked,
        unanswerable,
        declined,
        lacking: Vec::new(),
    }
}

/// What a lock says of how far a bake has moved.
pub(super) fn drift(locked: LockedDrift) -> Drift {
    let LockedDrift { kl, asked, same } = locked;
    Drift { kl, asked, same }
}

/// What the prompted model has before a question.
#[derive(Clone, Copy, Default)]
pub(super) struct PromptedBy {
    behaviours: bool,
}

impl PromptedBy {
    pub(super) fn targets_in(locked: &Locked) -> Self {
        let is_anchor = |target: &&LockedTarget| target.settings.contains_key("anchor");
        let mut targets = locked.targets.values().filter(|target| !is_anchor(target));
        Self { behaviours: targets.any(|target| target.document.is_none()) }
    }
}

/// For people, before a figure.
impl std::fmt::Display for PromptedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self { behaviours: false } => "prompted with the document",
            Self { behaviours: true } => "prompted",
        })
    }
}
