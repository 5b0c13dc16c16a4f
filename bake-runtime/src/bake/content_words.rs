//! The words of a text that say something.
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
const NUMBERS: [&str; 13] = [
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many of them are in another text.
    pub(crate) fn shared(&self, with: &Self) -> usize {
        self.0.intersection(&with.0).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The words of a text that say something, in order: stems, and numbers in digits.
pub(crate) fn content_words(text: &str) -> Vec<String> {
    let spoken = |word: &String| !JOINING.contains(&word.as_str());
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
        assert_eq!(content_words("What is it?"), [""; 0]);
    }
}
