//! Recall: whether the baked model answers as its teacher does what it was not trained on.

use std::collections::BTreeMap;
use std::sync::Arc;

use bake_spec::recipe::{GeneratorKind, Target};
use serde::{Deserialize, Serialize};

use super::answers::Answers;
use super::stages::Stages;
use super::stimuli::{Stimulus, spread};
use super::support::{ContentWords, Support};
use super::verdict::{RUNGS, Score};
use crate::adapter::Adapter;
use crate::bake::inputs::{Inputs, Passage};
use crate::error::Result;
use crate::eval::evaluator::Evaluator;
use crate::eval::question::{Attempt, Question, Rung};
use crate::eval::refusal::declines;
use crate::eval::words::words;

/// The most questions about one target, from all over its document.
pub(super) const MOST_ASKED: usize = 48;

/// Tokens that an answer may have beyond twice the teacher's longest.
const SPARE_TOKENS: usize = 16;

/// The share of them that a bake must answer as its teacher does.
const LEAST: f64 = 0.5;

/// Fewer questions say too little about a bake.
const FEWEST: usize = 8;

/// How stimuli that were held out of training are answered without the document.
///
/// An answer is as the teacher's if it has three of five words of it that the question does not
/// have, and all its numbers; it declines where the teacher does, and only there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// The stimuli whose answer is in the document.
    pub asked: usize,
    /// Those of them that the base model answers as the teacher does.
    pub base: usize,
    /// Those that it answers so with the whole document in its prompt, of those for which there is
    /// room.
    #[serde(default)]
    pub prompted: Score,
    /// Those that it answers so with only the passage in its prompt that the question was made
    /// from.
    #[serde(default)]
    pub prompted_with_passage: Score,
    /// Those that the baked model does.
    pub baked: usize,
    /// The stimuli that the document does not answer.
    pub unanswerable: usize,
    /// Those of them that the baked model declines.
    pub declined: usize,
    /// What passages are about of which none was answered as the teacher does.
    pub lacking: Vec<String>,
}

impl Recall {
    /// Both together.
    fn plus(mut self, other: &Self) -> Self {
        self.asked += other.asked;
        self.base += other.base;
        self.prompted = self.prompted.plus(other.prompted);
        self.prompted_with_passage = self.prompted_with_passage.plus(other.prompted_with_passage);
        self.baked += other.baked;
        self.unanswerable += other.unanswerable;
        self.declined += other.declined;
        self.lacking.extend(other.lacking.iter().cloned());
        self
    }

    /// That of several targets; none where nothing was asked.
    pub(super) fn of_all<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let sum = all.fold(Self::default(), Self::plus);
        (sum.asked + sum.unanswerable > 0).then_some(sum)
    }

    /// What a bake fails to reach, for people: it must answer at least half of the questions as
    /// its teacher does, and more than the base model. None where that is so, or where too few
    /// were asked.
    pub fn shortfall(&self) -> Option<String> {
        let Self { asked, base, baked, .. } = *self;
        if asked < FEWEST || (baked > base && baked as f64 >= LEAST * asked as f64) {
            return None;
        }
        Some(format!(
            "the baked model answers only {baked} of {asked} held-out questions as its teacher \
             does (base model: {base}); at least half, and more than the base model, are required"
        ))
    }
}

/// In one sentence.
impl std::fmt::Display for Recall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { asked, base, prompted, baked, unanswerable, declined, .. } = self;
        let mut known = format!(
            "held-out questions answered as the teacher does: baked {baked} of {asked}, base {base}"
        );
        let read = [
            (prompted, "prompted with the document"),
            (&self.prompted_with_passage, "with the right passage"),
        ];
        for (score, how) in read.into_iter().filter(|(score, _)| score.of > 0) {
            known += &format!(", {how} {}", score.beside(*asked));
        }
        let unknown = format!("unanswerable questions declined: {declined} of {unanswerable}");
        let mut parts = Vec::new();
        parts.extend((*asked > 0).then_some(known));
        parts.extend((*unanswerable > 0).then_some(unknown));
        f.write_str(&parts.join("; "))
    }
}

/// A question that was held out, and what its teacher answers.
pub(super) struct HeldOutQuestion {
    question: String,
    answer: String,
    /// The text of its passage.
    passage: String,
    /// Its passage's number, and what it is about.
    number: usize,
    about: String,
    /// Whether nothing answers it, so that the answer is to decline.
    unanswerable: bool,
}

/// The questions about a target that were held out.
pub(super) struct Examination {
    questions: Vec<HeldOutQuestion>,
    max_tokens: usize,
}

impl Examination {
    pub(super) fn of(
        stages: &Stages<'_>,
        target: &Target,
        inputs: &Inputs,
        stimuli: &[Stimulus],
        held_out: &[bool],
        answers: &[Answers],
    ) -> Result<Self> {
        let (mut asked, mut longest) = (Vec::new(), 0);
        let all = stimuli.iter().zip(answers).zip(held_out);
        for ((stimulus, answers), _) in all.filter(|(_, held_out)| **held_out) {
            let Some(learned) = answers.learned.first() else { continue };
            // What is right of an answer to a general request is not in its words.
            let Some((number, passage)) = inputs.passage_of(stimulus) else { continue };
            longest = longest.max(learned.len());
            let answer = stages.model.decode(learned)?.trim().to_owned();
            asked.push(HeldOutQuestion {
                question: stimulus.text.clone(),
                unanswerable: stimulus.generator == GeneratorKind::Unanswerable
                    || declines(&answer),
                answer,
                passage: passage.text.clone(),
                number,
                about: about(passage, target),
            });
        }
        let most = target.rollout.max_tokens(stages.model.config().context());
        Ok(Self { questions: asked, max_tokens: most.min(2 * longest + SPARE_TOKENS) })
    }

    /// Those that are asked in the end, from all over the document.
    fn sample(&self) -> Vec<&HeldOutQuestion> {
        spread(self.questions.iter().collect(), MOST_ASKED)
    }

    /// The numbers of the passages of which less than [`LEAST`] is answered as the teacher does,
    /// by the attempts of the baked model at all questions.
    fn unknown(&self, attempts: &[Vec<Attempt>]) -> Vec<usize> {
        let mut scores: BTreeMap<usize, Score> = BTreeMap::new();
        for (asked, attempts) in self.questions.iter().zip(attempts) {
            if !asked.unanswerable {
                let right = attempts.iter().any(|attempt| asked.is_met(attempt) == Some(true));
                scores.entry(asked.number).or_default().add(Some(right));
            }
        }
        scores.retain(|_, score| score.share() < LEAST);
        scores.into_keys().collect()
    }
}

/// What a passage is about, for people.
pub(super) fn about(passage: &Passage, target: &Target) -> String {
    // A part of a long section has only the headings above it.
    let heading = passage.heading.as_ref().or_else(|| passage.titles.last()).cloned();
    heading.unwrap_or_else(|| target.name.to_string())
}

impl Recall {
    /// What becomes of some questions, by the attempts at each; none where there are none.
    fn of(questions: &[&HeldOutQuestion], attempts: &[Vec<Attempt>]) -> Option<Self> {
        let mut recall = Self::default();
        let mut known: Vec<(&str, bool)> = Vec::new();
        for (asked, attempts) in questions.iter().zip(attempts) {
            let [base, prompted, with_passage, baked] = attempts.as_slice() else {
                unreachable!("there is an attempt on each rung")
            };
            let right = asked.is_met(baked) == Some(true);
            if asked.unanswerable {
                recall.unanswerable += 1;
                recall.declined += usize::from(right);
                continue;
            }
            recall.asked += 1;
            recall.base += usize::from(asked.is_met(base) == Some(true));
            recall.prompted.add(asked.is_met(prompted));
            recall.prompted_with_passage.add(asked.is_met(with_passage));
            recall.baked += usize::from(right);
            match known.iter_mut().find(|(about, _)| *about == asked.about) {
                Some((_, any)) => *any |= right,
                None => known.push((&asked.about, right)),
            }
        }
        let lacking = known.into_iter().filter(|(_, any)| !any);
        recall.lacking = lacking.map(|(about, _)| about.to_owned()).collect();
        (!questions.is_empty()).then_some(recall)
    }
}

/// How the questions about each target are answered by the base, the prompted and the baked model;
/// none for a target about which there are none.
pub(super) fn recall(
    stages: &Stages<'_>,
    examinations: &[Examination],
    adapter: Arc<Adapter>,
) -> Result<Vec<Option<Recall>>> {
    let sampled: Vec<_> = examinations.iter().map(Examination::sample).collect();
    let attempts = attempts(stages, examinations, &sampled, &RUNGS, adapter)?;
    let both = sampled.iter().zip(&attempts);
    Ok(both.map(|(questions, attempts)| Recall::of(questions, attempts)).collect())
}

/// The passages of each target that are not known: of which less than half of the questions is
/// answered by the baked model as the teacher does.
pub(super) fn unknown(
    stages: &Stages<'_>,
    examinations: &[Examination],
    adapter: Arc<Adapter>,
) -> Result<Vec<Vec<usize>>> {
    let all: Vec<Vec<&HeldOutQuestion>> =
        examinations.iter().map(|examination| examination.questions.iter().collect()).collect();
    let attempts = attempts(stages, examinations, &all, &[Rung::Baked], adapter)?;
    let both = examinations.iter().zip(&attempts);
    Ok(both.map(|(examination, attempts)| examination.unknown(attempts)).collect())
}

/// What becomes of questions about each target on some rungs.
fn attempts(
    stages: &Stages<'_>,
    examinations: &[Examination],
    asked: &[Vec<&HeldOutQuestion>],
    rungs: &[Rung],
    adapter: Arc<Adapter>,
) -> Result<Vec<Vec<Vec<Attempt>>>> {
    let of_target = |(target, asked): (usize, &Vec<&HeldOutQuestion>)| {
        asked.iter().map(|asked| asked.of_target(target)).collect::<Vec<Question>>()
    };
    let questions: Vec<Question> = asked.iter().enumerate().flat_map(of_target).collect();
    if questions.is_empty() {
        return Ok(vec![Vec::new(); asked.len()]);
    }
    let longest = examinations.iter().map(|examination| examination.max_tokens).max();
    let evaluator = Evaluator::new(stages.recipe, stages.model.clone())
        .baked(adapter)
        .on_held_out(longest.unwrap_or_default());
    let (progress, interrupt) = (stages.monitor.progress, stages.monitor.interrupt);
    let mut rest = evaluator.evaluate(rungs, &questions, progress, interrupt)?.into_iter();
    Ok(asked.iter().map(|asked| rest.by_ref().take(asked.len()).collect()).collect())
}

impl HeldOutQuestion {
    /// The same as it is asked of all models.
    fn of_target(&self, target: usize) -> Question {
        Question {
            text: self.question.clone(),
            answers: Vec::new(),
            target: Some(target),
            passage: Some(self.passage.clone()),
        }
    }

    /// Whether an attempt says what the teacher's answer says; none where it was not asked. What
    /// does not end is not an answer.
    fn is_met(&self, attempt: &Attempt) -> Option<bool> {
        let graded = attempt.graded()?;
        Some(graded.ended && self.is_answered_by(&graded.answer))
    }

    /// Whether an answer says what the teacher's says.
    fn is_answered_by(&self, answer: &str) -> bool {
        if self.unanswerable {
            return declines(answer) || words(answer) == words(&self.answer);
        }
        if declines(answer) {
            return false;
        }
        let question = ContentWords::of(&self.question);
        let said = Support::of(&self.answer, &ContentWords::of(answer), &question);
        answer == self.answer || (said.supported > 0 && said.is_enough())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::grade::Graded;

    fn asked(question: &str, answer: &str) -> HeldOutQuestion {
        HeldOutQuestion {
            question: question.into(),
            answer: answer.into(),
            passage: "## Lost key\nAsk Bob in the blue office within 3 days.".into(),
            number: 3,
            about: "Lost key".into(),
            unanswerable: declines(answer),
        }
    }

    #[test]
    fn an_answer_is_the_teachers_if_it_says_most_of_it_and_all_numbers() {
        let key = asked("I lost my key", "Ask Bob in the blue office within 3 days.");
        assert!(key.is_answered_by("Ask Bob in the blue office within 3 days."));
        assert!(key.is_answered_by("Within 3 days, Bob in the blue office."));
        for wrong in [
            "",
            "You lost your key.",
            "Ask Bob in the blue office within 4 days.",
            "Ask Bob.",
            "I don't have that information.",
        ] {
            assert!(!key.is_answered_by(wrong), "{wrong}");
        }
        let none = asked("Who is Eve?", "I don't have that information.");
        assert!(none.is_answered_by("I do not know."));
        assert!(!none.is_answered_by("Ask Bob in the blue office."));
        // Where the question has all the words of the answer, only the same answer is one.
        let same = asked("Is the office blue?", "The office is blue.");
        assert!(same.is_answered_by("The office is blue.") && !same.is_answered_by("Ask Bob."));
    }

    #[test]
    fn a_bake_must_recall_half_and_more_than_the_base_model() {
        let recall = |asked, base, baked| Recall { asked, base, baked, ..Recall::default() };
        assert_eq!(recall(20, 0, 10).shortfall(), None);
        assert_eq!(recall(7, 0, 0).shortfall(), None, "too few to tell");
        let below = recall(20, 1, 9).shortfall().unwrap();
        assert!(below.contains("answers only 9 of 20 held-out questions"), "{below}");
        assert!(recall(20, 15, 15).shortfall().is_some());
        let all = [recall(20, 1, 9), Recall { unanswerable: 2, declined: 1, ..recall(4, 0, 4) }];
        let sum = Recall::of_all(all.iter()).unwrap();
        assert_eq!((sum.asked, sum.base, sum.baked, sum.unanswerable), (24, 1, 13, 2));
        assert_eq!(Recall::of_all([].iter()), None);
        assert_eq!(
            sum.to_string(),
            "held-out questions answered as the teacher does: baked 13 of 24, base 1; unanswerable \
             questions declined: 1 of 2"
        );
    }

    #[test]
    fn what_a_prompted_model_answers_is_counted_where_it_could_be_asked() {
        let examination = Examination {
            questions: vec![
                asked("I lost my key", "Ask Bob in the blue office within 3 days."),
                asked("My key is gone", "Ask Bob in the blue office within 3 days."),
                asked("Who is Eve?", "I don't have that information."),
            ],
            max_tokens: 24,
        };
        let says = |answer: &str, ended: bool| {
            Attempt::Answered(Graded {
                answer: answer.into(),
                right: false,
                prompt_tokens: 8,
                ended,
            })
        };
        let right = || says("Within 3 days, Bob in the blue office.", true);
        let long = || Attempt::TooLong { tokens: 1000 };
        let none = || says("I do not know.", true);
        let attempts = [
            vec![none(), long(), right(), right()],
            vec![none(), right(), none(), says("Bob in the blue office, 3 days", false)],
            vec![none(), right(), none(), none()],
        ];
        let recall = Recall::of(&examination.sample(), &attempts).unwrap();
        let want = Recall {
            asked: 2,
            base: 0,
            prompted: Score { right: 1, of: 1 },
            prompted_with_passage: Score { right: 1, of: 2 },
            baked: 1,
            unanswerable: 1,
            declined: 1,
            lacking: Vec::new(),
        };
        assert_eq!(recall, want);
        let said = recall.to_string();
        assert!(
            said.contains(
                ": baked 1 of 2, base 0, prompted with the document 1 of 1, with the right passage \
                 1;"
            ),
            "{said}"
        );
        assert_eq!(Recall::of(&[], &[]), None);
        // Half of the passage is known; what nothing answers says nothing of it.
        let baked = |first: Attempt| [vec![first], vec![none()], vec![right()]];
        assert_eq!(examination.unknown(&baked(right())), [0; 0]);
        assert_eq!(examination.unknown(&baked(none())), [3]);
    }
}
