//! Prompts: a system prompt, or the turns of a conversation, written or in files.

use syn::LitStr;

use super::Checker;
use super::lookup::Settings;
use crate::diagnostics::Code;
use crate::recipe::parts::is_blank;
use crate::recipe::prompt::check_turn;
use crate::recipe::{Mistake, Prompt, PromptFields, Role, Turn};
use crate::syntax::ast::{Assignment, Value};
use crate::text::document;

/// How files are read.
pub(super) struct FileReading<'a> {
    /// Whether they may be outside the package.
    pub(super) anywhere: bool,
    /// Whether a mistake hides some of what is declared.
    pub(super) broken: bool,
    /// The files that were read.
    pub(super) files: &'a mut Vec<String>,
}

impl Checker<'_> {
    /// The prompt that a setting declares, as far as it can be read; empty if it is not set.
    pub(super) fn prompt(
        &mut self,
        settings: &Settings<'_>,
        name: &str,
        reading: &mut FileReading<'_>,
    ) -> Prompt {
        let Some(assignment) = settings.given(name) else { return Prompt::default() };
        match &assignment.value {
            Value::Text(words) => {
                self.not_a_file(assignment, words);
                words.value().into()
            }
            Value::FromFile(path) => self.words_of(path, reading).unwrap_or_default().into(),
            Value::Block(turns) => self.turns(assignment, turns, reading),
            _ => Prompt::default(),
        }
    }

    /// Reports a prompt that is the path of a file and nothing else.
    fn not_a_file(&mut self, prompt: &Assignment, words: &LitStr) {
        let (text, keyword) = (words.value(), &prompt.keyword);
        if !text.is_empty() && self.package.root.join(text.trim()).is_file() {
            let message = format!(
                "this prompt is only the path of a file; write `{keyword} from {}` for what is in \
                 it",
                words.token()
            );
            self.report(Code::Prompt, words.span(), message);
        }
    }

    fn turns(
        &mut self,
        prompt: &Assignment,
        declared: &[Assignment],
        reading: &mut FileReading<'_>,
    ) -> Prompt {
        let (mut system, mut turns, mut in_order) = (None, Vec::new(), true);
        for assignment in declared {
            let role = match assignment.setting.name {
                "system" => Role::System,
                "user" => Role::User,
                _ => Role::Assistant,
            };
            let words = self.said(assignment, "a turn of a prompt", reading);
            let checked = match role {
                Role::System if system.is_none() && turns.is_empty() => {
                    system = Some(words);
                    continue;
                }
                role => check_turn(turns.len(), role),
            };
            if let Err(mistake) = checked {
                self.out_of_turn(mistake, assignment, &mut in_order, reading);
            } else {
                turns.push(Turn { role, text: words.into() });
            }
        }
        if let Some(last) = declared.last().filter(|_| turns.len() % 2 == 1) {
            self.out_of_turn(Mistake::Unanswered, last, &mut in_order, reading);
        }
        if declared.is_empty() && !reading.broken {
            let message = format!(
                "`{}` has no turns; write `system \"…\";`, or `user \"…\";` and `assistant \
                 \"…\";`",
                prompt.keyword
            );
            self.report(Code::Prompt, prompt.keyword.span(), message);
        }
        let fields =
            PromptFields { system: system.unwrap_or_default().into(), turns: turns.into() };
        // Whatever is wrong with it was reported.
        Prompt::new(fields).unwrap_or_default()
    }

    /// Reports the first turn that is not in order; those after it follow from it.
    fn out_of_turn(
        &mut self,
        mistake: Mistake<'_>,
        turn: &Assignment,
        in_order: &mut bool,
        reading: &FileReading<'_>,
    ) {
        if *in_order && !reading.broken {
            self.report_mistake(mistake, turn.keyword.span());
        }
        *in_order = false;
    }

    /// What is said in a turn, as it is written or in a file.
    pub(super) fn said(
        &mut self,
        turn: &Assignment,
        what: &'static str,
        reading: &mut FileReading<'_>,
    ) -> String {
        match &turn.value {
            Value::FromFile(path) => self.words_of(path, reading).unwrap_or_else(|| path.value()),
            Value::Text(words) => {
                self.not_blank(words, what);
                words.value()
            }
            _ => String::new(),
        }
    }

    /// The text of a file, without the white space around it.
    fn words_of(&mut self, path: &LitStr, reading: &mut FileReading<'_>) -> Option<String> {
        let (declared, file) = self.file(path, "prompt", reading.anywhere, reading.files)?;
        match document::read_text(&file, format_args!("`{declared}`"), "prompt") {
            Ok(text) if !is_blank(&text) => Some(text.trim().to_owned()),
            Ok(_) => {
                let message = format!("the prompt `{declared}` is empty; add some text");
                self.report(Code::Prompt, path.span(), message);
                None
            }
            Err(e) => self.unreadable(Code::Prompt, path.span(), &declared, &e),
        }
    }
}
