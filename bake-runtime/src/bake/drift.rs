//! Drift: how far a baked model has moved where it should have stayed as it is.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::rollout::Rollouts;
use super::trajectory::Trajectory;
use crate::adapter::Adapter;
use crate::error::Result;
use crate::generate::sample::Sampling;
use crate::generate::token_chunks;
use crate::model::Model;
use crate::progress::{Monitor, Stage, Ticker};
use crate::train::{StudentSequence, TrainingSet, measure};

/// Tokens of an answer that are compared together.
const TOGETHER: usize = 64;

/// How far a baked model is from the base model on what its anchors ask.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The mean divergence KL(base ‖ baked) on the base model's answers, in nats per token.
    pub kl: f64,
    /// The questions whose likeliest answer is compared.
    pub asked: usize,
    /// Those of them that are answered word for word as before.
    pub same: usize,
}

/// In one sentence.
impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kl, asked, same } = self;
        write!(f, "drift from the base model on the anchors: {kl:.4} nats per token")?;
        match *asked {
            0 => Ok(()),
            _ => write!(f, "; {same} of {asked} answers unchanged word for word"),
        }
    }
}

/// An answer of the base model to the question of an anchor.
pub(super) struct Anchored {
    sequence: StudentSequence,
    answer: Vec<u32>,
    /// Whether the base model gives it where it is not sampled.
    likeliest: bool,
}

impl Anchored {
    /// Those of an anchor that are held out, or all where none are. `sequences` are those of its
    /// trajectories that are trained on, and those that are held out.
    pub(super) fn of(
        trajectories: &[Trajectory<'_>],
        rollouts: &[Rollouts],
        held_out: &[bool],
        sequences: [&[StudentSequence]; 2],
    ) -> Vec<Self> {
        let [trained_on, kept_back] = sequences;
        let of_held_out = !kept_back.is_empty();
        let sequences = if of_held_out { kept_back } else { trained_on };
        let all = trajectories.iter().filter(|one| held_out[one.stimulus] == of_held_out);
        let mut anchored = Vec::with_capacity(sequences.len());
        for (trajectory, sequence) in all.zip(sequences) {
            let first = rollouts[trajectory.stimulus].first();
            anchored.push(Self {
                sequence: sequence.clone(),
                answer: trajectory.answer.to_vec(),
                likeliest: first.is_some_and(|first| first.ids == trajectory.answer),
            });
        }
        anchored
    }
}

impl Drift {
    /// That of an adapter; none where there are no anchors.
    pub(super) fn of(
        model: &Model,
        training_set: &TrainingSet,
        anchored: &[Anchored],
        adapter: &Adapter,
        monitor: Monitor<'_>,
    ) -> Result<Option<Self>> {
        if anchored.iter().all(|anchored| anchored.answer.is_empty()) {
            return Ok(None);
        }
        let stage = Stage { name: "drift", target: "", total: anchored.len(), unit: "answers" };
        monitor.stage(stage, |ticker| {
            Self::measured(model, training_set, anchored, adapter, ticker).map(Some)
        })
    }

    fn measured(
        model: &Model,
        training_set: &TrainingSet,
        anchored: &[Anchored],
        adapter: &Adapter,
        ticker: &Ticker<'_>,
    ) -> Result<Self> {
        let tokens: usize = anchored.iter().map(|anchored| anchored.answer.len()).sum();
        let mut sequences = Vec::with_capacity(anchored.len());
        for Anchored { sequence, .. } in anchored {
            sequences
                .push(StudentSequence { token_weight: 1.0 / tokens as f64, ..sequence.clone() });
        }
        let view = model.view(Some(adapter));
        let check = |_| ticker.advance(0, "");
        let kl = measure(model, training_set, &sequences, view, &check)?;
        let mut drift = Self { kl, asked: 0, same: 0 };
        let likeliest: Vec<&Anchored> =
            anchored.iter().filter(|anchored| anchored.likeliest).collect();
        for part in token_chunks(&likeliest, |anchored| anchored.sequence.ids.len()) {
            let sequences = part.iter().map(|anchored| &anchored.sequence);
            let batch = training_set.batch(sequences, model.decoder().device())?;
            let hidden = model.decoder().forward(&batch.ids, batch.sequences(), view)?;
            let hidden = hidden.index_select(&batch.rows, 0)?;
            let mut begin = 0;
            for anchored in part {
                let states = hidden.narrow(0, begin, anchored.answer.len())?;
                drift.asked += 1;
                drift.same += usize::from(anchored.is_said_with(model, &states)?);
                begin += anchored.answer.len();
            }
            ticker.advance(part.len(), "")?;
        }
        Ok(drift)
    }
}

impl Anchored {
    /// Whether a model says the same where it chooses each token by these states
    /// `[answer tokens, hidden]`: each is the likeliest after those before.
    fn is_said_with(&self, model: &Model, states: &candle_core::Tensor) -> Result<bool> {
        let prompt = self.sequence.ids.len() + 1 - self.answer.len();
        let mut repetition = model.generation().repetition(&self.sequence.ids[..prompt]);
        let (greedy, mut unused) = (Sampling::greedy(), ChaCha8Rng::from_seed([0; 32]));
        let mut begin = 0;
        for tokens in self.answer.chunks(TOGETHER) {
            let logits = model.decoder().logits(&states.narrow(0, begin, tokens.len())?)?;
            for (mut logits, &token) in logits.to_vec2::<f32>()?.into_iter().zip(tokens) {
                repetition.penalise(&mut logits);
                if greedy.choose(&logits, &mut unused)? != token {
                    return Ok(false);
                }
                repetition.add(token);
            }
            begin += tokens.len();
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Completion;

    #[test]
    fn what_is_held_out_is_compared_where_anything_is() {
        let answers = [vec![1, 2], vec![3], vec![4, 5]];
        let sequence = |answer: &Vec<u32>| StudentSequence {
            ids: vec![9; 4],
            answer: answer.len(),
            first_state: 0,
            token_weight: 1.0,
        };
        let trajectory = |stimulus: usize| Trajectory {
            stimulus,
            answer: &answers[stimulus],
            times: 1,
            own: None,
        };
        let all = [0, 1, 2].map(trajectory);
        let rollout = |ids: &[u32]| vec![Completion { ids: ids.to_vec(), ended: true }];
        // The second answer was sampled beside a likelier one.
        let rollouts = [rollout(&[1, 2]), rollout(&[7]), rollout(&[4, 5])];
        let sequences: Vec<_> = answers.iter().map(sequence).collect();
        let found = |held_out: [bool; 3], sequences: [&[StudentSequence]; 2]| {
            let anchored = Anchored::of(&all, &rollouts, &held_out, sequences);
            anchored.into_iter().map(|one| (one.answer, one.likeliest)).collect::<Vec<_>>()
        };
        let every = [(vec![1, 2], true), (vec![3], false), (vec![4, 5], true)];
        assert_eq!(found([false; 3], [&sequences, &[]]), every);
        let some = [false, false, true];
        assert_eq!(found(some, [&sequences[..2], &sequences[2..]]), every[2..]);
    }
}
