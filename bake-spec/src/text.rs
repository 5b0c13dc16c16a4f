//! Texts: documents, and what they consist of.

#[cfg(feature = "text")]
pub mod document;
#[cfg(feature = "text")]
pub(crate) mod folder;
pub mod jinja;
#[cfg(feature = "text")]
mod markdown;
#[cfg(feature = "text")]
pub mod outline;
#[cfg(feature = "text")]
pub mod section;
#[cfg(feature = "text")]
pub mod unwrap;

use std::borrow::Cow;

/// Text of a recipe: a literal in generated code, owned if a tool has read it.
pub type Text = Cow<'static, str>;

/// A list of a recipe.
pub type List<T> = Cow<'static, [T]>;

/// A text whose lines all end as on Unix.
pub fn with_unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Whether two texts are the same, in constant functions.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The words of a question in lower case: questions that differ only in case, punctuation or spaces
/// are the same.
pub fn normalised_question(question: &str) -> String {
    let words: String = question
        .chars()
        .filter(|c| *c != '\'' && *c != '’')
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    words.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The texts that are not empty, with an empty line between them.
pub(crate) fn join_paragraphs<const N: usize>(texts: [&str; N]) -> String {
    texts.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_byte_by_byte() {
        assert!(same("", "") && same("rank", "rank"));
        assert!(!same("rank", "ran") && !same("ran", "rank") && !same("rank", "rbnk"));
    }
}
