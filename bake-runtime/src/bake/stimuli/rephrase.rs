//! Other words for questions that other generators made.
//!
//! The model says a question again, after worked examples of how that is done. What it says is
//! asked only if the teacher answers both in the same way, so that it still asks the same.

use bake_spec::recipe::address::STIMULI_VERSION;
use bake_spec::recipe::{
    GeneratorKind, Prompt, PromptFields, Rephrase, Role, Target, TeacherContext, Turn,
};
use bake_spec::{Hash, KeyHasher};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::ask::{Author, Candidates, Draw, Sample};
use super::author::{QUESTION_TOKENS, STAGE, sampled};
use super::filter::{Filter, nearly_the_same};
use super::{DropReason, Stimulus};
use crate::bake::inputs::{Inputs, Passage};
use crate::bake::layout::Conversation;
use crate::bake::reading::Reading;
use crate::bake::room::Room;
use crate::bake::stages::Stages;
use crate::bake::support::{ContentWords, Support};
use crate::error::Result;
use crate::eval::refusal::declines;
use crate::eval::words::words;
use crate::generate::sample::Sampling;
use crate::progress::Monitor;

/// The most tokens of the answers that are compared.
const ANSWER_TOKENS: usize = 96;

/// Questions, and the same in other words.
const PAIRS: [(&str, &str); 8] = [
    ("How do I clean the filter?", "What is the right way to get the filter clean?"),
    ("opening hours", "When are you open?"),
    ("I lost my ticket. What now?", "Can you help me? My ticket is gone."),
    ("What does a day pass cost?", "How much do I pay for a whole day?"),
    ("The screen stays black.", "Nothing can be seen on the display, what should I do?"),
    ("Why is the ramp closed?", "For what reason can nobody use the ramp?"),
    ("Tell me about parking.", "Where can I leave my car?"),
    ("Who signs the form?", "whose signature does the form need"),
];

/// Pairs before a request.
const SHOWN: usize = 4;

/// What the model is asked for.
const REQUEST: &str = "Say this in other words: ";

/// Questions about one passage, or about none, that are to be said in other words.
pub(super) struct Originals<'a> {
    /// The passage; without a place in the document where there is none.
    pub(super) passage: Passage,
    questions: Vec<&'a Stimulus>,
}

impl<'a> Originals<'a> {
    /// The questions that can be said in other words, by the passages that they were made from, and
    /// those that were made from none.
    pub(super) fn of(stimuli: &'a [Stimulus], passages: &[Passage]) -> Vec<Self> {
        let nowhere = Passage::default();
        let of_none = passages.iter().all(|passage| passage.span.is_some()).then_some(&nowhere);
        let mut all = Vec::new();
        for passage in passages.iter().chain(of_none) {
            let own =
                |it: &&Stimulus| it.generator.can_be_rephrased() && it.passage == passage.span;
            let questions: Vec<&Stimulus> = stimuli.iter().filter(own).collect();
            if !questions.is_empty() {
                all.push(Self { passage: passage.clone(), questions });
            }
        }
        all
    }

    /// The question that a sample says in other words.
    fn question(&self, sample: usize) -> &'a Stimulus {
        self.questions[sample % self.questions.len()]
    }
}

/// The model as the author of other words, and as the teacher that answers both.
pub(super) struct Rephraser<'a> {
    stages: &'a Stages<'a>,
    rephrase: &'a Rephrase,
    target: &'a Target,
    inputs: &'a Inputs,
    reading: &'a Reading<'a>,
    originals: &'a [Originals<'a>],
}

impl<'a> Rephraser<'a> {
    pub(super) fn new(
        stages: &'a Stages<'a>,
        rephrase: &'a Rephrase,
        (target, inputs): (&'a Target, &'a Inputs),
        reading: &'a Reading<'a>,
        originals: &'a [Originals<'a>],
    ) -> Self {
        Self { stages, rephrase, target, inputs, reading, originals }
    }

    /// What a passage gives depends on its questions, on how they are said in other words, on how
    /// many are wanted, and on what the teacher reads to answer them.
    fn key(&self, passage: usize, wanted: usize) -> Result<Hash> {
        let (kind, originals) = (GeneratorKind::Rephrase, &self.originals[passage]);
        let mut key = self
            .stages
            .key(STAGE, STIMULI_VERSION)
            .field("generator", kind.name())
            .field("version", &kind.version())
            .field("temperature", &self.rephrase.temperature)
            .field("seed", &self.target.rollout.seed)
            .field("answer", &self.answer_tokens())
            .field("count", &wanted)
            .field("request", REQUEST);
        for (question, other) in PAIRS {
            key = key.field("question", question).field("other", other);
        }
        // Which passages are found depends on all of them.
        let context = self.target.context;
        if originals.passage.span.is_none() || context == Some(TeacherContext::Retrieved) {
            key = key.field("document", &self.inputs.document);
        }
        // Of an excerpt's passage more is read for other words.
        key = key
            .field("passage", &*originals.passage.text)
            .field("max_tokens", &self.max_tokens())
            .field("excerpt", &self.reading.reads_excerpts());
        for question in &originals.questions {
            key = self.reading.conversation(question)?.address(key);
        }
        Ok(key.finish())
    }

    fn max_tokens(&self) -> usize {
        self.target.rollout.max_tokens(self.stages.model.config().context())
    }

    fn answer_tokens(&self) -> usize {
        ANSWER_TOKENS.min(self.max_tokens())
    }

    /// Each sample has its own random stream, whatever else is drawn.
    fn random(&self, draw: &Draw) -> ChaCha8Rng {
        let originals = &self.originals[draw.passage];
        let key = KeyHasher::new("rephrase", 1)
            .field("seed", &self.target.rollout.seed)
            .field("question", &*originals.question(draw.sample).text)
            .field("sample", &(draw.sample / originals.questions.len()))
            .finish();
        ChaCha8Rng::from_seed(*key.as_bytes())
    }

    /// The likeliest answers of the teacher.
    fn answers(&self, stimuli: &[Stimulus], monitor: Monitor<'_>) -> Result<Vec<Answered>> {
        let model = self.stages.model;
        let mut prompts = Vec::with_capacity(stimuli.len());
        for stimulus in stimuli {
            prompts.push(self.reading.conversation(stimulus)?.encode(model)?);
        }
        let sampling = Sampling::greedy().max_tokens(self.answer_tokens());
        let answers =
            sampled(self.stages, &prompts, &sampling, monitor, |_| ChaCha8Rng::from_seed([0; 32]))?;
        let mut answered = Vec::with_capacity(stimuli.len());
        for (stimulus, answer) in stimuli.iter().zip(answers) {
            let said = model.decode(&answer.ids)?.trim().to_owned();
            answered.push(Answered {
                question: ContentWords::of(&stimulus.text),
                answer: answer.ended.then_some(said),
            });
        }
        Ok(answered)
    }
}

/// Whether there is room to say a question in other words, and to answer it in these.
pub(super) fn has_room(
    stages: &Stages<'_>,
    target: &Target,
    reading: &Reading<'_>,
    question: &Stimulus,
) -> Result<bool> {
    if !question.generator.can_be_rephrased() {
        return Ok(false);
    }
    let room = Room::of(stages.model, &target.rollout);
    for shift in 0..PAIRS.len() / SHOWN {
        if !room.holds_with(&request(&question.text, shift), QUESTION_TOKENS)? {
            return Ok(false);
        }
    }
    room.holds_with(&reading.conversation(question)?, QUESTION_TOKENS)
}

impl Author for Rephraser<'_> {
    fn kept(&self, passage: usize, wanted: usize) -> Result<Option<Candidates>> {
        self.stages.kept(STAGE, &self.key(passage, wanted)?)
    }

    fn keep(&self, passage: usize, wanted: usize, candidates: &Candidates) -> Result<()> {
        self.stages.keep(STAGE, &self.key(passage, wanted)?, candidates)
    }

    fn write(&mut self, draws: &[Draw], monitor: Monitor<'_>) -> Result<Vec<Sample>> {
        let model = self.stages.model;
        let (mut asked, mut prompts) = (Vec::new(), Vec::new());
        for draw in draws {
            let originals = &self.originals[draw.passage];
            let shift = draw.sample / originals.questions.len();
            let conversation = request(&originals.question(draw.sample).text, shift);
            prompts.push(conversation.encode(model)?);
            asked.push(conversation.question);
        }
        let sampling = Sampling::temperature(self.rephrase.temperature, self.target.rollout.seed)?
            .max_tokens(QUESTION_TOKENS);
        let written = sampled(self.stages, &prompts, &sampling, monitor, |number| {
            self.random(&draws[number])
        })?;
        let (mut samples, mut pairs) = (Vec::with_capacity(draws.len()), Vec::new());
        for (number, (draw, written)) in draws.iter().zip(&written).enumerate() {
            let (originals, text) = (&self.originals[draw.passage], model.decode(&written.ids)?);
            let original = originals.question(draw.sample);
            let sample = match written.ended {
                false => Sample::dropped(&text, DropReason::Unended),
                true => other_words(&originals.passage, original, &text),
            };
            if let Sample::Question(text) = &sample {
                let span = original.passage.clone();
                pairs.push((number, (*original).clone()));
                pairs.push((number, Stimulus::new(text, span, GeneratorKind::Rephrase)));
            }
            samples.push(sample);
        }
        let (numbers, stimuli): (Vec<usize>, Vec<Stimulus>) = pairs.into_iter().unzip();
        let answered = self.answers(&stimuli, monitor)?;
        for (number, answered) in numbers.iter().step_by(2).zip(answered.as_chunks::<2>().0) {
            let [original, other] = answered;
            if let Sample::Question(text) = &samples[*number]
                && !original.same_as(other)
            {
                samples[*number] = Sample::dropped(text, DropReason::OtherAnswer);
            }
        }
        Ok(samples)
    }
}

/// What the model reads to say a question in other words; `shift` says which pairs precede it.
fn request(question: &str, shift: usize) -> Conversation {
    let mut turns = Vec::with_capacity(2 * SHOWN);
    for shown in 0..SHOWN {
        let (question, other) = PAIRS[(SHOWN * shift + shown) % PAIRS.len()];
        let asked = format!("{REQUEST}{question}");
        turns.push(Turn { role: Role::User, text: asked.into() });
        turns.push(Turn { role: Role::Assistant, text: other.into() });
    }
    let prompt = Prompt::new(PromptFields { system: "".into(), turns: turns.into() })
        .expect("pairs of turns that are not empty make a prompt");
    Conversation { prompt, question: format!("{REQUEST}{question}") }
}

/// The question in what the model wrote, if it is one in other words than the original.
fn other_words(passage: &Passage, original: &Stimulus, text: &str) -> Sample {
    match Filter::new(passage).judge(text, REQUEST) {
        Sample::Question(question) => {
            let (before, now) = (ContentWords::of(&original.text), ContentWords::of(&question));
            let same = words(&question) == words(&original.text);
            match same || nearly_the_same(&before, &now) {
                true => Sample::dropped(&question, DropReason::Similar),
                false => Sample::Question(question),
            }
        }
        dropped => dropped,
    }
}

/// A question, and the teacher's answer if it ended.
struct Answered {
    question: ContentWords,
    answer: Option<String>,
}

impl Answered {
    /// Whether the teacher says the same to both: the same words, or, beyond the questions, most of
    /// the words of each in the other, with all numbers. A refusal is not an answer.
    fn same_as(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (&self.answer, &other.answer) else { return false };
        if words(one).is_empty() || declines(one) || declines(two) {
            return false;
        }
        let has = |text: &str, answer: &str, question: &ContentWords| {
            let support = Support::of(answer, &ContentWords::of(text), question);
            support.supported > 0 && support.is_enough()
        };
        words(one) == words(two)
            || (has(one, two, &other.question) && has(two, one, &self.question))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(question: &str, answer: Option<&str>) -> Answered {
        Answered { question: ContentWords::of(question), answer: answer.map(str::to_owned) }
    }

    #[test]
    fn only_what_the_teacher_answers_in_the_same_way_asks_the_same() {
        let key = answered("I lost my key", Some("Ask Bob in the blue office within 3 days."));
        let same = |answer| key.same_as(&answered("My key is gone, what now?", answer));
        assert!(same(Some("Ask Bob in the blue office within 3 days.")));
        assert!(same(Some("Within 3 days, Bob in the blue office.")));
        for other in [
            None,
            Some(""),
            Some("Call the shop."),
            Some("Ask Bob in the blue office within 4 days."),
            Some("I don't have that information."),
        ] {
            assert!(!same(other), "{other:?}");
        }
        let declined = answered("Who is Eve?", Some("I don't have that information."));
        assert!(!declined.same_as(&declined));
    }

    #[test]
    fn other_words_are_a_question_about_the_passage_in_other_words() {
        let passage = Passage {
            span: Some(0..1),
            text: "## Lost key\nAsk Bob in the blue office.".into(),
            ..Passage::default()
        };
        let original = Stimulus::new("Who has a lost key?", Some(0..1), GeneratorKind::Outline);
        let judged = |text: &str| match other_words(&passage, &original, text) {
            Sample::Question(question) => Ok(question),
            Sample::Dropped { why, .. } => Err(why),
        };
        assert_eq!(judged("Where is my key?"), Ok("Where is my key?".to_owned()));
        assert_eq!(judged("Who has a lost key?"), Err(DropReason::Similar));
        assert_eq!(judged("A lost key, who has it?"), Err(DropReason::Similar));
        assert_eq!(judged("Where can I park?"), Err(DropReason::OffTopic));
    }

    #[test]
    fn what_somebody_can_ask_is_said_in_other_words_passage_by_passage() {
        let passages =
            [0..1, 1..2, 2..3].map(|span| Passage { span: Some(span), ..Passage::default() });
        let stimuli = [
            Stimulus::new("Who?", Some(1..2), GeneratorKind::Outline),
            Stimulus::new("Where?", None, GeneratorKind::Questions),
            Stimulus::new("Why?", Some(0..1), GeneratorKind::Unanswerable),
            Stimulus::new("When?", Some(1..2), GeneratorKind::Ask),
        ];
        let found: Vec<_> = Originals::of(&stimuli, &passages)
            .into_iter()
            .map(|it| (it.passage.span, it.questions.iter().map(|it| &*it.text).collect()))
            .collect();
        assert_eq!(found, [(Some(1..2), vec!["Who?", "When?"]), (None, vec!["Where?"])]);
        let none = Originals::of(&stimuli, &[Passage::default()]);
        assert_eq!((none.len(), none[0].questions.len()), (1, 1));
    }

    #[test]
    fn later_samples_of_a_question_see_other_examples() {
        let (first, later) = (request("Who?", 0), request("Who?", 1));
        assert_eq!(first.question, "Say this in other words: Who?");
        assert_eq!(first.prompt.turns.len(), 2 * SHOWN);
        assert_ne!(first.prompt, later.prompt);
        assert_eq!(first, request("Who?", PAIRS.len() / SHOWN));
    }
}
