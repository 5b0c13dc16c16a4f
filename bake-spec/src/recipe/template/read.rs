//! Reading templates, and making questions by them.

use super::{Template, Text};
use crate::diagnostics::very_similar;
use crate::recipe::Mistake;
use crate::recipe::parts::is_blank;
use crate::text::jinja;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

/// Steps of a template: more than any question needs, and far from a loop without an end.
const FUEL: u64 = 100_000;

/// The name of the template within its environment.
const NAME: &str = "template";

/// The variables, in the order of their values in [`PassageVariables::value`].
const VARIABLES: [&str; 5] = ["heading", "path", "text", "document", "index"];

/// What is wrong where a character cannot be part of a question.
const NUL: &str = "it makes a NUL character; remove it";

/// Names that have a meaning in some places of any template.
const OF_THE_LANGUAGE: [&str; 3] = ["caller", "loop", "self"];

/// What a [`Template`] knows of a passage.
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

impl PassageVariables<'_> {
    fn value(self) -> Value {
        let heading = self.path.last().copied().unwrap_or_default();
        let values = [
            Value::from(heading),
            self.path.iter().map(|title| Value::from(*title)).collect(),
            Value::from(self.text),
            Value::from(self.document),
            Value::from(self.index),
        ];
        Value::from_pairs(VARIABLES.into_iter().zip(values))
    }
}

impl Template {
    /// The template, if it is one.
    ///
    /// # Errors
    /// With the code and the message of `bake!` for what is wrong with it.
    pub fn new(text: impl Into<Text>) -> Result<Self, crate::error::Error> {
        Self::checked(text.into(), |mistake| mistake.into())
    }

    /// The same; what is wrong is only known while it is reported.
    pub(crate) fn checked<E>(text: Text, report: impl FnOnce(Mistake<'_>) -> E) -> Result<Self, E> {
        if is_blank(&text) {
            return Err(report(Mistake::Blank(Self::WHAT)));
        }
        if let Err(why) = PassageTemplate::of(&text) {
            return Err(report(Mistake::NotATemplate { why: &why }));
        }
        Ok(Self(text))
    }

    /// The template as its engine reads it, once for all passages.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), where a constant contains something else.
    pub fn read(&self) -> Result<PassageTemplate<'_>, crate::error::Error> {
        PassageTemplate::of(&self.0).map_err(|why| Mistake::NotATemplate { why: &why }.into())
    }
}

/// A [`Template`] that was read, which makes questions of passages.
#[derive(Debug)]
pub struct PassageTemplate<'a>(Environment<'a>);

impl<'a> PassageTemplate<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        jinja::check(text).map_err(|what| format!("it {what}"))?;
        if text.contains('\0') {
            return Err(NUL.to_owned());
        }
        // As other languages fill texts in.
        let meant = |name: &&&str| text.contains(&format!("{{{name}}}"));
        if let (false, Some(name)) = (text.contains("{{"), VARIABLES.iter().find(meant)) {
            return Err(format!("`{{{name}}}` is text in it; write `{{{{ {name} }}}}`"));
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.add_template(NAME, text).map_err(|e| said(&e))?;
        check_variables(&environment)?;
        Ok(Self(environment))
    }

    /// The questions about a passage: the lines that are not empty.
    ///
    /// # Errors
    /// When the template fails on this passage, as where a filter does not exist.
    pub fn questions(
        &self,
        passage: PassageVariables<'_>,
    ) -> Result<Vec<String>, crate::error::Error> {
        self.render(passage).map_err(|why| Mistake::NotATemplate { why: &why }.into())
    }

    /// The same; an error says what is wrong and nothing else.
    pub(crate) fn render(&self, passage: PassageVariables<'_>) -> Result<Vec<String>, String> {
        let rendered = self.0.get_template(NAME).and_then(|it| it.render(passage.value()));
        let text = rendered.map_err(|e| said(&e))?;
        if text.contains('\0') {
            return Err(NUL.to_owned());
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    }
}

/// Refuses variables that no passage has, wherever in a template they are used.
fn check_variables(environment: &Environment<'_>) -> Result<(), String> {
    let template = environment.get_template(NAME).map_err(|e| said(&e))?;
    let used = template.undeclared_variables(false);
    let exists = |name: &str| {
        VARIABLES.contains(&name)
            || OF_THE_LANGUAGE.contains(&name)
            || environment.globals().any(|(global, _)| global == name)
    };
    // The first in the order of the alphabet: a set has none.
    let Some(name) = used.iter().map(String::as_str).filter(|name| !exists(name)).min() else {
        return Ok(());
    };
    let meant = match very_similar(name, VARIABLES) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("a template knows `{}`", VARIABLES.join("`, `")),
    };
    Err(format!("there is no variable `{name}`; {meant}"))
}

/// What the engine says in one line, with the line of a template that has several.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Code;

    fn passage() -> PassageVariables<'static> {
        PassageVariables {
            path: vec!["Mac", "Slow"],
            text: "# Mac\n\n## Slow\nRestart it.",
            document: "mac",
            index: 2,
        }
    }

    fn questions(text: &str) -> Vec<String> {
        Template::new(text.to_owned()).unwrap().read().unwrap().questions(passage()).unwrap()
    }

    #[test]
    fn a_template_knows_its_passage() {
        let text =
            "{{ index }}: {{ heading }} in {{ document }}?\n\n{{ path | join(' > ') }} & co\n";
        assert_eq!(questions(text), ["2: Slow in mac?", "Mac > Slow & co"]);
        assert_eq!(questions("{{ text }}").len(), 3);
        let looping = "{% set it = heading %}{% for n in range(2) %}{{ loop.index }}{{ it }}\n\
             {% endfor %}{% macro m(a) %}{{ a }}!{% endmacro %}{{ m(path[0]) }}";
        assert_eq!(questions(looping), ["1Slow", "2Slow", "Mac!"]);
    }

    #[test]
    fn a_template_that_cannot_be_read_is_refused_with_its_line() {
        for (text, why) in [
            ("{{ heading", "unexpected end of input, expected end of variable block"),
            ("Why?\n{% if text %}", "unexpected end of input"),
            ("Why?\n{% nothing %}", "unknown statement nothing (line 2)"),
            ("{{ author }}", "there is no variable `author`; a template knows `heading`, `path`"),
            ("{% if index > 9 %}{{ txt }}{% endif %}", "`txt`; did you mean `text`?"),
            ("{% include 'other' %}", "it has `include` in line 1"),
            ("What about {heading}?", "`{heading}` is text in it; write `{{ heading }}`"),
            ("{{ heading }}\0", "it makes a NUL character; remove it"),
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
            ("{{ '\\u0000' }}", "it makes a NUL character"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                "fuel",
            ),
        ] {
            let template = Template::new(text).unwrap();
            let error = template.read().unwrap().questions(passage()).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("B0022"), "{error}");
        }
    }

    #[test]
    fn the_page_about_templates_has_all_variables() {
        for name in VARIABLES {
            assert!(Code::Template.page().contains(&format!("\n| `{name}` |")), "{name}");
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
