//! Reading files of expectations: questions, and what their answers must be.

use std::fmt::Display;
use std::path::Path;

use serde::Deserialize;

use super::read::{numbered, object_of};
use crate::error::Error;
use crate::recipe::{Answer, Expect, ExpectFields, Pattern};

/// A line, to show in messages.
const EXAMPLE: &str = r#"{"question": "…", "contains": "…"}"#;

/// A line of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectationLine {
    question: String,
    target: Option<String>,
    contains: Option<OneOrAny>,
    starts_with: Option<String>,
    ends_with: Option<String>,
    matches: Option<String>,
    equals: Option<String>,
    declines: Option<bool>,
}

/// The number of a line, and its expectation or what is wrong with it.
pub type NumberedLine = (usize, Result<Expect, String>);

/// What an answer must contain.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`contains` must be a string or a list of strings")]
enum OneOrAny {
    One(String),
    Any(Vec<String>),
}

/// Reads the expectations of a file, which messages call `shown`, with the number of each line that
/// is not empty, from 1 on.
///
/// A line is a JSON object with a `question`, and one of `contains` (a string, or a list of strings
/// of which any is right), `starts_with`, `ends_with`, `matches` (a regular expression), `equals`
/// and `declines` (`true`); a `target` says which document has the answer.
///
/// # Errors
/// When the file cannot be read, or has no lines.
pub fn expectations(path: &Path, shown: impl Display) -> Result<Vec<NumberedLine>, Error> {
    numbered(path, shown, "expectations", of_line)
}

fn of_line(line: &str) -> Result<Expect, String> {
    let line: ExpectationLine = object_of(line, EXAMPLE)?;
    let mut answers = Vec::new();
    answers.extend(line.contains.map(|contains| match contains {
        OneOrAny::One(words) => Answer::Contains(words.into()),
        OneOrAny::Any(words) => Answer::contains_any(words),
    }));
    answers.extend(line.starts_with.map(|words| Answer::StartsWith(words.into())));
    answers.extend(line.ends_with.map(|words| Answer::EndsWith(words.into())));
    if let Some(pattern) = line.matches {
        answers.push(Answer::Matches(Pattern::checked(pattern.into(), |mistake| {
            mistake.to_string()
        })?));
    }
    answers.extend(line.equals.map(|words| Answer::Equals(words.into())));
    match line.declines {
        Some(true) => answers.push(Answer::Declines),
        Some(false) => {
            return Err("`declines` can only be true; write what the answer `contains`".to_owned());
        }
        None => {}
    }
    let Ok([answer]) = <[Answer; 1]>::try_from(answers) else {
        return Err(
            "write one of `contains`, `starts_with`, `ends_with`, `matches`, `equals` and \
                    `declines`"
                .to_owned(),
        );
    };
    let question = line.question.trim().to_owned().into();
    let expect = ExpectFields { target: line.target.map(Into::into), question, answer };
    expect.check().map_err(|mistake| mistake.to_string())?;
    Ok(Expect::declared(expect))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// What is read of the lines of a file.
    fn of(text: &str) -> Vec<(usize, Result<Expect, String>)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("expected.jsonl");
        std::fs::write(&path, text).unwrap();
        expectations(&path, "expected.jsonl").unwrap()
    }

    fn expect(target: Option<&str>, question: &str, answer: Answer) -> Expect {
        let target = target.map(|target| target.to_owned().into());
        let question = question.to_owned().into();
        Expect::new(ExpectFields { target, question, answer }).unwrap()
    }

    #[test]
    fn lines_are_questions_with_their_answers() {
        let text = "\u{feff}{\"question\": \" Who has it? \", \"contains\": \"Bob\"}\r\n\r\n\
            {\"target\": \"keys\", \"question\": \"How long?\", \"contains\": [\"2 days\", \"two \
            days\"]}\r\n  {\"equals\": \"There.\", \"question\": \"Where?\", \"target\": null}\r\n\
            {\"question\": \"Why?\", \"declines\": true}\n\
            {\"question\": \"When?\", \"contains\": [\"at 9\"]}\n\
            {\"question\": \"Which?\", \"matches\": \"^[AB]$\"}\n\
            {\"question\": \"How?\", \"ends_with\": \"so\"}";
        let any = Answer::ContainsAny(vec!["2 days".into(), "two days".into()].into());
        let want = [
            (1, expect(None, "Who has it?", Answer::Contains("Bob".into()))),
            (3, expect(Some("keys"), "How long?", any)),
            (4, expect(None, "Where?", Answer::Equals("There.".into()))),
            (5, expect(None, "Why?", Answer::Declines)),
            (6, expect(None, "When?", Answer::Contains("at 9".into()))),
            (7, expect(None, "Which?", Answer::Matches(Pattern::new("^[AB]$").unwrap()))),
            (8, expect(None, "How?", Answer::EndsWith("so".into()))),
        ];
        assert_eq!(of(text), want.map(|(number, expect)| (number, Ok(expect))));
    }

    #[test]
    fn a_line_that_is_none_is_named_with_what_is_wrong() {
        for (line, what) in [
            ("Who?", "not a JSON object; write {\"question\": \"…\", \"contains\": \"…\"}"),
            ("[\"Who?\", null, \"Bob\", null, null]", "not a JSON object"),
            ("{\"question\": \"Who?\"", "not JSON: EOF while parsing an object at column 19; "),
            ("{\"question\": \"Who?\", \"declines\": true} {}", "not JSON: trailing characters"),
            ("{\"declines\": true}", "missing field `question` at column 18"),
            (
                "{\"question\": \"Who?\", \"contain\": \"Bob\"}",
                "unknown field `contain`, expected one of `question`, `target`, `contains`",
            ),
            ("{\"question\": \"Who?\", \"question\": \"Why?\"}", "duplicate field `question`"),
            ("{\"question\": 7, \"contains\": \"Bob\"}", "invalid type: integer `7`, expected a s"),
            (
                "{\"question\": \"Who?\", \"contains\": 7}",
                "`contains` must be a string or a list of strings",
            ),
            ("{\"question\": \"Who?\"}", "write one of `contains`, `starts_with`, "),
            (
                "{\"question\": \"Who?\", \"contains\": \"Bob\", \"declines\": true}",
                "write one of `contains`, `starts_with`, `ends_with`, `matches`, `equals` and ",
            ),
            (
                "{\"question\": \"Who?\", \"matches\": \"(\"}",
                "`(` is not a regular expression: unclosed group\n",
            ),
            ("{\"question\": \"Who?\", \"declines\": false}", "`declines` can only be true"),
            ("{\"question\": \" \", \"contains\": \"Bob\"}", "a question cannot be empty"),
            (
                "{\"question\": \"Who?\", \"contains\": [\"Bob\", \" \"]}",
                "the words that an answer must contain cannot be empty",
            ),
            ("{\"question\": \"Who?\", \"contains\": []}", "the words that an answer must contain"),
            ("{\"question\": \"Who?\", \"equals\": \"\"}", "the answer cannot be empty"),
            (
                "{\"question\": \"Who\\u0000?\", \"equals\": \"Bob\"}",
                "a question cannot contain a NUL character; remove it\n",
            ),
            (
                "{\"question\": \"Who?\", \"contains\": [\"Bob\", \"B\\u0000b\"]}",
                "the words that an answer must contain cannot contain a NUL character",
            ),
        ] {
            let good = "{\"question\": \"Where?\", \"contains\": \"here\"}";
            let read = of(&format!("{good}\n{line}\n{good}"));
            assert!(read[0].1.is_ok() && read[2].1.is_ok(), "{line}: the others are read");
            let (number, wrong) = (read[1].0, read[1].1.as_ref().unwrap_err());
            assert_eq!(number, 2, "{line}");
            // Those that end with a line end are all that is said.
            assert!(format!("{wrong}\n").starts_with(what), "{line}: {wrong}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_empty_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("expected.jsonl");
        let refused = || expectations(&path, "`expected.jsonl`").unwrap_err();
        assert_eq!(refused().kind(), ErrorKind::Dataset);
        let missing = "the file of expectations `expected.jsonl` does not exist";
        assert!(refused().to_string().starts_with(missing), "{}", refused());
        std::fs::write(&path, "\n \n").unwrap();
        let empty = "the file of expectations `expected.jsonl` is empty; add some";
        assert_eq!(refused().to_string(), empty);
    }
}
