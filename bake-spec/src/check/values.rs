//! Whether settings may have the values that they are given.

use proc_macro2::{Ident, Span};
use syn::LitStr;

use super::Checker;
use super::lookup::Settings;
use crate::diagnostics::{Code, did_you_mean, one_of};
use crate::recipe::parts::{check_words, is_blank};
use crate::recipe::training::{check_beta, check_layers, check_module};
use crate::recipe::{Mistake, Pattern, Template};
use crate::settings::{Kind, Scope};
use crate::syntax::ast::{Assignment, At, Value};

impl Checker<'_> {
    /// Keeps the first of each setting, and checks the values of all, including those in braces.
    pub(super) fn settings<'a>(
        &mut self,
        assignments: Vec<&'a Assignment>,
        scope: Scope,
    ) -> Settings<'a> {
        let mut given: Vec<&Assignment> = Vec::new();
        for assignment in assignments {
            self.value(assignment, scope);
            // The turns of a prompt are checked where it is read.
            if let (
                Kind::Block(inside)
                | Kind::Counted { scope: Some(inside), .. }
                | Kind::File(inside),
                Value::Block(inner) | Value::Counted(_, _, inner) | Value::File(_, inner),
            ) = (assignment.setting.kind, &assignment.value)
            {
                self.settings(inner.iter().collect(), inside);
            }
            // The braces of a setting that is not supported yet are covered by its own report.
            if let Some(meanwhile) = assignment.setting.later {
                let message = format!(
                    "`{}` is not supported yet; meanwhile, {meanwhile}",
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
        Settings { scope, given, around: None, own: &[] }
    }

    /// Checks a value against the table.
    fn value(&mut self, assignment: &Assignment, scope: Scope) {
        let name = assignment.setting.name;
        match (assignment.setting.kind, &assignment.value) {
            (_, Value::Count(count, At(span)) | Value::Counted(Some(count), At(span), _)) => {
                self.allow(assignment.setting.check_count(*count), *span);
            }
            (_, Value::Number(number, At(span))) => {
                self.allow(assignment.setting.check_number(*number), *span);
            }
            (Kind::Texts, Value::Texts(texts)) => {
                if texts.is_empty() {
                    self.report(
                        Code::Value,
                        assignment.keyword.span(),
                        format!("`{name}` is an empty list; add an entry, or leave it out"),
                    );
                }
                for text in texts {
                    match name {
                        "questions" => self.words(text, "a question"),
                        "people" => self.not_blank(text, "one of the `people`"),
                        _ => {}
                    }
                }
            }
            (Kind::Text, Value::Text(text)) => match (name, scope) {
                ("decline", _) => self.not_blank(text, "what `decline` says"),
                ("template", Scope::Ask) => self.not_blank(text, "a template"),
                ("template", Scope::Bake | Scope::TargetBody) => self.template(text),
                _ => {}
            },
            (Kind::Word(words), Value::Word(word))
                if !words.contains(&word.to_string().as_str()) =>
            {
                self.report(
                    Code::Value,
                    word.span(),
                    format!("`{name}` cannot be `{word}`; expected {}", one_of(words)),
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
            (Kind::Layers, Value::Span(start, end, At(span))) => {
                self.allow(check_layers(*start, *end), *span);
            }
            _ => {}
        }
    }

    fn divergence(&mut self, word: &Ident, value: &Value) {
        match (word.to_string().as_str(), value) {
            ("forward_kl" | "reverse_kl", Value::Word(_)) => {}
            ("forward_kl" | "reverse_kl", _) => {
                self.report(Code::Value, word.span(), format!("`{word}` takes no argument"))
            }
            ("jsd", Value::Call(_, beta, At(span))) => {
                self.allow(check_beta(*beta), *span);
            }
            ("jsd", _) => {
                self.report(Code::Value, word.span(), "`jsd` needs its β, as in `jsd(0.5)`")
            }
            (other, _) => {
                let hint = did_you_mean(other, &Kind::Divergence.words());
                self.report(
                    Code::Value,
                    word.span(),
                    format!("`divergence` cannot be `{other}`; {hint}"),
                );
            }
        }
    }

    fn modules(&mut self, words: &[Ident], keyword: &Ident) {
        if words.is_empty() {
            self.report(
                Code::Value,
                keyword.span(),
                "`modules` is an empty list; write `all`, or name some",
            );
        }
        for (i, word) in words.iter().enumerate() {
            if word == "all" {
                let message = "`all` stands alone: write `modules all`";
                self.report(Code::Value, word.span(), message);
                continue;
            }
            if self.allow(check_module(&word.to_string()), word.span()) && words[..i].contains(word)
            {
                self.repeated(word);
            }
        }
    }

    pub(super) fn not_blank(&mut self, text: &LitStr, what: &'static str) {
        if is_blank(&text.value()) {
            self.report_mistake(Mistake::Blank(what), text.span());
        }
    }

    /// A question, or what an answer to one must be.
    pub(super) fn words(&mut self, text: &LitStr, what: &'static str) {
        self.allow(check_words(&text.value(), what), text.span());
    }

    /// A regular expression.
    pub(super) fn pattern(&mut self, text: &LitStr) -> Option<Pattern> {
        let report = |mistake: Mistake<'_>| self.report_mistake(mistake, text.span());
        Pattern::checked(text.value().into(), report).ok()
    }

    /// A template of questions.
    fn template(&mut self, text: &LitStr) {
        let report = |mistake: Mistake<'_>| self.report_mistake(mistake, text.span());
        // Where it is an error, it was reported.
        let _ = Template::checked(text.value().into(), report);
    }

    /// Reports a value that is not allowed. Returns whether there is nothing to report.
    fn allow(&mut self, checked: Result<(), Mistake<'_>>, span: Span) -> bool {
        if let Err(mistake) = checked {
            self.report_mistake(mistake, span);
        }
        checked.is_ok()
    }

    pub(super) fn report_mistake(&mut self, mistake: Mistake<'_>, span: Span) {
        self.report(mistake.code(), span, mistake.to_string());
    }
}
