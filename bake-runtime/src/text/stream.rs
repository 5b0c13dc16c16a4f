//! Text from tokens that come one by one.

use crate::error::Result;
use crate::text::tokenizer::Tokenizer;

/// Turns tokens that come one by one into text that is never cut inside a character.
#[derive(Default)]
pub(crate) struct TextStream {
    /// The tokens since the last piece of text, and before them those of the last piece: how a
    /// token reads can depend on the one before.
    ids: Vec<u32>,
    /// How many of them belong to text that was returned already.
    given: usize,
}

impl TextStream {
    /// The text that a further token completes, which can be empty.
    pub(crate) fn push(&mut self, id: u32, tokenizer: &Tokenizer) -> Result<String> {
        self.ids.push(id);
        self.take(tokenizer, false)
    }

    /// What is left at the end, even if it is not a whole character.
    pub(crate) fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        self.take(tokenizer, true)
    }

    fn take(&mut self, tokenizer: &Tokenizer, last: bool) -> Result<String> {
        let before = tokenizer.decode(&self.ids[..self.given])?;
        let text = tokenizer.decode(&self.ids)?;
        if !last && text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        // New tokens can change how earlier ones read whose text was returned already: a byte that
        // was a letter becomes part of an invalid character. Then the new ones are read by
        // themselves.
        let new = match text.strip_prefix(&before) {
            Some(new) => new.to_owned(),
            None => tokenizer.decode(&self.ids[self.given..])?,
        };
        if !new.is_empty() {
            self.ids.drain(..self.given);
            self.given = self.ids.len();
        }
        Ok(new)
    }
}
