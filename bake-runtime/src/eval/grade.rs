//! Whether answers are as a recipe expects.

use bake_spec::recipe::Answer;

use crate::eval::refusal::declines;
use crate::eval::words::{begins, contains, ends, plain, words};

/// Whether an answer is as expected, as a person would judge it.
///
/// - `contains`: its words appear in the answer, one after the other. Case, line ends, punctuation
///   and the kinds of quotes and dashes do not matter. A number is a word of its own: "2 days" is
///   neither in "12 days" nor in "2.5 days", and "1,000" is "1000".
///   Of a list, any is enough.
/// - `starts_with`, `ends_with`: the same of the first or the last words of the answer. White
///   space, quotes and punctuation around it do not matter.
/// - `matches`: the regular expression is found in the answer as it is written.
/// - `equals`: the answer is the same, but for white space and the kinds of quotes and dashes.
/// - `declines`: the answer says that its writer does not know, in one of the usual English forms:
///   "I don't know", "I do not have that information", "I cannot answer that", "The document does
///   not say", "There is no information about …", "… is not mentioned". An ordinary sentence with
///   some of these words, such as "You don't have to restart it", is not a refusal.
///
/// ```
/// # mod bake { pub use bake_runtime::meets; pub use bake_spec::recipe; }
/// use bake::meets;
/// use bake::recipe::Answer;
///
/// let two_days = Answer::Contains("2 days".into());
/// assert!(meets(&two_days, "It takes\n2 days."));
/// assert!(!meets(&two_days, "It takes 12 days."));
/// assert!(meets(&Answer::Declines, "I do not have that information."));
/// ```
pub fn meets(expected: &Answer, answer: &str) -> bool {
    match expected {
        Answer::Contains(asked) => has(answer, asked),
        Answer::ContainsAny(any) => any.iter().any(|asked| has(answer, asked)),
        Answer::StartsWith(asked) => in_words(asked, answer, begins, |answer, asked| {
            answer.starts_with(asked) || answer.trim_start_matches(is_around).starts_with(asked)
        }),
        Answer::EndsWith(asked) => in_words(asked, answer, ends, |answer, asked| {
            answer.ends_with(asked) || answer.trim_end_matches(is_around).ends_with(asked)
        }),
        Answer::Matches(pattern) => pattern.is_in(answer),
        Answer::Equals(asked) => {
            plain(answer).split_whitespace().eq(plain(asked).split_whitespace())
        }
        Answer::Declines => declines(answer),
        // An expectation that a later version adds is never met by mistake.
        _ => false,
    }
}

/// Whether an answer contains these words.
fn has(answer: &str, asked: &str) -> bool {
    in_words(asked, answer, contains, |answer, asked| answer.contains(asked))
}

/// Compares what is asked with an answer word by word, or, where it is only symbols, as they are
/// written.
fn in_words(
    asked: &str,
    answer: &str,
    by_words: impl Fn(&[String], &[String]) -> bool,
    as_written: impl Fn(&str, &str) -> bool,
) -> bool {
    match words(asked) {
        asked_words if asked_words.is_empty() => {
            as_written(plain(answer).trim(), plain(asked).trim())
        }
        asked_words => by_words(&words(answer), &asked_words),
    }
}

/// What may surround an answer without being a part of it.
fn is_around(c: char) -> bool {
    c.is_whitespace() || ['"', '\'', '*', '_'].contains(&c)
}

/// An answer, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Graded {
    /// The answer.
    pub answer: String,
    /// Whether it is as expected.
    pub right: bool,
    /// Tokens of the prompt: everything that the model reads before it answers.
    pub prompt_tokens: usize,
    /// Whether the model ended the answer; otherwise it was cut.
    pub ended: bool,
}
