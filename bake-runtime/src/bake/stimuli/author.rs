//! The model as the author of questions, reading one passage of the document at a time.

mod requests;

use bake_spec::recipe::address::STIMULI_VERSION;
use bake_spec::recipe::{GeneratorKind, Target};
use bake_spec::{Hash, KeyHasher};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::DropReason;
use super::ask::{Author, Candidates, Draw, Sample};
use super::filter::Filter;
use crate::bake::inputs::Passage;
use crate::bake::stages::Stages;
use crate::error::Result;
use crate::generate::sample::Sampling;
use crate::generate::{Completion, Request, complete};
use crate::progress::Monitor;
pub(super) use requests::Writing;
use requests::{RequestForm, WritingRequest};

/// The name of the stage in the store.
pub(super) const STAGE: &str = "stimuli";

/// The most tokens of a question.
pub(super) const QUESTION_TOKENS: usize = 48;

/// The teacher of a target. It reads each passage by itself: shown the whole document, a model
/// keeps asking about what comes first.
///
/// What a passage gives depends on its text, the requests, the sampling and how many are wanted,
/// and on nothing else, so it is kept under the hash of these.
pub(super) struct Teacher<'a> {
    stages: &'a Stages<'a>,
    writing: Writing<'a>,
    seed: u64,
    passages: &'a [Passage],
    /// What is known of each passage once it has been needed.
    known: Vec<Option<Known>>,
}

/// What is known of a passage.
struct Known {
    style: RequestForm,
    filter: Filter,
}

impl<'a> Teacher<'a> {
    pub(super) fn new(
        stages: &'a Stages<'a>,
        writing: Writing<'a>,
        target: &Target,
        passages: &'a [Passage],
    ) -> Self {
        let mut known = Vec::with_capacity(passages.len());
        known.resize_with(passages.len(), || None);
        Self { stages, writing, seed: target.rollout.seed, passages, known }
    }

    fn key(&self, passage: usize, wanted: usize) -> Result<Hash> {
        let kind = self.writing.kind();
        let conversations = self.style(passage)?.all(self.writing, &self.passages[passage]);
        let mut key = self
            .stages
            .key(STAGE, STIMULI_VERSION)
            .field("generator", kind.name())
            .field("version", &kind.version())
            .field("temperature", &self.writing.temperature())
            .field("seed", &self.seed)
            .field("count", &wanted);
        for WritingRequest { prompt, request } in &conversations {
            key = key.field("prompt", prompt).field("request", request.as_str());
        }
        Ok(key.finish())
    }

    /// How the model is asked about a passage: after worked examples, where they take no more than
    /// half of its context. Models with less room are too small to follow them: they go on writing
    /// the examples.
    fn style(&self, passage: usize) -> Result<RequestForm> {
        if let Some(Known { style, .. }) = &self.known[passage] {
            return Ok(*style);
        }
        let (model, read) = (self.stages.model, &self.passages[passage]);
        if self.writing.is_plain() || read.span.is_none() {
            return Ok(RequestForm::Plain);
        }
        let room = model.config().context() / 2;
        for conversation in RequestForm::Examples.all(self.writing, read) {
            if conversation.encode(model)?.len() > room {
                return Ok(RequestForm::Plain);
            }
        }
        Ok(RequestForm::Examples)
    }

    fn know(&mut self, passage: usize) -> Result<()> {
        if self.known[passage].is_none() {
            let style = self.style(passage)?;
            let filter = Filter::new(&self.passages[passage]);
            self.known[passage] = Some(Known { style, filter });
        }
        Ok(())
    }

    /// Each sample has its own random stream, whatever else is drawn.
    fn random(&self, draw: &Draw) -> ChaCha8Rng {
        let key = KeyHasher::new("question", 2)
            .field("seed", &self.seed)
            .field("prompt", &self.passages[draw.passage].prompt)
            .field("sample", &draw.sample);
        // The streams of `ask` are those of the first version.
        let key = match self.writing.kind() {
            GeneratorKind::Ask => key,
            kind => key.field("generator", kind.name()),
        };
        ChaCha8Rng::from_seed(*key.finish().as_bytes())
    }
}

impl Author for Teacher<'_> {
    fn kept(&self, passage: usize, wanted: usize) -> Result<Option<Candidates>> {
        self.stages.kept(STAGE, &self.key(passage, wanted)?)
    }

    fn keep(&self, passage: usize, wanted: usize, candidates: &Candidates) -> Result<()> {
        self.stages.keep(STAGE, &self.key(passage, wanted)?, candidates)
    }

    fn write(&mut self, draws: &[Draw], monitor: Monitor<'_>) -> Result<Vec<Sample>> {
        let model = self.stages.model;
        let (mut conversations, mut prompts) = (Vec::new(), Vec::new());
        for draw in draws {
            self.know(draw.passage)?;
            let conversation = self.style(draw.passage)?.conversation(
                self.writing,
                &self.passages[draw.passage],
                draw.sample,
            );
            prompts.push(conversation.encode(model)?);
            conversations.push(conversation);
        }
        let sampling = Sampling::temperature(self.writing.temperature(), self.seed)?
            .max_tokens(QUESTION_TOKENS);
        let random = |number: usize| self.random(&draws[number]);
        let samples = sampled(self.stages, &prompts, &sampling, monitor, random)?;
        let mut questions = Vec::with_capacity(samples.len());
        for ((draw, conversation), sample) in draws.iter().zip(&conversations).zip(samples.iter()) {
            let text = model.decode(&sample.ids)?;
            let known = self.known[draw.passage].as_ref();
            questions.push(match known {
                _ if !sample.ended => Sample::dropped(&text, DropReason::Unended),
                Some(known) => known.filter.judge(&text, &conversation.request),
                None => Sample::dropped(&text, DropReason::Empty),
            });
        }
        Ok(questions)
    }
}

/// The completions of some prompts, each with a random stream of its own.
pub(super) fn sampled(
    stages: &Stages<'_>,
    prompts: &[Vec<u32>],
    sampling: &Sampling,
    monitor: Monitor<'_>,
    random: impl Fn(usize) -> ChaCha8Rng,
) -> Result<Vec<Completion>> {
    let request = |(number, prompt)| Request { prompt, rng: random(number) };
    let requests = prompts.iter().map(Vec::as_slice).enumerate().map(request).collect();
    let view = stages.model.view(None);
    complete(stages.model, requests, sampling, view, |_| monitor.check())
}
