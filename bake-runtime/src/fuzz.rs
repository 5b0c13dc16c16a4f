//! Entry points for the fuzz targets in `fuzz/` to what is not public. They may change at any time.

use crate::error::Result;
use crate::text::template::{ChatTemplate, Message, Role};

/// Renders a chat template for a conversation of three messages.
///
/// # Errors
/// When it is not a template, fails, or does not end.
pub fn render(source: &str) -> Result<String> {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
    let tokens = tokens.map(|(name, token)| (name.to_owned(), token.to_owned()));
    let template = ChatTemplate::new(source, tokens.into(), "tokenizer_config.json".to_owned())?;
    let messages = [
        Message::new(Role::System, "Be kind."),
        Message::new(Role::User, "Who has the keys?"),
        Message::new(Role::Assistant, "Bob."),
    ];
    template.render(&messages, true)
}
