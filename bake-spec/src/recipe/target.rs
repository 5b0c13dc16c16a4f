//! Targets and anchors: what is learned, and from which questions and answers.

use serde::{Deserialize, Serialize};

use super::generator::{Ask, AskFields, Generator, GeneratorKind, Stimuli, StimuliFields};
use super::parts::{check_path, is_blank, items, part, str};
use super::prompt::{Prompt, PromptFields};
use super::{List, Mistake, Text, WorkedExample, names};
use crate::hash::Hash;
use crate::settings::{Scope, entry};

part! {
    /// One document or prompt to bake in, or an anchor.
    Target of TargetFields
}

/// The fields of a [`Target`].
#[derive(Clone, Debug, PartialEq)]
pub struct TargetFields {
    /// The name in the declaration.
    pub name: Text,
    /// Whether the teacher has the student's prompt and no document, so that answers stay as they
    /// are.
    pub anchor: bool,
    /// The share of the loss, relative to the other targets' weights.
    pub weight: f64,
    /// The bake's prompt and the target's own: system prompts with an empty line between them,
    /// which the document follows, and turns one after the other. For an anchor, the student
    /// prompt.
    pub prompt: Prompt,
    /// The document.
    pub document: Option<Document>,
    /// What of the document the teacher reads to answer a question; by default its passage, and,
    /// for one that has none, the document, or the passages that have most in common with it.
    pub context: Option<TeacherContext>,
    /// How the teacher should answer: what it reads as earlier turns, instead of bake's own.
    pub examples: List<WorkedExample>,
    /// Where the questions come from.
    pub stimuli: Stimuli,
    /// How the teacher answers them.
    pub rollout: Rollout,
}

impl TargetFields {
    const fn check(&self) -> Result<(), Mistake<'_>> {
        let name = str(&self.name);
        let named = if self.anchor { names::check_anchor(name) } else { names::check_target(name) };
        if let Err(mistake) = named {
            return Err(mistake);
        }
        if let Err(mistake) = entry(Scope::TargetHead, "weight").check_number(self.weight) {
            return Err(mistake);
        }
        let examples = items(&self.examples);
        let mut i = 0;
        while i < examples.len() {
            if let Err(mistake) = examples[i].check() {
                return Err(mistake);
            }
            i += 1;
        }
        let stimuli = self.stimuli.fields();
        if items(&stimuli.generators).is_empty() {
            return Err(Mistake::NoQuestions { name, anchor: self.anchor });
        }
        if stimuli.rephrases_nothing() {
            return Err(Mistake::NothingToRephrase(name));
        }
        if self.anchor && stimuli.has(GeneratorKind::General) {
            return Err(Mistake::NotForAnchors { name, setting: "general" });
        }
        if self.anchor && self.rollout.fields().on_policy > 0.0 {
            return Err(Mistake::NotForAnchors { name, setting: "on_policy" });
        }
        match (&self.document, self.anchor, stimuli.of_a_document()) {
            (Some(_), true, _) => Err(Mistake::AnchorWithDocument(name)),
            (None, false, _) if self.says_nothing() => Err(Mistake::NothingToLearn(name)),
            (None, _, Some(kind)) => Err(Mistake::NeedsDocument { name, generator: kind.name() }),
            (None, ..) if self.context.is_some() => {
                Err(Mistake::NothingToRead { name, setting: "context" })
            }
            (None, ..) if !examples.is_empty() => {
                Err(Mistake::NothingToRead { name, setting: "examples" })
            }
            _ => Ok(()),
        }
    }

    const fn says_nothing(&self) -> bool {
        let PromptFields { system, turns } = self.prompt.fields();
        is_blank(str(system)) && items(turns).is_empty()
    }
}

impl Target {
    /// A placeholder where a declaration with mistakes has no target.
    pub(super) const STAND_INS: &'static [Self] = &[Self::declared(TargetFields {
        name: Text::Borrowed("unnamed"),
        anchor: false,
        weight: 1.0,
        prompt: Prompt::declared(PromptFields {
            system: Text::Borrowed("-"),
            turns: List::Borrowed(&[]),
        }),
        document: None,
        context: None,
        examples: List::Borrowed(&[]),
        stimuli: Stimuli::declared(StimuliFields {
            generators: List::Borrowed(
                const { &[Generator::Ask(Ask::declared(AskFields::DEFAULT))] },
            ),
        }),
        rollout: Rollout::declared(RolloutFields::DEFAULT),
    })];

    /// What the teacher reads before a question: the prompt, with the document at the end of the
    /// system prompt.
    pub fn teacher_prompt(&self, document: Option<&str>) -> Prompt {
        self.prompt.followed_by(document.unwrap_or_default())
    }
}

/// What of its document the teacher of a target reads to answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TeacherContext {
    /// The passage that the question was made from; for one that was made from none, the passage
    /// that has most in common with it.
    Passage,
    /// The whole document.
    Document,
    /// The passages that have most in common with the question, among them the one that it was made
    /// from.
    Retrieved,
}

impl TeacherContext {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Passage, Self::Document, Self::Retrieved];

    /// The word in declarations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passage => "passage",
            Self::Document => "document",
            Self::Retrieved => "retrieved",
        }
    }
}

part! {
    /// A document, by its path and the hash of its text.
    Document of DocumentFields
}

/// The fields of a [`Document`].
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentFields {
    /// The path, relative to the package.
    pub path: Text,
    /// [`document::hash`](crate::text::document::hash) of the text.
    pub hash: Hash,
}

impl DocumentFields {
    const fn check(&self) -> Result<(), Mistake<'_>> {
        check_path(str(&self.path), "document")
    }
}

impl Document {
    /// The name of its file or folder, without its ending.
    pub fn name(&self) -> &str {
        let file = self.path.rsplit('/').next().unwrap_or(&self.path);
        file.rsplit_once('.').map_or(file, |(name, _)| name)
    }
}

part! {
    /// How the teacher answers.
    Rollout of RolloutFields
}

/// The fields of a [`Rollout`].
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutFields {
    /// Answers to each question.
    pub answers: usize,
    /// The most tokens in an answer; if there is none, 256 or a fifth of the context, whichever is
    /// less.
    pub max_tokens: Option<usize>,
    /// The sampling temperature; 0 is greedy.
    pub temperature: f64,
    /// Nucleus sampling: only the most likely tokens that together have this much probability.
    pub top_p: f64,
    /// Only this many of the most likely tokens; 0 means all.
    pub top_k: usize,
    /// Seeds questions and answers.
    pub seed: u64,
    /// The share of the questions that the student answers itself in a further round; 0 for none.
    pub on_policy: f64,
}

impl RolloutFields {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        answers: 1,
        max_tokens: None,
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        seed: 42,
        on_policy: 0.0,
    };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = entry(Scope::TargetBody, "rollouts").check_count(self.answers as u64)
        {
            return Err(mistake);
        }
        if let Some(most) = self.max_tokens
            && let Err(mistake) = entry(Scope::TargetBody, "max_tokens").check_count(most as u64)
        {
            return Err(mistake);
        }
        let numbers = [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("on_policy", self.on_policy),
        ];
        let mut i = 0;
        while i < numbers.len() {
            let (name, number) = numbers[i];
            if let Err(mistake) = entry(Scope::TargetBody, name).check_number(number) {
                return Err(mistake);
            }
            i += 1;
        }
        entry(Scope::TargetBody, "top_k").check_count(self.top_k as u64)
    }
}

impl Rollout {
    /// The most tokens in an answer of a model with this context: what is declared, or else 256 or
    /// a fifth of the context, whichever is less.
    pub fn max_tokens(&self, context: usize) -> usize {
        self.max_tokens.unwrap_or_else(|| 256.min(context / 5)).max(1)
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self::declared(RolloutFields::DEFAULT)
    }
}
