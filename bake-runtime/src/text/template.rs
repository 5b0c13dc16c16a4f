//! Conversations as token ids, by the model's own chat template.

use std::borrow::Cow;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, ErrorKind as JinjaKind, Value};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::text::guard;
use crate::text::tokenizer::Tokenizer;

/// A part of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Cow<'a, str>,
}

/// Who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who sets the rules.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

impl<'a> Message<'a> {
    /// A message of the system, the user or the assistant.
    pub fn new(role: Role, content: impl Into<Cow<'a, str>>) -> Self {
        Self { role, content: content.into() }
    }

    /// A system prompt, which is left out when it is empty, and a question.
    pub(crate) fn question(system: &'a str, question: &'a str) -> Vec<Self> {
        let mut messages = Vec::with_capacity(2);
        if !system.is_empty() {
            messages.push(Self::new(Role::System, system));
        }
        messages.push(Self::new(Role::User, question));
        messages
    }
}

/// Steps that a template may take before it is stopped, each worth 64 bytes of text: far more than
/// any published one needs.
const FUEL: u64 = 1_000_000;

/// A chat template in Jinja, as Hugging Face models carry it.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: Option<String>,
    eos_token: Option<String>,
    name: String,
}

impl ChatTemplate {
    /// `name` is the file's name in messages.
    pub(crate) fn new(
        source: String,
        bos_token: Option<String>,
        eos_token: Option<String>,
        name: String,
    ) -> Result<Self> {
        guard::check_template(&source).map_err(|what| {
            Error::new(ErrorKind::Tokenizer, format!("the chat template of {name} {what}"))
        })?;
        let mut environment = Environment::new();
        // As transformers sets its own up: blocks leave no white space, and nothing is escaped.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| template_error(&name, &e))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("tojson", to_json);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<String, minijinja::Error> {
                Err(minijinja::Error::new(JinjaKind::InvalidOperation, message))
            },
        );
        // A prompt that changes with the day cannot be baked: the date is the one that Llama's
        // templates use where there is no clock.
        environment.add_function("strftime_now", |format: String| fixed_date(&format));
        environment.add_template_owned("chat", source).map_err(|e| template_error(&name, &e))?;
        Ok(Self { environment, bos_token, eos_token, name })
    }

    /// The text of a conversation, up to where the assistant speaks if `generation_prompt` is set.
    pub(crate) fn render(
        &self,
        messages: &[Message<'_>],
        generation_prompt: bool,
    ) -> Result<String> {
        #[derive(Serialize)]
        struct Context<'a> {
            messages: &'a [Message<'a>],
            add_generation_prompt: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            bos_token: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            eos_token: Option<&'a str>,
        }
        let context = Context {
            messages,
            add_generation_prompt: generation_prompt,
            bos_token: self.bos_token.as_deref(),
            eos_token: self.eos_token.as_deref(),
        };
        let template =
            self.environment.get_template("chat").map_err(|e| template_error(&self.name, &e))?;
        template
            .render(minijinja::value::Serde(&context))
            .map_err(|e| template_error(&self.name, &e))
    }

    /// The token ids of a conversation. Only the template makes control tokens: one that is written
    /// out in a message is text.
    pub(crate) fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message<'_>],
        generation_prompt: bool,
    ) -> Result<Vec<u32>> {
        if !messages.iter().any(|m| tokenizer.holds_special(&m.content)) {
            return tokenizer.encode(&self.render(messages, generation_prompt)?);
        }
        // A character for private use that no message holds marks the tokens that are text.
        let unused = |c: &char| !messages.iter().any(|m| m.content.contains(*c));
        let Some(mark) = ('\u{e000}'..='\u{f8ff}').find(unused) else {
            return Err(Error::new(
                ErrorKind::Document,
                "a text holds every character for private use; remove one",
            ));
        };
        let marked: Vec<_> = messages
            .iter()
            .map(|m| Message::new(m.role, tokenizer.mark(&m.content, mark)))
            .collect();
        tokenizer.encode_marked(&self.render(&marked, generation_prompt)?, mark)
    }
}

fn template_error(name: &str, e: &minijinja::Error) -> Error {
    let line = e.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    let detail = e.detail().map_or_else(|| e.kind().to_string(), str::to_owned);
    Error::new(ErrorKind::Tokenizer, format!("the chat template of {name} failed{line}: {detail}"))
}

/// JSON as Python writes it, with spaces after commas and colons.
fn to_json(value: &Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let failed = |e| {
        minijinja::Error::new(JinjaKind::BadSerialization, "the value has no JSON form")
            .with_source(e)
    };
    let mut out = Vec::new();
    match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value
                .serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
                .map_err(failed)?;
        }
        None => value
            .serialize(&mut serde_json::Serializer::with_formatter(&mut out, SpacedFormatter))
            .map_err(failed)?,
    }
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

struct SpacedFormatter;

impl serde_json::ser::Formatter for SpacedFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// 26 July 2024, by the format letters that chat templates use.
fn fixed_date(format: &str) -> String {
    [
        ("%d", "26"),
        ("%b", "Jul"),
        ("%B", "July"),
        ("%m", "07"),
        ("%Y", "2024"),
        ("%y", "24"),
        ("%A", "Friday"),
        ("%a", "Fri"),
    ]
    .iter()
    .chain(&[("%H", "00"), ("%M", "00"), ("%S", "00")])
    .fold(format.to_owned(), |text, (from, to)| text.replace(from, to))
}
