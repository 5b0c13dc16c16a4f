//! What is asked, of which model, and what became of it.

use bake_spec::recipe::{Answer, Expect, Recipe, Text};

use crate::error::Result;
use crate::eval::grade::{Graded, meets};
use crate::generate::no_room;
use crate::model::Model;

/// Which model is asked, and what it reads before a question.
///
/// From the first to the third the model gets more and more help; the last gets none, and what it
/// knows, it knows from the bake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rung {
    /// The base model with the student prompt.
    Base,
    /// The base model with a target's prompt and its whole document.
    Prompted,
    /// The base model with a target's prompt and the passage that answers the question.
    PromptedWithPassage,
    /// The baked model with the student prompt.
    Baked,
}

impl Rung {
    /// What asking it is called while it runs.
    pub(crate) fn stage(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Prompted => "prompted",
            Self::PromptedWithPassage => "prompted with the passage",
            Self::Baked => "baked",
        }
    }
}

/// A question with what its answer must be, and where a prompted model finds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The words.
    pub text: String,
    /// What the answer must be: any of these.
    pub answers: Vec<Answer>,
    /// The number of the target whose prompt and document the prompted model reads, in the order
    /// of the recipe.
    pub target: Option<usize>,
    /// What [`Rung::PromptedWithPassage`] reads in place of the document.
    pub passage: Option<String>,
}

impl Question {
    /// The question of an `expect`. It does not say which passage answers it.
    pub fn of_expect(recipe: &Recipe, expect: &Expect) -> Self {
        let named = |name: &Text| recipe.targets.iter().position(|target| target.name == *name);
        Self {
            text: expect.question.to_string(),
            answers: vec![expect.answer.clone()],
            target: expect.target.as_ref().and_then(named),
            passage: None,
        }
    }

    /// Whether this is a right answer.
    pub fn is_met_by(&self, answer: &str) -> bool {
        self.answers.iter().any(|expected| meets(expected, answer))
    }
}

/// What became of a question on a rung.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Attempt {
    /// It was answered.
    Answered(Graded),
    /// What the model reads leaves no room for an answer in its context.
    TooLong {
        /// The tokens of the prompt, with the question or at least without it.
        tokens: usize,
    },
    /// It could not be asked: there is no such target, no passage, or no adapter.
    NotAsked,
}

impl Attempt {
    /// The answer, if there is one.
    pub fn graded(&self) -> Option<&Graded> {
        match self {
            Self::Answered(graded) => Some(graded),
            Self::TooLong { .. } | Self::NotAsked => None,
        }
    }

    /// Whether it was answered as expected.
    pub fn is_right(&self) -> bool {
        self.graded().is_some_and(|graded| graded.right)
    }

    /// The answer, where everything that can be asked must have room.
    pub(crate) fn with_room(self, model: &Model) -> Result<Option<Graded>> {
        match self {
            Self::Answered(graded) => Ok(Some(graded)),
            Self::TooLong { tokens } => Err(no_room(tokens, model.config().context())),
            Self::NotAsked => Ok(None),
        }
    }
}
