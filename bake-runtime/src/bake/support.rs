//! How far the words of an answer are those of a text.
//!
//! Words are compared by their stems, in English; numbers as they are. Words that only join others
//! do not count.

use std::collections::BTreeSet;

use crate::eval::words::words;

/// Words that say nothing by themselves.
const JOINING: &[&str] = &[
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "but", "by", "can", "could", "did", "do", "does", "for", "from", "had", "has", "have",
    "he", "her", "here", "hi", "his", "how", "i", "if", "in", "into", "is", "it", "its", "it's",
    "just", "may", "me", "might", "must", "my", "no", "not", "of", "ok", "on", "or", "our",
    "please", "she", "should", "since", "so", "some", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "those", "to", "too", "us", "was", "we", "were",
    "what", "when", "where", "which", "while", "who", "why", "will", "with", "would", "yes", "you",
    "your",
];

/// Numbers that are often written out.
pub(in crate::bake) const NUMBERS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
];

/// Endings that do not make another word, longer ones first.
const ENDINGS: [&str; 10] = ["ings", "edly", "ing", "ies", "ed", "es", "ly", "s", "e", "y"];

/// The fewest letters of a stem.
const SHORTEST_STEM: usize = 3;

/// The different words of a text that say something, as their stems, and its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContentWords(BTreeSet<String>);

impl ContentWords {
    pub(crate) fn of(text: &str) -> Self {
        Self(content_words(text).into_iter().collect())
    }

    pub(crate) fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many of them are in another text.
    pub(crate) fn shared(&self, with: &Self) -> usize {
        self.0.intersection(&with.0).count()
    }

    /// How many of them are in another text, but not in a third.
    pub(crate) fn shared_beyond(&self, with: &Self, without: &Self) -> usize {
        self.iter().filter(|word| with.contains(word) && !without.contains(word)).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of them are not in another text.
    pub(crate) fn beyond(&self, other: &Self) -> usize {
        self.0.difference(&other.0).count()
    }
}

/// The words of a text that say something, in order: stems, and numbers in digits.
pub(crate) fn content_words(text: &str) -> Vec<String> {
    let spoken =
        |word: &String| word.contains(char::is_alphanumeric) && !JOINING.contains(&word.as_str());
    let plain = |word: String| match NUMBERS.iter().position(|number| *number == word) {
        Some(number) => number.to_string(),
        None if has_digit(&word) => word,
        None => stem(&word).to_owned(),
    };
    words(&without_list_numbers(text)).into_iter().filter(spoken).map(plain).collect()
}

fn has_digit(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit())
}

/// A word without its ending, so that `charging`, `charged` and `charges` are one.
fn stem(word: &str) -> &str {
    let word = word.strip_suffix("'s").unwrap_or(word);
    for ending in ENDINGS {
        let Some(stem) = word.strip_suffix(ending) else { continue };
        let mut letters = stem.chars().rev();
        if letters.clone().count() < SHORTEST_STEM || (ending == "s" && stem.ends_with('s')) {
            continue;
        }
        // "stopped", but "filled".
        let doubled = letters.next().filter(|last| letters.next() == Some(*last));
        let doubled = doubled.filter(|c| c.is_ascii() && !"aeiouls".contains(*c));
        return match doubled {
            Some(_) if ending.contains("ing") || ending.contains("ed") => &stem[..stem.len() - 1],
            _ => stem,
        };
    }
    word
}

/// The text without the numbers that count the items of a list.
fn without_list_numbers(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let item = line.trim_start();
        let rest = item.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered =
            rest.len() < item.len() && (rest.starts_with(". ") || rest.starts_with(") "));
        lines.push(if numbered { &rest[1..] } else { line });
    }
    lines.join("\n")
}

/// How many of an answer's words are in a text, apart from those of the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Support {
    /// Different words that are in the text.
    pub(crate) supported: usize,
    /// Different words that are not.
    pub(crate) foreign: usize,
    /// Those of them that are numbers.
    pub(crate) foreign_numbers: usize,
}

impl Support {
    pub(crate) fn of(answer: &str, text: &ContentWords, question: &ContentWords) -> Self {
        let mut support = Self::default();
        for word in ContentWords::of(answer).0 {
            if text.contains(&word) {
                support.supported += usize::from(!question.contains(&word));
            } else if !question.contains(&word) {
                support.foreign += 1;
                support.foreign_numbers += usize::from(has_digit(&word));
            }
        }
        support
    }

    /// The share of its words that are in the text, between 0 and 1: from few words less certain.
    pub(crate) fn score(self) -> f64 {
        (self.supported as f64 + 1.0) / ((self.supported + self.foreign) as f64 + 2.0)
    }

    /// Whether the text says what the answer says: at least three of five words are in it, and so
    /// are all numbers. (Numbers that are written out as words may be anything, as in "this one".)
    pub(crate) fn is_enough(self) -> bool {
        2 * self.supported >= 3 * self.foreign && self.foreign_numbers == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_have_one_stem() {
        for forms in [
            ["charge", "charging", "charged"],
            ["stop", "stops", "stopped"],
            ["battery", "batteries", "battery's"],
            ["glass", "glasses", "glass"],
            ["fill", "filled", "filling"],
            ["clean", "cleaning", "cleans"],
        ] {
            assert!(forms.iter().all(|form| stem(form) == stem(forms[0])), "{forms:?}");
        }
        assert_eq!([stem("bus"), stem("red"), stem("the")], ["bus", "red", "the"]);
        assert_ne!(stem("lamp"), stem("lamb"));
    }

    #[test]
    fn words_that_say_something_are_left() {
        assert_eq!(
            content_words("1. You should wait\n2) for two 2.5 hours."),
            ["wait", "2", "2.5", "hour"]
        );
        assert_eq!(content_words("## What is it?"), [""; 0]);
    }

    #[test]
    fn an_answer_is_supported_by_the_words_that_the_question_does_not_have() {
        let text = ContentWords::of("## Lost key\nAsk Bob in the blue office within 3 days.");
        let question = ContentWords::of("I lost my key, whom do I ask?");
        let of = |answer| Support::of(answer, &text, &question);
        let support =
            |supported, foreign, foreign_numbers| Support { supported, foreign, foreign_numbers };
        assert_eq!(of("Ask Bob in the blue office."), support(3, 0, 0));
        assert_eq!(of("You lost your key."), support(0, 0, 0));
        assert_eq!(of("Ask Bob within 4 days."), support(3, 1, 1));
        assert_eq!(of("Call a locksmith in the office."), support(1, 2, 0));
        assert!(of("Ask Bob in the blue office.").is_enough() && of("Yes.").is_enough());
        assert!(!of("Ask Bob in the blue office within 4 days.").is_enough());
        assert!(!of("Call a locksmith in the office.").is_enough());
        assert!(of("Bob in the blue office").score() > of("Bob").score());
        assert!(of("Bob").score() > of("Yes.").score());
    }
}
