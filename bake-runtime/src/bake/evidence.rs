//! Evidence: the passage of a document in which an expected answer is found.

use bake_spec::recipe::Answer;

use super::retrieval::Index;
use crate::bake::inputs::Inputs;
use crate::eval::grade::meets;

/// The passages of a document.
pub(super) struct Evidence<'a> {
    passages: Vec<&'a str>,
    index: Index,
}

impl<'a> Evidence<'a> {
    /// That of a target; none where it has no document.
    pub(super) fn of(inputs: &'a Inputs) -> Option<Self> {
        inputs.document.as_ref()?;
        let passages: Vec<&str> = inputs.passages.iter().map(|passage| &*passage.text).collect();
        Some(Self { index: Index::new(passages.iter().copied()), passages })
    }

    /// The passage that has what is expected. Of several, and where none has it, it is that which
    /// has most in common with the question.
    pub(super) fn passage(&self, question: &str, expected: &Answer) -> Option<&'a str> {
        let has = |number: &usize| has(self.passages[*number], expected);
        let having: Vec<usize> = (0..self.passages.len()).filter(has).collect();
        if let [one] = having[..] {
            return Some(self.passages[one]);
        }
        let ranked = self.index.ranked(question);
        let best = ranked.iter().find(|number| having.contains(number));
        let best = best.or(having.first()).or(ranked.first()).copied();
        self.passages.get(best.unwrap_or_default()).copied()
    }
}

/// Whether a passage says what is expected.
fn has(passage: &str, expected: &Answer) -> bool {
    match expected {
        // Nothing says that it is not said.
        Answer::Declines => false,
        // An answer begins and ends elsewhere than a passage.
        Answer::StartsWith(words) | Answer::EndsWith(words) | Answer::Equals(words) => {
            meets(&Answer::Contains(words.clone()), passage)
        }
        answer => meets(answer, passage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::inputs::Passage;

    fn passage(text: &str) -> Passage {
        Passage { text: text.into(), ..Passage::default() }
    }

    #[test]
    fn the_passage_has_what_is_expected_or_else_the_words_of_the_question() {
        let passages = [
            "## Lost key\nAsk Bob in the blue office.",
            "## Broken lamp\nAsk Ann. She is in the blue office too.",
            "## Parking\nAsk for a card at the gate.",
        ]
        .map(passage);
        let document = passages.iter().map(|passage| &*passage.text).collect::<Vec<_>>().join("\n");
        let inputs = Inputs {
            prompt: "".into(),
            document: Some(document),
            read: None,
            passages: passages.to_vec(),
            stimuli: Vec::new(),
            told: Default::default(),
            others: Vec::new(),
        };
        let evidence = Evidence::of(&inputs).unwrap();
        let number = |question: &str, answer: &Answer| {
            let found = evidence.passage(question, answer).unwrap();
            passages.iter().position(|passage| passage.text == found).unwrap()
        };
        let contains = |words: &'static str| Answer::Contains(words.into());
        // The question has words of another passage.
        assert_eq!(number("Who parks a broken lamp?", &contains("Bob")), 0);
        assert_eq!(number("Where?", &Answer::Equals("a card at the gate".into())), 2);
        // Two have it, and the question decides.
        assert_eq!(number("Where do I bring my lamp?", &contains("blue office")), 1);
        assert_eq!(number("Where?", &contains("blue office")), 0);
        // None has it.
        assert_eq!(number("How do I park?", &contains("submarine")), 2);
        assert_eq!(number("Where can I park?", &Answer::Declines), 2);
        assert_eq!(number("Why?", &Answer::Declines), 0);
        assert!(Evidence::of(&Inputs { document: None, ..inputs }).is_none());
    }
}
