//! What can be wrong with a declaration.

use proc_macro2::Span;

/// A mistake, at the token that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The kind of mistake.
    pub code: Code,
    /// Where.
    pub span: Span,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// The mistakes of a declaration, in the order in which they were found.
pub type Diagnostics = Vec<Diagnostic>;

impl Diagnostic {
    /// A mistake of a kind at a token.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into() }
    }
}

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
    /// Something that a declaration needs is not there.
    Missing = 5,
    /// Two targets with one name, or with names that become one in Rust.
    SameName = 6,
    /// A document that is missing, empty, or not UTF-8 text.
    Document = 7,
    /// A name that nothing has.
    UnknownName = 8,
    /// Something that the grammar knows and this version cannot do yet.
    NotYet = 9,
    /// A base model that is missing, or of a kind that cannot be baked.
    Model = 10,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "B{:04}", *self as u16)
    }
}

/// What else could have been meant: one word if one is like it, else all of them.
pub fn did_you_mean(word: &str, known: &[&str]) -> String {
    match similar(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("expected one of {}", known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// The known word that is most like this one, if any is like it.
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    most_similar(word, known, 0.7)
}

/// The same, where a word has to be more like it: among words that belong elsewhere, a chance likeness would mislead.
pub(crate) fn very_similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    most_similar(word, known, 0.85)
}

fn most_similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, least: f64) -> Option<&'a str> {
    let likeness = |candidate: &str| strsim::jaro(&word.to_lowercase(), candidate);
    let best = known.into_iter().map(|candidate| (likeness(candidate), candidate)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > least).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let known = ["weight", "from", "prompt"];
        assert_eq!(similar("wieght", known), Some("weight"));
        assert_eq!(similar("form", known), Some("from"));
        assert_eq!(similar("xyzzy", known), None);
        assert_eq!(Code::Syntax.to_string(), "B0001");
    }
}
