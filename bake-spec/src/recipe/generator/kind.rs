//! The kinds of generators.

use serde::{Deserialize, Serialize};

/// The kind of a generator, which every stimulus knows that it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum GeneratorKind {
    /// The declaration's `questions`.
    Questions,
    /// A file of the declaration's `dataset`.
    Dataset,
    /// `outline`: the document's own words.
    Outline,
    /// `template`: one text for every passage.
    Template,
    /// `ask`: the model, reading a passage.
    Ask,
    /// `persona`: the model, speaking as somebody else.
    Persona,
    /// `rephrase`: other words for a question of another generator.
    Rephrase,
    /// `unanswerable`: what the document does not answer.
    Unanswerable,
    /// `everyday`: what has nothing to do with any document.
    Everyday,
    /// `general`: what anybody may ask, for behaviours.
    General,
}

impl GeneratorKind {
    /// All kinds, in the order in which they make questions.
    pub const ALL: [Self; 10] = [
        Self::Questions,
        Self::Dataset,
        Self::Outline,
        Self::Template,
        Self::Ask,
        Self::Persona,
        Self::Rephrase,
        Self::Unanswerable,
        Self::Everyday,
        Self::General,
    ];

    /// Its keyword in declarations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Questions => "questions",
            Self::Dataset => "dataset",
            Self::Outline => "outline",
            Self::Template => "template",
            Self::Ask => "ask",
            Self::Persona => "persona",
            Self::Rephrase => "rephrase",
            Self::Unanswerable => "unanswerable",
            Self::Everyday => "everyday",
            Self::General => "general",
        }
    }

    /// Whether the questions exist already: bake does not make them.
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Questions | Self::Dataset)
    }

    /// Whether the model writes the questions.
    pub const fn is_by_model(self) -> bool {
        matches!(self, Self::Ask | Self::Persona | Self::Rephrase)
    }

    /// Whether what it makes can be said in other words and is still answered in the same way.
    pub const fn can_be_rephrased(self) -> bool {
        matches!(
            self,
            Self::Questions
                | Self::Dataset
                | Self::Outline
                | Self::Template
                | Self::Ask
                | Self::Persona
        )
    }

    /// Whether it makes its questions from a document, so that it cannot do without one.
    pub const fn needs_document(self) -> bool {
        matches!(self, Self::Outline | Self::Template | Self::Unanswerable)
    }
}

/// Its keyword.
impl std::fmt::Display for GeneratorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
