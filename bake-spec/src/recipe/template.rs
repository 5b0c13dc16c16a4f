//! Templates of questions.

#[cfg(feature = "text")]
mod read;

use super::parts::{is_blank, str};
use super::{Mistake, Text};
#[cfg(feature = "text")]
pub use read::{PassageTemplate, PassageVariables};

/// A template that makes questions of a passage, one a line, in the language of [minijinja].
///
/// It knows the passage's `heading`, the `path` of headings from the document's title down to it,
/// the passage's `text`, the name of its `document` without folder and ending, and its `index`,
/// counted from 1.
///
/// [minijinja]: https://docs.rs/minijinja/latest/minijinja/syntax/index.html
///
/// ```
/// # extern crate bake_spec as bake;
/// # #[cfg(feature = "text")]
/// # fn main() -> Result<(), bake::Error> {
/// use bake::recipe::{PassageVariables, Template};
///
/// let template = Template::new("What does {{ document }} say about {{ heading | lower }}?")?;
/// let passage = PassageVariables {
///     path: vec!["Opening Hours"],
///     text: "## Opening Hours\nFrom 9 to 5.",
///     document: "shop",
///     index: 1,
/// };
/// assert_eq!(template.read()?.questions(passage)?, ["What does shop say about opening hours?"]);
///
/// let error = Template::new("What about {{ headin }}?").unwrap_err().to_string();
/// assert!(error.contains("no variable `headin`; did you mean `heading`?"));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "text"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Text);

impl Template {
    /// What this is, for messages.
    const WHAT: &'static str = "a template";

    /// The template in a constant that generated code writes, from a text that was checked.
    ///
    /// # Panics
    /// While the constant is evaluated, if it is blank.
    #[doc(hidden)]
    pub const fn declared(text: Text) -> Self {
        if is_blank(str(&text)) {
            Mistake::Blank(Self::WHAT).stop();
        }
        Self(text)
    }
}

/// Its text.
impl std::ops::Deref for Template {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
