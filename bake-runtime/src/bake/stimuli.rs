//! Stimuli: the questions whose answers are baked in.

mod ask;

use std::collections::HashSet;

use bake_spec::recipe::{Target, normalised_question};

use crate::error::{Error, ErrorKind, Result};
use crate::inputs::Inputs;
use crate::model::Model;
use crate::progress::Monitor;

/// The questions of a target: those that are written down, then those that the model writes about
/// the document. No two are the same, and none is one of `held_out`; says whether one of these came
/// up.
pub(crate) fn collect(
    model: &Model,
    target: &Target,
    inputs: &Inputs,
    held_out: &[&str],
    monitor: Monitor<'_>,
) -> Result<(Vec<String>, bool)> {
    let mut questions = Questions::without(held_out);
    for question in &inputs.questions {
        questions.add(question);
    }
    if let Some(ask) = &target.stimuli.ask {
        ask::ask(model, ask, target, inputs.document.as_deref(), &mut questions, monitor)?;
    }
    if questions.list.is_empty() {
        let message = format!(
            "there is no question for target `{}`; add `questions [\"…\"];` or `ask 40;` to it",
            target.name
        );
        return Err(Error::new(ErrorKind::Recipe, message));
    }
    Ok((questions.list, questions.met_held_out))
}

/// Questions in the order in which they came, each once.
struct Questions {
    list: Vec<String>,
    seen: HashSet<String>,
    held_out: HashSet<String>,
    met_held_out: bool,
}

impl Questions {
    fn without(held_out: &[&str]) -> Self {
        let held_out = held_out.iter().map(|q| normalised_question(q)).collect();
        Self { list: Vec::new(), seen: HashSet::new(), held_out, met_held_out: false }
    }

    /// Adds a question unless it, or one that differs in case, punctuation or spaces only, was
    /// there; says whether it was added.
    fn add(&mut self, question: &str) -> bool {
        let key = normalised_question(question);
        if self.held_out.contains(&key) {
            self.met_held_out = true;
            return false;
        }
        let new = !key.is_empty() && self.seen.insert(key);
        if new {
            self.list.push(question.trim().to_owned());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_counts_once_and_held_out_ones_never() {
        let mut questions = Questions::without(&["How do I reset it?"]);
        assert!(questions.add("My iPhone won't turn on"));
        assert!(!questions.add("  my iphone won’t turn on!"));
        assert!(!questions.add("how do I reset it"));
        assert!(!questions.add("?!"));
        assert!(questions.add(" Why? "));
        assert_eq!(questions.list, ["My iPhone won't turn on", "Why?"]);
        assert!(questions.met_held_out);
    }
}
