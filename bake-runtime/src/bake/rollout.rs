//! Rollouts: a teacher answers the stimuli.

use std::collections::BTreeMap;
use std::ops::Range;

use bake_spec::recipe::address::ROLLOUTS_VERSION;
use bake_spec::recipe::{RolloutFields, Target};
use bake_spec::{Hash, KeyHasher};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::reading::Reading;
use super::stages::Stages;
use super::stimuli::Stimulus;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::sample::Sampling;
use crate::generate::{Completion, Request, complete};
use crate::progress::{Stage, Ticker};

/// The name of the stage in the store.
const STAGE: &str = "rollouts";

/// Rollouts that are made before they are kept.
const MADE_TOGETHER: usize = 256;

/// Among this many rollouts at least one should end by itself; otherwise something is wrong.
const ONE_ENDS_OF: usize = 20;

/// The rollouts of one stimulus, as many as the recipe wants: the likeliest, and others that are
/// sampled. Their tokens are kept as they were
/// sampled.
pub(super) type Rollouts = Vec<Completion>;

/// How the questions about a target are answered.
pub(super) fn sampling(stages: &Stages<'_>, target: &Target) -> Sampling {
    let RolloutFields { temperature, top_p, top_k, seed, .. } = *target.rollout;
    let max_tokens = target.rollout.max_tokens(stages.model.config().context());
    Sampling { temperature, top_p, top_k, seed, max_tokens: Some(max_tokens) }
}

/// The teachers of a target, and how they answer.
pub(super) struct Teachers<'a> {
    stages: &'a Stages<'a>,
    target: &'a Target,
    reading: &'a Reading<'a>,
    sampling: Sampling,
}

impl<'a> Teachers<'a> {
    pub(super) fn new(
        stages: &'a Stages<'a>,
        target: &'a Target,
        reading: &'a Reading<'a>,
    ) -> Self {
        Self { stages, target, reading, sampling: sampling(stages, target) }
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
                for part in self.parts(stimuli, &missing)? {
                    self.make(stimuli, &part, &mut kept, ticker)?;
                }
                Ok(())
            })?;
        }
        let rollouts: Vec<Rollouts> = kept.into_iter().flatten().collect();
        let most = self.sampling.max_tokens.unwrap_or_default();
        let all: Vec<&Completion> = rollouts.iter().flatten().collect();
        if let Some(cut) = check_ends(self.stages, self.target, "rollouts", most, &all)? {
            self.stages.monitor.warn(&cut);
        }
        Ok(rollouts)
    }

    /// The rollouts of a stimulus that are in the store, of which one whose answer is its passage's
    /// own words has none.
    pub(super) fn kept(&self, stimulus: &Stimulus) -> Result<Option<Rollouts>> {
        if self.reading.is_verbatim(stimulus) {
            return Ok(Some(Rollouts::new()));
        }
        let kept: Option<Rollouts> = self.stages.kept(STAGE, &self.key(stimulus)?)?;
        Ok(kept.filter(|kept| {
            kept.len() == self.target.rollout.answers && kept.iter().all(|r| !r.ids.is_empty())
        }))
    }

    fn key(&self, stimulus: &Stimulus) -> Result<Hash> {
        let Sampling { temperature, top_p, top_k, seed, max_tokens } = self.sampling;
        let asked = self.reading.conversation(stimulus)?;
        let key = asked
            .address(self.stages.key(STAGE, ROLLOUTS_VERSION))
            .field("answers", &self.target.rollout.answers)
            .field("temperature", &temperature)
            .field("top_p", &top_p)
            .field("top_k", &top_k)
            .field("seed", &seed)
            .field("max_tokens", &max_tokens);
        Ok(key.finish())
    }

    /// Which rollouts are made together: stimuli whose teacher reads the whole document share its
    /// prefix, so they are not mixed with others.
    fn parts(&self, stimuli: &[Stimulus], missing: &[usize]) -> Result<Vec<Vec<usize>>> {
        let (mut of_document, mut of_passages) = (Vec::new(), Vec::new());
        for &i in missing {
            match self.reading.reads_document(&stimuli[i])? {
                true => of_document.push(i),
                false => of_passages.push(i),
            }
        }
        let together = MADE_TOGETHER.div_ceil(self.target.rollout.answers);
        let mut parts = Vec::new();
        for group in [of_document, of_passages] {
            parts.extend(group.chunks(together).map(<[usize]>::to_vec));
        }
        Ok(parts)
    }

    /// Makes and keeps the rollouts of some stimuli.
    fn make(
        &self,
        stimuli: &[Stimulus],
        part: &[usize],
        made: &mut [Option<Rollouts>],
        ticker: &Ticker<'_>,
    ) -> Result<()> {
        let (answers, mut samples) = (self.target.rollout.answers, Vec::new());
        let greedy = Sampling { temperature: 0.0, ..self.sampling.clone() };
        let done = |ended| ticker.advance(ended, "");
        let likeliest = self.answer(stimuli, part, 0..1, &greedy, done)?;
        if answers > 1 {
            samples = self.answer(stimuli, part, 1..answers, &self.sampling, done)?;
        }
        let mut samples = samples.into_iter();
        for (&i, first) in part.iter().zip(likeliest) {
            let mut rollouts = vec![first];
            rollouts.extend(samples.by_ref().take(answers - 1));
            self.stages.keep(STAGE, &self.key(&stimuli[i])?, &rollouts)?;
            made[i] = Some(rollouts);
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
        let greedy = Sampling { temperature: 0.0, ..self.sampling.clone() };
        let (sampling, mut all) = (greedy.max_tokens(most), Vec::new());
        for part in self.parts(stimuli, &(0..stimuli.len()).collect::<Vec<_>>())? {
            all.extend(self.answer(stimuli, &part, 0..1, &sampling, |_| Ok(()))?);
        }
        Ok(all)
    }

    /// What the teacher of a stimulus reads.
    pub(super) fn prompt(&self, stimulus: &Stimulus) -> Result<Vec<u32>> {
        self.reading.conversation(stimulus)?.encode(self.stages.model)
    }

    /// These samples of the answers to some stimuli.
    fn answer(
        &self,
        stimuli: &[Stimulus],
        part: &[usize],
        samples: Range<usize>,
        sampling: &Sampling,
        done: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Completion>> {
        let mut prompts = Vec::with_capacity(part.len());
        for &i in part {
            prompts.push(self.prompt(&stimuli[i])?);
        }
        let mut requests = Vec::with_capacity(part.len() * samples.len());
        for (&i, prompt) in part.iter().zip(&prompts) {
            for sample in samples.clone() {
                requests.push(Request { prompt, rng: self.random(&stimuli[i], sample) });
            }
        }
        let model = self.stages.model;
        complete(model, requests, sampling, model.view(None), done)
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
}

/// Answers that (nearly) all had to be cut are an error where a control token came up in them,
/// which is then probably what ends the model's answers. Otherwise this is what to warn of.
pub(super) fn check_ends(
    stages: &Stages<'_>,
    target: &Target,
    what: &str,
    most: usize,
    all: &[&Completion],
) -> Result<Option<String>> {
    let ended = all.iter().filter(|answer| answer.ended).count();
    if all.is_empty() || ended * ONE_ENDS_OF >= all.len() {
        return Ok(None);
    }
    let cut = all.len() - ended;
    let what = format!(
        "{cut} of {} {what} of target `{}` did not end on their own and were cut at `max_tokens` \
         ({most})",
        all.len(),
        target.name,
    );
    let tokenizer = stages.model.tokenizer();
    let mut controls: BTreeMap<u32, usize> = BTreeMap::new();
    for answer in all.iter().filter(|answer| !answer.ended) {
        if let Some(id) = answer.ids.iter().find(|id| tokenizer.control(**id).is_some()) {
            *controls.entry(*id).or_default() += 1;
        }
    }
    let likeliest = controls.into_iter().max_by_key(|(_, times)| *times);
    if let Some((id, times)) = likeliest.filter(|(_, times)| 2 * times >= cut) {
        let message = format!(
            "{what}; the control token `{}` came up in {times} of them, so it probably ends the \
             answers of the model {}: add its id, {id}, to `eos_token_id` in \
             generation_config.json, or, in a GGUF file, set `tokenizer.ggml.eot_token_id`",
            tokenizer.control(id).unwrap_or_default(),
            stages.model.name()
        );
        return Err(Error::new(ErrorKind::Model, message));
    }
    let next = "raise `max_tokens`, or check which tokens end the model's answers \
                (`eos_token_id`)";
    Ok(Some(format!("{what}; {next}")))
}
