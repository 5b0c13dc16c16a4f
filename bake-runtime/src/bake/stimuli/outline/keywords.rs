//! Questions about single sentences of a passage: a few of its words, as one types them into a
//! search field.
//!
//! What people ask shares words with the sentence that answers it, in other sentences than frames
//! around headings can foresee.

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use super::casing::in_small_letters;
use super::cloze::clozes;
use super::frames::capitalised;
use crate::bake::excerpt::sentences;
use crate::bake::support::content_words;

/// The fewest words of a sentence that is asked about, and the most words of a question.
const FEWEST: usize = 2;
const MOST: usize = 4;

/// What surrounds the words, in English.
const FRAMES: &[&str] = &[
    "{}",
    "{}?",
    "What {}?",
    "what about {}",
    "What is {}?",
    "How {}?",
    "How do I {}?",
    "How much {}?",
    "How many {}?",
    "How long {}?",
    "When {}?",
    "Where {}?",
    "Where is {}?",
    "Who {}?",
    "Which {}?",
    "Why {}?",
    "Can I {}?",
    "Do I have to {}?",
    "Is it {}?",
    "Does {}?",
];

/// How often what a sentence tells is asked for, where it can be, rather than some of its words.
const CLOZES: f64 = 0.7;

/// How often a question has words of the heading too.
const WITH_HEADING: f64 = 0.4;

/// The sentences of a passage, as what is asked about them is made of.
pub(super) struct Keywords {
    sentences: Vec<Sentence>,
    heading: Vec<String>,
}

struct Sentence {
    /// The words that say something.
    words: Vec<String>,
    /// What asks for a part of it.
    clozes: Vec<String>,
}

impl Keywords {
    /// Those of a passage's own text under a heading, which may be empty.
    pub(super) fn of(own: &str, heading: &str) -> Self {
        let mut told = Vec::new();
        for sentence in sentences(own) {
            let words = spoken(&sentence);
            if words.len() >= FEWEST {
                told.push(Sentence { words, clozes: clozes(&sentence) });
            }
        }
        Self { sentences: told, heading: spoken(heading) }
    }

    /// The sentences that can be asked about.
    pub(super) fn len(&self) -> usize {
        self.sentences.len()
    }

    /// A question about one of them.
    pub(super) fn question(&self, sentence: usize, english: bool, rng: &mut ChaCha8Rng) -> String {
        let Sentence { words, clozes } = &self.sentences[sentence];
        let cloze = clozes.choose(rng).filter(|_| english && rng.random_bool(CLOZES));
        let drawn = match cloze {
            Some(cloze) => vec![cloze.as_str()],
            None => drawn(words, rng.random_range(FEWEST..=MOST), rng),
        };
        let mut asked = drawn.join(" ");
        // What the heading says is often left to it by the sentence.
        if rng.random_bool(WITH_HEADING) {
            let said = |word: &&str| asked.split(' ').all(|asked| asked != *word);
            let more: Vec<&str> = self.heading.iter().map(String::as_str).filter(said).collect();
            if let Some(word) = more.choose(rng) {
                asked = if cloze.is_some() {
                    format!("{asked} {word}")
                } else {
                    format!("{word} {asked}")
                };
            }
        }
        if cloze.is_some() {
            return capitalised(&format!("{asked}?"));
        }
        let frame = if english { *FRAMES.choose(rng).unwrap_or(&"{}") } else { "{}" };
        frame.replace("{}", &asked)
    }
}

/// So many of some words, in their order.
fn drawn<'a>(words: &'a [String], count: usize, rng: &mut ChaCha8Rng) -> Vec<&'a str> {
    let mut left = count.min(words.len());
    let mut drawn = Vec::with_capacity(left);
    for (at, word) in words.iter().enumerate() {
        if rng.random_range(0..words.len() - at) < left {
            drawn.push(word.as_str());
            left -= 1;
        }
    }
    drawn
}

/// The words of a text that say something, each once, as they are written within a sentence.
/// Numbers are what is asked for.
fn spoken(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let has_digit = word.contains(|c: char| c.is_ascii_digit());
        let is_markup = word.contains("](") || word.contains("://");
        if has_digit || is_markup || content_words(word).is_empty() {
            continue;
        }
        let word = in_small_letters(word);
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn sentences_are_asked_about_by_some_of_their_words() {
        let keywords = Keywords::of("A new one costs 4 euros. No.\nIt works soon.", "Lost card?");
        assert_eq!(keywords.sentences[0].words, ["new", "one", "costs", "euros"]);
        assert_eq!(keywords.len(), 2);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let asked: Vec<String> = (0..40).map(|_| keywords.question(0, true, &mut rng)).collect();
        assert!(asked.iter().all(|question| !question.contains(" 4")), "{asked:?}");
        assert!(asked.iter().any(|question| question.contains("new costs")), "{asked:?}");
        assert!(asked.contains(&"How much does a new one cost?".to_owned()), "{asked:?}");
        assert!(asked.iter().any(|question| question.contains("lost")), "{asked:?}");
        let plain = keywords.question(0, false, &mut rng);
        assert!(!plain.ends_with('?'), "{plain}");
    }
}
