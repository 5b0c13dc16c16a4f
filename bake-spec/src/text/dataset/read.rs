//! Reading files of questions.

use std::fmt::Display;
use std::path::Path;

use serde_json::Value;

use super::Format;
use crate::error::{Error, ErrorKind};
use crate::hash::Hash;
use crate::text::document::read_text;

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    /// The questions, in the order of the file.
    pub questions: Vec<String>,
    /// The hash of the file's text, whatever its line ends.
    pub hash: Hash,
}

/// Reads the questions of a file, which messages call `shown`. Empty lines count for nothing.
///
/// # Errors
/// When the file cannot be read or holds no question, and when a line is malformed or lacks the
/// field: the message names the line.
pub fn read(
    path: &Path,
    shown: impl Display,
    format: Format,
    field: &str,
    take: Option<usize>,
) -> Result<Questions, Error> {
    let text = read_text(path, &shown, "dataset")
        .map_err(|e| Error::new(ErrorKind::Dataset, e.to_string()))?;
    let wrong = |line: usize, what: String| {
        Error::new(ErrorKind::Dataset, format!("{shown}, line {line}: {what}"))
    };
    let questions: Vec<String> = match format {
        Format::Lines => {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        }
        Format::JsonLines => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines
                .map(|(i, line)| of_json(line, field).map_err(|what| wrong(i + 1, what)))
                .collect::<Result<_, _>>()?
        }
        Format::Csv => of_csv(&text, field).map_err(|(line, what)| wrong(line, what))?,
    };
    let hash = Hash::of(text.as_bytes());
    let questions: Vec<String> = questions.into_iter().take(take.unwrap_or(usize::MAX)).collect();
    match questions.is_empty() {
        true => Err(Error::new(
            ErrorKind::Dataset,
            format!("the dataset {shown} holds no questions; write some into it"),
        )),
        false => Ok(Questions { questions, hash }),
    }
}

fn of_json(line: &str, field: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(line).map_err(|e| {
        // The line within the text is always the first, and its own number is said already.
        format!("not JSON: {}", e.to_string().replace(" at line 1 column", " at column"))
    })?;
    let Value::Object(object) = value else {
        return Err("not a JSON object; write {\"question\": \"…\"}".to_owned());
    };
    match object.get(field) {
        Some(Value::String(question)) if !question.trim().is_empty() => {
            Ok(question.trim().to_owned())
        }
        Some(Value::String(_)) => Err(format!("the field `{field}` is empty")),
        Some(_) => Err(format!("the field `{field}` is not a string")),
        None => {
            let names: Vec<String> = object.keys().map(|name| format!("`{name}`")).collect();
            Err(format!(
                "there is no field `{field}`; the line has {}",
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ))
        }
    }
}

fn of_csv(text: &str, field: &str) -> Result<Vec<String>, (usize, String)> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let malformed = |e: csv::Error| {
        let line = e.position().map_or(1, |position| position.line() as usize);
        (line, format!("malformed CSV: {e}"))
    };
    let header = reader.headers().map_err(malformed)?.clone();
    let Some(column) = header.iter().position(|name| name == field) else {
        let names = header.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        return Err((1, format!("there is no column `{field}`; the first line names {names}")));
    };
    let mut questions = Vec::new();
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        let line = record.position().map_or(1, |position| position.line() as usize);
        match record.get(column) {
            Some(question) if !question.is_empty() => questions.push(question.to_owned()),
            _ => return Err((line, format!("the column `{field}` is empty"))),
        }
    }
    Ok(questions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str, field: &str) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let format = Format::of(name).unwrap_or(Format::Lines);
        read(&path, name, format, field, None).map(|read| read.questions).map_err(|e| e.to_string())
    }

    #[test]
    fn questions_are_read_from_all_formats() {
        let want = ["Where is my key?", "Who, \"Bob\"?"];
        assert_eq!(
            of("a.txt", "\u{feff}Where is my key?\r\n\r\n Who, \"Bob\"?\r\n", "question").unwrap(),
            want
        );
        let json = "{\"q\": \"Where is my key?\", \"n\": 1}\n\n{\"q\": \"Who, \\\"Bob\\\"?\"}\n";
        assert_eq!(of("a.jsonl", json, "q").unwrap(), want);
        assert_eq!(
            of("a.CSV", "n,question\n1,Where is my key?\n2,\"Who, \"\"Bob\"\"?\"\n", "question")
                .unwrap(),
            want
        );
    }

    #[test]
    fn what_is_no_question_is_named_with_its_line() {
        let said = |name: &str, text: &str, what: &str| {
            let error = of(name, text, "question").unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        said(
            "a.jsonl",
            "{\"question\": \"Why?\"}\n\n{\"answer\": \"So.\"}",
            "a.jsonl, line 3: there is no field `question`; the line has `answer`",
        );
        said(
            "a.jsonl",
            "{\"question\": 7}",
            "a.jsonl, line 1: the field `question` is not a string",
        );
        said("a.jsonl", "{\"question\": \" \"}", "line 1: the field `question` is empty");
        said("a.jsonl", "{\"question\": \"Why?\"\n", "line 1: not JSON");
        said("a.jsonl", "[]", "line 1: not a JSON object");
        said(
            "a.csv",
            "q,a\nWhy?,So.",
            "a.csv, line 1: there is no column `question`; the first line names `q`, `a`",
        );
        said(
            "a.csv",
            "question,a\nWhy?,So.\n,So.\n",
            "a.csv, line 3: the column `question` is empty",
        );
        said("a.csv", "question,a\nWhy?\n", "a.csv, line 2: malformed CSV");
        said("a.txt", " \n\n", "a.txt holds no questions");
        let missing = read(Path::new("no/such.csv"), "no/such.csv", Format::Csv, "question", None)
            .unwrap_err();
        assert!(
            missing.to_string().contains("the dataset no/such.csv does not exist"),
            "{missing}"
        );
        assert_eq!(missing.kind(), ErrorKind::Dataset);
    }

    #[test]
    fn only_the_first_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "a\nb\nc").unwrap();
        assert_eq!(read(&path, "a.txt", Format::Lines, "", Some(2)).unwrap().questions, ["a", "b"]);
    }
}
