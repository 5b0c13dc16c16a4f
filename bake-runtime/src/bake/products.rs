//! What bakes of a recipe have left in a store, for display and for plans.

use bake_spec::recipe::{Recipe, Target};
use serde::Serialize;

use super::BakeOptions;
use super::answers::{Answers, Judge, LeftOut};
use super::gate;
use super::reading::Reading;
use super::report::GeneratorReport;
use super::rollout::Teachers;
use super::stages::Stages;
use super::stimuli::{self, Collected, Dropped, Stimulus};
use super::teacher::Taught;
use super::trajectory::trajectories;
use crate::bake::inputs::Inputs;
use crate::device::Device;
use crate::error::Result;
use crate::inputs::load_model;
use crate::model::Model;
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
    /// Its rollouts; none where they have not been made yet.
    pub rollouts: Option<Vec<RolloutProduct>>,
    /// What is learned in place of the rollouts: sentences of the passage.
    pub own: Option<String>,
}

/// A rollout, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RolloutProduct {
    /// What the teacher said.
    pub text: String,
    /// Why it is not learned from; none where it is.
    pub left_out: Option<LeftOut>,
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
    for (target, inputs) in recipe.targets.iter().zip(&stages.inputs()?) {
        let reading =
            Reading::new(&stages, target, inputs, gate::chosen(&stages, target, inputs)?)?;
        let Collected { list, dropped, reports, complete, .. } =
            stimuli::collect(&stages, target, inputs, &reading, &[], false)?;
        let teachers = Teachers::new(&stages, target, &reading);
        let judge = Judge::new(&stages, target, inputs, &reading);
        let mut stimuli = Vec::new();
        for stimulus in list {
            stimuli.push(stimulus_products(&model, &teachers, &judge, stimulus)?);
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

/// What is kept of a stimulus.
fn stimulus_products(
    model: &Model,
    teachers: &Teachers<'_>,
    judge: &Judge<'_>,
    stimulus: Stimulus,
) -> Result<StimulusProducts> {
    let Some(kept) = teachers.kept(&stimulus)? else {
        return Ok(StimulusProducts { stimulus, rollouts: None, own: None });
    };
    let Answers { dropped, own, .. } = judge.answers(&stimulus, &kept)?;
    let mut rollouts = Vec::with_capacity(kept.len());
    for (rollout, left_out) in kept.iter().zip(dropped) {
        rollouts.push(RolloutProduct { text: model.decode(&rollout.ids)?, left_out });
    }
    Ok(StimulusProducts { stimulus, rollouts: Some(rollouts), own })
}

/// How much of a kind of product is in the store, and how much has to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// In the store, to be used again, or made without a model, as some stimuli are.
    pub kept: usize,
    /// Still to be made; at most this many, where the number is not known yet.
    pub to_make: usize,
}

/// What is kept of a target's products.
pub(super) struct KeptOfTarget {
    pub(super) stimuli: Kept,
    pub(super) rollouts: Kept,
    pub(super) states: Kept,
    /// Answers that are learned, at most.
    pub(super) learned: usize,
    /// Stimuli that have their rollouts, with the tokens of these, or of the passage's words where
    /// those are the answer.
    pub(super) answered: Vec<(Stimulus, Vec<usize>)>,
    /// Stimuli that exist and have none.
    pub(super) unanswered: Vec<Stimulus>,
}

/// How many answers to a stimulus are learned: where there is something to read, the best
/// supported.
pub(super) fn learned_of_each(target: &Target, inputs: &Inputs) -> usize {
    if inputs.document.is_some() { 1 } else { target.rollout.answers }
}

/// Counts what is kept of a target's products.
pub(super) fn count_kept(
    stages: &Stages<'_>,
    target: &Target,
    inputs: &Inputs,
    reading: &Reading<'_>,
) -> Result<KeptOfTarget> {
    let Collected { list, reports, complete, .. } =
        stimuli::collect(stages, target, inputs, reading, &[], false)?;
    let by_model = reports.iter().filter(|report| report.generator.is_by_model());
    let unwritten = if complete { 0 } else { by_model.map(GeneratorReport::missing).sum() };
    let stimuli = Kept { kept: list.len(), to_make: unwritten };
    let teachers = Teachers::new(stages, target, reading);
    let judge = Judge::new(stages, target, inputs, reading);
    let (mut known, mut lengths, mut unanswered) = (Vec::new(), Vec::new(), Vec::new());
    let (mut answers, mut rollouts) = (Vec::new(), 0);
    for stimulus in list {
        match teachers.kept(&stimulus)? {
            Some(kept) => {
                let answer = judge.answers(&stimulus, &kept)?;
                rollouts += kept.len();
                let said: Vec<usize> = match reading.is_verbatim(&stimulus) {
                    true => answer.learned.iter().map(Vec::len).collect(),
                    false => kept.iter().map(|rollout| rollout.ids.len()).collect(),
                };
                lengths.push(said);
                answers.push(answer);
                known.push(stimulus);
            }
            None => unanswered.push(stimulus),
        }
    }
    let trajectories = trajectories(&answers);
    let taught = Taught { stages, target, reading, stimuli: &known, trajectories: &trajectories };
    let states = taught.count_kept()?;
    let missing = unanswered.len() + unwritten;
    // It is not known yet which of the missing rollouts will be the same.
    let to_learn = missing * learned_of_each(target, inputs);
    let learned = trajectories.iter().map(|trajectory| trajectory.times).sum::<usize>() + to_learn;
    let states = Kept { kept: states, to_make: trajectories.len() - states + to_learn };
    // What is not written yet is about a passage.
    let asked = if reading.reads_excerpts() { unanswered.len() } else { missing };
    let rollouts = Kept { kept: rollouts, to_make: asked * target.rollout.answers };
    let answered = known.into_iter().zip(lengths).collect();
    Ok(KeptOfTarget { stimuli, rollouts, states, learned, answered, unanswered })
}
