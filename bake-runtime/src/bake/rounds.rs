//! Rounds: passages that are not known after a training are asked about more, and trained on again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Baking;
use super::gate::Chosen;
use super::on_policy::OnPolicy;
use super::recall::{about, unknown};
use super::stages::{Further, Prepared, Stages};
use crate::adapter::Adapter;
use crate::bake::inputs::Inputs;
use crate::error::Result;
use crate::train::lowest;

/// How a further round went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundReport {
    /// What the passages are about that it was for.
    pub passages: Vec<String>,
    /// The stimuli that were made for them.
    pub stimuli: usize,
    /// The stimuli that the student answered itself.
    #[serde(default)]
    pub on_policy: usize,
    /// The mean divergence in each epoch of its training.
    pub epochs: Vec<f64>,
    /// The divergence on the stimuli that are held out, after each epoch.
    pub held_out: Vec<f64>,
    /// Whether its adapter was kept: it came nearer to the teacher on what is held out than the one
    /// that it began with.
    pub kept: bool,
}

/// In one line, after "further round".
impl std::fmt::Display for RoundReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { held_out, kept, .. } = self;
        let lowest = lowest(held_out).map_or(f64::NAN, |epoch| held_out[epoch]);
        let end = if *kept { "kept" } else { "no improvement, discarded" };
        write!(f, "{}: {lowest:.4} on held-out questions; {end}", self.asked())
    }
}

impl RoundReport {
    /// What it asks, for people.
    fn asked(&self) -> String {
        let Self { passages, stimuli, on_policy, .. } = self;
        let mut parts = Vec::new();
        if *stimuli > 0 {
            parts.push(format!("{stimuli} more questions about {}", passages.join("; ")));
        }
        if *on_policy > 0 {
            parts.push(format!("{on_policy} questions answered by the student itself"));
        }
        parts.join(", and ")
    }
}

/// What further rounds begin and end with.
pub(super) struct Covering {
    pub(super) prepared: Prepared,
    pub(super) adapter: Adapter,
    pub(super) rounds: Vec<RoundReport>,
    /// What the passages are about that are not known in the end.
    pub(super) uncovered: Vec<String>,
}

impl Covering {
    pub(super) fn new(prepared: Prepared, adapter: Adapter) -> Self {
        Self { prepared, adapter, rounds: Vec::new(), uncovered: Vec::new() }
    }
}

impl Baking<'_> {
    /// Asks what is held out, and goes on with more stimuli about the passages that are not known,
    /// from the adapter that there is, for at most as many rounds as the recipe wants.
    ///
    /// Each round trains on everything, so that what is known is not forgotten, and never on what
    /// was held out of the first.
    pub(super) fn cover(
        &self,
        stages: &Stages<'_>,
        inputs: &[Inputs],
        chosen: &[Chosen],
        mut covering: Covering,
    ) -> Result<Covering> {
        let most = self.recipe.further_rounds();
        if most == 0 {
            return Ok(covering);
        }
        if covering.prepared.training_set.held_out.is_empty() {
            self.monitor.warn(
                "nothing is held out of training, so bake cannot tell whether further rounds help \
                 and runs none; raise `held_out`, or ask more questions",
            );
            return Ok(covering);
        }
        let on_policy = self.recipe.is_on_policy();
        // What was made a moment ago is not made again.
        let stages = &Stages { fresh: false, ..*stages };
        let mut rounds: Vec<Vec<usize>> =
            inputs.iter().map(|inputs| vec![0; inputs.passages.len()]).collect();
        let mut missing = match self.recipe.train.until_covered {
            Some(_) => self.unknown(stages, &covering)?,
            None => vec![Vec::new(); inputs.len()],
        };
        for round in 1..=most {
            let passages = self.named(inputs, &missing);
            // What the student says itself is learned once at least.
            if passages.is_empty() && (!on_policy || round > 1) {
                break;
            }
            for (rounds, missing) in rounds.iter_mut().zip(&missing) {
                missing.iter().for_each(|&passage| rounds[passage] += 1);
            }
            let Covering { prepared, adapter, rounds: reports, .. } = covering;
            let before = prepared.stimuli();
            // The states of a training are not there twice.
            drop(prepared);
            let student = on_policy.then_some(OnPolicy { adapter: &adapter, round });
            let further = Further { rounds: &rounds, on_policy: student };
            let prepared = stages.prepare(inputs, chosen, Some(further))?;
            let report = RoundReport {
                stimuli: prepared.stimuli().saturating_sub(before),
                on_policy: prepared.on_policy,
                passages,
                ..RoundReport::default()
            };
            covering = Covering { prepared, adapter, rounds: reports, uncovered: Vec::new() };
            if report.stimuli == 0 && report.on_policy == 0 {
                break;
            }
            self.monitor
                .note(&format!("further round {round} of at most {most}: {}", report.asked()));
            let report = self.further_round(&mut covering, round, report)?;
            if report.kept && self.recipe.train.until_covered.is_some() {
                missing = self.unknown(stages, &covering)?;
            }
            covering.rounds.push(report);
        }
        covering.uncovered = self.named(inputs, &missing);
        if on_policy {
            // What is measured in the end is how near the teacher's own answers are.
            let Covering { adapter, rounds: reports, uncovered, .. } = covering;
            let further = Further { rounds: &rounds, on_policy: None };
            let prepared = stages.prepare(inputs, chosen, Some(further))?;
            covering = Covering { prepared, adapter, rounds: reports, uncovered };
        }
        Ok(covering)
    }

    /// Trains once more, and keeps what came out where it is nearer to the teacher.
    fn further_round(
        &self,
        covering: &mut Covering,
        round: usize,
        report: RoundReport,
    ) -> Result<RoundReport> {
        let training_set = &covering.prepared.training_set;
        let before =
            self.divergence(training_set, &training_set.held_out, Some(&covering.adapter))?;
        let trained = self.train(training_set, covering.adapter.copied()?, round)?;
        let best = lowest(&trained.held_out).map(|epoch| trained.held_out[epoch]);
        let kept = best.is_some_and(|best| best < before);
        if kept {
            covering.adapter = trained.adapter;
        }
        let (epochs, held_out) = (trained.epochs, trained.held_out);
        Ok(RoundReport { epochs, held_out, kept, ..report })
    }

    /// The passages of each target that are not known.
    fn unknown(&self, stages: &Stages<'_>, covering: &Covering) -> Result<Vec<Vec<usize>>> {
        let adapter = Arc::new(covering.adapter.clone());
        unknown(stages, &covering.prepared.examinations, adapter)
    }

    /// What passages are about.
    fn named(&self, inputs: &[Inputs], passages: &[Vec<usize>]) -> Vec<String> {
        let mut named = Vec::new();
        let targets = self.recipe.targets.iter().zip(inputs).zip(passages);
        for ((target, inputs), passages) in targets {
            named.extend(passages.iter().map(|&passage| about(&inputs.passages[passage], target)));
        }
        named
    }
}
