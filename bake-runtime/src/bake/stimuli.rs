//! Stimuli: the questions whose answers are baked in, with where they came from.

mod ask;
mod author;
mod quota;

use std::collections::HashSet;
use std::ops::Range;

use bake_spec::recipe::{Target, normalised_question};
use serde::{Deserialize, Serialize};

use super::report::AskReport;
use super::stages::Stages;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::Inputs;
use ask::Asking;
use author::Teacher;

/// A question, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stimulus {
    /// The question.
    pub text: String,
    /// The bytes of the document's text that it was made from. The teacher that answers it reads
    /// these; where there are none, it reads the whole document.
    pub passage: Option<Range<usize>>,
    /// Where it comes from.
    pub generator: Generator,
}

/// Where a stimulus comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Generator {
    /// The declaration's `questions`.
    Questions,
    /// A file of the declaration's `dataset`.
    Dataset,
    /// The model, reading a passage: the declaration's `ask`.
    Ask,
}

impl Stimulus {
    pub(crate) fn new(text: &str, passage: Option<Range<usize>>, generator: Generator) -> Self {
        Self { text: text.trim().to_owned(), passage, generator }
    }
}

/// The stimuli of a target.
pub(super) struct Collected {
    pub(super) list: Vec<Stimulus>,
    /// What became of `ask`, where the target has it.
    pub(super) asked: Option<AskReport>,
    /// Whether these are all: otherwise some have yet to be written.
    pub(super) complete: bool,
}

/// The stimuli of a target: those that are written down, then those that the model writes about
/// the document. No two are the same, and none is one that the recipe holds out.
///
/// Unless `writes` is set, they are only those that are written down or kept in the store.
pub(super) fn collect(
    stages: &Stages<'_>,
    target: &Target,
    inputs: &Inputs,
    writes: bool,
) -> Result<Collected> {
    let mut stimuli = Stimuli::without(stages.recipe.held_out());
    for stimulus in &inputs.stimuli {
        stimuli.add(stimulus.clone());
    }
    let (mut asked, mut complete) = (None, true);
    if let Some(ask) = &target.stimuli.ask {
        let asking = Asking {
            author: Teacher::new(stages, ask, target, &inputs.passages),
            target: &target.name,
            count: ask.count,
            passages: &inputs.passages,
            writes,
            monitor: stages.monitor,
        };
        let result = asking.run(&mut stimuli)?;
        (asked, complete) = (Some(result.report), result.complete);
    }
    Ok(Collected { list: stimuli.into_list(), asked, complete })
}

/// It is an error if there are none.
pub(super) fn check_any(
    target: &Target,
    stimuli: &[Stimulus],
    asked: Option<&AskReport>,
) -> Result<()> {
    if !stimuli.is_empty() {
        return Ok(());
    }
    let name = &target.name;
    let message = match asked.filter(|asked| asked.wanted > 0) {
        Some(AskReport { wanted, .. }) => format!(
            "the model wrote none of the {wanted} questions that `ask` wants for target `{name}`; \
             check its chat template and `eos_token_id`, or add `questions [\"…\"];`"
        ),
        None => {
            format!("target `{name}` has no questions; add `questions [\"…\"];` or `ask 40;` to it")
        }
    };
    Err(Error::new(ErrorKind::Recipe, message))
}

/// Stimuli in the order in which they came, each once.
pub(super) struct Stimuli {
    list: Vec<Stimulus>,
    seen: HashSet<String>,
}

impl Stimuli {
    /// None yet, and never any of these.
    fn without<'a>(held_out: impl Iterator<Item = &'a str>) -> Self {
        Self { list: Vec::new(), seen: held_out.map(normalised_question).collect() }
    }

    /// Adds a stimulus unless it, or one that differs only in case, punctuation or spaces, is there
    /// already or held out; returns whether it was added.
    fn add(&mut self, stimulus: Stimulus) -> bool {
        let key = normalised_question(&stimulus.text);
        let new = !key.is_empty() && self.seen.insert(key);
        if new {
            self.list.push(stimulus);
        }
        new
    }

    fn into_list(self) -> Vec<Stimulus> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_counts_once_and_held_out_ones_never() {
        let mut stimuli = Stimuli::without(["How do I reset it?"].into_iter());
        let mut add = |text| stimuli.add(Stimulus::new(text, None, Generator::Questions));
        assert!(add("My iPhone won't turn on"));
        assert!(!add("  my iphone won’t turn on!"));
        assert!(!add("how do I reset it"));
        assert!(!add("?!"));
        assert!(add(" Why? "));
        let texts: Vec<String> = stimuli.into_list().into_iter().map(|s| s.text).collect();
        assert_eq!(texts, ["My iPhone won't turn on", "Why?"]);
    }
}
