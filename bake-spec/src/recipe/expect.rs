//! What a baked model must answer.

use super::Text;
use super::parts::{is_blank, part, str};
use crate::diagnostics::Mistake;

part! {
    /// A question and what its answer must be.
    Expect of ExpectFields
}

/// The fields of an [`Expect`].
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectFields {
    /// The target whose document the prompted model gets.
    pub target: Option<Text>,
    /// The question.
    pub question: Text,
    /// What the answer must be.
    pub answer: Answer,
}

impl ExpectFields {
    const fn check(&self) -> Result<(), Mistake<'_>> {
        if is_blank(str(&self.question)) {
            return Err(Mistake::Blank("a question"));
        }
        match &self.answer {
            Answer::Contains(words) if is_blank(str(words)) => Err(Mistake::Blank(Answer::WORDS)),
            Answer::Equals(answer) if is_blank(str(answer)) => Err(Mistake::Blank(Answer::WHOLE)),
            _ => Ok(()),
        }
    }
}

/// A check of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// Contains these words, whatever their case.
    Contains(Text),
    /// Is these words, whatever surrounds them.
    Equals(Text),
    /// Says that the model does not know.
    Declines,
}

impl Answer {
    /// What `contains` has, for messages.
    pub(crate) const WORDS: &'static str = "the words that an answer must contain";
    /// What `equals` has, for messages.
    pub(crate) const WHOLE: &'static str = "the answer";
}
