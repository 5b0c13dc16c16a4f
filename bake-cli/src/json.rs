//! What is printed as JSON. Its form is described by `bake-cli/json.schema.json`.

use anyhow::Result;
use bake_spec::ErrorKind;
use bake_spec::store::write::WriteError;
use serde::Serialize;

use crate::commands::NotFound;
use crate::mistakes::{Mistakes, ShownMistake};
use crate::terminal::{message, say};

/// The version of everything that is printed as JSON. A new field does not change it; a field that
/// is removed, or changes its meaning, does.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    value: T,
}

/// A value as JSON on the standard output.
pub(crate) fn print(value: impl Serialize) -> Result<()> {
    say!("{}", serde_json::to_string(&Versioned { version: VERSION, value })?);
    Ok(())
}

/// The state of bakes: `{"version":1,"bakes":[…]}`.
pub(crate) fn print_bakes<T: Serialize>(bakes: &[T]) -> Result<()> {
    #[derive(Serialize)]
    struct Bakes<'a, T> {
        bakes: &'a [T],
    }
    print(Bakes { bakes })
}

#[derive(Serialize)]
struct Failure<'a> {
    error: Described<'a>,
}

#[derive(Serialize)]
struct Described<'a> {
    kind: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "<[ShownMistake]>::is_empty")]
    mistakes: &'a [ShownMistake],
}

/// An error, as JSON on the standard output, where a program expects its answer.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mistakes = error.downcast_ref::<Mistakes>().map_or(&[][..], |all| &all.mistakes);
    let first = mistakes.iter().find(|mistake| mistake.severity == "error");
    print_failure(Described {
        kind: kind(error),
        message: message(error),
        code: first.map(|mistake| mistake.code.as_str()),
        mistakes,
    });
}

/// A command line that was not understood.
pub(crate) fn print_usage_error(message: &str) {
    let message = message.trim_start_matches("error: ").trim_end().to_owned();
    print_failure(Described { kind: "usage".to_owned(), message, code: None, mistakes: &[] });
}

fn print_failure(error: Described<'_>) {
    // Strings and numbers can always be written as JSON.
    let text = serde_json::to_string(&Versioned { version: VERSION, value: Failure { error } });
    say!("{}", text.expect("an error has a JSON form"));
}

/// What an error is about, in one word.
fn kind(error: &anyhow::Error) -> String {
    let of = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<Mistakes>() {
            return Some("declaration".to_owned());
        }
        if cause.is::<WriteError>() {
            return Some("write".to_owned());
        }
        if cause.is::<NotFound>() {
            return Some("not_found".to_owned());
        }
        let runtime = cause.downcast_ref().map(bake_runtime::Error::kind);
        let spec = || cause.downcast_ref().map(bake_spec::Error::kind);
        runtime.or_else(spec).map(word)
    };
    error.chain().find_map(of).unwrap_or_else(|| "other".to_owned())
}

/// A kind of the library's errors as a word: its name in snake case.
fn word(kind: ErrorKind) -> String {
    snake_case(&format!("{kind:?}"))
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (i, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && i > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_kind_of_error_is_described() {
        let schema: Value = serde_json::from_str(include_str!("../json.schema.json")).unwrap();
        let kinds = "/$defs/error/properties/error/properties/kind/anyOf/0/enum";
        let described = schema.pointer(kinds).and_then(Value::as_array).unwrap();
        let own = ["usage", "not_found", "declaration", "write", "other"].map(str::to_owned);
        let all: Vec<String> = own.into_iter().chain(ErrorKind::ALL.map(word)).collect();
        assert_eq!(*described, all);
    }
}
