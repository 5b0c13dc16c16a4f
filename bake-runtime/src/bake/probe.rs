//! Probes: questions with known answers, put to the teacher before anything is trained.
//!
//! A passage's heading is asked, and its text expected. What the model gets right in each layout of
//! its prompt decides which is used; what it gets right without any document says whether there is
//! something to learn from the teacher at all.

use bake_spec::recipe::{Expect, Target, TeacherContext};
use bake_spec::{Hash, KeyHasher};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::layout::{Conversation, Layout};
use super::reading::Reading;
use super::room::Room;
use super::stages::Stages;
use super::stimuli::{Phrases, is_english, spread};
use super::support::{ContentWords, Support};
use crate::bake::inputs::{Inputs, Passage};
use crate::error::Result;
use crate::eval::grade::meets;
use crate::eval::refusal::declines;
use crate::generate::prefix::ReadTokens;
use crate::generate::sample::Sampling;
use crate::generate::{Completion, Request, complete};
use crate::progress::Stage;

/// The name of the stage in the store.
const STAGE: &str = "probes";

/// The version of how answers to probes are made.
const VERSION: u32 = 1;

/// The most probes of a target's passages, and of its expectations.
const MOST: usize = 12;

/// Probes of a document's passages, if it has fewer: then each is asked about several times.
const FEWEST: usize = 6;

/// What is asked about what a passage is about, and, where that is a question, around it.
const FRAMES: [&str; 4] = ["{}", "What about {}?", "Tell me about {}.", "I need help with {}."];
const QUESTION_FRAMES: [&str; 4] =
    ["{}", "Can you tell me: {}", "I'd like to know: {}", "One question: {}"];

/// The most tokens of an answer.
const TOKENS: usize = 128;

/// Words of a passage beyond those of the question that an answer needs, if it has as many.
const WORDS: usize = 3;

/// The phrases of a passage without a heading that are asked about.
const ASKED_PHRASES: usize = 2;

/// A question with a known answer.
#[derive(Clone, Debug)]
pub(super) struct Probe<'a> {
    pub(super) question: String,
    expected: RightAnswer<'a>,
}

/// What the answer must be.
#[derive(Clone, Debug)]
enum RightAnswer<'a> {
    /// In the words of a passage.
    Passage(usize),
    /// As the declaration expects.
    Declared(&'a Expect),
    /// Anything: only what changes it counts.
    Anything,
}

impl Probe<'_> {
    /// What the teacher reads.
    fn read(&self, reading: &Reading<'_>) -> Result<Conversation> {
        let own = match self.expected {
            RightAnswer::Passage(number) => Some(number),
            RightAnswer::Declared(_) | RightAnswer::Anything => None,
        };
        Ok(reading.with(&reading.context_of(&self.question, own)?, &self.question))
    }

    /// A question with any answer.
    pub(super) fn open(question: &str) -> Self {
        Self { question: question.to_owned(), expected: RightAnswer::Anything }
    }

    /// Whether a declaration says what the answer must be.
    pub(super) fn is_declared(&self) -> bool {
        matches!(self.expected, RightAnswer::Declared(_))
    }
}

/// An answer to a probe.
#[derive(Clone, Debug)]
pub(super) struct Probed {
    pub(super) completion: Completion,
    pub(super) text: String,
    pub(super) right: bool,
    /// How much of the passage it says, between 0 and 1.
    score: f64,
}

/// What a model got right.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) layout: Layout,
    pub(super) answers: Vec<Probed>,
}

impl Tried {
    /// Whether all answers are right.
    pub(super) fn is_right(&self) -> bool {
        right(&self.answers) == self.answers.len()
    }
}

/// How many of some answers are right.
pub(super) fn right(answers: &[Probed]) -> usize {
    answers.iter().filter(|answer| answer.right).count()
}

/// How the probes of a target were answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// What the teacher reads, where the declaration says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<TeacherContext>,
    /// The layout that was chosen.
    pub layout: Layout,
    /// The probes.
    pub probes: usize,
    /// Those that the teacher answered right in each layout that was tried.
    pub right: Vec<(Layout, usize)>,
    /// Those that the model answered right without anything to read.
    pub base: usize,
}

/// What the report says, for people.
impl std::fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { context, layout, probes, right, base } = self;
        let read = |layout: &Layout| layout.read(*context);
        write!(f, "best layout: {} (", read(layout))?;
        let chosen = right.iter().find(|(tried, _)| tried == layout);
        if let Some((_, right)) = chosen {
            write!(f, "{right} of {probes} probes right; ")?;
        }
        for (other, right) in right.iter().filter(|(tried, _)| tried != layout) {
            write!(f, "{right} with {}; ", read(other))?;
        }
        write!(f, "{base} without the document)")
    }
}

/// The probes of a target, and who answers them.
pub(super) struct Probing<'a> {
    pub(super) stages: &'a Stages<'a>,
    pub(super) target: &'a Target,
    pub(super) inputs: &'a Inputs,
    /// Whether missing answers are made; otherwise this only looks.
    pub(super) makes: bool,
}

impl<'a> Probing<'a> {
    /// Questions about passages all over the document.
    pub(super) fn of_passages(&self) -> Vec<Probe<'a>> {
        let passages = &self.inputs.passages;
        let Some(document) = &self.inputs.document else { return Vec::new() };
        // Sentences around a heading are in English.
        let english = is_english(document);
        let phrases = Phrases::of(passages);
        let times = match english {
            true => FEWEST.div_ceil(passages.len().max(1)).min(FRAMES.len()),
            false => 1,
        };
        let mut probes = Vec::new();
        for (number, passage) in passages.iter().enumerate() {
            let (phrases, told) = (phrases.of_passage(number), ContentWords::of(&passage.text));
            for time in 0..times {
                // Where each is asked about once, headings and questions alternate.
                let frame = match times {
                    1 if english => number % 2,
                    _ => time,
                };
                let Some(question) = question_about(passage, &phrases, frame) else { continue };
                let beyond = told.beyond(&ContentWords::of(&question));
                if beyond > 0 {
                    probes.push(Probe { question, expected: RightAnswer::Passage(number) });
                }
            }
        }
        spread(probes, MOST)
    }

    /// What the declaration expects of this target, apart from refusals: these are no sign that a
    /// teacher can read.
    pub(super) fn of_expects(&self) -> Vec<Probe<'a>> {
        let recipe = self.stages.recipe;
        let mut probes = Vec::new();
        for expect in recipe.expects.iter() {
            let of_target = expect.target.as_deref() == Some(&*self.target.name);
            if of_target && expect.answer != bake_spec::recipe::Answer::Declines {
                let question = expect.question.to_string();
                probes.push(Probe { question, expected: RightAnswer::Declared(expect) });
            }
        }
        spread(probes, MOST)
    }

    /// The answers of the teacher in a layout; none where they are not kept and not made.
    pub(super) fn teacher(
        &self,
        layout: Layout,
        probes: &[Probe<'_>],
    ) -> Result<Option<Vec<Probed>>> {
        self.answers(probes, &self.read(layout, probes)?)
    }

    /// What a model gets right in a layout, without keeping it.
    pub(super) fn try_out(&self, layout: Layout, probes: &[Probe<'_>]) -> Result<Tried> {
        let made = self.make(&self.read(layout, probes)?)?;
        Ok(Tried { layout, answers: self.all_judged(probes, &made)? })
    }

    /// What the teacher reads in a layout.
    pub(super) fn read(&self, layout: Layout, probes: &[Probe<'_>]) -> Result<Vec<Conversation>> {
        let reading = Reading::new(self.stages, self.target, self.inputs, layout)?;
        probes.iter().map(|probe| probe.read(&reading)).collect()
    }

    /// The tokens that are read for each of these conversations, if their answers are not in the
    /// store. What several begin with counts for the first of all.
    pub(super) fn missing(&self, asked: &[Conversation]) -> Result<Vec<usize>> {
        if asked.is_empty() || self.kept(asked)?.is_some() {
            return Ok(Vec::new());
        }
        let encoded = asked.iter().map(|asked| asked.encode(self.stages.model));
        let ReadTokens { shared, mut own, .. } =
            ReadTokens::of(&encoded.collect::<Result<Vec<_>>>()?);
        own[0] += shared;
        Ok(own)
    }

    fn kept(&self, asked: &[Conversation]) -> Result<Option<Vec<Completion>>> {
        let kept: Option<Vec<Completion>> = self.stages.kept(STAGE, &self.key(asked))?;
        Ok(kept.filter(|kept| kept.len() == asked.len()))
    }

    /// What the declaration expects, as far as there is room for the question with what the teacher
    /// reads in a layout.
    pub(super) fn of_expects_with_room(&self, layout: Layout) -> Result<Vec<Probe<'a>>> {
        let reading = Reading::new(self.stages, self.target, self.inputs, layout)?;
        let room = Room::of(self.stages.model, &self.target.rollout);
        let mut probes = Vec::new();
        for probe in self.of_expects() {
            if room.holds(&probe.read(&reading)?)? && room.holds(&self.plain(&probe))? {
                probes.push(probe);
            }
        }
        Ok(probes)
    }

    /// What the model reads that has nothing but what the student has.
    fn plain(&self, probe: &Probe<'_>) -> Conversation {
        Conversation::plain(&self.stages.recipe.student, &probe.question)
    }

    /// The answers of the model that has nothing to read but what the student has.
    pub(super) fn base(&self, probes: &[Probe<'_>]) -> Result<Option<Vec<Probed>>> {
        let asked: Vec<_> = probes.iter().map(|probe| self.plain(probe)).collect();
        self.answers(probes, &asked)
    }

    /// The answers in these conversations; none where they are not kept and not made.
    pub(super) fn answers(
        &self,
        probes: &[Probe<'_>],
        asked: &[Conversation],
    ) -> Result<Option<Vec<Probed>>> {
        if asked.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let completions = match self.kept(asked)? {
            Some(kept) => kept,
            None if !self.makes => return Ok(None),
            None => {
                let made = self.make(asked)?;
                self.stages.keep(STAGE, &self.key(asked), &made)?;
                made
            }
        };
        Ok(Some(self.all_judged(probes, &completions)?))
    }

    fn key(&self, asked: &[Conversation]) -> Hash {
        let mut key: KeyHasher = self.stages.key(STAGE, VERSION).field("tokens", &self.tokens());
        for conversation in asked {
            key = conversation.address(key);
        }
        key.finish()
    }

    /// The most tokens of an answer.
    pub(super) fn tokens(&self) -> usize {
        let most = self.target.rollout.max_tokens(self.stages.model.config().context());
        // What a behaviour does may only show at the end of an answer.
        if self.inputs.document.is_some() { TOKENS.min(most) } else { most }
    }

    fn make(&self, asked: &[Conversation]) -> Result<Vec<Completion>> {
        let model = self.stages.model;
        let mut prompts = Vec::with_capacity(asked.len());
        for conversation in asked {
            prompts.push(conversation.encode(model)?);
        }
        let requests = prompts
            .iter()
            .map(|prompt| Request { prompt, rng: ChaCha8Rng::from_seed([0; 32]) })
            .collect();
        let sampling = Sampling::greedy().max_tokens(self.tokens());
        let stage = Stage {
            name: &format!("probes of {}", self.target.name),
            target: &self.target.name,
            total: asked.len(),
            unit: "questions",
        };
        self.stages.monitor.stage(stage, |ticker| {
            let view = model.view(None);
            complete(model, requests, &sampling, view, |ended| ticker.advance(ended, ""))
        })
    }

    fn all_judged(&self, probes: &[Probe<'_>], made: &[Completion]) -> Result<Vec<Probed>> {
        let each = probes.iter().zip(made);
        each.map(|(probe, completion)| self.judged(probe, completion)).collect()
    }

    fn judged(&self, probe: &Probe<'_>, completion: &Completion) -> Result<Probed> {
        let text = self.stages.model.decode(&completion.ids)?.trim().to_owned();
        let (right, score) = match probe.expected {
            RightAnswer::Declared(expect) => {
                let right = meets(&expect.answer, &text);
                (right, f64::from(u8::from(right)))
            }
            RightAnswer::Anything => (false, 0.0),
            RightAnswer::Passage(number) => {
                says(&text, &self.inputs.passages[number].text, &probe.question)
            }
        };
        let right = right && completion.ended;
        Ok(Probed { completion: completion.clone(), text, right, score })
    }
}

/// Whether an answer says what a passage says beyond the question, and how much of it.
fn says(answer: &str, passage: &str, question: &str) -> (bool, f64) {
    let (passage, question) = (ContentWords::of(passage), ContentWords::of(question));
    let support = Support::of(answer, &passage, &question);
    let needed = passage.beyond(&question).min(WORDS);
    let right = support.is_enough() && support.supported >= needed && !declines(answer);
    let enough = (support.supported as f64 / (2 * WORDS) as f64).min(1.0);
    (right, support.score() * enough)
}

/// A question about a passage: its heading, or the phrases that set it apart, in one of the frames;
/// none where nothing does.
fn question_about(passage: &Passage, phrases: &[String], frame: usize) -> Option<String> {
    let subject = match &passage.heading {
        Some(heading) => heading.clone(),
        None => phrases[..phrases.len().min(ASKED_PHRASES)].join(", "),
    };
    if ContentWords::of(&subject).is_empty() {
        return None;
    }
    let frames = if subject.ends_with('?') { QUESTION_FRAMES } else { FRAMES };
    Some(frames[frame].replace("{}", &subject))
}

/// The layouts that were tried, until one got everything right; none where answers are missing.
pub(super) fn try_layouts(
    probing: &Probing<'_>,
    layouts: &[Layout],
    probes: &[Probe<'_>],
) -> Result<Option<Vec<Tried>>> {
    let mut tried: Vec<Tried> = Vec::new();
    for &layout in layouts {
        let Some(answers) = probing.teacher(layout, probes)? else { return Ok(None) };
        tried.push(Tried { layout, answers });
        if tried.last().is_some_and(Tried::is_right) {
            break;
        }
    }
    Ok(Some(tried))
}

/// The layout in which most is right, and of equal ones that in which more is said; then the first.
pub(super) fn best(tried: Vec<Tried>) -> Option<Tried> {
    let worth = |tried: &Tried| {
        let said: f64 = tried.answers.iter().map(|answer| answer.score).sum();
        (right(&tried.answers), (100.0 * said) as usize)
    };
    let mut best: Option<Tried> = None;
    for one in tried {
        if best.as_ref().is_none_or(|best| worth(&one) > worth(best)) {
            best = Some(one);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_right_if_it_says_what_the_passage_says() {
        let passage = "# Lost and found\n\n## Lost key\nAsk Bob in the blue office on day 3.";
        let right = |answer| says(answer, passage, "Lost key").0;
        assert!(right("Ask Bob in the blue office on day 3.") && right("Bob, in the blue office."));
        assert!(!right("Lost key.") && !right("Bob.") && !right(""));
        assert!(!right("You should call a locksmith and change the lock of your blue door."));
        assert!(!right("Ask Bob in the blue office on day 4."));
        assert!(!right("Bob in the blue office? I do not know."));
        // A passage of fewer words can be said in fewer.
        assert!(says("Bob.", "## Lost key\nBob.", "Lost key").0);
    }

    fn tried(layout: Layout, answers: &[(bool, f64)]) -> Tried {
        let answers = answers
            .iter()
            .map(|&(right, score)| Probed {
                completion: Completion { ids: vec![1], ended: true },
                text: String::new(),
                right,
                score,
            })
            .collect();
        Tried { layout, answers }
    }

    #[test]
    fn the_layout_in_which_most_is_right_is_the_best_and_else_the_first() {
        let chosen = |tried: &[Tried]| best(tried.to_vec()).unwrap().layout;
        let (one, other) = (Layout::System, Layout::User);
        let good = [(true, 0.5), (true, 0.5)];
        assert_eq!(chosen(&[tried(one, &good), tried(other, &good)]), one);
        assert_eq!(chosen(&[tried(one, &[(true, 1.0), (false, 1.0)]), tried(other, &good)]), other);
        assert_eq!(chosen(&[tried(one, &good), tried(other, &[(true, 0.6), (true, 0.5)])]), other);
        assert!(best(Vec::new()).is_none());
    }

    #[test]
    fn a_passage_without_a_heading_is_asked_about_by_what_sets_it_apart() {
        let passage =
            |own: &str| Passage { own: own.to_owned(), text: own.to_owned(), ..Passage::default() };
        let passages = [
            passage("The machine drains through a garden hose."),
            passage("The machine stops when the tank is full."),
        ];
        let phrases = Phrases::of(&passages);
        let about = |number: usize| {
            question_about(&passages[number], &phrases.of_passage(number), 1).unwrap()
        };
        assert_eq!(about(0), "What about machine drains through, garden hose?");
        assert!(about(1).contains("tank") && !about(1).contains("hose"), "{}", about(1));
        assert_eq!(question_about(&passages[0], &[], 1), None);
    }
}
