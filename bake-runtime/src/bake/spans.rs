//! Passages that are too long for a model, cut into spans that it can read.
//!
//! A span is as many paragraphs as there is room for; where one paragraph is too long, as many of
//! its sentences. Every span has the headings of its section.

use std::ops::Range;

use bake_spec::recipe::Target;
use bake_spec::text::unwrap::unwrapped;
use unicode_segmentation::UnicodeSegmentation as _;

use super::layout::{Layout, worked};
use super::room::Room;
use crate::bake::inputs::{Inputs, Passage};
use crate::error::Result;
use crate::model::Model;

/// Cuts the passages that leave no room for a question and an answer. One with a sentence that is
/// too long by itself stays as it is.
pub(super) fn cut_long_passages(inputs: &mut Inputs, target: &Target, model: &Model) -> Result<()> {
    let Some(document) = &inputs.document else { return Ok(()) };
    let (room, examples) = (Room::of(model, &target.rollout), worked(target));
    let layout = Layout::of(target)[0];
    let fits = |text: &str| {
        room.holds_with_question(&layout.conversation(&target.prompt, text, "", &examples))
    };
    let mut passages = Vec::with_capacity(inputs.passages.len());
    for passage in inputs.passages.drain(..) {
        if fits(&passage.text)? {
            passages.push(passage);
            continue;
        }
        match spans(&passage, &fits)? {
            Some(spans) => passages.extend(as_passages(&passage, document, &spans, target)),
            None => passages.push(passage),
        }
    }
    inputs.passages = passages;
    Ok(())
}

/// The spans of a passage's body; none where one of its sentences does not fit.
fn spans(
    passage: &Passage,
    fits: &impl Fn(&str) -> Result<bool>,
) -> Result<Option<Vec<Range<usize>>>> {
    let body = &*passage.body;
    let with_headings = |range: Range<usize>| with_headings(passage, &body[range]);
    let mut units = Vec::new();
    for paragraph in paragraphs(body) {
        match fits(&with_headings(paragraph.clone()))? {
            true => units.push(paragraph),
            false => units.extend(sentences(body, paragraph)),
        }
    }
    let mut spans: Vec<Range<usize>> = Vec::new();
    for unit in units {
        if let Some(last) = spans.last_mut()
            && fits(&with_headings(last.start..unit.end))?
        {
            last.end = unit.end;
        } else if fits(&with_headings(unit.clone()))? {
            spans.push(unit);
        } else {
            return Ok(None);
        }
    }
    Ok(Some(spans))
}

/// A part of a passage under its headings.
pub(super) fn with_headings(passage: &Passage, text: &str) -> String {
    unwrapped(format!("{}\n{text}", passage.headings).trim())
}

/// The places between empty lines.
fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let start = paragraph.as_ptr() as usize - text.as_ptr() as usize;
        places.push(start..start + paragraph.len());
    }
    places
}

/// The places of the sentences of a paragraph.
fn sentences(text: &str, paragraph: Range<usize>) -> Vec<Range<usize>> {
    let found = text[paragraph.clone()].split_sentence_bound_indices();
    found.map(|(at, part)| paragraph.start + at..paragraph.start + at + part.len()).collect()
}

fn as_passages(
    passage: &Passage,
    document: &str,
    spans: &[Range<usize>],
    target: &Target,
) -> Vec<Passage> {
    let section = passage.span.clone().unwrap_or_default();
    // The body is as in the document, where no comments are left, and comes last.
    let start = document[section.clone()]
        .rfind(&passage.body)
        .map_or(section.start, |at| section.start + at);
    let mut passages = Vec::new();
    for span in spans {
        let text = with_headings(passage, &passage.body[span.clone()]);
        passages.push(Passage {
            span: Some(start + span.start..start + span.end),
            titles: passage.titles.clone(),
            heading: passage.heading.clone(),
            own: passage.body[span.clone()].trim().to_owned(),
            headings: passage.headings.clone(),
            body: passage.body[span.clone()].trim().to_owned(),
            prompt: target.teacher_prompt(Some(&text)),
            text,
        });
    }
    passages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(body: &str) -> Passage {
        Passage {
            span: Some(4..4 + body.len()),
            headings: "## Key".into(),
            body: body.into(),
            ..Passage::default()
        }
    }

    fn cut(body: &str, most: usize) -> Option<Vec<String>> {
        let passage = passage(body);
        let spans = spans(&passage, &|text: &str| Ok(text.len() <= most)).unwrap()?;
        Some(spans.into_iter().map(|span| body[span].trim().to_owned()).collect())
    }

    #[test]
    fn as_many_paragraphs_as_fit_are_one_span() {
        let body = "One a.\n\nTwo b.\n\nThree c.";
        // With the heading and the line below it, which each span has.
        let headings = "## Key\n".len();
        assert_eq!(cut(body, headings + 24).unwrap(), [body]);
        assert_eq!(cut(body, headings + 14).unwrap(), ["One a.\n\nTwo b.", "Three c."]);
        assert_eq!(cut(body, headings + 8).unwrap(), ["One a.", "Two b.", "Three c."]);
        assert_eq!(cut(body, headings + 7), None, "the last sentence does not fit");
    }

    #[test]
    fn a_long_paragraph_is_cut_between_sentences() {
        let body = "A lamp. A key. A hat. A dog.\n\nA cat.";
        let spans = cut(body, "## Key\n".len() + 15).unwrap();
        assert_eq!(spans, ["A lamp. A key.", "A hat. A dog.", "A cat."]);
    }
}
