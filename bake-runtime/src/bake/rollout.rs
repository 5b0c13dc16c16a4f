//! Rollouts: a teacher answers the stimuli.

use std::collections::BTreeMap;

use bake_spec::recipe::address::ROLLOUTS_VERSION;
use bake_spec::recipe::{RolloutFields, Target};
use bake_spec::{Hash, KeyHasher};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::stages::Stages;
use super::stimuli::Stimulus;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::sample::Sampling;
use crate::generate::{Completion, Request, complete};
use crate::inputs::Inputs;
use crate::model::block::WeightView;
use crate::progress::{Stage, Ticker};
use crate::text::template::Message;

/// The name of the stage in the store.
const STAGE: &str = "rollouts";

/// Rollouts that are made before they are kept.
pub(super) const MADE_TOGETHER: usize = 256;

/// Among this many rollouts at least one should end by itself; otherwise something is wrong.
const ONE_ENDS_OF: usize = 20;

/// The rollouts of one stimulus, as many as the recipe wants. Their tokens are kept as they were
/// sampled.
pub(super) type Rollouts = Vec<Completion>;

/// The teachers of a target, and how they answer.
pub(super) struct Teachers<'a> {
    stages: &'a Stages<'a>,
    target: &'a Target,
    inputs: &'a Inputs,
    sampling: Sampling,
}

impl<'a> Teachers<'a> {
    pub(super) fn new(stages: &'a Stages<'a>, target: &'a Target, inputs: &'a Inputs) -> Self {
        let RolloutFields { temperature, top_p, top_k, seed, .. } = *target.rollout;
        let max_tokens = target.rollout.max_tokens(stages.model.config().context());
        let sampling = Sampling { temperature, top_p, top_k, seed, max_tokens: Some(max_tokens) };
        Self { stages, target, inputs, sampling }
    }

    /// The rollouts of each stimulus. Missing ones are made.
    pub(super) fn roll_out(&self, stimuli: &[Stimulus]) -> Result<Vec<Rollouts>> {
        let mut kept = Vec::with_capacity(stimuli.len());
        for stimulus in stimuli {
            kept.push(self.kept(stimulus)?);
        }
        let missing: Vec<usize> = (0..kept.len()).filter(|&i| kept[i].is_none()).collect();
        if !missing.is_empty() {
            let stage = Stage {
                name: &format!("rollouts on {}", self.target.name),
                target: &self.target.name,
                total: missing.len() * self.target.rollout.answers,
                unit: "rollouts",
            };
            self.stages.monitor.stage(stage, |ticker| {
                for part in self.parts(stimuli, &missing) {
                    self.make(stimuli, &part, &mut kept, ticker)?;
                }
                Ok(())
            })?;
        }
        let rollouts: Vec<Rollouts> = kept.into_iter().flatten().collect();
        self.check_ends(&rollouts)?;
        Ok(rollouts)
    }

    /// The rollouts of a stimulus that are in the store.
    pub(super) fn kept(&self, stimulus: &Stimulus) -> Result<Option<Rollouts>> {
        let kept: Option<Rollouts> = self.stages.kept(STAGE, &self.key(stimulus))?;
        Ok(kept.filter(|kept| {
            kept.len() == self.target.rollout.answers && kept.iter().all(|r| !r.ids.is_empty())
        }))
    }

    fn key(&self, stimulus: &Stimulus) -> Hash {
        let Sampling { temperature, top_p, top_k, seed, max_tokens } = self.sampling;
        self.stages
            .key(STAGE, ROLLOUTS_VERSION)
            .field("prompt", self.inputs.teacher_prompt(stimulus))
            .field("stimulus", &*stimulus.text)
            .field("answers", &self.target.rollout.answers)
            .field("temperature", &temperature)
            .field("top_p", &top_p)
            .field("top_k", &top_k)
            .field("seed", &seed)
            .field("max_tokens", &max_tokens)
            .finish()
    }

    /// Which rollouts are made together: stimuli whose teacher reads the whole document share its
    /// prefix, so they are not mixed with others.
    fn parts(&self, stimuli: &[Stimulus], missing: &[usize]) -> Vec<Vec<usize>> {
        let (of_passages, of_document): (Vec<usize>, Vec<usize>) =
            missing.iter().partition(|&&i| stimuli[i].passage.is_some());
        let together = MADE_TOGETHER.div_ceil(self.target.rollout.answers);
        let mut parts = Vec::new();
        for group in [of_document, of_passages] {
            parts.extend(group.chunks(together).map(<[usize]>::to_vec));
        }
        parts
    }

    /// Makes and keeps the rollouts of some stimuli.
    fn make(
        &self,
        stimuli: &[Stimulus],
        part: &[usize],
        made: &mut [Option<Rollouts>],
        ticker: &Ticker<'_>,
    ) -> Result<()> {
        let answers = self.target.rollout.answers;
        let done = |ended| ticker.advance(ended, "");
        let completions = self.answer(stimuli, part, answers, &self.sampling, done)?;
        for (&i, rollouts) in part.iter().zip(completions.chunks(answers)) {
            self.stages.keep(STAGE, &self.key(&stimuli[i]), rollouts)?;
            made[i] = Some(rollouts.to_vec());
        }
        Ok(())
    }

    /// The first of the rollouts of each stimulus, cut at this many tokens. They are not kept.
    pub(super) fn try_out(
        &self,
        stimuli: &[Stimulus],
        max_tokens: usize,
    ) -> Result<Vec<Completion>> {
        let most = self.sampling.max_tokens.unwrap_or(max_tokens).min(max_tokens);
        let (sampling, mut all) = (self.sampling.clone().max_tokens(most), Vec::new());
        for part in self.parts(stimuli, &(0..stimuli.len()).collect::<Vec<_>>()) {
            all.extend(self.answer(stimuli, &part, 1, &sampling, |_| Ok(()))?);
        }
        Ok(all)
    }

    /// What the teacher of a stimulus reads.
    pub(super) fn prompt(&self, stimulus: &Stimulus) -> Result<Vec<u32>> {
        let read = self.inputs.teacher_prompt(stimulus);
        self.stages.model.encode(&Message::question(read, &stimulus.text))
    }

    /// Answers some stimuli, each so many times.
    fn answer(
        &self,
        stimuli: &[Stimulus],
        part: &[usize],
        times: usize,
        sampling: &Sampling,
        done: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Completion>> {
        let mut prompts = Vec::with_capacity(part.len());
        for &i in part {
            prompts.push(self.prompt(&stimuli[i])?);
        }
        let mut requests = Vec::with_capacity(part.len() * times);
        for (&i, prompt) in part.iter().zip(&prompts) {
            for sample in 0..times {
                requests.push(Request { prompt, rng: self.random(&stimuli[i], sample) });
            }
        }
        complete(self.stages.model, requests, sampling, WeightView::default(), done)
    }

    /// Every sample has its own random stream: more stimuli or answers leave the others as they
    /// were.
    fn random(&self, stimulus: &Stimulus, sample: usize) -> ChaCha8Rng {
        let key = KeyHasher::new("answer", 1)
            .field("seed", &self.sampling.seed)
            .field("question", &*stimulus.text)
            .field("sample", &sample)
            .finish();
        ChaCha8Rng::from_seed(*key.as_bytes())
    }

    /// Rollouts that (nearly) all had to be cut are an error where a control token came up in
    /// them, which is then probably what ends the model's answers; otherwise a warning.
    fn check_ends(&self, rollouts: &[Rollouts]) -> Result<()> {
        let all: Vec<&Completion> = rollouts.iter().flatten().collect();
        let ended = all.iter().filter(|rollout| rollout.ended).count();
        if all.is_empty() || ended * ONE_ENDS_OF >= all.len() {
            return Ok(());
        }
        let cut = all.len() - ended;
        let what = format!(
            "{cut} of {} rollouts of target `{}` did not end by themselves and were cut at \
             `max_tokens` ({})",
            all.len(),
            self.target.name,
            self.sampling.max_tokens.unwrap_or_default()
        );
        let tokenizer = self.stages.model.tokenizer();
        let mut controls: BTreeMap<u32, usize> = BTreeMap::new();
        for rollout in all.iter().filter(|rollout| !rollout.ended) {
            if let Some(id) = rollout.ids.iter().find(|id| tokenizer.control(**id).is_some()) {
                *controls.entry(*id).or_default() += 1;
            }
        }
        let likeliest = controls.into_iter().max_by_key(|(_, times)| *times);
        if let Some((id, times)) = likeliest.filter(|(_, times)| 2 * times >= cut) {
            let message = format!(
                "{what}; the control token `{}` came up in {times} of them, so it probably ends \
                 the answers of the model {}: add its id, {id}, to `eos_token_id` in \
                 generation_config.json, or, in a GGUF file, set `tokenizer.ggml.eot_token_id`",
                tokenizer.control(id).unwrap_or_default(),
                self.stages.model.name()
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        let next = "raise `max_tokens`, or check which tokens end the model's answers \
                    (`eos_token_id`)";
        self.stages.monitor.warn(&format!("{what}; {next}"));
        Ok(())
    }
}
