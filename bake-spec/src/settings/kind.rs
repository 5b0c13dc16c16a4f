//! What the value of a setting may be.

use super::Scope;
use crate::model::config::Projection;

/// What the value of a setting may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A number.
    Number(Range),
    /// A string.
    Text,
    /// A list of strings, or the path of a file that contains them.
    Texts,
    /// What somebody says: a string, or the path of a file that contains it.
    Words,
    /// A system prompt, written or in a file, or the turns of a conversation in braces.
    Prompt(Scope),
    /// The path of a file of worked examples, or such examples in braces.
    Examples(Scope),
    /// The path of a file, optionally with its own settings in braces.
    File(Scope),
    /// One of some words.
    Word(&'static [&'static str]),
    /// One of some words, or `jsd(β)`.
    Divergence,
    /// `all`, or a list of names of linear layers.
    Modules,
    /// A range of blocks such as `4..12`.
    Layers,
    /// Its own settings in braces.
    Block(Scope),
    /// A whole number or nothing, optionally with its own settings in braces.
    Counted {
        /// The most.
        max: u64,
        /// The settings in the braces, if it has any.
        scope: Option<Scope>,
    },
}

impl Kind {
    /// The words that it may be, alone or in a list.
    pub fn words(self) -> Vec<&'static str> {
        match self {
            Self::Word(words) => words.to_vec(),
            Self::Divergence => vec!["forward_kl", "reverse_kl", "jsd"],
            Self::Modules => {
                ["all"].into_iter().chain(Projection::ALL.map(Projection::name)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The place of the settings in its braces.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Prompt(scope)
            | Self::Examples(scope)
            | Self::File(scope)
            | Self::Block(scope)
            | Self::Counted { scope: Some(scope), .. } => Some(scope),
            _ => None,
        }
    }
}

/// The values, for people.
impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |words: &[&str]| {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Count { min, max: u64::MAX } => write!(f, "a whole number from {min}"),
            Self::Count { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Number(range) => write!(f, "{range}"),
            Self::Text => f.write_str("`\"…\"`"),
            Self::Texts => f.write_str("`[\"…\", …]`, or `from \"…\"`"),
            Self::Words => f.write_str("`\"…\"`, or `from \"…\"`"),
            Self::Prompt(_) => f.write_str("`\"…\"`, `from \"…\"`, or `{ … }`"),
            Self::Examples(_) => f.write_str("`from \"…\"`, or `{ … }`"),
            Self::File(_) => f.write_str("`\"…\"`, and `{ … }`"),
            Self::Word(known) => f.write_str(&words(known)),
            Self::Divergence => {
                f.write_str("`forward_kl`, `reverse_kl`, `jsd(β)` with 0.001 ≤ β ≤ 0.999")
            }
            Self::Modules => {
                write!(f, "`all`, or a list of {}", words(&Projection::ALL.map(Projection::name)))
            }
            Self::Layers => f.write_str("`first..end`"),
            Self::Block(_) => f.write_str("`{ … }`"),
            Self::Counted { max, scope } => {
                let braces = scope.map(|_| ", and `{ … }`").unwrap_or_default();
                write!(f, "a whole number from 0 to {max}, or nothing{braces}")
            }
        }
    }
}

/// The numbers between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The lower bound.
    pub min: f64,
    /// Whether the lower bound itself is one of them.
    pub min_included: bool,
    /// The upper bound.
    pub max: f64,
    /// Whether the upper bound itself is one of them.
    pub max_included: bool,
}

impl Range {
    /// More than any sensible setting, and far from what overflows.
    pub(super) const MOST: f64 = 1e6;

    pub(super) const fn positive() -> Self {
        Self { min: 0.0, min_included: false, max: Self::MOST, max_included: true }
    }

    pub(super) const fn up_to(max: f64) -> Self {
        Self { min: 0.0, min_included: true, max, max_included: true }
    }

    pub(super) const fn below_one() -> Self {
        Self { min: 0.0, min_included: true, max: 1.0, max_included: false }
    }

    /// Whether it contains a number. No range contains not-a-number or the infinities.
    pub const fn contains(&self, x: f64) -> bool {
        let above = if self.min_included { x >= self.min } else { x > self.min };
        let below = if self.max_included { x <= self.max } else { x < self.max };
        above && below
    }
}

/// The numbers, for messages.
impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { min, min_included, max, max_included } = self;
        match (min_included, max_included) {
            (true, true) => write!(f, "a number from {min} to {max}"),
            (true, false) => write!(f, "a number of at least {min} and below {max}"),
            (false, true) => write!(f, "a number above {min} and at most {max}"),
            (false, false) => write!(f, "a number above {min} and below {max}"),
        }
    }
}
