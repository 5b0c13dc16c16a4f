//! Reading files of worked examples.

use std::fmt::Display;
use std::path::Path;

use serde::Deserialize;

use super::read::{numbered, object_of};
use crate::error::Error;
use crate::recipe::WorkedExample;

/// A line, to show in messages.
const EXAMPLE: &str = r#"{"passage": "…", "question": "…", "answer": "…"}"#;

/// A line of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleLine {
    passage: Option<String>,
    question: String,
    answer: String,
}

/// The number of a line, and its worked example or what is wrong with it.
pub type NumberedExample = (usize, Result<WorkedExample, String>);

/// Reads the worked examples of a file, which messages call `shown`, with the number of each line
/// that is not empty, from 1 on.
///
/// A line is a JSON object with a `question`, its `answer`, and, where a text has the answer, that
/// `passage`.
///
/// # Errors
/// When the file cannot be read, or has no lines.
pub fn examples(path: &Path, shown: impl Display) -> Result<Vec<NumberedExample>, Error> {
    numbered(path, shown, "examples", of_line)
}

fn of_line(line: &str) -> Result<WorkedExample, String> {
    let ExampleLine { passage, question, answer } = object_of(line, EXAMPLE)?;
    let trimmed = |text: String| text.trim().to_owned().into();
    let example = WorkedExample {
        passage: passage.map(trimmed),
        question: trimmed(question),
        answer: trimmed(answer),
    };
    example.check().map_err(|mistake| mistake.to_string())?;
    Ok(example)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn of(text: &str) -> Result<Vec<NumberedExample>, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("examples.jsonl");
        std::fs::write(&path, text).unwrap();
        examples(&path, "`examples.jsonl`")
    }

    #[test]
    fn lines_are_questions_with_their_answers() {
        let text = "\u{feff}{\"question\": \" Who? \", \"answer\": \"Bob.\"}\r\n\r\n\
            {\"answer\": \"Here.\", \"passage\": \"It is here.\", \"question\": \"Where?\"}";
        let example = |passage: Option<&'static str>, question: &'static str, answer| {
            Ok(WorkedExample {
                passage: passage.map(Into::into),
                question: question.into(),
                answer,
            })
        };
        let want = [
            (1, example(None, "Who?", "Bob.".into())),
            (3, example(Some("It is here."), "Where?", "Here.".into())),
        ];
        assert_eq!(of(text).unwrap(), want);
    }

    #[test]
    fn a_line_that_is_none_is_named_with_what_is_wrong() {
        for (line, what) in [
            ("Who?", "not a JSON object; write {\"passage\": \"…\", "),
            ("{\"question\": \"Who?\"", "not JSON: EOF while parsing an object at column 19; "),
            ("{\"question\": \"Who?\"}", "missing field `answer` at column 20"),
            (
                "{\"question\": \"Who?\", \"answer\": \"Bob.\", \"document\": \"x\"}",
                "unknown field `document`, expected one of `passage`, `question`, `answer`",
            ),
            ("{\"question\": 7, \"answer\": \"Bob.\"}", "invalid type: integer `7`, expected a s"),
            (
                "{\"question\": \" \", \"answer\": \"Bob.\"}",
                "the question of a worked example cannot be empty",
            ),
            (
                "{\"question\": \"Who?\", \"answer\": \"\"}",
                "the answer of a worked example cannot be empty",
            ),
            (
                "{\"question\": \"Who?\", \"answer\": \"Bob.\", \"passage\": \"\"}",
                "the passage of a worked example cannot be empty",
            ),
            (
                "{\"question\": \"Who?\", \"answer\": \"Bob\\u0000.\"}",
                "the answer of a worked example cannot contain a NUL character",
            ),
        ] {
            let good = "{\"question\": \"Where?\", \"answer\": \"Here.\"}";
            let read = of(&format!("{good}\n{line}\n{good}")).unwrap();
            assert!(read[0].1.is_ok() && read[2].1.is_ok(), "{line}: the others are read");
            let (number, wrong) = (read[1].0, read[1].1.as_ref().unwrap_err());
            assert!(number == 2 && wrong.starts_with(what), "{line}: {wrong}");
        }
        let error = of("\n \n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Dataset);
        let empty = "the file of examples `examples.jsonl` is empty; add some";
        assert_eq!(error.to_string(), empty);
    }
}
