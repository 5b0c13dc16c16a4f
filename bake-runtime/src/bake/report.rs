//! How a bake went: the file beside its adapter.

use std::path::Path;

use bake_spec::file;
use bake_spec::recipe::{GeneratorKind, Recipe};
use bake_spec::store::write::remedy;
use serde::{Deserialize, Serialize};

use super::answers::AnswerReport;
use super::drift::Drift;
use super::probe::ProbeReport;
use super::recall::Recall;
use super::rounds::RoundReport;
use super::stimuli::DropCounts;
use crate::adapter::kept::{KeptCheckpoint, REPORT};
use crate::error::{Error, ErrorKind, Result};
use crate::train::lowest;

/// How a bake went. The same recipe gives the same report, but for the checkpoints that are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The divergence of the base model from the teacher on the answers that are trained on, in
    /// nats per token.
    pub kl_before: f64,
    /// The divergence of the baked model on the same answers.
    pub kl_after: f64,
    /// The mean divergence in each epoch of the training.
    pub epochs: Vec<f64>,
    /// The divergence on the stimuli that were held out, after each epoch; empty where none were.
    #[serde(default)]
    pub held_out: Vec<f64>,
    /// The further rounds for passages that were not known.
    #[serde(default)]
    pub rounds: Vec<RoundReport>,
    /// What the passages are about that are not known after them; empty where the recipe wants no
    /// further rounds.
    #[serde(default)]
    pub uncovered: Vec<String>,
    /// How far the model has moved where it should have stayed as it is; none without anchors.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// The numbered checkpoints that were kept, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<KeptCheckpoint>,
    /// What was learned from, in the order of the targets.
    pub targets: Vec<TargetReport>,
}

/// What one target was learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The target's name.
    pub name: String,
    /// Stimuli.
    #[serde(alias = "questions")]
    pub stimuli: usize,
    /// Rollouts: the teacher's answers to them.
    #[serde(alias = "answers")]
    pub rollouts: usize,
    /// Rollouts that were cut at `max_tokens`, because the model did not end them.
    #[serde(default)]
    pub cut: usize,
    /// Stimuli that were held out of training.
    #[serde(default)]
    pub held_out: usize,
    /// Tokens of the answers that are learned.
    pub tokens: usize,
    /// Tokens of the teacher's prompt with an empty question.
    pub prompt_tokens: usize,
    /// Tokens that the longest stimulus adds to a prompt.
    #[serde(alias = "question_tokens")]
    pub stimulus_tokens: usize,
    /// What became of each generator that makes questions.
    #[serde(default)]
    pub generators: Vec<GeneratorReport>,
    /// What the probes saw of the teacher, where there is a document.
    #[serde(default)]
    pub probes: Option<ProbeReport>,
    /// Which answers are learned, and why others are not.
    #[serde(default)]
    pub answered: AnswerReport,
    /// How the stimuli that were held out are answered after the bake; none where none were.
    #[serde(default)]
    pub recall: Option<Recall>,
}

/// What a generator made of the passages of a document, and whether that is as much as was wanted.
///
/// Each passage has a share in what is wanted; where the declaration says how many questions, no
/// two shares differ by more than one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratorReport {
    /// The generator.
    pub generator: GeneratorKind,
    /// Whether the declaration says how many questions.
    pub declared: bool,
    /// The questions that were wanted.
    pub wanted: usize,
    /// The questions that there are.
    pub made: usize,
    /// Those of them that were made from other passages than intended, because the intended ones
    /// gave no more.
    pub elsewhere: usize,
    /// The passages of the document.
    pub passages: usize,
    /// The passages that gave fewer than their share.
    pub short_passages: usize,
    /// The questions that it made and that are not asked, by reason.
    #[serde(default, skip_serializing_if = "DropCounts::is_empty")]
    pub dropped: DropCounts,
}

impl GeneratorReport {
    /// Nothing yet.
    pub(super) fn new(generator: GeneratorKind, declared: bool) -> Self {
        Self {
            generator,
            declared,
            wanted: 0,
            made: 0,
            elsewhere: 0,
            passages: 0,
            short_passages: 0,
            dropped: DropCounts::new(),
        }
    }

    /// The questions that no passage could give.
    pub fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.made)
    }

    /// That fewer questions are declared than there are passages, for people: some get none.
    pub fn passages_without_question(&self) -> Option<String> {
        let without = self.passages.saturating_sub(self.wanted);
        if without == 0 || self.wanted == 0 || !self.declared {
            return None;
        }
        Some(format!(
            "`{} {}` is fewer than the document's {} passages, so {without} get none of its \
             questions",
            self.generator, self.wanted, self.passages
        ))
    }

    /// What fell short, for people; none where every passage gave its share.
    pub fn shortfall(&self) -> Option<String> {
        if self.short_passages == 0 && self.missing() == 0 {
            return None;
        }
        // A template makes as many as it makes.
        if self.generator == GeneratorKind::Template {
            return Some(format!(
                "`{}`: {} of {} passages yielded no question of their own",
                self.generator, self.short_passages, self.passages
            ));
        }
        Some(format!(
            "`{}`: {} of {} passages yielded too few questions; {} were taken from other passages, \
             and {} of {} are missing",
            self.generator,
            self.short_passages,
            self.passages,
            self.elsewhere,
            self.missing(),
            self.wanted
        ))
    }

    /// What was made and is not asked, by reason, for people; none where nothing was dropped.
    pub fn dropped(&self) -> Option<String> {
        let counts: Vec<String> =
            self.dropped.iter().map(|(why, count)| why.counted(*count)).collect();
        (!counts.is_empty()).then(|| format!("dropped: {}", counts.join(", ")))
    }
}

impl Report {
    /// The epoch, counted from 1, whose adapter was kept: the one after which the divergence on
    /// what was held out was lowest, or the last where nothing was held out.
    pub fn best_epoch(&self) -> usize {
        lowest(&self.held_out).map_or(self.epochs.len(), |epoch| epoch + 1)
    }

    /// The round and the epoch after which the adapter was as it is: round 0 is the first training,
    /// others are further rounds.
    pub fn end(&self) -> (usize, usize) {
        let kept = self.rounds.iter().rposition(|round| round.kept);
        kept.map_or((0, self.best_epoch()), |round| {
            let RoundReport { epochs, held_out, .. } = &self.rounds[round];
            (round + 1, lowest(held_out).map_or(epochs.len(), |epoch| epoch + 1))
        })
    }

    /// How the stimuli of all targets that were held out are answered after the bake; none where
    /// none were.
    pub fn recall(&self) -> Option<Recall> {
        Recall::of_all(self.targets.iter().filter_map(|target| target.recall.as_ref()))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).expect("a report has a JSON form");
        let path = folder.join(REPORT);
        std::fs::write(&path, json).map_err(|e| {
            let message = format!("cannot write {}; {}", path.display(), remedy(&e));
            Error::with_source(ErrorKind::Store, message, e)
        })
    }

    /// The report beside an adapter, with the names that the targets have in this recipe: names do
    /// not make another adapter. None where it cannot be read: the adapter is then made again, and
    /// since no report contains NaN, the new one can be read.
    pub(super) fn read(adapter: &Path, recipe: &Recipe) -> Option<Self> {
        let json = file::read(&adapter.join(REPORT)).ok()?;
        let mut report: Self = serde_json::from_slice(&json).ok()?;
        if report.targets.len() != recipe.targets.len() {
            return None;
        }
        for (target, declared) in report.targets.iter_mut().zip(recipe.targets.iter()) {
            target.name = declared.name.to_string();
        }
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_questions_than_passages_are_mentioned() {
        let said = |wanted, passages| {
            let new = GeneratorReport::new(GeneratorKind::Ask, true);
            GeneratorReport { wanted, made: wanted, passages, ..new }.passages_without_question()
        };
        assert!(said(10, 30).unwrap().contains("so 20 get none"));
        assert_eq!([said(30, 30), said(100, 30), said(0, 30)], [None, None, None]);
    }
}
