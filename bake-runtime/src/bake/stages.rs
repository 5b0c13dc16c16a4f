//! The stages of a bake before its training, each of whose products is kept in the store.
//!
//! Products are small: the questions about one passage, the rollouts of one stimulus, the states of
//! one trajectory. The address of each is the hash of everything that determines it, so that after
//! a change only what depends on it is made again.

use bake_spec::recipe::{Recipe, Target};
use bake_spec::{Hash, KeyHasher, Store};
use candle_core::Tensor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answers::{AnswerReport, Judge};
use super::drift::Anchored;
use super::freed::give_back;
use super::gate::{self, Chosen};
use super::held_out::{check_trained_on, held_out};
use super::on_policy::OnPolicy;
use super::reading::Reading;
use super::recall::Examination;
use super::report::TargetReport;
use super::rollout::Teachers;
use super::room;
use super::spans::cut_long_passages;
use super::stimuli::{self, Collected, Stimulus};
use super::teacher::Taught;
use super::trajectory::{Trajectory, trajectories};
use crate::adapter::Adapter;
use crate::bake::inputs::Inputs;
use crate::device::Device;
use crate::error::Result;
use crate::model::Model;
use crate::progress::Monitor;
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::text::template::Message;
use crate::train::{StudentSequence, TrainingSet, first_adapter};

/// What the stages make: what is trained on, and what is asked when it was.
pub(super) struct Prepared {
    pub(super) training_set: TrainingSet,
    /// In the order of the targets.
    pub(super) reports: Vec<TargetReport>,
    /// What is asked in the end, of each target.
    pub(super) examinations: Vec<Examination>,
    /// What should stay as it is.
    pub(super) anchored: Vec<Anchored>,
    /// Answers of the student that are trained on, with what the teacher says along them.
    pub(super) on_policy: usize,
}

/// What a training after the first is for.
#[derive(Clone, Copy)]
pub(super) struct Further<'a> {
    /// The further rounds of the passages of each target.
    pub(super) rounds: &'a [Vec<usize>],
    /// The student that answers some of the stimuli itself, if one does.
    pub(super) on_policy: Option<OnPolicy<'a>>,
}

impl Prepared {
    /// The stimuli of all targets.
    pub(super) fn stimuli(&self) -> usize {
        self.reports.iter().map(|report| report.stimuli).sum()
    }
}

/// Everything that the stages of one bake share.
pub(super) struct Stages<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) model: &'a Model,
    /// What the model computes on.
    pub(super) device: Device,
    pub(super) store: &'a Store,
    /// Whether everything is made again, whatever is in the store.
    pub(super) fresh: bool,
    pub(super) monitor: Monitor<'a>,
}

impl Stages<'_> {
    /// Reports whatever cannot be baked before any work is done. Returns the adapter that training
    /// begins with.
    pub(super) fn check(&self, inputs: &[Inputs]) -> Result<Adapter> {
        for (target, inputs) in self.recipe.targets.iter().zip(inputs) {
            room::check_target(self, target, inputs)?;
        }
        first_adapter(self.model, self.recipe)
    }

    /// What the targets are learned from, in passages that the model can read.
    pub(super) fn inputs(&self) -> Result<Vec<Inputs>> {
        let mut all = Inputs::read_all(self.recipe)?;
        for (target, inputs) in self.recipe.targets.iter().zip(&mut all) {
            cut_long_passages(inputs, target, self.model)?;
        }
        Ok(all)
    }

    /// Chooses the layouts of all targets. No work is done for a target before all teachers have
    /// been tried.
    pub(super) fn choose(&self, inputs: &[Inputs]) -> Result<Vec<Chosen>> {
        let mut chosen = Vec::with_capacity(inputs.len());
        for (target, inputs) in self.recipe.targets.iter().zip(inputs) {
            chosen.push(gate::choose(self, target, inputs)?);
        }
        Ok(chosen)
    }

    /// Runs the stages of every target, for the first training or for a further one.
    pub(super) fn prepare(
        &self,
        inputs: &[Inputs],
        chosen: &[Chosen],
        further: Option<Further<'_>>,
    ) -> Result<Prepared> {
        let (mut gathered, mut reports) = (Gathered::default(), Vec::new());
        let targets = self.recipe.targets.iter().zip(inputs).zip(self.recipe.shares());
        for (number, ((target, inputs), share)) in targets.enumerate() {
            let chosen = &chosen[number];
            let further = further.map(|further| (further.rounds[number].as_slice(), further));
            reports.push(self.run(target, inputs, chosen, further, share, &mut gathered)?);
        }
        // Targets of which nothing is held out leave their share to the others.
        let mass = |s: &StudentSequence| s.token_weight * s.answer as f64;
        let weight: f64 = gathered.held_out.iter().map(mass).sum();
        for sequence in &mut gathered.held_out {
            sequence.token_weight /= weight;
        }
        let shape = (gathered.rows, self.model.config().hidden_size());
        let states = Tensor::from_vec(gathered.states, shape, self.model.decoder().device())?;
        let Gathered { sequences, held_out, examinations, anchored, on_policy, .. } = gathered;
        let training_set = TrainingSet { sequences, held_out, states };
        Ok(Prepared { training_set, reports, examinations, anchored, on_policy })
    }

    /// Runs the stages of one target, whose share of the loss this is.
    fn run(
        &self,
        target: &Target,
        inputs: &Inputs,
        chosen: &Chosen,
        round: Option<(&[usize], Further<'_>)>,
        share: f64,
        gathered: &mut Gathered,
    ) -> Result<TargetReport> {
        let reading = Reading::new(self, target, inputs, chosen.layout)?;
        let rounds_of = round.map(|(rounds, _)| rounds).unwrap_or_default();
        let Collected { list: stimuli, reports: generators, further, .. } =
            stimuli::collect(self, target, inputs, &reading, rounds_of, true)?;
        stimuli::check_any(target, &stimuli, &generators)?;
        // What nobody asked for is in the report, but nobody has to be warned of it, nor again in
        // a further round.
        for report in generators.iter().filter(|report| report.declared && round.is_none()) {
            let warnings = [report.passages_without_question(), report.shortfall()];
            for warning in warnings.into_iter().flatten() {
                self.monitor.warn(&format!("target `{}`: {warning}", target.name));
            }
        }
        room::check_stimuli(self, target, &reading, &stimuli)?;
        give_back();
        let rollouts = Teachers::new(self, target, &reading).roll_out(&stimuli)?;
        give_back();
        let mut answers = Judge::new(self, target, inputs, &reading).choose(&stimuli, &rollouts)?;
        let settings = &self.recipe.train;
        // What is held out stays the same in further rounds, whose stimuli are all trained on.
        let first = &stimuli[..stimuli.len() - further];
        let mut held_out = held_out(first, settings.held_out, settings.seed);
        held_out.resize(stimuli.len(), false);
        let answered = AnswerReport::of(&answers);
        if let Some(left_out) = answered.left_out().filter(|_| round.is_none()) {
            self.monitor.note(&format!("target `{}`, dropped rollouts: {left_out}", target.name));
        }
        let examination = Examination::of(self, target, inputs, &stimuli, &held_out, &answers)?;
        gathered.examinations.push(examination);
        if let Some(student) = round.and_then(|(_, further)| further.on_policy) {
            gathered.on_policy +=
                student.replace(self, target, &stimuli, &held_out, &mut answers)?;
        }
        let trajectories = trajectories(&answers);
        let tokens = divided(&trajectories, &held_out);
        check_trained_on(&target.name, tokens)?;
        let taught = Taught {
            stages: self,
            target,
            reading: &reading,
            stimuli: &stimuli,
            trajectories: &trajectories,
        };
        taught.add_states(&mut gathered.states)?;
        give_back();
        let all = || rollouts.iter().flatten();
        let mut report = TargetReport {
            name: target.name.to_string(),
            stimuli: stimuli.len(),
            rollouts: all().count(),
            cut: all().filter(|rollout| !rollout.ended).count(),
            held_out: held_out.iter().filter(|held_out| **held_out).count(),
            tokens: answers.iter().flat_map(|answers| &answers.learned).map(Vec::len).sum(),
            prompt_tokens: self.model.encode(&Message::question(&inputs.prompt, ""))?.len(),
            stimulus_tokens: 0,
            generators,
            probes: chosen.report.clone(),
            answered,
            recall: None,
        };
        let before = (gathered.sequences.len(), gathered.held_out.len());
        report.stimulus_tokens =
            self.add_sequences(&stimuli, &held_out, &trajectories, share, tokens, gathered)?;
        if target.anchor {
            let new = [&gathered.sequences[before.0..], &gathered.held_out[before.1..]];
            gathered.anchored.extend(Anchored::of(&trajectories, &rollouts, &held_out, new));
        }
        tracing::info!(
            bake.target = &*target.name,
            stimuli = report.stimuli,
            rollouts = report.rollouts,
            cut = report.cut,
            learned = report.answered.learned,
            tokens = report.tokens,
            "target `{}` is ready for training",
            target.name
        );
        Ok(report)
    }

    /// Adds what the student reads. The tokens of what is trained on share the target's part of
    /// the loss, and so do those of what is held out. Returns the tokens that the longest stimulus
    /// adds to a prompt.
    fn add_sequences(
        &self,
        stimuli: &[Stimulus],
        held_out: &[bool],
        trajectories: &[Trajectory<'_>],
        share: f64,
        tokens: [usize; 2],
        gathered: &mut Gathered,
    ) -> Result<usize> {
        let student = &self.recipe.student;
        let alone = self.model.encode(&Message::question(student, ""))?.len();
        let mut longest = 0;
        for Trajectory { stimulus, answer, times, .. } in trajectories {
            let mut ids =
                self.model.encode(&Message::question(student, &stimuli[*stimulus].text))?;
            // A template can write more for an empty question than for a real one.
            longest = longest.max(ids.len().saturating_sub(alone));
            ids.extend_from_slice(&answer[..answer.len() - 1]);
            let held_out = held_out[*stimulus];
            let sequence = StudentSequence {
                ids,
                answer: answer.len(),
                first_state: gathered.rows,
                token_weight: share / tokens[usize::from(held_out)] as f64 * *times as f64,
            };
            if held_out {
                gathered.held_out.push(sequence);
            } else {
                gathered.sequences.push(sequence);
            }
            gathered.rows += answer.len();
        }
        Ok(longest)
    }

    /// The address of a product of a stage, to which the stage adds everything else that determines
    /// it.
    ///
    /// Another kind of device rounds differently, so it makes its own products.
    pub(super) fn key(&self, stage: &str, version: u32) -> KeyHasher {
        let key = KeyHasher::new(stage, version)
            .field("model", self.model.hash())
            .field("device", device_kind(self.device, self.model));
        match &self.recipe.parent {
            Some(parent) => key.field("parent", &parent.hash),
            None => key,
        }
    }

    /// The product at an address, if it is in the store.
    pub(super) fn kept<T: DeserializeOwned>(&self, stage: &str, key: &Hash) -> Result<Option<T>> {
        let bytes = self.kept_bytes(stage, key)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(super) fn kept_bytes(&self, stage: &str, key: &Hash) -> Result<Option<Vec<u8>>> {
        if self.fresh {
            return Ok(None);
        }
        Ok(self.store.product(stage, key)?)
    }

    pub(super) fn keep(
        &self,
        stage: &str,
        key: &Hash,
        product: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        let bytes = serde_json::to_vec(product).expect("a product has a JSON form");
        self.keep_bytes(stage, key, &bytes)
    }

    pub(super) fn keep_bytes(&self, stage: &str, key: &Hash, bytes: &[u8]) -> Result<()> {
        self.store.put_product(stage, key, bytes)?;
        Ok(())
    }
}

/// The tokens of answers that are trained on, and of those that are held out.
fn divided(trajectories: &[Trajectory<'_>], held_out: &[bool]) -> [usize; 2] {
    let mut tokens = [0, 0];
    for Trajectory { stimulus, answer, times, .. } in trajectories {
        tokens[usize::from(held_out[*stimulus])] += answer.len() * times;
    }
    tokens
}

/// The kind of a device, for addresses.
pub(super) fn device_kind(device: Device, model: &Model) -> &'static str {
    match device {
        Device::Cpu | Device::CpuF32 => model.decoder().bf16_unit().map_or("cpu", Bf16Unit::name),
        Device::Cuda(_) => "cuda",
    }
}

/// What the targets have contributed so far.
#[derive(Default)]
struct Gathered {
    sequences: Vec<StudentSequence>,
    held_out: Vec<StudentSequence>,
    /// What is asked in the end, of each target.
    examinations: Vec<Examination>,
    /// The answers of the base model that should stay as they are.
    anchored: Vec<Anchored>,
    /// Answers of the student that are learned along.
    on_policy: usize,
    /// The teachers' states, row after row, and how many rows belong to the sequences.
    states: Vec<f32>,
    rows: usize,
}
