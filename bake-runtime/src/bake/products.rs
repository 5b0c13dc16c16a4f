//! What bakes of a recipe have left in a store, for display and for plans.

use bake_spec::recipe::{Recipe, Target};
use serde::Serialize;

use super::BakeOptions;
use super::report::GeneratorReport;
use super::rollout::{Rollouts, Teachers};
use super::stages::Stages;
use super::stimuli::{self, Collected, Dropped, Stimulus};
use super::teacher::Taught;
use super::trajectory::trajectories;
use crate::device::Device;
use crate::error::Result;
use crate::inputs::{Inputs, load_model};
use crate::progress::{Interrupt, Monitor, Silent};

/// The stimuli and rollouts of a target that exist.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetProducts {
    /// The target's name.
    pub target: String,
    /// The stimuli: those that are written down, and those that the model has written.
    pub stimuli: Vec<StimulusProducts>,
    /// Whether these are all: otherwise the model has not written some yet, or they were removed.
    pub complete: bool,
    /// What was made and is not asked.
    pub dropped: Vec<Dropped>,
    /// What became of each generator that makes questions, where all of them exist.
    pub generators: Vec<GeneratorReport>,
}

/// A stimulus and its rollouts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StimulusProducts {
    /// The stimulus.
    #[serde(flatten)]
    pub stimulus: Stimulus,
    /// The text of its rollouts; none where they have not been made yet.
    pub rollouts: Option<Vec<String>>,
}

/// What bakes of a recipe have left in the store of these options so far, on the kind of their
/// device. Nothing is made.
///
/// # Errors
/// When the model, a document or the store cannot be read.
pub fn products(recipe: &Recipe, options: &BakeOptions) -> Result<Vec<TargetProducts>> {
    // Here the model only turns text into tokens and back.
    let (model, store) = (load_model(recipe, Device::Cpu)?, options.open_store()?);
    let interrupt = Interrupt::new();
    let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
    let device = options.device;
    let stages = Stages { recipe, model: &model, device, store: &store, fresh: false, monitor };
    let mut all = Vec::new();
    for (target, inputs) in recipe.targets.iter().zip(&Inputs::read_all(recipe)?) {
        let Collected { list, dropped, reports, complete } =
            stimuli::collect(&stages, target, inputs, false)?;
        let teachers = Teachers::new(&stages, target, inputs);
        let mut stimuli = Vec::new();
        for stimulus in list {
            let rollouts = match teachers.kept(&stimulus)? {
                Some(kept) => {
                    Some(kept.iter().map(|r| model.decode(&r.ids)).collect::<Result<_>>()?)
                }
                None => None,
            };
            stimuli.push(StimulusProducts { stimulus, rollouts });
        }
        all.push(TargetProducts {
            target: target.name.to_string(),
            stimuli,
            complete,
            dropped,
            generators: if complete { reports } else { Vec::new() },
        });
    }
    Ok(all)
}

/// How much of a kind of product is in the store, and how much has to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Used again.
    pub kept: usize,
    /// Still to be made; at most this many, where the number is not known yet.
    pub to_make: usize,
}

/// What is kept of a target's products.
pub(super) struct KeptOfTarget {
    pub(super) stimuli: Kept,
    pub(super) rollouts: Kept,
    pub(super) states: Kept,
    /// Stimuli that have their rollouts, with these.
    pub(super) answered: Vec<(Stimulus, Rollouts)>,
    /// Stimuli that exist and have none.
    pub(super) unanswered: Vec<Stimulus>,
}

/// Counts what is kept of a target's products.
pub(super) fn count_kept(
    stages: &Stages<'_>,
    target: &Target,
    inputs: &Inputs,
) -> Result<KeptOfTarget> {
    let Collected { list, reports, complete, .. } =
        stimuli::collect(stages, target, inputs, false)?;
    let by_model = reports.iter().filter(|report| report.generator.is_by_model());
    let unwritten = if complete { 0 } else { by_model.map(GeneratorReport::missing).sum() };
    let stimuli = Kept { kept: list.len(), to_make: unwritten };
    let teachers = Teachers::new(stages, target, inputs);
    let (mut known, mut rollouts, mut unanswered) = (Vec::new(), Vec::new(), Vec::new());
    for stimulus in list {
        match teachers.kept(&stimulus)? {
            Some(kept) => {
                known.push(stimulus);
                rollouts.push(kept);
            }
            None => unanswered.push(stimulus),
        }
    }
    let trajectories = trajectories(&rollouts);
    let taught = Taught { stages, target, inputs, stimuli: &known, trajectories: &trajectories };
    let states = taught.count_kept()?;
    let to_make = (unanswered.len() + unwritten) * target.rollout.answers;
    // It is not known yet which of the missing rollouts will be the same.
    let states = Kept { kept: states, to_make: trajectories.len() - states + to_make };
    let kept = rollouts.iter().map(Vec::len).sum();
    let answered = known.into_iter().zip(rollouts).collect();
    Ok(KeptOfTarget { stimuli, rollouts: Kept { kept, to_make }, states, answered, unanswered })
}
