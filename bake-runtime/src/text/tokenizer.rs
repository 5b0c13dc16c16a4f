//! Text to token ids and back.

use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};
use crate::text::guard;

/// A tokenizer of the Hugging Face format, and which of its tokens control the conversation.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same, reading control tokens as the characters that they are written with. Made when a
    /// text holds one.
    literal: OnceLock<tokenizers::Tokenizer>,
    special: Vec<SpecialToken>,
    /// The bytes of the longest token.
    longest: usize,
}

struct SpecialToken {
    id: u32,
    content: String,
    strips_left: bool,
    strips_right: bool,
}

impl Tokenizer {
    /// Parses a `tokenizer.json` for a model with an embedding table of `vocab_size` entries;
    /// `name` is the file's name in messages.
    pub(crate) fn parse(json: &[u8], vocab_size: usize, name: &str) -> Result<Self> {
        let refused = |what| Error::new(ErrorKind::Tokenizer, format!("{name} {what}"));
        let added = guard::check_tokenizer(json).map_err(refused)?;
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(|e| {
            Error::with_source(
                ErrorKind::Tokenizer,
                format!("{name} is not a tokenizer in the Hugging Face format"),
                e,
            )
        })?;
        added.check(|token| inner.token_to_id(token)).map_err(refused)?;
        if let Some((token, id)) = inner
            .get_vocab(true)
            .into_iter()
            .max_by_key(|(_, id)| *id)
            .filter(|(_, id)| *id as usize >= vocab_size)
        {
            let message = format!(
                "{name} has the token {token:?} with id {id}, but the model's vocabulary has \
                 {vocab_size} entries; \
                 the tokenizer does not belong to the model"
            );
            return Err(Error::new(ErrorKind::Tokenizer, message));
        }
        let unlimited = inner.with_truncation(None).map(|_| ());
        unlimited.map_err(|e| {
            Error::with_source(ErrorKind::Tokenizer, format!("{name} cannot be used"), e)
        })?;
        inner.with_padding(None);
        let special = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special && !token.content.is_empty());
        let mut special: Vec<_> = special
            .map(|(id, t)| SpecialToken {
                id,
                content: t.content,
                strips_left: t.lstrip,
                strips_right: t.rstrip,
            })
            .collect();
        special.sort_by_key(|t| t.id);
        let longest = inner.get_vocab(true).keys().map(String::len).max().unwrap_or(1).max(1);
        Ok(Self { inner, literal: OnceLock::new(), special, longest })
    }

    /// The id of a token, where there is one.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The ids of a text in which control tokens are control tokens. None is added.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        encode(&self.inner, text)
    }

    /// The ids of a text in which only the control tokens that do not hold `mark` are control
    /// tokens. The marks themselves are dropped.
    pub(crate) fn encode_marked(&self, text: &str, mark: char) -> Result<Vec<u32>> {
        let literal = self.literal.get_or_init(|| {
            let mut literal = self.inner.clone();
            literal.set_encode_special_tokens(true);
            literal
        });
        let (mut ids, mut rest, mut strip) = (Vec::new(), text, false);
        loop {
            let found =
                rest.char_indices().find_map(|(at, _)| Some((at, self.special_at(&rest[at..])?)));
            let mut part = &rest[..found.map_or(rest.len(), |(at, _)| at)];
            if strip {
                part = part.trim_start();
            }
            if found.is_some_and(|(_, token)| token.strips_left) {
                part = part.trim_end();
            }
            ids.extend(encode(literal, &part.replace(mark, ""))?);
            let Some((at, token)) = found else { return Ok(ids) };
            ids.push(token.id);
            strip = token.strips_right;
            rest = &rest[at + token.content.len()..];
        }
    }

    /// The text with `mark` inside of every control token, so that it is none.
    pub(crate) fn mark(&self, text: &str, mark: char) -> String {
        let mut marked = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            marked.push(c);
            if self.special_at(&text[at..]).is_some() {
                marked.push(mark);
            }
        }
        marked
    }

    /// The control tokens, written out.
    #[cfg(test)]
    pub(crate) fn special_tokens(&self) -> Vec<&str> {
        self.special.iter().map(|token| token.content.as_str()).collect()
    }

    /// The bytes of the longest token: no text has fewer tokens than its bytes divided by this.
    pub(crate) fn longest_token(&self) -> usize {
        self.longest
    }

    /// Whether the text holds a control token, written out.
    pub(crate) fn holds_special(&self, text: &str) -> bool {
        self.special.iter().any(|t| text.contains(&t.content))
    }

    /// A control token, written out; none where the id is of another token.
    pub(crate) fn control(&self, id: u32) -> Option<&str> {
        Some(&self.special.iter().find(|token| token.id == id)?.content)
    }

    /// The longest control token with which the text begins.
    fn special_at(&self, text: &str) -> Option<&SpecialToken> {
        self.special.iter().filter(|t| text.starts_with(&t.content)).max_by_key(|t| t.content.len())
    }

    /// The text of token ids, without control tokens.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| {
            Error::with_source(ErrorKind::Tokenizer, "cannot decode the model's tokens", e)
        })
    }
}

fn encode(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>> {
    let encoding = tokenizer.encode_fast(text, false);
    Ok(encoding
        .map_err(|e| Error::with_source(ErrorKind::Tokenizer, "cannot tokenize the text", e))?
        .get_ids()
        .to_vec())
}

/// Turns tokens that come one by one into text that is never cut inside a character.
#[derive(Default)]
pub(crate) struct TextStream {
    /// The tokens since the last piece of text, and before them those of the last piece: how a
    /// token reads can depend on the one before.
    ids: Vec<u32>,
    /// How many of them belong to text that was given out.
    given: usize,
}

impl TextStream {
    /// The text that a further token completes, which can be empty.
    pub(crate) fn push(&mut self, id: u32, tokenizer: &Tokenizer) -> Result<String> {
        self.ids.push(id);
        self.take(tokenizer, false)
    }

    /// What is left at the end, even if it is no whole character.
    pub(crate) fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        self.take(tokenizer, true)
    }

    fn take(&mut self, tokenizer: &Tokenizer, last: bool) -> Result<String> {
        let before = tokenizer.decode(&self.ids[..self.given])?;
        let text = tokenizer.decode(&self.ids)?;
        if !last && text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        let Some(new) = text.strip_prefix(&before).filter(|new| !new.is_empty()) else {
            return Ok(String::new());
        };
        let new = new.to_owned();
        self.ids.drain(..self.given);
        self.given = self.ids.len();
        Ok(new)
    }
}
