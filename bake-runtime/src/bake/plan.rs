//! What a bake will take, before any of it is done.

mod lengths;
mod memory;
mod readers;
mod speed;
mod work;

use std::time::Duration;

use bake_spec::recipe::Recipe;
use serde::Serialize;

use super::BakeOptions;
use super::freed::give_back;
use super::products::Kept;
use super::stages::Stages;
use crate::error::Result;
use crate::generate::prefix::common_start;
use crate::inputs::load_model;
use crate::model::Model;
use crate::progress::{Interrupt, Monitor, Silent};
use crate::train::{TrainingRoom, expected_epochs, first_adapter};
use lengths::Lengths;
use memory::memory_bytes;
use speed::{Speed, WorkShape};
use work::TargetWork;

/// What a bake will take, and what exists already. Numbers of stimuli, rollouts and steps are the
/// most that there can be; how long the rollouts are is estimated from those that exist and from
/// some that were tried out, and with it the time and the memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The targets and anchors.
    pub targets: Vec<TargetPlan>,
    /// Whether the adapter is in the store, so that there is nothing to make.
    pub adapter_kept: bool,
    /// Answers that are learned, at most.
    pub rollouts: usize,
    /// Steps of the training, at most: what is known may be left out of epochs (`rehearse`).
    pub steps: usize,
    /// Numbers in the adapter.
    pub adapter_parameters: usize,
    /// The most memory that is held at once, in bytes, apart from the program itself.
    pub memory_bytes: u64,
    /// The most bytes of activations that the training keeps at once: those that were set
    /// ([`BakeOptions::activation_bytes`]) or half of what is free, less what copies of the weights
    /// take.
    pub activation_bytes: u64,
    /// The time that it will take, estimated from a short trial on this machine.
    pub seconds: PlannedSeconds,
}

/// How long the stages of a bake will take for what is missing, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PlannedSeconds {
    /// Questions with known answers, put to the teacher first; in all layouts of its prompt, of
    /// which not all are tried where one gets everything right.
    pub probes: f64,
    /// Questions that the model writes.
    pub stimuli: f64,
    /// Its answers.
    pub rollouts: f64,
    /// What the teacher's distributions are computed from.
    pub states: f64,
    /// Training, in at most so many epochs as are declared.
    pub training: f64,
    /// Questions that were held out, put to the base, the prompted and the baked model.
    pub held_out: f64,
}

impl PlannedSeconds {
    /// All stages.
    pub fn sum(&self) -> f64 {
        let Self { probes, stimuli, rollouts, states, training, held_out } = *self;
        probes + stimuli + rollouts + states + training + held_out
    }

    fn plus(self, other: Self) -> Self {
        Self {
            probes: self.probes + other.probes,
            stimuli: self.stimuli + other.stimuli,
            rollouts: self.rollouts + other.rollouts,
            states: self.states + other.states,
            training: self.training + other.training,
            held_out: self.held_out + other.held_out,
        }
    }
}

/// What a target will take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetPlan {
    /// Its name.
    pub name: String,
    /// Tokens of the prompt of a teacher that reads the whole document.
    pub prompt_tokens: usize,
    /// Stimuli that are written down.
    pub written: usize,
    /// Stimuli that are made from the document or written by the model.
    pub made: usize,
    /// The most tokens of a rollout.
    pub max_tokens: usize,
    /// Stimuli: those that are written down or in the store, and those still to be made.
    pub stimuli: Kept,
    /// Rollouts in the store and to be made.
    pub rollouts: Kept,
    /// Trajectories whose teacher states are in the store or to be made.
    pub states: Kept,
    /// Answers that are learned, at most.
    pub learned: usize,
}

impl Plan {
    /// The whole time.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.sum())
    }

    /// The plan where the adapter exists already, in the store or elsewhere: nothing is made, even
    /// if the products that it was made from were removed.
    #[must_use]
    pub fn with_adapter(mut self) -> Self {
        (self.adapter_kept, self.seconds) = (true, PlannedSeconds::default());
        for target in &mut self.targets {
            for kind in [&mut target.stimuli, &mut target.rollouts, &mut target.states] {
                kind.to_make = 0;
            }
        }
        self
    }

    /// The memory, for messages: `238 MB`.
    pub fn memory(&self) -> String {
        format!("{} MB", self.memory_bytes.div_ceil(1_000_000))
    }
}

impl TargetPlan {
    fn rollouts(&self) -> usize {
        self.rollouts.kept + self.rollouts.to_make
    }
}

/// Plans a bake with these options. The model is loaded, and unless everything exists already, a
/// few answers of each target are tried out, to see how long they become, and each kind of work is
/// timed: for a small model about a second, for larger ones as long as some steps of training take.
/// Nothing is kept.
///
/// # Errors
/// When the model, a document or the store cannot be read, or the device cannot be used.
pub fn plan(recipe: &Recipe, options: &BakeOptions) -> Result<Plan> {
    let span = tracing::info_span!("plan", bake = &*recipe.name);
    let _entered = span.enter();
    let (model, store) = (load_model(recipe, options.device)?, options.open_store()?);
    let interrupt = Interrupt::new();
    let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
    let BakeOptions { device, fresh, .. } = *options;
    let room = TrainingRoom::of(&model, device, options.room_for_activations());
    let stages = Stages { recipe, model: &model, device, store: &store, fresh, monitor };
    let adapter_kept = !fresh && store.adapter(&recipe.hash(model.hash()))?.is_some();
    let mut works = Vec::new();
    for (target, inputs) in recipe.targets.iter().zip(&stages.inputs()?) {
        works.push(TargetWork::of(&stages, target, inputs, !adapter_kept)?);
    }
    let train = &recipe.train;
    let adapter = first_adapter(&model, recipe)?;
    let rollouts: usize = works.iter().map(|work| work.plan.learned).sum();
    let trained_on: usize = works.iter().map(|work| work.sequences().count).sum();
    let seconds = match adapter_kept {
        true => PlannedSeconds::default(),
        false => seconds(&model, recipe, &works, &room)?,
    };
    let plan = Plan {
        adapter_kept,
        rollouts,
        steps: trainings(recipe)
            * train.epochs
            * trained_on.div_ceil(train.batch * train.accumulate),
        adapter_parameters: adapter.parameters(),
        memory_bytes: memory_bytes(&model, recipe, &works, &adapter, room)?,
        activation_bytes: room.activations as u64,
        seconds,
        targets: works.into_iter().map(|work| work.plan).collect(),
    };
    drop((adapter, model));
    give_back();
    Ok(if adapter_kept { plan.with_adapter() } else { plan })
}

/// The trainings that there will be in any case.
fn trainings(recipe: &Recipe) -> usize {
    1 + usize::from(recipe.is_on_policy())
}

/// How many tokens all of the student's prompts begin with.
fn shared(works: &[TargetWork]) -> usize {
    let starts = works.iter().map(|work| work.start.clone());
    let start = starts.reduce(|mut start, other| {
        start.truncate(common_start(&start, &other));
        start
    });
    start.map_or(0, |start| start.len())
}

/// How long it takes.
fn seconds(
    model: &Model,
    recipe: &Recipe,
    works: &[TargetWork],
    room: &TrainingRoom,
) -> Result<PlannedSeconds> {
    let all = works.iter().fold(Lengths::default(), |all, work| all.and(work.sequences()));
    let answers = works.iter().fold(Lengths::default(), |all, work| all.and(work.answers));
    let shape = WorkShape {
        before: works.iter().map(TargetWork::before).max().unwrap_or(0),
        answers: works.iter().map(TargetWork::together).max().unwrap_or(0),
        shared: shared(works),
        prompt: (all.mean - answers.mean) as usize,
        answer: answers.mean as usize,
    };
    let speed = Speed::measure(model, recipe, shape, room)?;
    let mut seconds = PlannedSeconds::default();
    for work in works {
        seconds = seconds.plus(work.seconds(&speed));
    }
    // How far the model is from the teacher is measured before and after, and on what is held out
    // after each epoch.
    let (trainings, train) = (trainings(recipe) as f64, &recipe.train);
    let epochs = trainings * expected_epochs(train.epochs, train.rehearse);
    let held_out: f64 = works.iter().map(|work| work.held_out as f64).sum();
    seconds.training = all.sum() * (epochs * speed.learned + 2.0 * speed.measured)
        + held_out * all.mean * trainings * train.epochs as f64 * speed.measured;
    Ok(seconds)
}
