//! Names of bakes, targets and anchors, and what they become in Rust.

use super::Mistake;
use super::parts::character;
use crate::text::same;

/// What has a name, for messages.
pub(crate) const BAKE: &str = "a bake";
pub(crate) const TARGET: &str = "a target";
pub(crate) const ANCHOR: &str = "an anchor";

/// The words of Rust that cannot name anything.
const KEYWORDS: [&str; 52] = [
    "_", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue",
    "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "Self", "self", "static", "struct", "super", "trait", "true", "try", "type",
    "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Checks the name of a bake, which is that of a type, as far as a constant function can.
pub(crate) const fn check_bake(name: &str) -> Result<(), Mistake<'_>> {
    let is_name = may_be_word(name) && !is_keyword(name);
    if is_name { Ok(()) } else { Err(Mistake::NotAName { name, of: BAKE }) }
}

/// Checks the name of a target, which becomes that of a variant, as far as a constant function can.
pub(crate) const fn check_target(name: &str) -> Result<(), Mistake<'_>> {
    let mut letters = name.as_bytes();
    // The variant has no underscores.
    while let [b'_', rest @ ..] | [rest @ .., b'_'] = letters {
        letters = rest;
    }
    let is_name = may_be_word(name)
        && !matches!(letters, [] | [b'0'..=b'9', ..] | [b's' | b'S', b'e', b'l', b'f']);
    if is_name { Ok(()) } else { Err(Mistake::NotAName { name, of: TARGET }) }
}

/// Checks the name of an anchor, which becomes nothing, as far as a constant function can.
pub(crate) const fn check_anchor(name: &str) -> Result<(), Mistake<'_>> {
    if may_be_word(name) { Ok(()) } else { Err(Mistake::NotAName { name, of: ANCHOR }) }
}

/// Whether a text is a word of Rust as far as its ASCII characters and its white space tell.
const fn may_be_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let (c, length) = character(bytes, i);
        // Rust counts two marks that have no width as white space.
        let letter = c.is_ascii_alphabetic()
            || c == '_'
            || !(c.is_ascii() || c.is_whitespace() || matches!(c, '\u{200e}' | '\u{200f}'));
        if !(letter || i > 0 && c.is_ascii_digit()) {
            return false;
        }
        i += length;
    }
    !bytes.is_empty()
}

pub(crate) const fn is_keyword(text: &str) -> bool {
    let mut i = 0;
    while i < KEYWORDS.len() {
        if same(KEYWORDS[i], text) {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether a text is a word of Rust, which may be a keyword. Without the feature `syntax`, which
/// knows the letters of all alphabets, any character beyond ASCII but white space is one.
pub(crate) fn is_word(text: &str) -> bool {
    #[cfg(feature = "syntax")]
    {
        use syn::ext::IdentExt as _;
        use syn::parse::Parser as _;
        may_be_word(text) && proc_macro2::Ident::parse_any.parse_str(text).is_ok()
    }
    #[cfg(not(feature = "syntax"))]
    may_be_word(text)
}

/// The variant that a target of this name becomes, if it can become one.
pub(crate) fn variant(name: &str) -> Option<String> {
    let variant = upper_camel(name);
    (is_word(&variant) && !is_keyword(&variant)).then_some(variant)
}

/// `air_pods` as `AirPods`.
pub(crate) fn upper_camel(name: &str) -> String {
    let capitalised = |part: &str| {
        let mut letters = part.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    name.split('_').map(capitalised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_name_is_a_word() {
        for name in ["iphone", "Büro", "a1", "air_pods", "a_1", "漢字", "Кот"] {
            assert!(check_bake(name).is_ok() && check_target(name).is_ok(), "{name}");
            assert!(check_anchor(name).is_ok() && is_word(name), "{name}");
        }
        let no_words =
            ["", "7", "my phone", "a-b", "a/b", "a\n", "a\u{a0}b", "a\u{3000}", "a\u{200e}", "r#a"];
        for text in no_words {
            assert!(check_bake(text).is_err() && check_target(text).is_err(), "{text:?}");
            assert!(check_anchor(text).is_err() && !is_word(text), "{text:?}");
        }
        // What only the tables of Unicode tell.
        for text in ["a🙂", "½", "\u{301}a"] {
            assert!(!is_word(text), "{text:?}");
        }
    }

    #[test]
    fn the_name_of_a_bake_is_no_keyword() {
        for word in KEYWORDS {
            assert!(check_bake(word).is_err() && check_anchor(word).is_ok(), "{word}");
            assert!(syn::parse_str::<proc_macro2::Ident>(word).is_err(), "{word}");
        }
        for word in ["union", "raw", "Fn", "selfish", "__"] {
            assert!(check_bake(word).is_ok(), "{word}");
            assert!(syn::parse_str::<proc_macro2::Ident>(word).is_ok(), "{word}");
        }
    }

    #[test]
    fn what_a_target_becomes_is_known_to_constant_functions() {
        for (name, become_) in [
            ("air_pods", Some("AirPods")),
            ("airPods", Some("AirPods")),
            ("fn", Some("Fn")),
            ("_a_", Some("A")),
            ("übung", Some("Übung")),
            ("selfish", Some("Selfish")),
            ("se_lf", Some("SeLf")),
            ("_", None),
            ("___", None),
            ("_7", None),
            ("self", None),
            ("_Self__", None),
        ] {
            assert_eq!(variant(name).as_deref(), become_, "{name}");
            assert_eq!(check_target(name).is_ok(), become_.is_some(), "{name}");
        }
        // A constant function does not change the case of other letters.
        assert!(variant("ſelf").is_none() && check_target("ſelf").is_ok());
    }
}
