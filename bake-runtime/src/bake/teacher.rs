//! The teacher's side of the loss: final hidden states at every answer token, computed once.

use bake_spec::Hash;
use bake_spec::recipe::Target;
use bake_spec::recipe::address::STATES_VERSION;
use candle_core::Tensor;

use super::layout::Conversation;
use super::reading::Reading;
use super::stages::Stages;
use super::stimuli::Stimulus;
use super::trajectory::Trajectory;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::prefix::{Alike, Prefix, ToRead, alike};
use crate::model::Model;
use crate::model::decoder::Run;
use crate::progress::Stage;

/// The name of the stage in the store.
const STAGE: &str = "states";

/// The trajectories of a target and what they answer.
pub(super) struct Taught<'a> {
    pub(super) stages: &'a Stages<'a>,
    pub(super) target: &'a Target,
    pub(super) reading: &'a Reading<'a>,
    pub(super) stimuli: &'a [Stimulus],
    pub(super) trajectories: &'a [Trajectory<'a>],
}

impl Taught<'_> {
    /// Adds the states from which each answer token is predicted, `[answer tokens, hidden]`,
    /// trajectory after trajectory, as their numbers. Missing ones are made.
    pub(super) fn add_states(&self, all: &mut Vec<f32>) -> Result<()> {
        let width = self.stages.model.config().hidden_size();
        let (mut starts, mut end) = (Vec::with_capacity(self.trajectories.len()), all.len());
        for trajectory in self.trajectories {
            starts.push(end);
            end += trajectory.answer.len() * width;
        }
        // They can be larger than the model, so they are nowhere twice.
        all.reserve_exact(end - all.len());
        all.resize(end, 0.0);
        let mut put = |number: usize, numbers: &[f32]| {
            all[starts[number]..][..numbers.len()].copy_from_slice(numbers);
        };
        let mut missing = Vec::new();
        for (number, trajectory) in self.trajectories.iter().enumerate() {
            match self.kept(trajectory)? {
                Some(numbers) => put(number, &numbers),
                None => missing.push(number),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let stage = Stage {
            name: &format!("teacher on {}", self.target.name),
            target: &self.target.name,
            total: missing.len(),
            unit: "rollouts",
        };
        self.stages.monitor.stage(stage, |ticker| {
            let mut keep = |number: usize, numbers: Vec<f32>| {
                self.keep(number, &numbers)?;
                put(number, &numbers);
                ticker.advance(1, "")
            };
            hidden_states(self.stages.model, &self.sequences(&missing)?, &mut keep)
        })
    }

    /// How many trajectories have their states in the store.
    pub(super) fn count_kept(&self) -> Result<usize> {
        let mut kept = 0;
        for trajectory in self.trajectories {
            kept += usize::from(self.kept(trajectory)?.is_some());
        }
        Ok(kept)
    }

    fn key(&self, trajectory: &Trajectory<'_>) -> Result<Hash> {
        let key = self.asked(trajectory)?.address(self.stages.key(STAGE, STATES_VERSION));
        Ok(key.field("answer", trajectory.answer).finish())
    }

    /// What the teacher reads before an answer.
    fn asked(&self, trajectory: &Trajectory<'_>) -> Result<Conversation> {
        let stimulus = &self.stimuli[trajectory.stimulus];
        match trajectory.own {
            Some(sentences) => self.reading.told(stimulus, sentences),
            None => self.reading.conversation(stimulus),
        }
    }

    fn kept(&self, trajectory: &Trajectory<'_>) -> Result<Option<Vec<f32>>> {
        let size = 4 * trajectory.answer.len() * self.stages.model.config().hidden_size();
        let bytes = self.stages.kept_bytes(STAGE, &self.key(trajectory)?)?;
        let bytes = bytes.filter(|bytes| bytes.len() == size);
        Ok(bytes.map(|bytes| {
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }))
    }

    fn keep(&self, number: usize, numbers: &[f32]) -> Result<()> {
        if !numbers.iter().all(|number| number.is_finite()) {
            let message = format!(
                "the model {} computes states that are not numbers; check its weights, or \
                 download them again",
                self.stages.model.name()
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        let bytes: Vec<u8> = numbers.iter().copied().flat_map(f32::to_le_bytes).collect();
        self.stages.keep_bytes(STAGE, &self.key(&self.trajectories[number])?, &bytes)
    }

    /// The sequences of these trajectories.
    fn sequences(&self, missing: &[usize]) -> Result<Vec<TeacherSequence<'_>>> {
        let mut sequences = Vec::with_capacity(missing.len());
        let mut last: Option<(usize, Vec<u32>)> = None;
        for &number in missing {
            let trajectory = &self.trajectories[number];
            // The trajectories of one stimulus follow each other.
            let prompt = match last.take() {
                Some((stimulus, prompt)) if stimulus == trajectory.stimulus => prompt,
                _ => self.asked(trajectory)?.encode(self.stages.model)?,
            };
            last = Some((trajectory.stimulus, prompt.clone()));
            sequences.push(TeacherSequence { number, prompt, answer: trajectory.answer });
        }
        Ok(sequences)
    }
}

/// A prompt and an answer to it.
struct TeacherSequence<'a> {
    /// The number of the trajectory.
    number: usize,
    prompt: Vec<u32>,
    answer: &'a [u32],
}

impl TeacherSequence<'_> {
    /// The tokens that the model reads to predict the whole answer: all but the last.
    fn read(&self) -> Vec<u32> {
        [&self.prompt, &self.answer[..self.answer.len() - 1]].concat()
    }
}

/// Gives `each` the states from which the answer tokens of each sequence are predicted, with the
/// number of its trajectory. What prompts begin with together, such as the document, is read once.
fn hidden_states(
    model: &Model,
    sequences: &[TeacherSequence<'_>],
    each: &mut impl FnMut(usize, Vec<f32>) -> Result<()>,
) -> Result<()> {
    let view = model.view(None);
    let width = model.config().hidden_size();
    let read: Vec<Vec<u32>> = sequences.iter().map(TeacherSequence::read).collect();
    let answers = sequences.iter().map(|sequence| sequence.answer.len());
    let to_read: Vec<_> = read.iter().zip(answers).map(|(ids, own)| ToRead { ids, own }).collect();
    let groups = alike(&to_read);
    let tokens = |Alike { places, common }: &Alike| {
        common + places.iter().map(|&place| read[place].len() - common).sum::<usize>()
    };
    let mut prefix = Prefix::new(model, groups.iter().map(tokens).max().unwrap_or(0))?;
    for Alike { places, common } in groups {
        let start = &read[places[0]][..common];
        prefix.forget_but(start);
        let past = prefix.read(model, start, view)?.to_vec();
        let runs: Vec<Run<'_>> =
            places.iter().map(|&place| Run { ids: &read[place][common..], past: &past }).collect();
        let (hidden, _) = model.decoder().extend(&mut prefix.cache, &runs, view)?;
        let (mut rows, mut end) = (Vec::new(), 0);
        for (run, &place) in runs.iter().zip(&places) {
            end += run.ids.len();
            rows.extend((end - sequences[place].answer.len()) as u32..end as u32);
        }
        let states = hidden.index_select(&Tensor::new(rows, hidden.device())?, 0)?;
        let mut numbers = states.flatten_all()?.to_vec1::<f32>()?.into_iter();
        for &place in &places {
            let TeacherSequence { number, answer, .. } = sequences[place];
            each(number, numbers.by_ref().take(answer.len() * width).collect())?;
        }
    }
    Ok(())
}
