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

/// The variables, by the names that [`PassageVariables::value`] gives them.
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
        let template = Self(text);
        match template.environment().and_then(|environment| template.variables_exist(&environment))
        {
            Ok(()) => Ok(template),
            Err(why) => Err(report(Mistake::NotATemplate { why: &why })),
        }
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
        let environment = self.environment()?;
        let rendered = environment.get_template(NAME).and_then(|it| it.render(passage.value()));
        let text = rendered.map_err(|e| said(&e))?;
        if text.contains('\0') {
            return Err(NUL.to_owned());
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    }

    fn environment(&self) -> Result<Environment<'_>, String> {
        jinja::check(&self.0).map_err(|what| format!("it {what}"))?;
        if self.0.contains('\0') {
            return Err(NUL.to_owned());
        }
        // As other languages fill texts in.
        let meant = |name: &&&str| self.0.contains(&format!("{{{name}}}"));
        if let (false, Some(name)) = (self.0.contains("{{"), VARIABLES.iter().find(meant)) {
            return Err(format!("`{{{name}}}` is text in it; write `{{{{ {name} }}}}`"));
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.add_template(NAME, &self.0).map_err(|e| said(&e))?;
        Ok(environment)
    }

    /// Refuses variables that no passage has, wherever in the template they are used.
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
                let meant = match very_similar(name, VARIABLES) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("a template knows `{}`", VARIABLES.join("`, `")),
                };
                Err(format!("there is no variable `{name}`; {meant}"))
            }
            None => Ok(()),
        }
    }
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
