//! Conversations as token ids, by the model's own chat template.

mod bounds;
mod json;
mod rewrite;
#[cfg(test)]
mod tests;
mod turns;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bake_spec::recipe::Prompt;
pub use bake_spec::recipe::Role;
use bake_spec::text::{jinja, with_unix_lines};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{
    AutoEscape, Environment, ErrorKind as JinjaKind, Output, State, Value, escape_formatter,
};
use serde::Serialize;

use super::date::fixed_day;
use crate::error::{Error, ErrorKind, Result};
use crate::text::tokenizer::Tokenizer;
use json::to_json;
use turns::{SystemTurn, TurnsShown};

/// A part of a conversation.
#[derive(Clone, Debug, Serialize)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What they say.
    pub content: Cow<'a, str>,
    /// Whether the model said so itself: it may have thought, for example.
    #[serde(skip)]
    pub(super) is_of_model: bool,
}

/// Whoever wrote them: a history that was saved is the one that was.
impl PartialEq for Message<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.role, &self.content) == (other.role, &other.content)
    }
}

impl Eq for Message<'_> {}

impl<'a> Message<'a> {
    /// A message of the system, the user or the assistant, whose words are taken for the model's:
    /// what its tokenizer knows as tokens, but does not call special, such as `<think>`, are tokens
    /// there.
    pub fn new(role: Role, content: impl Into<Cow<'a, str>>) -> Self {
        Self { role, content: content.into(), is_of_model: role == Role::Assistant }
    }

    /// A message in whose text nothing is a control token, whoever speaks.
    pub(crate) fn written(role: Role, content: impl Into<Cow<'a, str>>) -> Self {
        Self { role, content: content.into(), is_of_model: false }
    }

    /// The same message, with the text where it is.
    pub(crate) fn borrowed(&self) -> Message<'_> {
        Message { content: Cow::Borrowed(&self.content), ..*self }
    }

    /// A prompt and a question.
    pub(crate) fn question(prompt: &'a Prompt, question: &'a str) -> Vec<Self> {
        let mut messages = Self::of_prompt(prompt);
        messages.push(Self::new(Role::User, question));
        messages
    }

    /// The turns of a prompt. An empty system prompt is none.
    pub(crate) fn of_prompt(prompt: &'a Prompt) -> Vec<Self> {
        let mut messages = Vec::with_capacity(prompt.turns.len() + 2);
        if !prompt.system.is_empty() {
            messages.push(Self::new(Role::System, &*prompt.system));
        }
        messages.extend(prompt.turns.iter().map(|turn| Self::written(turn.role, &*turn.text)));
        messages
    }
}

/// Steps that a template may take before it is stopped, each worth 64 bytes of text: far more than
/// any published one needs.
const FUEL: u64 = 1_000_000;

/// How deeply macros and blocks may be in one another while a template runs: far deeper than
/// published ones go.
const RECURSION: usize = 50;

/// A chat template in Jinja, as Hugging Face models carry it.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    /// The special tokens, by their names.
    special: BTreeMap<String, String>,
    name: String,
    shown: TurnsShown,
}

impl ChatTemplate {
    /// `special` are the special tokens by their names, and `name` is the file's name in messages.
    pub(crate) fn new(
        source: &str,
        special: BTreeMap<String, String>,
        name: String,
    ) -> Result<Self> {
        jinja::check(source).map_err(|what| {
            Error::new(ErrorKind::Tokenizer, format!("the chat template of {name} {what}"))
        })?;
        let mut environment = Environment::new();
        // Set up as in transformers: blocks leave no white space, and nothing is escaped.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| template_error(&name, &e))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(as_python_prints);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION);
        bounds::add_to(&mut environment);
        environment.add_filter("tojson", to_json);
        environment.add_filter("e", escaped);
        environment.add_filter("escape", escaped);
        environment.add_function("raise_exception", raise);
        environment.add_function("strftime_now", |format: String| {
            fixed_day(&format).map_err(|directive| {
                invalid(format!("`strftime_now` does not support `{directive}` in {format:?}"))
            })
        });
        let source = rewrite::with_copies(&with_unix_lines(source)).map_err(|what| {
            Error::new(ErrorKind::Tokenizer, format!("the chat template of {name} {what}"))
        })?;
        let parsed =
            bounds::on_deep_stack(&name, || environment.add_template_owned("chat", source))?;
        parsed.map_err(|e| template_error(&name, &e))?;
        let mut template = Self { environment, special, name, shown: TurnsShown::default() };
        template.shown = TurnsShown::probed(&template);
        Ok(template)
    }

    /// The text of a conversation, up to where the assistant speaks if `generation_prompt` is set.
    ///
    /// Where the template refuses system turns, the text of one is put before the first user turn,
    /// with an empty line between them, as users of such models do by hand.
    ///
    /// # Errors
    /// When the template fails, or leaves system turns out.
    pub(crate) fn render(
        &self,
        messages: &[Message<'_>],
        generation_prompt: bool,
    ) -> Result<String> {
        let messages = match (self.shown.system, messages) {
            (SystemTurn::Hidden, [system, ..]) if system.role == Role::System => {
                return Err(self.hidden("system turns", "the system prompt"));
            }
            (SystemTurn::Refused, messages) => turns::without_system(messages),
            (_, messages) => Cow::Borrowed(messages),
        };
        self.render_as_is(&messages, generation_prompt, BTreeMap::new())
    }

    /// Checks that the model sees all turns of a prompt, which is called `what` in messages.
    pub(crate) fn check_shows(&self, messages: &[Message<'_>], what: &str) -> Result<()> {
        let has = |role: Role| messages.iter().any(|message| message.role == role);
        if has(Role::System) && self.shown.system == SystemTurn::Hidden {
            return Err(self.hidden("system turns", what));
        }
        if has(Role::Assistant) && self.shown.hides_earlier_turns {
            return Err(self.hidden("turns before the last question", what));
        }
        Ok(())
    }

    /// The template's file, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn hidden(&self, turns: &str, what: &str) -> Error {
        let message = format!(
            "the chat template of {} leaves {turns} out, so the model would not see {what}; use a \
             model whose template shows them, or add them to the template",
            self.name
        );
        Error::new(ErrorKind::Tokenizer, message)
    }

    /// The text of a conversation as the template lays it out, with further variables.
    fn render_as_is(
        &self,
        messages: &[Message<'_>],
        generation_prompt: bool,
        variables: BTreeMap<&str, Value>,
    ) -> Result<String> {
        let mut context: BTreeMap<&str, Value> = self
            .special
            .iter()
            .map(|(name, token)| (name.as_str(), Value::from(token.as_str())))
            .collect();
        context.insert("messages", messages.iter().map(as_value).collect());
        context.insert("add_generation_prompt", Value::from(generation_prompt));
        // transformers gives both to every template. Some test whether they are none.
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        context.extend(variables);
        let template =
            self.environment.get_template("chat").map_err(|e| template_error(&self.name, &e))?;
        let rendered = bounds::on_deep_stack(&self.name, || template.render(context))?;
        rendered.map_err(|e| template_error(&self.name, &e))
    }

    /// The token ids of a conversation. Only the template makes control tokens: one that is written
    /// out in a message is text. What the model said itself may contain tokens such as `<think>`,
    /// which its tokenizer does not call special; templates look for them.
    pub(crate) fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message<'_>],
        generation_prompt: bool,
    ) -> Result<Vec<u32>> {
        if !messages.iter().any(|m| tokenizer.is_marked(&m.content, m.is_of_model)) {
            return tokenizer.encode(&self.render(messages, generation_prompt)?);
        }
        let mark = unused_in(messages.iter().map(|message| &*message.content))?;
        let marked: Vec<_> = messages
            .iter()
            .map(|m| Message::written(m.role, tokenizer.mark(&m.content, m.is_of_model, mark)))
            .collect();
        tokenizer.encode_marked(&self.render(&marked, generation_prompt)?, mark)
    }

    /// The token ids of an answer that follows a conversation, and of what the template writes
    /// after it, up to the first token for which `ends` holds, if there is any. Nothing in the
    /// answer is a control token.
    #[cfg(feature = "train")]
    pub(crate) fn encode_answer(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message<'_>],
        answer: &str,
        ends: impl Fn(u32) -> bool,
    ) -> Result<Vec<u32>> {
        let asked = self.encode(tokenizer, messages, true)?;
        let mut answered = messages.to_vec();
        answered.push(Message::written(Role::Assistant, answer));
        let whole = self.encode(tokenizer, &answered, false)?;
        if let Some(rest) = whole.strip_prefix(&asked[..]) {
            let end = rest.iter().position(|id| ends(*id)).map_or(rest.len(), |end| end + 1);
            return Ok(rest[..end].to_vec());
        }
        // It writes an answer that was given in another way than one that is asked for.
        let mark = unused_in([answer].into_iter())?;
        let mut ids = tokenizer.encode_marked(&tokenizer.mark(answer, false, mark), mark)?;
        ids.extend(whole.into_iter().rev().find(|id| ends(*id)));
        Ok(ids)
    }
}

/// A private-use character that no text contains, which marks the tokens that are text.
fn unused_in<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Result<char> {
    let unused = |c: &char| !texts.clone().any(|text| text.contains(*c));
    ('\u{e000}'..='\u{f8ff}').find(unused).ok_or_else(|| {
        let message = "a text contains every private-use character; remove one of them";
        Error::new(ErrorKind::Document, message)
    })
}

fn template_error(name: &str, e: &minijinja::Error) -> Error {
    let line = e.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    let detail = e.detail().map_or_else(|| e.kind().to_string(), str::to_owned);
    Error::new(ErrorKind::Tokenizer, format!("the chat template of {name} failed{line}: {detail}"))
}

fn as_value(message: &Message<'_>) -> Value {
    let role = Value::from(message.role.name());
    Value::from_pairs([("role", role), ("content", Value::from(&*message.content))])
}

/// Prints values as Python does, where Jinja prints them differently.
fn as_python_prints(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            // The engine charges what it has printed, and not what it is about to.
            escape_formatter(out, state, &bounds::copied(state, value, 0)?)?;
        }
        ValueKind::None => out.write_str("None")?,
        ValueKind::Bool => out.write_str(if value.is_true() { "True" } else { "False" })?,
        _ => escape_formatter(out, state, value)?,
    }
    Ok(())
}

/// Markup as Python escapes it.
fn escaped(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;")]
        .into_iter()
        .fold(text, |text, (mark, escaped)| text.replace(mark, escaped))
}

fn raise(message: String) -> Result<String, minijinja::Error> {
    Err(invalid(message))
}

fn invalid(message: String) -> minijinja::Error {
    minijinja::Error::new(JinjaKind::InvalidOperation, message)
}
