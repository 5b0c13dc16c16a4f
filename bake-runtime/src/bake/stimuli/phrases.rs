//! The phrases that set a passage apart from the others of its document: one to three words that
//! are frequent in it and rare elsewhere (TF-IDF), without a model.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::outline::lexicon::is_verb;
use crate::bake::inputs::Passage;
use crate::bake::support::content_words;

/// The most words of a phrase.
const LONGEST: usize = 3;

/// Words that no phrase contains, beside those that only join others: they say when, how much or
/// in which order.
const NO_PART: [&str; 24] = [
    "after", "again", "always", "before", "between", "each", "every", "first", "last", "least",
    "many", "more", "most", "much", "never", "next", "off", "often", "once", "only", "other",
    "until", "up", "within",
];

/// The phrases of each passage of a document, best first.
pub(in crate::bake) struct Phrases {
    of_passages: Vec<BTreeMap<String, Phrase>>,
    /// The passages that a phrase is in, by its stems.
    spread: HashMap<String, usize>,
}

/// A phrase as it is written where it comes first.
#[derive(Clone, Debug)]
struct Phrase {
    words: String,
    first: usize,
    times: usize,
    length: usize,
}

impl Phrases {
    pub(in crate::bake) fn of(passages: &[Passage]) -> Self {
        let mut of_passages = Vec::new();
        let mut spread: HashMap<String, usize> = HashMap::new();
        for passage in passages {
            let phrases = phrases(&passage.own);
            for stems in phrases.keys() {
                *spread.entry(stems.clone()).or_default() += 1;
            }
            of_passages.push(phrases);
        }
        Self { of_passages, spread }
    }

    /// The best phrases of a passage, none of which contains a word of a better one.
    pub(in crate::bake) fn of_passage(&self, passage: usize) -> Vec<String> {
        let passages = self.of_passages.len() as f64;
        let mut scored: Vec<(f64, &String, &Phrase)> = Vec::new();
        for (stems, phrase) in &self.of_passages[passage] {
            let rare = (passages / self.spread[stems] as f64).ln() + 0.1;
            // Two words say more than one, and a third little more.
            let length = [1.0, 1.6, 1.7][phrase.length - 1];
            scored.push((phrase.times as f64 * rare * length, stems, phrase));
        }
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.first.cmp(&b.2.first)));
        let (mut chosen, mut used) = (Vec::new(), HashSet::new());
        for (_, stems, phrase) in scored {
            if stems.split(' ').any(|stem| used.contains(stem)) {
                continue;
            }
            used.extend(stems.split(' '));
            chosen.push(phrase.words.clone());
        }
        chosen
    }
}

/// The phrases of a text by their stems: words that say something and follow one another.
fn phrases(text: &str) -> BTreeMap<String, Phrase> {
    let mut found: BTreeMap<String, Phrase> = BTreeMap::new();
    let mut place = 0;
    for clause in text.split(['.', ',', ';', ':', '!', '?', '(', ')', '\n', '|', '*', '"', '–']) {
        let words: Vec<(&str, Option<String>)> =
            clause.split_whitespace().map(|word| (word, stem(word))).collect();
        for start in 0..words.len() {
            place += 1;
            for length in 1..=LONGEST {
                let Some(part) = words.get(start..start + length) else { break };
                let stems: Option<Vec<&str>> =
                    part.iter().map(|(_, stem)| stem.as_deref()).collect();
                let Some(stems) = stems else { break };
                let written: Vec<&str> = part.iter().map(|(word, _)| *word).collect();
                let phrase = Phrase { words: written.join(" "), first: place, times: 0, length };
                found.entry(stems.join(" ")).or_insert(phrase).times += 1;
            }
        }
    }
    found
}

/// The stem of a word that says something; none of verbs and numbers, which are not what one asks
/// about.
fn stem(word: &str) -> Option<String> {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let plain = word.to_lowercase();
    if NO_PART.contains(&plain.as_str()) || is_verb(&plain) {
        return None;
    }
    let only = word.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '\'' || c == '’');
    match content_words(word).as_slice() {
        [stem] if letters > 2 && only && !word.contains(char::is_numeric) => Some(stem.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_what_the_other_passages_do_not_have() {
        let passage = |text: &str| Passage {
            own: text.to_owned(),
            text: text.to_owned(),
            ..Passage::default()
        };
        let passages = [
            passage("The river carries sand. In spring the river carries melt water to the delta."),
            passage("The mill ground corn in spring. The miller kept the corn dry in the loft."),
        ];
        let phrases = Phrases::of(&passages);
        let (first, second) = (phrases.of_passage(0), phrases.of_passage(1));
        assert_eq!(first[0], "river carries");
        assert!(second[..3].iter().any(|phrase| phrase.contains("corn")), "{second:?}");
        assert!(first.iter().all(|phrase| !phrase.contains("the")), "{first:?}");
        let of_both = first.iter().position(|phrase| phrase == "spring");
        assert!(of_both.is_none_or(|at| at + 1 == first.len()), "{first:?}");
    }

    #[test]
    fn a_text_without_words_has_no_phrases() {
        assert_eq!(Phrases::of(&[Passage::default()]).of_passage(0), [""; 0]);
    }
}
