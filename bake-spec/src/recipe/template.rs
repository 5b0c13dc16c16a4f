//! Questions that a template of the declaration makes of each passage.

use super::Text;
use super::parts::{is_blank, str};
use crate::diagnostics::Mistake;
#[cfg(feature = "text")]
use crate::diagnostics::did_you_mean;
#[cfg(feature = "text")]
use crate::text::jinja;
#[cfg(feature = "text")]
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

/// Steps of a template: more than any question needs, and far from a loop without an end.
#[cfg(feature = "text")]
const FUEL: u64 = 100_000;

/// The name of the template within its environment.
#[cfg(feature = "text")]
const NAME: &str = "template";

/// The variables, by the names that [`PassageVariables::value`] gives them.
#[cfg(feature = "text")]
const VARIABLES: [&str; 5] = ["heading", "path", "text", "document", "index"];

/// Names that have a meaning in some places of any template.
#[cfg(feature = "text")]
const OF_THE_LANGUAGE: [&str; 3] = ["caller", "loop", "self"];

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
/// assert_eq!(template.questions(passage)?, ["What does shop say about opening hours?"]);
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

/// What a [`Template`] knows of a passage.
#[cfg(feature = "text")]
#[derive(Clone, Debug)]
pub struct PassageVariables<'a> {
    /// The headings from the document's title down to the passage's own.
    pub path: Vec<&'a str>,
    /// The text of the passage.
    pub text: &'a str,
    /// The name of its document: the file without folder and ending.
    pub document: &'a str,
    /// Its number, from 1.
    pub index: usize,
}

#[cfg(feature = "text")]
impl PassageVariables<'_> {
    fn value(self) -> Value {
        let heading = self.path.last().copied().unwrap_or_default();
        Value::from_pairs([
            ("heading", Value::from(heading)),
            ("path", self.path.iter().map(|title| Value::from(*title)).collect()),
            ("text", Value::from(self.text)),
            ("document", Value::from(self.document)),
            ("index", Value::from(self.index)),
        ])
    }
}

impl Template {
    /// What this is, for messages.
    const WHAT: &'static str = "a template";

    /// The template, if it is one.
    ///
    /// # Errors
    /// With the code and the message of `bake!` for what is wrong with it.
    #[cfg(feature = "text")]
    pub fn new(text: impl Into<Text>) -> Result<Self, crate::Error> {
        Self::checked(text.into(), |mistake| mistake.into())
    }

    /// The same; what is wrong is only known while it is reported.
    #[cfg(feature = "text")]
    pub(crate) fn checked<E>(text: Text, report: impl FnOnce(Mistake<'_>) -> E) -> Result<Self, E> {
        if is_blank(&text) {
            return Err(report(Mistake::Blank(Self::WHAT)));
        }
        let template = Self(text);
        match template.environment().and_then(|environment| template.variables_exist(&environment))
        {
            Ok(()) => Ok(template),
            Err(why) => Err(report(Mistake::NotATemplate { why: &why })),
        }
    }

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

    /// The questions about a passage: the lines that are not empty.
    ///
    /// # Errors
    /// When the template fails on this passage, as where a filter does not exist.
    #[cfg(feature = "text")]
    pub fn questions(&self, passage: PassageVariables<'_>) -> Result<Vec<String>, crate::Error> {
        self.render(passage).map_err(|why| Mistake::NotATemplate { why: &why }.into())
    }

    /// The same; an error says what is wrong and nothing else.
    #[cfg(feature = "text")]
    pub(crate) fn render(&self, passage: PassageVariables<'_>) -> Result<Vec<String>, String> {
        let environment = self.environment()?;
        let rendered = environment.get_template(NAME).and_then(|it| it.render(passage.value()));
        let text = rendered.map_err(|e| said(&e))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    }

    #[cfg(feature = "text")]
    fn environment(&self) -> Result<Environment<'_>, String> {
        jinja::check(&self.0).map_err(|what| format!("it {what}"))?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.add_template(NAME, &self.0).map_err(|e| said(&e))?;
        Ok(environment)
    }

    /// Refuses variables that no passage has, wherever in the template they are used.
    #[cfg(feature = "text")]
    fn variables_exist(&self, environment: &Environment<'_>) -> Result<(), String> {
        let template = environment.get_template(NAME).map_err(|e| said(&e))?;
        let used = template.undeclared_variables(false);
        let exists = |name: &str| {
            VARIABLES.contains(&name)
                || OF_THE_LANGUAGE.contains(&name)
                || environment.globals().any(|(global, _)| global == name)
        };
        // The first in the order of the alphabet: a set has none.
        match used.iter().map(String::as_str).filter(|name| !exists(name)).min() {
            Some(name) => {
                let meant = did_you_mean(name, &VARIABLES);
                Err(format!("there is no variable `{name}`; {meant}"))
            }
            None => Ok(()),
        }
    }
}

/// What the engine says in one line, with the line of a template that has several.
#[cfg(feature = "text")]
fn said(e: &minijinja::Error) -> String {
    let what = match e.detail() {
        Some(detail) => detail.to_owned(),
        None => e.kind().to_string(),
    };
    match e.line() {
        Some(line) if line > 1 => format!("{what} (line {line})"),
        _ => what,
    }
}

/// Its text.
impl std::ops::Deref for Template {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(all(test, feature = "text"))]
mod tests {
    use super::*;

    fn passage() -> PassageVariables<'static> {
        PassageVariables {
            path: vec!["Mac", "Slow"],
            text: "# Mac\n\n## Slow\nRestart it.",
            document: "mac",
            index: 2,
        }
    }

    fn questions(text: &str) -> Vec<String> {
        Template::new(text.to_owned()).unwrap().questions(passage()).unwrap()
    }

    #[test]
    fn a_template_knows_its_passage() {
        let text =
            "{{ index }}: {{ heading }} in {{ document }}?\n\n{{ path | join(' > ') }} & co\n";
        assert_eq!(questions(text), ["2: Slow in mac?", "Mac > Slow & co"]);
        assert_eq!(questions("{{ text }}").len(), 3);
        let whole_language = "{% set it = heading %}{% for n in range(2) %}{{ loop.index }}{{ it }}\n\
             {% endfor %}{% macro m(a) %}{{ a }}!{% endmacro %}{{ m(path[0]) }}";
        assert_eq!(questions(whole_language), ["1Slow", "2Slow", "Mac!"]);
    }

    #[test]
    fn a_template_that_cannot_be_read_is_refused_with_its_line() {
        for (text, why) in [
            ("{{ heading", "unexpected end of input, expected end of variable block"),
            ("Why?\n{% if text %}", "unexpected end of input"),
            ("Why?\n{% nothing %}", "unknown statement nothing (line 2)"),
            ("{{ author }}", "there is no variable `author`; expected one of `heading`, `path`"),
            ("{% if index > 9 %}{{ txt }}{% endif %}", "`txt`; did you mean `text`?"),
            ("{% include 'other' %}", "it has `include` in line 1"),
            (" ", "a template cannot be empty"),
        ] {
            let error = Template::new(text.to_owned()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_template_that_fails_on_a_passage_is_an_error() {
        for (text, why) in [
            ("{{ heading | shout }}", "shout"),
            ("{{ path[7] }}", "undefined value"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                "fuel",
            ),
        ] {
            let error = Template::new(text).unwrap().questions(passage()).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("B0022"), "{error}");
        }
    }

    /// As deep as minijinja goes: further is an error, and neither needs more stack than a thread
    /// has.
    #[test]
    fn deep_templates_are_read_or_refused() {
        for depth in [10, 140, 200, 10_000] {
            let text = "{% if index %}".repeat(depth) + "Why?" + &"{% endif %}".repeat(depth);
            assert_eq!(Template::new(text).is_ok(), depth < 150, "{depth}");
        }
    }
}
