//! Questions that a template of the declaration makes of each passage.

use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior};

use crate::bake::inputs::Passage;
use crate::error::{Error, ErrorKind, Result};
use crate::text::guard;

/// Steps of a template: more than any question needs, and far from a loop without an end.
const FUEL: u64 = 100_000;

/// The name of the template within its environment.
const NAME: &str = "template";

/// A template that was read, for the passages of one document.
pub(crate) struct PassageTemplate {
    environment: Environment<'static>,
    /// The name of the document: its file without folder and ending.
    document: String,
}

impl PassageTemplate {
    /// Reads the template of a target, whose document has this name.
    ///
    /// # Errors
    /// Where it is not a template.
    pub(crate) fn new(target: &str, text: &str, document: &str) -> Result<Self> {
        guard::check_template(text).map_err(|what| {
            let message = format!("the `template` of target `{target}` {what}");
            Error::new(ErrorKind::Recipe, message)
        })?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_template_owned(NAME, text.to_owned()).map_err(|e| refused(target, &e))?;
        Ok(Self { environment, document: document.to_owned() })
    }

    /// The questions about a passage: the lines that are not empty.
    pub(super) fn questions(
        &self,
        target: &str,
        passage: &Passage,
        number: usize,
    ) -> Result<Vec<String>> {
        let path: Vec<String> = passage.titles.iter().chain(&passage.heading).cloned().collect();
        let variables = Value::from_pairs([
            ("heading", Value::from(path.last().cloned().unwrap_or_default())),
            ("path", Value::from(path)),
            ("text", Value::from(passage.text.as_str())),
            ("document", Value::from(self.document.as_str())),
            ("index", Value::from(number + 1)),
        ]);
        let rendered = self.environment.get_template(NAME).and_then(|it| it.render(variables));
        let text = rendered.map_err(|e| refused(target, &e))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    }
}

fn refused(target: &str, e: &minijinja::Error) -> Error {
    let message = format!(
        "the `template` of target `{target}` cannot be used: {e}; it can contain \
         {{{{ heading }}}}, {{{{ path }}}}, {{{{ text }}}}, {{{{ document }}}} and {{{{ index }}}}"
    );
    Error::new(ErrorKind::Recipe, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage() -> Passage {
        Passage {
            titles: vec!["Mac".to_owned()],
            heading: Some("Slow".to_owned()),
            text: "# Mac\n\n## Slow\nRestart it.".to_owned(),
            ..Passage::default()
        }
    }

    #[test]
    fn a_template_knows_its_passage() {
        let text =
            "{{ index }}: {{ heading }} in {{ document }}?\n\n{{ path | join(' > ') }} & co\n";
        let template = PassageTemplate::new("mac", text, "mac").unwrap();
        let questions = template.questions("mac", &passage(), 1).unwrap();
        assert_eq!(questions, ["2: Slow in mac?", "Mac > Slow & co"]);
        let lines = PassageTemplate::new("mac", "{{ text }}", "mac").unwrap();
        assert_eq!(lines.questions("mac", &passage(), 0).unwrap().len(), 3);
    }

    #[test]
    fn a_template_that_cannot_be_used_is_an_error() {
        let error = PassageTemplate::new("mac", "{{ heading", "mac").err().unwrap();
        assert!(error.to_string().contains("`template` of target `mac`"), "{error}");
        for text in [
            "{{ author }}",
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% \
            endfor %}{% endfor %}",
        ] {
            let template = PassageTemplate::new("mac", text, "mac").unwrap();
            let error = template.questions("mac", &passage(), 0).unwrap_err().to_string();
            assert!(error.contains("it can contain {{ heading }}"), "{error}");
        }
    }
}
