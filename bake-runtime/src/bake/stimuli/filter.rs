//! Which of the texts that a model wrote are questions about their passage.

use super::DropReason;
use super::ask::Sample;
use crate::bake::inputs::Passage;
use crate::bake::support::ContentWords;

/// A text of at most this many words can be a question without a mark, as one types into a search
/// field.
const SHORT: usize = 8;

/// The share of their words in common at which two questions are nearly the same.
const NEARLY_THE_SAME: f64 = 0.8;

/// What a question about a passage shares with it.
pub(super) struct Filter {
    /// The words of the passage; none where there is no passage.
    words: Option<ContentWords>,
}

impl Filter {
    pub(super) fn new(passage: &Passage) -> Self {
        Self { words: passage.span.is_some().then(|| ContentWords::of(&passage.text)) }
    }

    /// The question in what the model wrote for a request, or why it is not one.
    pub(super) fn judge(&self, text: &str, request: &str) -> Sample {
        let Some(question) = cleaned(text, request) else {
            return Sample::dropped(text, DropReason::Empty);
        };
        if !is_question(question) {
            return Sample::dropped(question, DropReason::NoQuestion);
        }
        let shares = |words: &ContentWords| ContentWords::of(question).shared(words) > 0;
        if !self.words.as_ref().is_none_or(shares) {
            return Sample::dropped(question, DropReason::OffTopic);
        }
        Sample::Question(question.to_owned())
    }
}

/// Whether two questions say nearly the same, by their words.
pub(super) fn nearly_the_same(one: &ContentWords, other: &ContentWords) -> bool {
    let shared = one.shared(other);
    let all = one.len() + other.len() - shared;
    shared > 0 && shared as f64 >= NEARLY_THE_SAME * all as f64
}

/// Whether a text asks something: it has a question mark, or is short and no sentence.
fn is_question(text: &str) -> bool {
    text.contains('?') || (text.split_whitespace().count() <= SHORT && !text.ends_with(['.', ':']))
}

/// The question in what the model wrote: one line, without a number or quotes around it.
fn cleaned<'a>(text: &'a str, request: &str) -> Option<&'a str> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let line = if numbered.len() < line.len() {
        numbered.strip_prefix(['.', ')']).unwrap_or(line)
    } else {
        line
    };
    let line = line.trim();
    let line = ["Question:", "Q:"].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line);
    let line = line.trim().trim_matches('"').trim();
    (line.chars().count() >= 3 && !request.ends_with(line)).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<String, DropReason> {
        let passage = Passage {
            span: Some(0..1),
            text: "## Lost key\nAsk Bob in the blue office.".into(),
            ..Passage::default()
        };
        match Filter::new(&passage).judge(text, "Ask.") {
            Sample::Question(question) => Ok(question),
            Sample::Dropped { why, .. } => Err(why),
        }
    }

    #[test]
    fn questions_are_freed_of_what_is_around_them() {
        for (text, want) in [
            ("\n  1. \"Who has a key?\"\nmore", Ok("Who has a key?")),
            ("2 keys are enough?", Ok("2 keys are enough?")),
            ("Question: Where is Bob?", Ok("Where is Bob?")),
            ("lost keys", Ok("lost keys")),
            (
                "I lost my keys yesterday. Who can help me now?",
                Ok("I lost my keys yesterday. Who can help me now?"),
            ),
            ("Ask.", Err(DropReason::Empty)),
            (" \n?", Err(DropReason::Empty)),
            ("Bob is in the blue office.", Err(DropReason::NoQuestion)),
            ("What is the capital of France?", Err(DropReason::OffTopic)),
        ] {
            assert_eq!(judged(text), want.map(str::to_owned), "{text}");
        }
        let free = Filter::new(&Passage::default()).judge("What is the capital of France?", "Ask.");
        assert!(matches!(free, Sample::Question(_)));
    }

    #[test]
    fn questions_of_the_same_words_are_nearly_the_same() {
        let same = |one, other| nearly_the_same(&ContentWords::of(one), &ContentWords::of(other));
        assert!(same("Who has a lost key?", "A lost key: who has it?"));
        assert!(!same("Who has a lost key?", "Where is the lost office?"));
        assert!(!same("Why?", "Who?"));
    }
}
