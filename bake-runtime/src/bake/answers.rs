//! Answers: which of the teacher's rollouts are learned from, and what is where none can be.
//!
//! A rollout is left out if it was cut off, is empty, repeats itself, or is not what the passage
//! says. Of the others the best supported is kept. Where none is left for a question that was made
//! from a passage, the passage's own sentences are the answer.

use std::collections::BTreeMap;

use bake_spec::recipe::{GeneratorKind, Target};
use serde::{Deserialize, Serialize};

use super::excerpt::{READ_WORDS, excerpt};
use super::reading::{Context, Reading};
use super::rollout::Rollouts;
use super::stages::Stages;
use super::stimuli::Stimulus;
use super::support::{ContentWords, Support};
use crate::bake::inputs::Inputs;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::refusal::declines;
use crate::eval::words::words;
use crate::generate::Completion;

/// Words in a row that an answer may not have [`TIMES`] times.
const ROW: usize = 4;

/// How often a row of words is a repetition.
const TIMES: usize = 3;

/// The most words of a passage that a model learns that is not asked, unless a sentence has more:
/// they say one thing.
const VERBATIM_WORDS: usize = 24;

/// Why a rollout is not learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LeftOut {
    /// It did not end within `max_tokens`.
    Cut,
    /// It has no words.
    Empty,
    /// It says that it does not know, though the passage has the answer.
    Refusal,
    /// It repeats itself, or only the question.
    Repeats,
    /// Much of it, or a number in it, is not in the text.
    Unsupported,
    /// It answers what nothing answers.
    Answered,
    /// Another rollout of the same stimulus says more of the passage.
    Outdone,
}

/// For people, of one rollout.
impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut off",
            Self::Empty => "empty",
            Self::Refusal => "refusal",
            Self::Repeats => "repetitive",
            Self::Unsupported => "not supported by the text",
            Self::Answered => "answer to an unanswerable question",
            Self::Outdone => "worse than another rollout",
        })
    }
}

impl LeftOut {
    /// So many of them, for people: `7 refusals`.
    fn counted(self, count: usize) -> String {
        match self {
            Self::Refusal if count != 1 => format!("{count} refusals"),
            Self::Answered if count != 1 => format!("{count} answers to unanswerable questions"),
            _ => format!("{count} {self}"),
        }
    }
}

/// What becomes of the rollouts of one stimulus.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answers {
    /// Why each rollout is left out; none where it is learned from.
    pub(super) dropped: Vec<Option<LeftOut>>,
    /// What is learned, as token ids, which end with the end of the answer.
    pub(super) learned: Vec<Vec<u32>>,
    /// What is learned instead of a rollout: sentences of the passage, or a refusal.
    pub(super) own: Option<String>,
}

/// What became of all rollouts of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerReport {
    /// Answers that are learned.
    pub learned: usize,
    /// Those of them that are sentences of the passage, or refusals of a question without an
    /// answer, because no rollout could be learned from.
    pub own: usize,
    /// Stimuli without any answer that could be learned.
    pub unanswered: usize,
    /// Rollouts that are not learned from, by the reason.
    pub dropped: BTreeMap<LeftOut, usize>,
}

impl AnswerReport {
    pub(super) fn of(answers: &[Answers]) -> Self {
        let mut report = Self::default();
        for Answers { dropped, learned, own } in answers {
            report.learned += learned.len();
            report.own += usize::from(own.is_some());
            report.unanswered += usize::from(learned.is_empty());
            for reason in dropped.iter().flatten() {
                *report.dropped.entry(*reason).or_default() += 1;
            }
        }
        report
    }

    /// What was left out, for people; none where everything is learned from.
    pub fn left_out(&self) -> Option<String> {
        let dropped: Vec<String> =
            self.dropped.iter().map(|(reason, count)| reason.counted(*count)).collect();
        let mut parts = Vec::new();
        parts.extend((!dropped.is_empty()).then(|| dropped.join(", ")));
        let own = self.own;
        parts.extend((own > 0).then(|| format!("{own} replaced by passage text or a refusal")));
        match self.unanswered {
            0 => {}
            1 => parts.push("1 stimulus has no usable answer".to_owned()),
            unanswered => parts.push(format!("{unanswered} stimuli have no usable answer")),
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Who decides what is learned.
pub(super) struct Judge<'a> {
    stages: &'a Stages<'a>,
    target: &'a Target,
    inputs: &'a Inputs,
    reading: &'a Reading<'a>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        stages: &'a Stages<'a>,
        target: &'a Target,
        inputs: &'a Inputs,
        reading: &'a Reading<'a>,
    ) -> Self {
        Self { stages, target, inputs, reading }
    }

    /// What is learned of the rollouts of each stimulus. Fails where nothing is.
    pub(super) fn choose(
        &self,
        stimuli: &[Stimulus],
        rollouts: &[Rollouts],
    ) -> Result<Vec<Answers>> {
        let mut all = Vec::with_capacity(stimuli.len());
        for (stimulus, rollouts) in stimuli.iter().zip(rollouts) {
            all.push(self.answers(stimulus, rollouts)?);
        }
        let report = AnswerReport::of(&all);
        if report.learned > 0 || stimuli.is_empty() {
            return Ok(all);
        }
        if self.stages.recipe.train.teacher_anyway {
            self.keep_everything(&mut all, rollouts);
            return Ok(all);
        }
        let message = format!(
            "none of the {} rollouts of target `{}` is usable ({}); raise `max_tokens`, use \
             another model, or ask other questions",
            rollouts.iter().map(Vec::len).sum::<usize>(),
            self.target.name,
            report.left_out().unwrap_or_default()
        );
        Err(Error::new(ErrorKind::Model, message))
    }

    /// Learns from all rollouts of a teacher that is baked whatever it says.
    fn keep_everything(&self, all: &mut [Answers], rollouts: &[Rollouts]) {
        self.stages.monitor.warn(&format!(
            "no rollout of target `{}` is usable; training on all of them because of `teacher \
             anyway`",
            self.target.name
        ));
        for (answers, rollouts) in all.iter_mut().zip(rollouts) {
            answers.dropped.fill(None);
            answers.learned = rollouts.iter().map(|rollout| rollout.ids.clone()).collect();
        }
    }

    /// What is learned of the rollouts of one stimulus.
    pub(super) fn answers(&self, stimulus: &Stimulus, rollouts: &Rollouts) -> Result<Answers> {
        let context = self.reading.context(stimulus)?;
        let text = self.reading.text(&context).map(|text| ContentWords::of(&text));
        let question = ContentWords::of(&stimulus.text);
        let of_passage = stimulus.passage.is_some() && !self.target.anchor;
        let mut answers = Answers::default();
        let mut best: Option<(usize, f64)> = None;
        for (number, rollout) in rollouts.iter().enumerate() {
            let said = self.stages.model.decode(&rollout.ids)?;
            let reason = match stimulus.generator {
                GeneratorKind::Unanswerable => {
                    left_out_of_none(rollout, &said, self.reading.decline())
                }
                _ if of_passage => dropped_of_passage(rollout, &said, text.as_ref(), &question),
                _ => dropped(rollout, &said, context != Context::Nothing),
            };
            answers.dropped.push(reason);
            let Some(text) = text.as_ref().filter(|_| reason.is_none()) else { continue };
            let score = Support::of(&said, text, &question).score();
            if best.is_none_or(|(_, best)| score > best) {
                best = Some((number, score));
            }
        }
        for (number, rollout) in rollouts.iter().enumerate() {
            if best.is_some_and(|(best, _)| best != number) && answers.dropped[number].is_none() {
                answers.dropped[number] = Some(LeftOut::Outdone);
            }
            if answers.dropped[number].is_none() {
                answers.learned.push(rollout.ids.clone());
            }
        }
        if answers.learned.is_empty()
            && let Some(sentences) = self.own_sentences(stimulus)
        {
            let told = self.reading.told(stimulus, &sentences)?;
            let ids = self.stages.model.encode_answer(&told.messages(), &sentences)?;
            let most = self.target.rollout.max_tokens(self.stages.model.config().context());
            if ids.len() <= most {
                (answers.learned, answers.own) = (vec![ids], Some(sentences));
            }
        }
        Ok(answers)
    }

    /// The sentences of a stimulus's passage that answer it; for one that it does not answer, that
    /// this is not known.
    fn own_sentences(&self, stimulus: &Stimulus) -> Option<String> {
        if stimulus.generator == GeneratorKind::Unanswerable {
            return Some(self.reading.decline().to_owned());
        }
        if self.target.anchor {
            return None;
        }
        let (_, passage) = self.inputs.passage_of(stimulus)?;
        let most = match self.reading.is_verbatim(stimulus) {
            true => VERBATIM_WORDS,
            false => READ_WORDS,
        };
        Some(excerpt(passage, &stimulus.text, most)).filter(|sentences| !sentences.is_empty())
    }
}

/// Why a rollout is left out whose question does not say which passage has the answer, or that
/// there is one.
fn dropped(rollout: &Completion, said: &str, reads: bool) -> Option<LeftOut> {
    match words(said) {
        _ if !rollout.ended => Some(LeftOut::Cut),
        said if said.is_empty() => Some(LeftOut::Empty),
        said if reads && repeats(&said) => Some(LeftOut::Repeats),
        _ => None,
    }
}

/// Why a rollout is left out whose question nothing answers.
fn left_out_of_none(rollout: &Completion, said: &str, decline: &str) -> Option<LeftOut> {
    let reason = dropped(rollout, said, true);
    let declined = declines(said) || words(said) == words(decline);
    reason.or_else(|| (!declined).then_some(LeftOut::Answered))
}

/// Why a rollout is left out that must say what a passage says.
fn dropped_of_passage(
    rollout: &Completion,
    said: &str,
    text: Option<&ContentWords>,
    question: &ContentWords,
) -> Option<LeftOut> {
    let reason = dropped(rollout, said, true);
    let Some(text) = text.filter(|_| reason.is_none()) else { return reason };
    let support = Support::of(said, text, question);
    let plain = ["yes", "no"].contains(&words(said)[0].as_str());
    if declines(said) {
        Some(LeftOut::Refusal)
    } else if !support.is_enough() {
        Some(LeftOut::Unsupported)
    } else if support.supported == 0 && !plain && !ContentWords::of(said).is_empty() {
        Some(LeftOut::Repeats)
    } else {
        None
    }
}

/// Whether a row of words comes again and again.
fn repeats(said: &[String]) -> bool {
    let mut seen: BTreeMap<&[String], usize> = BTreeMap::new();
    said.windows(ROW).any(|row| {
        let times = seen.entry(row).or_default();
        *times += 1;
        *times >= TIMES
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::inputs::Passage;

    fn passage() -> Passage {
        Passage {
            heading: Some("Cleaning the filter".into()),
            body: "Rinse the filter under lukewarm\nwater every two weeks. Never use soap. A new \
                   filter costs 14 euros.\n\n- Let it dry for a day."
                .into(),
            ..Passage::default()
        }
    }

    fn reason(said: &str) -> Option<LeftOut> {
        let text = ContentWords::of(&passage().body);
        let question = ContentWords::of("How do I clean the filter?");
        let rollout = Completion { ids: vec![1], ended: true };
        dropped_of_passage(&rollout, said, Some(&text), &question)
    }

    #[test]
    fn what_the_passage_does_not_say_is_left_out_with_its_reason() {
        for said in ["Rinse it under lukewarm water.", "No, never use soap.", "Yes."] {
            assert_eq!(reason(said), None, "{said}");
        }
        for (said, why) in [
            (" .", LeftOut::Empty),
            ("I don't know how to clean it.", LeftOut::Refusal),
            ("Rinse the water, rinse the water, rinse the water, rinse it.", LeftOut::Repeats),
            ("You clean the filter.", LeftOut::Repeats),
            ("Take it to a dealer and pay for maintenance.", LeftOut::Unsupported),
            ("Rinse it under lukewarm water every 3 weeks.", LeftOut::Unsupported),
        ] {
            assert_eq!(reason(said), Some(why), "{said}");
        }
        let cut = Completion { ids: vec![1], ended: false };
        assert_eq!(dropped(&cut, "Rinse it", true), Some(LeftOut::Cut));
        // Where there is nothing to read, the model's own way of speaking is what is learned.
        let ended = Completion { ids: vec![1], ended: true };
        assert_eq!(dropped(&ended, "I don't know.", false), None);
        // A question that nothing answers is declined.
        assert_eq!(left_out_of_none(&ended, "I don't know.", "No idea."), None);
        assert_eq!(left_out_of_none(&ended, "Ask at the desk!", "Ask at the desk."), None);
        assert_eq!(left_out_of_none(&ended, "It is blue.", "No idea."), Some(LeftOut::Answered));
    }

    #[test]
    fn reports_say_what_was_left_out() {
        let answers = [
            Answers { dropped: vec![Some(LeftOut::Cut), None], learned: vec![vec![1]], own: None },
            Answers {
                dropped: vec![Some(LeftOut::Cut)],
                learned: vec![vec![2]],
                own: Some("It is.".into()),
            },
            Answers { dropped: vec![Some(LeftOut::Empty)], ..Answers::default() },
        ];
        let report = AnswerReport::of(&answers);
        assert_eq!((report.learned, report.own, report.unanswered), (2, 1, 1));
        assert_eq!(
            report.left_out().unwrap(),
            "2 cut off, 1 empty; 1 replaced by passage text or a refusal; 1 stimulus has no usable \
             answer"
        );
        let dropped = [(LeftOut::Refusal, 2), (LeftOut::Answered, 1)].into();
        let more = AnswerReport { own: 2, unanswered: 3, dropped, ..report };
        assert_eq!(
            more.left_out().unwrap(),
            "2 refusals, 1 answer to an unanswerable question; 2 replaced by passage text or a \
             refusal; 3 stimuli have no usable answer"
        );
        assert_eq!(AnswerReport::default().left_out(), None);
    }
}
