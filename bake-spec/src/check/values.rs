//! Whether values are what their settings may have.

use proc_macro2::Ident;
use syn::LitStr;

use super::Checker;
use super::lookup::Settings;
use crate::diagnostics::{Code, did_you_mean};
use crate::model::config::Projection;
use crate::settings::{Kind, Scope};
use crate::syntax::ast::{Assignment, At, Value};

impl Checker<'_> {
    /// Keeps the first of each setting, and checks the values of all, also of those in braces.
    pub(super) fn settings<'a>(
        &mut self,
        assignments: Vec<&'a Assignment>,
        scope: Scope,
    ) -> Settings<'a> {
        let mut given: Vec<&Assignment> = Vec::new();
        for assignment in assignments {
            self.value(assignment);
            if let Value::Block(inner) | Value::Counted(_, _, inner) | Value::File(_, inner) =
                &assignment.value
            {
                let (Kind::Block(inside)
                | Kind::Counted { scope: inside, .. }
                | Kind::File(inside)) = assignment.setting.kind
                else {
                    continue;
                };
                self.settings(inner.iter().collect(), inside);
            }
            // What stands in the braces of a setting that is not there yet is said with it.
            if let Some(meanwhile) = assignment.setting.later.filter(|_| scope != Scope::Gate) {
                let message = format!(
                    "`{}` is not there yet in this version; meanwhile, {meanwhile}",
                    assignment.setting.name
                );
                self.report(Code::NotYet, assignment.keyword.span(), message);
            }
            if given.iter().any(|other| other.setting.name == assignment.setting.name) {
                self.repeated(&assignment.keyword);
            } else {
                given.push(assignment);
            }
        }
        Settings { scope, given, around: None }
    }

    /// Checks a value against the table.
    fn value(&mut self, assignment: &Assignment) {
        let name = assignment.setting.name;
        match (assignment.setting.kind, &assignment.value) {
            (Kind::Count { min, max }, Value::Count(count, At(span)))
                if !(min..=max).contains(count) =>
            {
                self.report(
                    Code::Value,
                    *span,
                    format!("`{name}` must be a whole number from {min} to {max}; this is {count}"),
                );
            }
            (Kind::Counted { max, .. }, Value::Counted(count, At(span), _)) if *count > max => {
                self.report(
                    Code::Value,
                    *span,
                    format!("`{name}` must be a whole number from 0 to {max}; this is {count}"),
                );
            }
            (Kind::Number(range), Value::Number(number, At(span))) if !range.contains(*number) => {
                self.report(
                    Code::Value,
                    *span,
                    format!("`{name}` must be {range}; this is {number}"),
                );
            }
            (Kind::Texts, Value::Texts(texts)) => {
                if texts.is_empty() {
                    self.report(
                        Code::Value,
                        assignment.keyword.span(),
                        format!("`{name}` is an empty list; leave it out or write some"),
                    );
                }
                for text in texts {
                    if name == "questions" {
                        self.not_blank(text, "a question");
                    }
                }
            }
            (Kind::Word(words), Value::Word(word))
                if !words.contains(&word.to_string().as_str()) =>
            {
                self.report(
                    Code::Value,
                    word.span(),
                    format!("unknown {name} `{word}`; {}", did_you_mean(&word.to_string(), words)),
                );
            }
            (Kind::Divergence, Value::Word(word) | Value::Call(word, ..)) => {
                self.divergence(word, &assignment.value)
            }
            (Kind::Modules, Value::Word(word)) if word != "all" => {
                self.report(
                    Code::Value,
                    word.span(),
                    format!(
                        "`{name}` must be `all` or a list of names in brackets; this is `{word}`"
                    ),
                );
            }
            (Kind::Modules, Value::Words(words)) => self.modules(words, &assignment.keyword),
            (Kind::Layers, Value::Span(start, end, At(span))) if start >= end || *end > 10_000 => {
                self.report(
                    Code::Value,
                    *span,
                    format!(
                        "`{start}..{end}` holds no blocks; write the first and the one after \
                        the last, as in `4..12`"
                    ),
                );
            }
            _ => {}
        }
    }

    fn divergence(&mut self, word: &Ident, value: &Value) {
        match (word.to_string().as_str(), value) {
            ("forward_kl" | "reverse_kl", Value::Word(_)) => {}
            ("forward_kl" | "reverse_kl", _) => {
                self.report(Code::Value, word.span(), format!("`{word}` takes no number"))
            }
            ("jsd", Value::Call(_, beta, _)) if *beta > 0.0 && *beta < 1.0 => {}
            ("jsd", Value::Call(_, beta, At(span))) => {
                self.report(
                    Code::Value,
                    *span,
                    format!(
                        "β must be above 0 and below 1, since at both the divergence vanishes; \
                        this is {beta}"
                    ),
                );
            }
            ("jsd", _) => {
                self.report(Code::Value, word.span(), "`jsd` needs its β, as in `jsd(0.5)`")
            }
            (other, _) => {
                let hint = did_you_mean(other, &["forward_kl", "reverse_kl", "jsd"]);
                self.report(
                    Code::Value,
                    word.span(),
                    format!("unknown divergence `{other}`; {hint}"),
                );
            }
        }
    }

    fn modules(&mut self, words: &[Ident], keyword: &Ident) {
        let known = Projection::ALL.map(Projection::name);
        if words.is_empty() {
            self.report(
                Code::Value,
                keyword.span(),
                "`modules` is an empty list; write `all`, or name some",
            );
        }
        for (i, word) in words.iter().enumerate() {
            let name = word.to_string();
            if !known.contains(&name.as_str()) {
                self.report(
                    Code::UnknownName,
                    word.span(),
                    format!("there is no linear layer `{name}`; {}", did_you_mean(&name, &known)),
                );
            } else if words[..i].contains(word) {
                self.repeated(word);
            }
        }
    }

    pub(super) fn not_blank(&mut self, text: &LitStr, what: &str) {
        if text.value().trim().is_empty() {
            self.report(Code::Value, text.span(), format!("{what} cannot be empty"));
        }
    }
}
