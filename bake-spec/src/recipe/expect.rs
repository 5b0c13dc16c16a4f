//! What a baked model must answer.

use super::parts::{check_words, items, part, str};
use super::{List, Mistake, Pattern, Text};

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
    pub(crate) const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = check_words(str(&self.question), "a question") {
            return Err(mistake);
        }
        match &self.answer {
            Answer::Contains(words) => check_words(str(words), Answer::WORDS),
            Answer::ContainsAny(any) => check_all(items(any)),
            Answer::StartsWith(words) => check_words(str(words), Answer::BEGINNING),
            Answer::EndsWith(words) => check_words(str(words), Answer::END),
            Answer::Equals(answer) => check_words(str(answer), Answer::WHOLE),
            Answer::Matches(_) | Answer::Declines => Ok(()),
        }
    }
}

/// Checks the texts of which an answer must contain one.
const fn check_all(texts: &[Text]) -> Result<(), Mistake<'static>> {
    if texts.is_empty() {
        return Err(Mistake::Blank(Answer::WORDS));
    }
    let mut i = 0;
    while i < texts.len() {
        if let Err(mistake) = check_words(str(&texts[i]), Answer::WORDS) {
            return Err(mistake);
        }
        i += 1;
    }
    Ok(())
}

/// A check of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// Contains these words, whatever their case.
    Contains(Text),
    /// Contains at least one of these, as `Contains` does. [`Answer::contains_any`] makes it.
    ContainsAny(List<Text>),
    /// Begins with these words, whatever their case.
    StartsWith(Text),
    /// Ends with these words, whatever their case.
    EndsWith(Text),
    /// Has a part that a regular expression matches.
    Matches(Pattern),
    /// Is these words, whatever surrounds them.
    Equals(Text),
    /// Says that the model does not know.
    Declines,
}

impl Answer {
    /// What `contains` has, for messages.
    pub(crate) const WORDS: &'static str = "the words that an answer must contain";
    /// What `starts_with` has, for messages.
    pub(crate) const BEGINNING: &'static str = "the words that an answer must begin with";
    /// What `ends_with` has, for messages.
    pub(crate) const END: &'static str = "the words that an answer must end with";
    /// What `equals` has, for messages.
    pub(crate) const WHOLE: &'static str = "the answer";

    /// Contains at least one of these. Of one it is the same as `Contains`.
    pub fn contains_any(words: impl IntoIterator<Item = impl Into<Text>>) -> Self {
        let words: Vec<Text> = words.into_iter().map(Into::into).collect();
        match <[Text; 1]>::try_from(words) {
            Ok([words]) => Self::Contains(words),
            Err(words) => Self::ContainsAny(words.into()),
        }
    }
}
