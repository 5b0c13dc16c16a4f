//! Excerpts: the few sentences of a passage that a question is about.
//!
//! A small model answers from two or three sentences what it does not find in ten.

use bake_spec::text::unwrap::{fence_mark, item_text, stays_alone};
use unicode_segmentation::UnicodeSegmentation as _;

use super::support::ContentWords;
use crate::bake::inputs::Passage;
use crate::eval::words::words;

/// The most words of an excerpt that is read.
pub(super) const READ_WORDS: usize = 45;

/// The sentences in a row that have most in common with a question beyond the heading, and of equal
/// ones the last: what a question mentions is followed by what answers it. Where none has anything
/// in common with it, the first ones. They have so many words at most, unless one has more by
/// itself.
pub(super) fn excerpt(passage: &Passage, question: &str, most: usize) -> String {
    let heading = ContentWords::of(passage.heading.as_deref().unwrap_or_default());
    let question = ContentWords::of(question);
    let sentences = sentences(&passage.body);
    let mut best = (0, String::new());
    for start in 0..sentences.len() {
        let row = row(&sentences[start..], most).join(" ");
        let shared = ContentWords::of(&row).shared_beyond(&question, &heading);
        if best.1.is_empty() || (shared > 0 && shared >= best.0) {
            best = (shared, row);
        }
    }
    best.1
}

/// As many of the first sentences as there is room for, at least one.
fn row(sentences: &[String], most: usize) -> &[String] {
    let mut length = 0;
    let fitting = sentences.iter().take_while(|sentence| {
        length += words(sentence).len();
        length <= most
    });
    &sentences[..fitting.count().max(1)]
}

/// The sentences of a text. An item of a list has its own, without its sign, and so have a row of
/// a table, with commas between its cells, and a line of code.
pub(in crate::bake) fn sentences(text: &str) -> Vec<String> {
    let (mut blocks, mut goes_on, mut in_code) = (Vec::<String>::new(), false, false);
    for line in text.lines().map(str::trim) {
        let item = item_text(line);
        let is_fence = fence_mark(line).is_some();
        in_code ^= is_fence;
        match (item, blocks.last_mut()) {
            _ if line.is_empty() || is_fence || (!in_code && line.starts_with('#')) => {
                goes_on = false;
            }
            _ if in_code => blocks.push(line.to_owned()),
            _ if stays_alone(line) => {
                blocks.push(cells(line));
                goes_on = false;
            }
            (None, Some(block)) if goes_on => {
                block.push(' ');
                block.push_str(line);
            }
            _ => {
                blocks.push(item.unwrap_or(line).to_owned());
                goes_on = true;
            }
        }
    }
    let mut sentences = Vec::new();
    for block in &blocks {
        for sentence in block.unicode_sentences().map(str::trim) {
            if !words(sentence).is_empty() {
                sentences.push(sentence.to_owned());
            }
        }
    }
    sentences
}

/// The cells of a row of a table, or the line as it is.
fn cells(line: &str) -> String {
    let cells = line.trim_matches(['|', ' ']).split('|').map(str::trim);
    cells.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_begins_where_the_question_is_mentioned() {
        let passage = Passage {
            heading: Some("Emptying the tank".into()),
            body: "The tank holds 3.5 litres, which is enough for half a day in a damp cellar.\n\
                   When it is full, the machine stops and\nthe red lamp lights up. Pull the tank \
                   out by its handle and empty it into a sink. It clicks when it is back.\n\n- Do \
                   not drink the water, and do not give it to plants or animals."
                .into(),
            ..Passage::default()
        };
        let of = |question| excerpt(&passage, question, READ_WORDS);
        assert_eq!(
            of("The red lamp is on"),
            "When it is full, the machine stops and the red lamp lights up. Pull the tank out by \
             its handle and empty it into a sink. It clicks when it is back."
        );
        let first = "The tank holds 3.5 litres, which is enough for half a day in a damp cellar. \
                     When it is full, the machine stops and the red lamp lights up.";
        assert!(of("Emptying the tank").starts_with(first), "{}", of("Emptying the tank"));
        let last = "Do not drink the water, and do not give it to plants or animals.";
        assert_eq!(of("May plants have the water?"), last);
        let brief = "When it is full, the machine stops and the red lamp lights up.";
        assert_eq!(excerpt(&passage, "The red lamp is on", 20), brief);
        assert_eq!(excerpt(&Passage::default(), "Why?", READ_WORDS), "");
    }

    #[test]
    fn a_long_sentence_is_an_excerpt_by_itself() {
        let body = format!("{} end. Short.", "word ".repeat(60));
        let passage = Passage { body: body.clone(), ..Passage::default() };
        assert_eq!(excerpt(&passage, "?", READ_WORDS), body.trim_end_matches(" Short."));
    }

    #[test]
    fn lines_of_a_paragraph_are_joined_and_items_are_apart() {
        let text = "## No\nOne\nline. Two.\n\n- Three\n- four";
        assert_eq!(sentences(text), ["One line.", "Two.", "Three", "four"]);
        let steps = "1. Open the lid.\n2. Rinse it\n   well. Dry it.\n\n2) Close it.";
        let want = ["Open the lid.", "Rinse it well.", "Dry it.", "Close it."];
        assert_eq!(sentences(steps), want);
        let table = "| part | price |\n|---|---|\n| lid | 2 € |\n\n```sh\n# Clean\nmake\n```\nEnd.";
        assert_eq!(sentences(table), ["part, price", "lid, 2 €", "# Clean", "make", "End."]);
    }
}
