//! The filter `tojson` of chat templates: JSON as Python's `json.dumps` writes it.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::bounds::charge;

/// The most bytes of what is written between values.
const LONGEST: usize = 64;

/// How deeply values may be nested.
const DEPTH: usize = 500;

/// With the arguments that transformers gives the filter.
pub(super) fn to_json(
    state: &State<'_, '_>,
    value: &Value,
    options: Kwargs,
) -> Result<String, Error> {
    let indent = match options.get::<Option<Value>>("indent")? {
        None => None,
        Some(text) if text.as_str().is_some() => {
            text.as_str().filter(|text| text.len() <= LONGEST).map(str::to_owned)
        }
        Some(width) => Some(" ".repeat(u8::try_from(width)?.min(16).into())),
    };
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let (item, key) = match (separators, &indent) {
        (Some(both), _) => match <[String; 2]>::try_from(both) {
            Ok([item, key]) if item.len().max(key.len()) <= LONGEST => (item, key),
            _ => return Err(failed("`separators` are not two short strings")),
        },
        (None, Some(_)) => (",".to_owned(), ": ".to_owned()),
        (None, None) => (", ".to_owned(), ": ".to_owned()),
    };
    let style = Style {
        indent,
        item,
        key,
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sorted: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let mut out = String::new();
    style.write(state, &mut out, value, 0)?;
    Ok(out)
}

struct Style {
    indent: Option<String>,
    /// Between items.
    item: String,
    /// Between a key and its value.
    key: String,
    ascii: bool,
    sorted: bool,
}

impl Style {
    fn write(
        &self,
        state: &State<'_, '_>,
        out: &mut String,
        value: &Value,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(failed("the value is nested too deeply"));
        }
        // Lists can share their items: writing each has its price.
        charge(state, value.as_str().map_or(0, str::len))?;
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&value.to_string()),
            ValueKind::String => self.text(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<_> = value.try_iter()?.map(|item| (None, item)).collect();
                self.items(state, out, ['[', ']'], &items, depth)?;
            }
            ValueKind::Map => {
                let mut items = Vec::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    let key = key_text(&key)?;
                    charge(state, key.len())?;
                    items.push((Some(key), item));
                }
                if self.sorted {
                    items.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.items(state, out, ['{', '}'], &items, depth)?;
            }
            kind => return Err(failed(&format!("{kind} cannot be written as JSON"))),
        }
        Ok(())
    }

    fn items(
        &self,
        state: &State<'_, '_>,
        out: &mut String,
        [open, close]: [char; 2],
        items: &[(Option<String>, Value)],
        depth: usize,
    ) -> Result<(), Error> {
        let line = |out: &mut String, depth: usize| {
            if let Some(indent) = self.indent.as_ref().filter(|_| !items.is_empty()) {
                out.push('\n');
                out.push_str(&indent.repeat(depth));
            }
        };
        out.push(open);
        for (i, (key, item)) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(&self.item);
            }
            line(out, depth + 1);
            if let Some(key) = key {
                self.text(out, key);
                out.push_str(&self.key);
            }
            self.write(state, out, item, depth + 1)?;
        }
        line(out, depth);
        out.push(close);
        Ok(())
    }

    fn text(&self, out: &mut String, text: &str) {
        // A string can always be written as JSON.
        let quoted = serde_json::to_string(text).unwrap_or_default();
        for c in quoted.chars() {
            if self.ascii && !c.is_ascii() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                out.push(c);
            }
        }
    }
}

/// A key as the string that Python makes of it.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String | ValueKind::Number => Ok(key.to_string()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        kind => Err(failed(&format!("{kind} cannot be a key of JSON"))),
    }
}

fn failed(what: &str) -> Error {
    Error::new(ErrorKind::BadSerialization, what.to_owned())
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};

    fn rendered(expression: &str) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_filter("tojson", super::to_json);
        environment.render_str(&format!("{{{{ {expression} }}}}"), context! {})
    }

    /// As `json.dumps` writes them.
    #[test]
    fn values_read_as_python_writes_them() {
        let value = "{'b': [1, 2.5, none], 'a': {'ü\"': true}, 'e': [], 'f': {}}";
        let json = |options: &str| rendered(&format!("{value} | tojson{options}")).unwrap();
        let plain = r#"{"b": [1, 2.5, null], "a": {"ü\"": true}, "e": [], "f": {}}"#;
        assert_eq!(json(""), plain);
        assert_eq!(
            json("(ensure_ascii=true, sort_keys=true)"),
            r#"{"a": {"\u00fc\"": true}, "b": [1, 2.5, null], "e": [], "f": {}}"#
        );
        assert_eq!(json("(separators=[',', ':'])"), plain.replace(", ", ",").replace(": ", ":"));
        let lines = "{\n \"b\": [\n  1,\n  2.5,\n  null\n ],\n \"a\": {\n  \"ü\\\"\": true\n },\n \
            \"e\": [],\n \"f\": {}\n}";
        assert_eq!(json("(indent=1)"), lines);
        assert_eq!(json("(indent=' ')"), lines);
    }

    #[test]
    fn values_that_json_cannot_represent_are_errors() {
        for wrong in ["nothing | tojson", "1 | tojson(colour=1)", "1 | tojson(separators=[','])"] {
            assert!(rendered(wrong).is_err(), "{wrong}");
        }
    }
}
