//! Answers that nobody would want to read, whatever they say.

use crate::eval::grade::Graded;
use crate::eval::words::words;

/// What makes an answer useless, as a sign that a model is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// It has no word.
    Empty,
    /// It says the same words again and again.
    Repeats,
    /// The model did not end it, so it was cut.
    NeverEnded,
}

/// The most words of a part that is looked for again right behind itself.
const LONGEST: usize = 24;

impl Graded {
    /// What makes the answer useless, if anything does. One that repeats itself rarely ends either,
    /// and counts as the former.
    pub fn flaw(&self) -> Option<Flaw> {
        let words = words(&self.answer);
        if words.is_empty() {
            Some(Flaw::Empty)
        } else if repeats(&words) {
            Some(Flaw::Repeats)
        } else if !self.ended {
            Some(Flaw::NeverEnded)
        } else {
            None
        }
    }
}

/// Whether some words come three times in a row, or a single word four times: "very, very, very
/// good" is English.
fn repeats(words: &[String]) -> bool {
    (1..=LONGEST.min(words.len() / 3)).any(|length| {
        let times = if length == 1 { 4 } else { 3 };
        words.windows(length * times).any(|part| {
            let (first, rest) = part.split_at(length);
            rest.chunks(length).all(|again| again == first)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(answer: &str, ended: bool) -> Option<Flaw> {
        Graded { answer: answer.to_owned(), right: true, prompt_tokens: 1, ended }.flaw()
    }

    #[test]
    fn useless_answers_are_told_from_others() {
        for answer in ["", " \n", "…!"] {
            assert_eq!(flaw(answer, true), Some(Flaw::Empty), "{answer:?}");
        }
        for answer in [
            "Ask Bob. Ask Bob. Ask Bob.",
            "It is the the the the key",
            "First turn it off, then turn it off, then turn it off, then",
        ] {
            assert_eq!(flaw(answer, false), Some(Flaw::Repeats), "{answer:?}");
        }
        assert_eq!(flaw("Ask Bob in the", false), Some(Flaw::NeverEnded));
        for answer in ["Ask Bob.", "It is very, very, very good.", "Press up, press up, and wait."]
        {
            assert_eq!(flaw(answer, true), None, "{answer:?}");
        }
    }
}
