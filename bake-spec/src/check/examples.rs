//! Worked examples: questions with their answers, written or in files.

use syn::LitStr;

use super::Checker;
use super::prompt::FileReading;
use crate::dataset;
use crate::diagnostics::Code;
use crate::recipe::parts::check_words;
use crate::recipe::{Mistake, WorkedExample};
use crate::syntax::ast::{Assignment, Value};

impl Checker<'_> {
    /// The worked examples that a setting declares, as far as they can be read.
    pub(super) fn examples(
        &mut self,
        declared: Option<&Assignment>,
        reading: &mut FileReading<'_>,
    ) -> Vec<WorkedExample> {
        let Some(assignment) = declared else { return Vec::new() };
        match &assignment.value {
            Value::FromFile(path) => self.examples_of_file(path, reading),
            Value::Block(parts) => self.written_examples(assignment, parts, reading),
            _ => Vec::new(),
        }
    }

    /// The worked examples of a file, and a report of each line that is not one.
    fn examples_of_file(
        &mut self,
        path: &LitStr,
        reading: &mut FileReading<'_>,
    ) -> Vec<WorkedExample> {
        let read = self.file(path, "file of examples", reading.anywhere, reading.files).and_then(
            |(declared, file)| match dataset::examples(&file, format_args!("`{declared}`")) {
                Ok(lines) => Some((declared, lines)),
                Err(e) => self.unreadable(Code::Dataset, path.span(), &declared, &e),
            },
        );
        let Some((declared, lines)) = read else { return Vec::new() };
        let (mut examples, mut wrong) = (Vec::new(), Vec::new());
        for (number, example) in lines {
            match example {
                Ok(example) => examples.push(example),
                Err(what) => wrong.push((Code::Dataset, number, what)),
            }
        }
        self.wrong_lines(path, &declared, wrong);
        examples
    }

    /// The worked examples in braces, up to the first part that is not in order.
    fn written_examples(
        &mut self,
        setting: &Assignment,
        parts: &[Assignment],
        reading: &mut FileReading<'_>,
    ) -> Vec<WorkedExample> {
        let (mut examples, mut passage, mut question) = (Vec::new(), None, None);
        for part in parts {
            let what = match part.setting.name {
                "passage" => WorkedExample::PASSAGE,
                "user" => WorkedExample::QUESTION,
                _ => WorkedExample::ANSWER,
            };
            let words = self.said(part, what, reading);
            if let (Err(mistake @ Mistake::Nul(_)), Value::Text(text)) =
                (check_words(&words, what), &part.value)
            {
                self.report_mistake(mistake, text.span());
            }
            match (part.setting.name, question.take()) {
                ("passage", None) if passage.is_none() => passage = Some(words),
                ("user", None) => question = Some(words.into()),
                ("assistant", Some(question)) => {
                    let (passage, answer) = (passage.take().map(String::into), words.into());
                    examples.push(WorkedExample { passage, question, answer });
                }
                (name, asked) => {
                    let message = match (name, asked) {
                        (_, Some(_)) => {
                            "the `user` turn before this is not answered; write its `assistant` \
                             turn between them"
                        }
                        ("passage", None) => {
                            "a `passage` follows another; write the `user` turn that asks about \
                             the first between them"
                        }
                        _ => "there is no question before this; write a `user` turn before it",
                    };
                    self.unless_broken(part, message, reading);
                    return examples;
                }
            }
        }
        match parts.last() {
            None => self.unless_broken(
                setting,
                "`examples` has no turns; write `user \"…\";` and `assistant \"…\";`, and before \
                 them the `passage \"…\";` that has the answer",
                reading,
            ),
            Some(last) if question.is_some() => self.unless_broken(
                last,
                "the last example has no answer; write its `assistant` turn",
                reading,
            ),
            Some(last) if passage.is_some() => self.unless_broken(
                last,
                "nothing is asked about the last passage; write a `user` and an `assistant` turn \
                 after it",
                reading,
            ),
            Some(_) => {}
        }
        examples
    }

    /// Reports what may only seem to be wrong where a mistake hides some of what is declared.
    fn unless_broken(&mut self, at: &Assignment, message: &str, reading: &FileReading<'_>) {
        if !reading.broken {
            self.report(Code::Prompt, at.keyword.span(), message);
        }
    }
}
