//! Regular expressions that answers must match.

#[cfg(feature = "text")]
use super::Mistake;
use super::Text;
use super::parts::{check_words, str};

/// A regular expression, in the [syntax] of the crate `regex`.
///
/// [syntax]: https://docs.rs/regex/latest/regex/#syntax
///
/// ```
/// # extern crate bake_spec as bake;
/// # #[cfg(feature = "text")]
/// # fn main() -> Result<(), bake::Error> {
/// use bake::recipe::Pattern;
///
/// let time = Pattern::new(r"\b\d{1,2}:\d{2}\b")?;
/// assert!(time.is_in("Come before 9:30."));
/// let error = Pattern::new("(").unwrap_err().to_string();
/// assert_eq!(error, "`(` is not a regular expression: unclosed group [B0021]");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "text"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Text);

impl Pattern {
    /// What `matches` has, for messages.
    const WHAT: &'static str = "the regular expression that an answer must match";

    /// The pattern, if it is a regular expression.
    ///
    /// # Errors
    /// With the code and the message of `bake!` for what is wrong with it.
    #[cfg(feature = "text")]
    pub fn new(text: impl Into<Text>) -> Result<Self, crate::error::Error> {
        Self::checked(text.into(), |mistake| mistake.into())
    }

    /// The same; what is wrong is only known while it is reported.
    #[cfg(feature = "text")]
    pub(crate) fn checked<E>(text: Text, report: impl FnOnce(Mistake<'_>) -> E) -> Result<Self, E> {
        if let Err(mistake) = check_words(&text, Self::WHAT) {
            return Err(report(mistake));
        }
        let Err(error) = regex::Regex::new(&text) else { return Ok(Self(text)) };
        // The last of several lines, of which the others show the place.
        let said = error.to_string();
        let why = said.lines().last().unwrap_or_default();
        let why = why.strip_prefix("error: ").unwrap_or(why);
        Err(report(Mistake::NotAPattern { text: &text, why }))
    }

    /// The pattern in a constant that generated code writes, from a text that was checked.
    ///
    /// # Panics
    /// While the constant is evaluated, if it is blank or has a NUL character.
    #[doc(hidden)]
    pub const fn declared(text: Text) -> Self {
        if let Err(mistake) = check_words(str(&text), Self::WHAT) {
            mistake.stop();
        }
        Self(text)
    }

    /// Whether a part of the text matches. Case, line ends and all else count as they are written;
    /// `^` and `$` are the beginning and the end of the text.
    #[cfg(feature = "text")]
    pub fn is_in(&self, text: &str) -> bool {
        regex::Regex::new(&self.0).is_ok_and(|regex| regex.is_match(text))
    }
}

/// Its text.
impl std::ops::Deref for Pattern {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(all(test, feature = "text"))]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_regular_expression() {
        let answer = "Aye!\nThe code is 4217.";
        for there in [r"\d{4}", "(?i)AYE", r"^Aye!\n", r"\.$", "code|key", "(?m)^The"] {
            assert!(Pattern::new(there).unwrap().is_in(answer), "{there}");
        }
        for absent in [r"\d{5}", "aye", "^The", "!$", r"^Aye.*\d"] {
            assert!(!Pattern::new(absent).unwrap().is_in(answer), "{absent}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (text, why) in [
            ("(", "`(` is not a regular expression: unclosed group [B0021]"),
            ("a{2,1}", "invalid repetition count range"),
            ("one\n(?=two)", "look-around, including look-ahead and look-behind, is not supported"),
            (r"(a)\1", "backreferences are not supported"),
            (r"\w{1000}{1000}", "size limit"),
            (" ", "the regular expression that an answer must match cannot be empty [B0004]"),
            ("a\0", "the regular expression that an answer must match cannot contain a NUL"),
        ] {
            let error = Pattern::new(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
