//! What is expected of a bake, in the declaration and in files.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use proc_macro2::{Ident, Span};
use syn::LitStr;
use syn::ext::IdentExt as _;

use super::{Checker, Name};
use crate::dataset;
use crate::diagnostics::{Code, did_you_mean};
use crate::recipe::{self, ExpectFields};
use crate::syntax::ast::{WrittenAnswer, WrittenExpect};
use crate::text::normalised_question;

/// Something that is expected, and where that is written.
pub(super) struct Expected {
    pub(super) expect: recipe::Expect,
    /// Its question, or the path of its file.
    span: Span,
    /// The file and the line, if it is in a file.
    line: Option<(String, usize)>,
}

impl Expected {
    /// Where it is written, as messages name it.
    pub(super) fn place(&self) -> String {
        match &self.line {
            Some((file, number)) => format!("line {number} of `{file}`"),
            None => "an `expect`".to_owned(),
        }
    }

    /// What it asks, and about which target: the same for all that ask the same.
    fn asks(&self) -> (Option<String>, String) {
        let Self { expect, .. } = self;
        (expect.target.as_deref().map(str::to_owned), normalised_question(&expect.question))
    }
}

impl Checker<'_> {
    /// What an `expect` says: one expectation, or those of a file.
    pub(super) fn expect(
        &mut self,
        expect: &WrittenExpect,
        target: Option<&Ident>,
        names: &[Name],
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> Vec<Expected> {
        if let Some(target) = target {
            let known = known(&target.unraw().to_string(), names);
            known.unwrap_or_else(|message| self.report(Code::UnknownName, target.span(), message));
        }
        let target = target.map(|target| target.unraw().to_string());
        let answer = match &expect.answer {
            WrittenAnswer::FromFile(_) => {
                return self.of_file(&expect.question, target.as_deref(), names, anywhere, files);
            }
            WrittenAnswer::Contains(words) => {
                self.words(words, recipe::Answer::WORDS);
                recipe::Answer::Contains(words.value().into())
            }
            WrittenAnswer::ContainsAny(any) => {
                if any.is_empty() {
                    let message = "the list of `contains` is empty; write what an answer may \
                                   contain, or `declines`";
                    self.report(Code::Value, expect.question.span(), message);
                }
                any.iter().for_each(|words| self.words(words, recipe::Answer::WORDS));
                recipe::Answer::contains_any(any.iter().map(LitStr::value))
            }
            WrittenAnswer::StartsWith(words) => {
                self.words(words, recipe::Answer::BEGINNING);
                recipe::Answer::StartsWith(words.value().into())
            }
            WrittenAnswer::EndsWith(words) => {
                self.words(words, recipe::Answer::END);
                recipe::Answer::EndsWith(words.value().into())
            }
            WrittenAnswer::Matches(pattern) => match self.pattern(pattern) {
                Some(pattern) => recipe::Answer::Matches(pattern),
                None => return Vec::new(),
            },
            WrittenAnswer::Equals(words) => {
                self.words(words, recipe::Answer::WHOLE);
                recipe::Answer::Equals(words.value().into())
            }
            WrittenAnswer::Declines(_) => recipe::Answer::Declines,
        };
        self.words(&expect.question, "a question");
        let (target, question) = (target.map(Into::into), expect.question.value().into());
        let span = expect.question.span();
        // What is empty, or has a NUL character, was reported.
        let expect = recipe::Expect::new(ExpectFields { target, question, answer });
        expect.ok().into_iter().map(|expect| Expected { expect, span, line: None }).collect()
    }

    /// The expectations of a file, and a report of each line that is not one.
    fn of_file(
        &mut self,
        path: &LitStr,
        target: Option<&str>,
        names: &[Name],
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> Vec<Expected> {
        let read = self.file(path, "file of expectations", anywhere, files).and_then(
            |(declared, file)| match dataset::expectations(&file, format_args!("`{declared}`")) {
                Ok(lines) => Some((declared, lines)),
                Err(e) => self.unreadable(Code::Dataset, path.span(), &declared, &e),
            },
        );
        let Some((declared, lines)) = read else { return Vec::new() };
        let (mut found, mut wrong) = (Vec::<Expected>::new(), Vec::new());
        let mut asked = HashMap::new();
        for (number, expect) in lines {
            let expect = match expect.map(|expect| about(expect, target, names)) {
                Ok(Ok(expect)) => expect,
                Ok(Err((code, what))) => {
                    wrong.push((code, number, what));
                    continue;
                }
                Err(what) => {
                    wrong.push((Code::Dataset, number, what));
                    continue;
                }
            };
            let line = Some((declared.clone(), number));
            let one = Expected { expect, span: path.span(), line };
            match asked.entry(one.asks()) {
                Entry::Occupied(first) => {
                    let first: &Expected = &found[*first.get()];
                    let what = format!(
                        "{} already asks this; keep one of them, and if several answers are \
                         right, give `contains` a list",
                        first.place()
                    );
                    wrong.push((Code::Dataset, number, what));
                }
                Entry::Vacant(place) => {
                    place.insert(found.len());
                    found.push(one);
                }
            }
        }
        self.wrong_lines(path, &declared, wrong);
        found
    }

    /// Warns of questions that a file asks and that are asked elsewhere too. In the declaration
    /// itself a question may be asked twice, of an answer that must contain one thing and another.
    pub(super) fn expected_once(&mut self, expected: &[Expected]) {
        let (mut first_of_all, mut first_of_files) = (HashMap::new(), HashMap::new());
        for one in expected {
            let asks = one.asks();
            let first = match one.line {
                Some(_) => first_of_all.get(&asks),
                None => first_of_files.get(&asks),
            };
            let first: Option<&Expected> = first.copied();
            if one.line.is_some() {
                first_of_files.entry(asks.clone()).or_insert(one);
            }
            first_of_all.entry(asks).or_insert(one);
            if let Some(first) = first {
                let message = format!(
                    "{} asks the same question as {}, so it counts twice; remove one of them",
                    one.place(),
                    first.place()
                );
                self.warn(Code::Question, one.span, message);
            }
        }
    }
}

/// The expectation of a line of a file that is read for this target, or what is wrong with it.
fn about(
    expect: recipe::Expect,
    target: Option<&str>,
    names: &[Name],
) -> Result<recipe::Expect, (Code, String)> {
    match (target, expect.target.as_deref()) {
        (None, None) => Ok(expect),
        (None, Some(own)) => match known(own, names) {
            Ok(()) => Ok(expect),
            Err(message) => Err((Code::UnknownName, message)),
        },
        (Some(target), own) if own.is_none_or(|own| own == target) => expect
            .with(|expect| expect.target = Some(target.to_owned().into()))
            .map_err(|e| (Code::Dataset, e.to_string())),
        (Some(target), own) => {
            let own = own.unwrap_or_default();
            let message = format!(
                "`target` is `{own}`, but the file is read for `{target}`; leave `target` out of \
                 the line, or write `expect from` outside of any target"
            );
            Err((Code::Dataset, message))
        }
    }
}

/// Whether there is a target of this name, or else what to say.
fn known(target: &str, names: &[Name]) -> Result<(), String> {
    if names.iter().any(|name| name.is(target)) {
        return Ok(());
    }
    let names: Vec<String> = names.iter().map(|name| name.declared.unraw().to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Err(format!("there is no target `{target}`; {}", did_you_mean(target, &names)))
}
