//! The verdict on a bake: which of a recipe's expectations the baked model meets, beside the base
//! and the prompted model.

use std::sync::Arc;

use bake_spec::recipe::{Answer, Recipe};
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::spans::cut_long_passages;
use crate::adapter::Adapter;
use crate::bake::inputs::Inputs;
use crate::error::Result;
use crate::eval::evaluator::Evaluator;
use crate::eval::question::{Question, Rung};
use crate::model::Model;
use crate::progress::{Interrupt, Progress};

/// The models that are compared.
pub(super) const RUNGS: [Rung; 4] =
    [Rung::Base, Rung::Prompted, Rung::PromptedWithPassage, Rung::Baked];

/// The share of what the prompted model gets right that a baked model must get right, where a bake
/// does not say what it must reach.
const LEAST_OF_PROMPTED: f64 = 0.8;

/// The answers to all expectations of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// In the order of the recipe.
    pub expectations: Vec<Expectation>,
}

/// An expectation, and which models met it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expectation {
    /// The question.
    pub question: String,
    /// The target that it is about.
    pub target: Option<String>,
    /// Whether it expects that the model declines.
    pub declines: bool,
    /// Whether it is about a behaviour: a target that is only a prompt.
    pub behaviour: bool,
    /// Whether the base model met it.
    pub base: bool,
    /// Whether the model with the target's prompt and document before it met it; none where it
    /// could not be asked: there is no target, or its document leaves no room for a question.
    pub prompted: Option<bool>,
    /// Whether the model met it with only the right passage of the document there: the one that
    /// has what is expected, or else has most in common with the question. None where there is no
    /// document.
    pub prompted_with_passage: Option<bool>,
    /// Whether the baked model met it.
    pub baked: bool,
    /// What the baked model answered.
    pub answer: String,
}

/// How many expectations a model met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Those that it met.
    pub right: usize,
    /// Those that it was asked.
    pub of: usize,
}

impl Score {
    fn of(met: impl IntoIterator<Item = bool>) -> Self {
        let mut score = Self::default();
        for met in met {
            score.add(Some(met));
        }
        score
    }

    /// Counts one more, if it was asked.
    pub(super) fn add(&mut self, met: Option<bool>) {
        self.right += usize::from(met == Some(true));
        self.of += usize::from(met.is_some());
    }

    /// Both together.
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        Self { right: self.right + other.right, of: self.of + other.of }
    }

    /// For people, beside the score of a model that was asked `all`: how many it was asked is only
    /// said where these were not all.
    pub(super) fn beside(self, all: usize) -> String {
        if self.of == all { self.right.to_string() } else { self.to_string() }
    }

    /// The share of the expectations that it met; of none, all.
    pub fn share(self) -> f64 {
        if self.of == 0 { 1.0 } else { self.right as f64 / self.of as f64 }
    }
}

/// For people: `7 of 9`.
impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.right, self.of)
    }
}

impl Verdict {
    /// Asks the base, the prompted and the baked model every question of an `expect`.
    ///
    /// # Errors
    /// When the adapter is for another model, a document cannot be read or has changed, or the
    /// work is interrupted.
    pub fn of(
        recipe: &Recipe,
        model: Model,
        adapter: Arc<Adapter>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut questions: Vec<Question> =
            recipe.expects.iter().map(|expect| Question::of_expect(recipe, expect)).collect();
        let inputs = documents_asked_about(recipe, &model, &questions)?;
        let evidence: Vec<Option<Evidence<'_>>> =
            inputs.iter().map(|inputs| inputs.as_ref().and_then(Evidence::of)).collect();
        for (expect, question) in recipe.expects.iter().zip(&mut questions) {
            let evidence = question.target.and_then(|target| evidence[target].as_ref());
            let passage =
                evidence.and_then(|found| found.passage(&expect.question, &expect.answer));
            question.passage = passage.map(str::to_owned);
        }
        let evaluator = Evaluator::new(recipe, model).with_adapter(adapter)?;
        let attempts = evaluator.evaluate(&RUNGS, &questions, progress, interrupt)?;
        let mut expectations = Vec::with_capacity(questions.len());
        let all = recipe.expects.iter().zip(&questions).zip(&attempts);
        for ((expect, question), attempts) in all {
            let [base, prompted, with_passage, baked] = attempts.as_slice() else {
                unreachable!("there is an attempt on each rung")
            };
            expectations.push(Expectation {
                question: expect.question.to_string(),
                target: expect.target.as_ref().map(ToString::to_string),
                declines: expect.answer == Answer::Declines,
                behaviour: question.target.is_some_and(|target| {
                    let target = &recipe.targets[target];
                    !target.anchor && target.document.is_none()
                }),
                base: base.is_right(),
                prompted: prompted.graded().map(|graded| graded.right),
                prompted_with_passage: with_passage.graded().map(|graded| graded.right),
                baked: baked.is_right(),
                answer: baked.graded().map(|graded| graded.answer.clone()).unwrap_or_default(),
            });
        }
        Ok(Self { expectations })
    }

    /// How many the base model met.
    pub fn base(&self) -> Score {
        Score::of(self.expectations.iter().map(|expectation| expectation.base))
    }

    /// How many the prompted model met of those that it could be asked.
    pub fn prompted(&self) -> Score {
        Score::of(self.expectations.iter().filter_map(|expectation| expectation.prompted))
    }

    /// How many the model met with only the right passage in its prompt.
    pub fn prompted_with_passage(&self) -> Score {
        let met = |expectation: &Expectation| expectation.prompted_with_passage;
        Score::of(self.expectations.iter().filter_map(met))
    }

    /// How many the baked model met.
    pub fn baked(&self) -> Score {
        Score::of(self.expectations.iter().map(|expectation| expectation.baked))
    }

    /// The targets that something is expected of, in the order of the expectations.
    pub fn targets(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in self.expectations.iter().filter_map(|one| one.target.as_deref()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The verdict on what is said about one target.
    pub fn on_target(&self, name: &str) -> Self {
        let about = |expectation: &&Expectation| expectation.target.as_deref() == Some(name);
        Self { expectations: self.expectations.iter().filter(about).cloned().collect() }
    }

    /// What the prompted model has that the others have not, for people.
    fn read(&self) -> &'static str {
        let mut prompted = self.expectations.iter().filter(|one| one.prompted.is_some());
        match prompted.clone().any(|one| one.behaviour) {
            false => "with the document in its prompt",
            true if prompted.all(|one| one.behaviour) => "with its prompt",
            true => "prompted",
        }
    }

    /// What was not answered as expected by the baked model.
    pub fn missed(&self) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter().filter(|expectation| !expectation.baked)
    }

    /// What the bake fails to reach, for people; nothing where it is good enough. It must meet
    /// `least`, a share of the expectations; where that is not said, no fewer than the base model,
    /// and four fifths of what the prompted model meets.
    pub fn shortfalls(&self, least: Option<f64>) -> Vec<String> {
        let baked = self.baked();
        if let Some(least) = least {
            if baked.share() >= least {
                return Vec::new();
            }
            let wanted = 100.0 * least;
            return vec![format!(
                "the baked model meets {baked} expectations, but `gate` requires {wanted:.0} %"
            )];
        }
        let mut shortfalls = Vec::new();
        if baked.right < self.base().right {
            shortfalls.push(format!(
                "the baked model meets {baked} expectations, fewer than the base model, which \
                 meets {}",
                self.base().right
            ));
        }
        let asked = || self.expectations.iter().filter(|one| one.prompted.is_some());
        let (prompted, same) = (self.prompted(), Score::of(asked().map(|one| one.baked)));
        if (same.right as f64) < LEAST_OF_PROMPTED * prompted.right as f64 {
            shortfalls.push(format!(
                "the baked model meets {same} expectations, fewer than {:.0} % of the {} that the \
                 model meets {}",
                100.0 * LEAST_OF_PROMPTED,
                prompted.right,
                self.read()
            ));
        }
        shortfalls
    }
}

/// In one sentence.
impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (base, prompted, baked) = (self.base(), self.prompted(), self.baked());
        let passage = self.prompted_with_passage();
        write!(f, "expectations met: baked {baked}, base {}", base.right)?;
        if prompted.of > 0 {
            let mut asked = self.expectations.iter().filter(|one| one.prompted.is_some());
            let with = if asked.any(|one| one.behaviour) { "" } else { " with the document" };
            write!(f, ", prompted{with} {}", prompted.beside(baked.of))?;
        }
        if passage.of > 0 {
            write!(f, ", with the right passage {}", passage.beside(baked.of))?;
        }
        Ok(())
    }
}

/// The documents of the targets that are asked about, in passages that the model can read. Nothing
/// else is needed where a bake is only tested.
fn documents_asked_about(
    recipe: &Recipe,
    model: &Model,
    questions: &[Question],
) -> Result<Vec<Option<Inputs>>> {
    let mut documents = Vec::with_capacity(recipe.targets.len());
    for (number, target) in recipe.targets.iter().enumerate() {
        let mut document = None;
        if questions.iter().any(|question| question.target == Some(number)) {
            let mut inputs = Inputs::without_questions(recipe, target)?;
            cut_long_passages(&mut inputs, target, model)?;
            document = Some(inputs);
        }
        documents.push(document);
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each expectation, whether the three models met it.
    fn verdict(met: &[(bool, Option<bool>, bool)]) -> Verdict {
        let expectation = |&(base, prompted, baked): &(bool, Option<bool>, bool)| Expectation {
            question: "Who?".into(),
            target: prompted.map(|_| "keys".into()),
            declines: false,
            behaviour: false,
            base,
            prompted,
            prompted_with_passage: prompted,
            baked,
            answer: "Bob".into(),
        };
        Verdict { expectations: met.iter().map(expectation).collect() }
    }

    #[test]
    fn a_bake_must_not_be_worse_than_the_base_model_nor_far_below_the_prompted_one() {
        let good = (false, Some(true), true);
        let bad = (false, Some(true), false);
        assert_eq!(verdict(&[good; 5]).shortfalls(None), [""; 0]);
        assert_eq!(verdict(&[good, good, good, good, bad]).shortfalls(None), [""; 0]);
        let below = verdict(&[good, good, good, bad, bad]).shortfalls(None);
        assert!(below.len() == 1 && below[0].contains("fewer than 80 % of the 5"), "{below:?}");
        let worse = verdict(&[(true, None, false), good]).shortfalls(None);
        assert_eq!(worse, [""; 0], "one for one");
        let worse = verdict(&[(true, None, false)]).shortfalls(None);
        assert!(worse.len() == 1 && worse[0].contains("fewer than the base model"), "{worse:?}");
        // What the prompted model was not asked does not count beside it.
        assert_eq!(verdict(&[good, (false, None, false)]).shortfalls(None), [""; 0]);
        assert_eq!(verdict(&[]).shortfalls(None), [""; 0]);
    }

    #[test]
    fn a_gate_says_which_share_is_wanted() {
        let verdict = verdict(&[(false, Some(true), true), (false, Some(false), false)]);
        assert_eq!(verdict.shortfalls(Some(0.5)), [""; 0]);
        let below = verdict.shortfalls(Some(0.75));
        assert!(below[0].contains("1 of 2 expectations, but `gate` requires 75 %"), "{below:?}");
        assert_eq!(
            verdict.to_string(),
            "expectations met: baked 1 of 2, base 0, prompted with the document 1, with the right \
             passage 1"
        );
        assert_eq!(verdict.on_target("lamp").expectations, []);
        assert_eq!(verdict.missed().count(), 1);
    }

    #[test]
    fn a_behaviour_has_no_document() {
        let below = [(false, Some(true), false); 5];
        let mut verdict = verdict(&below);
        for one in &mut verdict.expectations {
            (one.behaviour, one.prompted_with_passage) = (true, None);
        }
        assert_eq!(verdict.to_string(), "expectations met: baked 0 of 5, base 0, prompted 5");
        let shortfall = verdict.shortfalls(None).remove(0);
        assert!(
            shortfall.ends_with("of the 5 that the model meets with its prompt"),
            "{shortfall}"
        );
        verdict.expectations[0].behaviour = false;
        verdict.expectations[1].prompted = None;
        assert!(verdict.to_string().ends_with("base 0, prompted 4 of 4"), "{verdict}");
    }
}
