//! How a bake went: the file beside its adapter.

use std::path::Path;

use bake_spec::recipe::Recipe;
use bake_spec::store::write::remedy;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The name of the file.
pub(super) const REPORT: &str = "bake.json";

/// How a bake went. The same recipe gives the same report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The divergence of the base model from the teacher on its answers, in nats per token.
    pub kl_before: f64,
    /// The divergence of the baked model.
    pub kl_after: f64,
    /// The mean divergence in each epoch of the training.
    pub epochs: Vec<f64>,
    /// The divergence on the stimuli that were held out, after each epoch; empty where none were.
    #[serde(default)]
    pub held_out: Vec<f64>,
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
    /// Tokens of the rollouts.
    pub tokens: usize,
    /// Tokens of the teacher's prompt with an empty question.
    pub prompt_tokens: usize,
    /// Tokens that the longest stimulus adds to a prompt.
    #[serde(alias = "question_tokens")]
    pub stimulus_tokens: usize,
    /// What became of the declaration's `ask`, where there is one.
    #[serde(default)]
    pub asked: Option<AskReport>,
}

/// Whether the sections of a document gave as many questions as `ask` wants.
///
/// Each section has a share in them, and no two shares differ by more than one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskReport {
    /// The questions that were wanted.
    pub wanted: usize,
    /// The questions that there are.
    pub made: usize,
    /// Those of them that were made from other sections than intended, because the intended ones
    /// gave no more.
    pub elsewhere: usize,
    /// The sections of the document.
    pub sections: usize,
    /// The sections that gave fewer than their share.
    pub short_sections: usize,
}

impl AskReport {
    /// The questions that no section could give.
    pub fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.made)
    }

    /// That `ask` wants fewer questions than there are sections, for people: some get none.
    pub fn sections_without_question(&self) -> Option<String> {
        let without = self.sections.saturating_sub(self.wanted);
        if without == 0 || self.wanted == 0 {
            return None;
        }
        Some(format!(
            "`ask {}` is less than the {} sections of the document: {without} of them get no \
             question of the model",
            self.wanted, self.sections
        ))
    }

    /// What fell short, for people; none where every section gave its share.
    pub fn shortfall(&self) -> Option<String> {
        if self.short_sections == 0 && self.missing() == 0 {
            return None;
        }
        Some(format!(
            "{} of {} sections gave fewer questions than their share: {} were made from other \
             sections instead, and {} of {} are missing",
            self.short_sections,
            self.sections,
            self.elsewhere,
            self.missing(),
            self.wanted
        ))
    }
}

impl Report {
    /// The epoch, counted from 1, whose adapter was kept: the one after which the divergence on
    /// what was held out was lowest, or the last where nothing was held out.
    pub fn best_epoch(&self) -> usize {
        let lowest = self.held_out.iter().copied().fold(f64::INFINITY, f64::min);
        let best = self.held_out.iter().position(|divergence| *divergence == lowest);
        best.map_or(self.epochs.len(), |epoch| epoch + 1)
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
        let json = std::fs::read(adapter.join(REPORT)).ok()?;
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
    fn fewer_questions_than_sections_are_mentioned() {
        let said = |wanted, sections| {
            AskReport { wanted, made: wanted, sections, ..AskReport::default() }
                .sections_without_question()
        };
        assert!(said(10, 30).unwrap().contains("20 of them"));
        assert_eq!([said(30, 30), said(100, 30), said(0, 30)], [None, None, None]);
    }
}
