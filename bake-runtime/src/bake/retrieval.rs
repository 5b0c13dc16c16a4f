//! The passages that a question is probably about (BM25; Robertson and Zaragoza 2009, "The
//! Probabilistic Relevance Framework").

use std::collections::HashMap;

use super::support::{ContentWords, content_words};

/// How soon more occurrences of a word stop counting.
const K1: f64 = 1.2;

/// How much a word counts less in a passage that is longer than the others.
const B: f64 = 0.75;

/// The words of some passages.
pub(super) struct Index {
    passages: Vec<HashMap<String, usize>>,
    lengths: Vec<usize>,
}

impl Index {
    pub(super) fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut index = Self { passages: Vec::new(), lengths: Vec::new() };
        for text in texts {
            let (words, mut counts) = (content_words(text), HashMap::new());
            index.lengths.push(words.len());
            for word in words {
                *counts.entry(word).or_insert(0) += 1;
            }
            index.passages.push(counts);
        }
        index
    }

    /// The numbers of the passages that share a word with a question, the best first.
    pub(super) fn ranked(&self, question: &str) -> Vec<usize> {
        let question = ContentWords::of(question);
        let mut scores = vec![0.0; self.passages.len()];
        for word in question.iter() {
            let having = self.passages.iter().filter(|counts| counts.contains_key(word)).count();
            if having > 0 {
                let weight = self.weight(having);
                for (score, passage) in scores.iter_mut().zip(0..) {
                    *score += weight * self.saturated(word, passage);
                }
            }
        }
        let mut found: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] > 0.0).collect();
        found.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        found
    }

    /// How much a word says that this many passages have.
    fn weight(&self, having: usize) -> f64 {
        let (all, having) = (self.passages.len() as f64, having as f64);
        (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
    }

    /// How much a word counts in a passage.
    fn saturated(&self, word: &str, passage: usize) -> f64 {
        let Some(&count) = self.passages[passage].get(word) else { return 0.0 };
        let mean = self.lengths.iter().sum::<usize>() as f64 / self.lengths.len() as f64;
        let length = 1.0 - B + B * self.lengths[passage] as f64 / mean;
        count as f64 * (K1 + 1.0) / (count as f64 + K1 * length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passage_with_the_rarest_words_of_the_question_is_the_best() {
        let index = Index::new([
            "## Tank\nThe machine stops when the tank is full.",
            "## Filter\nRinse the filter of the machine every two weeks.",
            "## Hose\nThe machine drains through a hose.",
        ]);
        assert_eq!(index.ranked("How do I rinse the filter of my machine?")[0], 1);
        assert_eq!(index.ranked("the machine's tank")[0], 0);
        assert_eq!(index.ranked("hoses"), [2]);
        assert_eq!(index.ranked("Which warranty is there?"), [0; 0]);
        // Equally good ones stay in the order of the document.
        assert_eq!(Index::new(["a lamp", "a lamp"]).ranked("lamp"), [0, 1]);
    }
}
