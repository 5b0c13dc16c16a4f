//! Worked examples: how a teacher should answer.

use super::parts::{check_words, str};
use super::{Mistake, Text};
use crate::hash::{Encode, Record};

/// A question about a text, and its answer, which a teacher reads before it is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkedExample {
    /// The text that has the answer, if there is one.
    pub passage: Option<Text>,
    /// What somebody asks.
    pub question: Text,
    /// How the teacher should answer.
    pub answer: Text,
}

impl WorkedExample {
    pub(crate) const QUESTION: &'static str = "the question of a worked example";
    pub(crate) const ANSWER: &'static str = "the answer of a worked example";
    pub(crate) const PASSAGE: &'static str = "the passage of a worked example";

    pub(crate) const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = check_words(str(&self.question), Self::QUESTION) {
            return Err(mistake);
        }
        if let Err(mistake) = check_words(str(&self.answer), Self::ANSWER) {
            return Err(mistake);
        }
        match &self.passage {
            Some(passage) => check_words(str(passage), Self::PASSAGE),
            None => Ok(()),
        }
    }

    /// Everything that is read of it, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.passage.as_deref().into_iter().chain([&*self.question, &*self.answer])
    }
}

impl Encode for WorkedExample {
    fn encode(&self, out: &mut String) {
        Record::new()
            .unless(&None, "passage", &self.passage)
            .field("question", &self.question)
            .field("answer", &self.answer)
            .encode(out);
    }
}
