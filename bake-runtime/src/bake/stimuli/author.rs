//! The teacher as the author of questions, reading one passage of the document at a time.

use bake_spec::recipe::address::STIMULI_VERSION;
use bake_spec::recipe::{Ask, GeneratorKind, Target};
use bake_spec::{Hash, KeyHasher};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::ask::{Author, Candidates, Draw};
use crate::bake::stages::Stages;
use crate::error::Result;
use crate::generate::sample::Sampling;
use crate::generate::{Request, complete};
use crate::inputs::Passage;
use crate::model::block::WeightView;
use crate::progress::Monitor;
use crate::text::template::Message;

/// The name of the stage in the store.
const STAGE: &str = "stimuli";

/// The requests to the teacher, used in rotation, where the recipe has no template of its own.
const REQUESTS: [&str; 3] = [
    "Ask a question about this document.",
    "Write a question that this document answers.",
    "Write one question a user could ask about this document.",
];

/// The same where there is no document: for anchors, and for targets that are only a prompt.
const REQUESTS_WITHOUT_DOCUMENT: [&str; 3] = [
    "Ask a question that a user could ask you.",
    "Write a question that you can answer.",
    "Write one question a user could begin a conversation with.",
];

/// The most tokens of a question.
const QUESTION_TOKENS: usize = 48;

/// The teacher of a target. It reads each passage by itself: shown the whole document, a model
/// keeps asking about what comes first.
///
/// What a passage gives depends on its text, the requests, the sampling and how many are wanted,
/// and on nothing else, so it is kept under the hash of these.
pub(super) struct Teacher<'a> {
    stages: &'a Stages<'a>,
    ask: &'a Ask,
    seed: u64,
    requests: Vec<&'a str>,
    passages: &'a [Passage],
    /// The tokens of each request with each passage before it, once they have been needed.
    prompts: Vec<Vec<Vec<u32>>>,
}

impl<'a> Teacher<'a> {
    pub(super) fn new(
        stages: &'a Stages<'a>,
        ask: &'a Ask,
        target: &Target,
        passages: &'a [Passage],
    ) -> Self {
        let requests = match ask.template.as_deref() {
            Some(template) => vec![template],
            None if target.document.is_none() => REQUESTS_WITHOUT_DOCUMENT.to_vec(),
            None => REQUESTS.to_vec(),
        };
        let prompts = vec![Vec::new(); passages.len()];
        Self { stages, ask, seed: target.rollout.seed, requests, passages, prompts }
    }

    fn key(&self, passage: usize, wanted: usize) -> Hash {
        self.stages
            .key(STAGE, STIMULI_VERSION)
            .field("generator", GeneratorKind::Ask.name())
            .field("version", &GeneratorKind::Ask.version())
            .field("prompt", &self.passages[passage].prompt)
            .field("requests", &self.requests)
            .field("temperature", &self.ask.temperature)
            .field("seed", &self.seed)
            .field("count", &wanted)
            .finish()
    }

    fn encode_requests(&mut self, passage: usize) -> Result<()> {
        if self.prompts[passage].is_empty() {
            for request in &self.requests {
                let messages = Message::question(&self.passages[passage].prompt, request);
                self.prompts[passage].push(self.stages.model.encode(&messages)?);
            }
        }
        Ok(())
    }

    /// Each sample has its own random stream, whatever else is drawn.
    fn random(&self, draw: &Draw) -> ChaCha8Rng {
        let key = KeyHasher::new("question", 2)
            .field("seed", &self.seed)
            .field("prompt", &self.passages[draw.passage].prompt)
            .field("sample", &draw.sample)
            .finish();
        ChaCha8Rng::from_seed(*key.as_bytes())
    }
}

impl Author for Teacher<'_> {
    fn kept(&self, passage: usize, wanted: usize) -> Result<Option<Candidates>> {
        self.stages.kept(STAGE, &self.key(passage, wanted))
    }

    fn keep(&self, passage: usize, wanted: usize, candidates: &Candidates) -> Result<()> {
        self.stages.keep(STAGE, &self.key(passage, wanted), candidates)
    }

    fn write(&mut self, draws: &[Draw], monitor: Monitor<'_>) -> Result<Vec<Option<String>>> {
        for draw in draws {
            self.encode_requests(draw.passage)?;
        }
        let mut requests = Vec::with_capacity(draws.len());
        for draw in draws {
            let prompt = &self.prompts[draw.passage][draw.sample % self.requests.len()];
            requests.push(Request { prompt, rng: self.random(draw) });
        }
        let model = self.stages.model;
        let sampling =
            Sampling::temperature(self.ask.temperature, self.seed)?.max_tokens(QUESTION_TOKENS);
        let view = WeightView::default();
        let samples = complete(model, requests, &sampling, view, |_| monitor.check())?;
        let mut questions = Vec::with_capacity(samples.len());
        for sample in samples.iter() {
            let text = model.decode(&sample.ids)?;
            let question = cleaned(&text, &self.requests).filter(|_| sample.ended);
            questions.push(question.map(str::to_owned));
        }
        Ok(questions)
    }
}

/// The question in what the model wrote: one line, without a number or quotes around it.
fn cleaned<'a>(text: &'a str, requests: &[&str]) -> Option<&'a str> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let line = if numbered.len() < line.len() {
        numbered.strip_prefix(['.', ')']).unwrap_or(line)
    } else {
        line
    };
    let line = line.trim().trim_matches('"').trim();
    (line.chars().count() >= 3 && !requests.contains(&line)).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_freed_of_what_is_around_them() {
        let requests = ["Ask."];
        assert_eq!(
            cleaned("\n  1. \"How long does it take?\"\nmore", &requests),
            Some("How long does it take?")
        );
        assert_eq!(cleaned("2 minutes are enough?", &requests), Some("2 minutes are enough?"));
        assert_eq!(cleaned("Ask.", &requests), None);
        assert_eq!(cleaned(" \n?", &requests), None);
    }
}
