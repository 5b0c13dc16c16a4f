//! Reading the questions of a file.

use std::fmt::{self, Display};
use std::path::Path;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Format, csv};
use crate::error::{Error, ErrorKind};
use crate::hash::Hash;
use crate::text::document::read_text;

/// The content of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    /// The questions, in the order of the file.
    pub questions: Vec<String>,
    /// The hash of the file's text, independent of its line ends.
    pub hash: Hash,
}

/// What is wrong with a line, which is counted from 1.
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads the questions of a file, which messages call `shown`. Empty lines are ignored.
///
/// # Errors
/// When the file cannot be read or contains no question, and when any line is malformed or lacks
/// the field, even after those that are taken: the message names the line.
pub fn read(
    path: &Path,
    shown: impl Display,
    format: Format,
    field: &str,
    take: Option<usize>,
) -> Result<Questions, Error> {
    let text = read_text(path, &shown, "dataset").map_err(|e| e.about(ErrorKind::Dataset))?;
    let questions = match format {
        Format::Lines => Ok(of_lines(&text)),
        Format::JsonLines => of_json_lines(&text, field),
        Format::Csv => csv::questions(&text, field),
    };
    let mut questions = questions.map_err(|Wrong { line, what }| {
        Error::new(ErrorKind::Dataset, format!("{shown}, line {line}: {what}"))
    })?;
    questions.truncate(take.unwrap_or(usize::MAX));
    if questions.is_empty() {
        let message = format!("the dataset {shown} contains no questions; add some");
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    Ok(Questions { questions, hash: Hash::of(text.as_bytes()) })
}

/// The number of a line, and what is in it or wrong with it.
pub(super) type Numbered<T> = (usize, Result<T, String>);

/// The number of each line of a file that is not empty, from 1 on, and what is in it or wrong with
/// it. Messages call the file `shown`, a file of such `items`.
pub(super) fn numbered<T>(
    path: &Path,
    shown: impl Display,
    items: &str,
    of_line: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<Numbered<T>>, Error> {
    let text = read_text(path, &shown, &format!("file of {items}"))
        .map_err(|e| e.about(ErrorKind::Dataset))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let lines: Vec<_> = lines.map(|(number, line)| (number, of_line(line))).collect();
    if lines.is_empty() {
        let message = format!("the file of {items} {shown} is empty; add some");
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    Ok(lines)
}

fn of_lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn of_json_lines(text: &str, field: &str) -> Result<Vec<String>, Wrong> {
    let mut questions = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        questions.push(of_json(line, field).map_err(|what| Wrong { line: i + 1, what })?);
    }
    Ok(questions)
}

/// The fields of a JSON object in their order, those with the same name too.
struct JsonFields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for JsonFields {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = JsonFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonFields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(JsonFields(fields))
            }
        }

        json.deserialize_map(Visit)
    }
}

fn of_json(line: &str, field: &str) -> Result<String, String> {
    let object: Result<JsonFields, _> = serde_json::from_str(line);
    let JsonFields(object) = object.map_err(|e| {
        if e.is_data() {
            return format!("not a JSON object; write {{\"{field}\": \"…\"}}");
        }
        // The line within the text is always the first, and its number in the file is in the
        // message already.
        let what = e.to_string().replace(" at line 1 column", " at column");
        format!("not JSON: {what}; write one object in each line, as in {{\"{field}\": \"…\"}}")
    })?;
    let mut found = object.iter().filter(|(name, _)| name == field).map(|(_, value)| value);
    let first = found.next();
    if found.next().is_some() {
        return Err(format!("the field `{field}` appears twice; keep one of them"));
    }
    let is = match first {
        Some(Value::String(question)) if question.contains('\0') => "contains a NUL character",
        Some(Value::String(question)) if !question.trim().is_empty() => {
            return Ok(question.trim().to_owned());
        }
        Some(Value::String(_)) => "is empty",
        Some(Value::Null) => "is null, not a string",
        Some(Value::Bool(_)) => "is a boolean, not a string",
        Some(Value::Number(_)) => "is a number, not a string",
        Some(Value::Array(_)) => "is a list, not a string",
        Some(Value::Object(_)) => "is an object, not a string",
        None => {
            let names: Vec<String> = object.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(format!(
                "there is no field `{field}`; the line has {}",
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ));
        }
    };
    Err(format!("the field `{field}` {is}; write a question there, or delete the line"))
}

/// The JSON object in a line, which should be like the `example`, or what is wrong with it.
pub(super) fn object_of<T: DeserializeOwned>(line: &str, example: &str) -> Result<T, String> {
    if !line.trim_start().starts_with('{') {
        return Err(format!("not a JSON object; write {example}"));
    }
    serde_json::from_str(line).map_err(|e| {
        // The line within the text is always the first, and its number in the file is in the
        // message already.
        let what = e.to_string().replace(" at line 1 column", " at column");
        match e.is_data() {
            true => what,
            false => format!("not JSON: {what}; write one object in each line, as {example}"),
        }
    })
}

#[cfg(test)]
mod tests;
