//! What can be wrong with a declaration.

#[cfg(feature = "syntax")]
mod spanned;

#[cfg(feature = "syntax")]
pub use spanned::{Diagnostic, Diagnostics};

/// The kinds of mistakes. A number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The words do not form a declaration.
    Syntax = 1,
    /// A keyword that does not exist, or not in this place.
    UnknownKeyword = 2,
    /// A setting that is given twice.
    Repeated = 3,
    /// A number, word or list that the setting cannot have.
    Value = 4,
    /// Something that a declaration needs is missing.
    Missing = 5,
    /// Two targets with one name, or with names that become one in Rust.
    SameName = 6,
    /// A document that is missing, empty, or not UTF-8 text.
    Document = 7,
    /// A name that refers to nothing.
    UnknownName = 8,
    /// Something that the grammar knows but this version cannot do yet.
    NotYet = 9,
    /// A base model that is missing, or of a kind that cannot be baked.
    Model = 10,
    /// Document, question and answer do not fit into the model's context.
    Room = 11,
    /// Two targets with the same document. A warning.
    SameDocument = 12,
    /// A file of questions or expectations that is missing, or a line of it without a question.
    Dataset = 13,
    /// A file outside the package.
    Outside = 14,
    /// A question that counts only once or not at all. A warning.
    Question = 15,
    /// A bake that was made from something other than what is declared now. A warning, or an error
    /// of a locked build.
    Stale = 16,
    /// A bake that was not made, or is not on this machine. A warning, or an error of a locked
    /// build.
    NotBaked = 17,
    /// A `bake.lock` that cannot be read.
    Lock = 18,
    /// An adapter that the model has no room for.
    Fit = 19,
    /// A prompt whose file cannot be read, or whose turns are not in order.
    Prompt = 20,
    /// A pattern that is not a regular expression.
    Pattern = 21,
    /// A template of questions that cannot be read, or that fails on a passage.
    Template = 22,
}

/// The noun for so many, of its plural.
pub fn noun(count: usize, plural: &str) -> &str {
    match (count, plural) {
        (1, "stimuli") => "stimulus",
        (1, plural) => plural.strip_suffix('s').unwrap_or(plural),
        _ => plural,
    }
}

impl Code {
    /// The pages about the kinds, in the order of their numbers.
    const PAGES: [(Self, &str); 22] = [
        (Self::Syntax, include_str!("explain/B0001.md")),
        (Self::UnknownKeyword, include_str!("explain/B0002.md")),
        (Self::Repeated, include_str!("explain/B0003.md")),
        (Self::Value, include_str!("explain/B0004.md")),
        (Self::Missing, include_str!("explain/B0005.md")),
        (Self::SameName, include_str!("explain/B0006.md")),
        (Self::Document, include_str!("explain/B0007.md")),
        (Self::UnknownName, include_str!("explain/B0008.md")),
        (Self::NotYet, include_str!("explain/B0009.md")),
        (Self::Model, include_str!("explain/B0010.md")),
        (Self::Room, include_str!("explain/B0011.md")),
        (Self::SameDocument, include_str!("explain/B0012.md")),
        (Self::Dataset, include_str!("explain/B0013.md")),
        (Self::Outside, include_str!("explain/B0014.md")),
        (Self::Question, include_str!("explain/B0015.md")),
        (Self::Stale, include_str!("explain/B0016.md")),
        (Self::NotBaked, include_str!("explain/B0017.md")),
        (Self::Lock, include_str!("explain/B0018.md")),
        (Self::Fit, include_str!("explain/B0019.md")),
        (Self::Prompt, include_str!("explain/B0020.md")),
        (Self::Pattern, include_str!("explain/B0021.md")),
        (Self::Template, include_str!("explain/B0022.md")),
    ];

    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::PAGES.into_iter().map(|(code, _)| code)
    }

    /// The page about it, in Markdown.
    pub fn page(self) -> &'static str {
        Self::PAGES[self as usize - 1].1
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "B{:04}", *self as u16)
    }
}

/// What settings are called in other tools, and what they are called here.
#[cfg(feature = "syntax")]
const ELSEWHERE: [(&str, &str); 31] = [
    ("assert", "expect"),
    ("base", "model"),
    ("base_model", "model"),
    ("batch_size", "batch"),
    ("per_device_train_batch_size", "batch"),
    ("clip_grad_norm", "clip"),
    ("document", "from"),
    ("grad_clip", "clip"),
    ("gradient_accumulation_steps", "accumulate"),
    ("gradient_clip", "clip"),
    ("gradient_clipping", "clip"),
    ("learning_rate", "lr"),
    ("lora_alpha", "alpha"),
    ("lora_dropout", "dropout"),
    ("lora_r", "rank"),
    ("lora_rank", "rank"),
    ("loss", "divergence"),
    ("lr_schedule", "schedule"),
    ("lr_scheduler", "schedule"),
    ("lr_scheduler_type", "schedule"),
    ("max_grad_norm", "clip"),
    ("max_new_tokens", "max_tokens"),
    ("n", "rollouts"),
    ("num_epochs", "epochs"),
    ("num_train_epochs", "epochs"),
    ("r", "rank"),
    ("samples", "rollouts"),
    ("target_modules", "modules"),
    ("test", "expect"),
    ("tests", "expect"),
    ("warmup_ratio", "warmup"),
];

/// What a setting of another tool is called here.
#[cfg(feature = "syntax")]
pub(crate) fn called_here(word: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(there, _)| *there == word).map(|(_, here)| *here)
}

/// One of some words, for messages: `a`, `b` or `c`.
#[cfg(feature = "syntax")]
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match &quoted[..] {
        [first @ .., before, last] => {
            let first: String = first.iter().map(|word| format!("{word}, ")).collect();
            format!("{first}{before} or {last}")
        }
        _ => quoted.concat(),
    }
}

/// What could have been meant: one word if one is similar, otherwise all of them.
pub fn did_you_mean(word: &str, known: &[&str]) -> String {
    match (similar(word, known.iter().copied()), known) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, []) => "none is declared".to_owned(),
        (None, [only]) => format!("expected `{only}`"),
        (None, _) => format!(
            "expected one of {}",
            known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The known word that is most similar to this one, if any is similar.
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    most_similar(word, known, 0.7)
}

/// The same with a stricter limit: among words that belong elsewhere, a chance similarity would
/// mislead.
#[cfg(any(feature = "syntax", feature = "text"))]
pub(crate) fn very_similar<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    most_similar(word, known, 0.85)
}

fn most_similar<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    least: f64,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let best = known
        .into_iter()
        .map(|candidate| (likeness(&word, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > least).map(|(_, candidate)| candidate)
}

/// How similar two words are, from 0 to 1. Words that differ in a single letter, or in two swapped
/// neighbours, are very similar, however short they are; of two letters, those that are swapped.
#[cfg(feature = "syntax")]
fn likeness(word: &str, candidate: &str) -> f64 {
    let swapped = || word.chars().rev().eq(candidate.chars());
    let one_typo = strsim::osa_distance(word, candidate) == 1
        && (candidate.len() > 2 || candidate.len() == 2 && swapped());
    strsim::jaro(word, candidate).max(if one_typo { 0.9 } else { 0.0 })
}

/// Programs that only contain recipes do not link the comparison of words.
#[cfg(not(feature = "syntax"))]
fn likeness(word: &str, candidate: &str) -> f64 {
    if word == candidate { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Scope, keywords};

    #[test]
    fn a_typo_is_recognised() {
        let known = ["weight", "from", "prompt", "ask"];
        assert_eq!(similar("aks", known), Some("ask"));
        assert_eq!(similar("akk", known), Some("ask"));
        assert_eq!(similar("wieght", known), Some("weight"));
        assert_eq!(similar("form", known), Some("from"));
        assert_eq!(similar("rl", ["rollouts", "lr", "layers"]), Some("lr"));
        assert_eq!(similar("rx", ["lr", "rz"]), None);
        assert_eq!(similar("xyzzy", known), None);
    }

    #[test]
    fn a_single_word_is_expected_and_not_one_of_several() {
        assert_eq!(did_you_mean("x", &[]), "none is declared");
        assert_eq!(did_you_mean("x", &["Office"]), "expected `Office`");
        assert_eq!(did_you_mean("Ofice", &["Office"]), "did you mean `Office`?");
        assert_eq!(did_you_mean("x", &["ask", "from"]), "expected one of `ask`, `from`");
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b"]), "`a` or `b`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }

    #[test]
    fn words_of_other_tools_have_a_keyword_here_and_are_none() {
        let is_keyword =
            |word| Scope::ALL.into_iter().any(|scope| keywords(scope).any(|known| known == word));
        for (there, here) in ELSEWHERE {
            assert!(is_keyword(here) && !is_keyword(there), "{there}: {here}");
        }
    }

    #[test]
    fn every_code_has_its_own_page() {
        for (i, code) in Code::all().enumerate() {
            assert_eq!(code as usize, i + 1);
            assert!(code.page().starts_with(&format!("# {code}: ")), "{code}");
        }
        assert_eq!(Code::Syntax.to_string(), "B0001");
    }
}
