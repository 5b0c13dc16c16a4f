//! Text to token ids and back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::ModelWrapper;

use super::control::AddedTokens;
use super::settings::TextSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::text::guard;

/// A tokenizer of the Hugging Face format, and which of its tokens control the conversation.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    added: AddedTokens,
    /// The bytes of the longest token.
    longest: usize,
}

impl Tokenizer {
    /// Parses a `tokenizer.json` for a model with an embedding table of `vocab_size` entries;
    /// `name` is the file's name in messages.
    pub(crate) fn parse(
        json: &[u8],
        settings: &TextSettings,
        vocab_size: usize,
        name: &str,
    ) -> Result<Self> {
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
        // tokenizers drops merges whenever it encodes, not only in training.
        if let ModelWrapper::BPE(bpe) = inner.get_model()
            && let Some(dropout) = bpe.dropout.filter(|dropout| *dropout > 0.0)
        {
            return Err(refused(format!(
                "has `dropout` {dropout}, with which a text becomes other tokens each time; it is \
                 for training, so set it to null"
            )));
        }
        if let Some((token, id)) = inner
            .get_vocab(true)
            .into_iter()
            .max_by_key(|(_, id)| *id)
            .filter(|(_, id)| *id as usize >= vocab_size)
        {
            let message = format!(
                "{name} has the token {token:?} with id {id}, but the model's vocabulary has \
                 {vocab_size} entries; the tokenizer does not match the model"
            );
            return Err(Error::new(ErrorKind::Tokenizer, message));
        }
        let unusable =
            |e| Error::with_source(ErrorKind::Tokenizer, format!("{name} cannot be used"), e);
        // Both are for batches in training, and would truncate or pad every text.
        inner.with_truncation(None).map_err(unusable)?;
        inner.with_padding(None);
        settings.check(&inner)?;
        settings.add_tokens(&mut inner)?;
        let longest = inner.get_vocab(true).keys().map(String::len).max().unwrap_or(1).max(1);
        let added = AddedTokens::of(&inner, settings);
        Ok(Self { inner, added, longest })
    }

    /// All of it, with what the files beside it say, as a `tokenizer.json`.
    #[cfg(feature = "train")]
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.inner).map_err(|e| {
            Error::with_source(ErrorKind::Tokenizer, "the tokenizer has no JSON form", e)
        })
    }

    /// The id of a token, where there is one.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The ids of a text in which control tokens are control tokens. None are added.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        guarded(|| Ok(self.inner.encode_fast(text, false)?.get_ids().to_vec()))
    }

    /// The ids of a text in which only the control tokens that do not contain `mark` are control
    /// tokens. The marks themselves are dropped.
    pub(crate) fn encode_marked(&self, marked: &str, mark: char) -> Result<Vec<u32>> {
        let (mut text, mut breaks) = (String::with_capacity(marked.len()), Vec::new());
        for c in marked.chars() {
            if c == mark {
                breaks.push(text.len());
            } else {
                text.push(c);
            }
        }
        guarded(|| self.added.encode(&self.inner, &text, &breaks))
    }

    /// The text with `mark` inside every token that is text where it is written, so that it no
    /// longer is that token: every control token, except that what the model said itself may
    /// contain those that are not called special.
    pub(crate) fn mark(&self, text: &str, is_of_model: bool, mark: char) -> String {
        let tokens = self.added.written_in(&self.inner, text, is_of_model);
        let mut marked = String::with_capacity(text.len() + tokens.len() * mark.len_utf8());
        for (at, c) in text.char_indices() {
            marked.push(c);
            if tokens.contains(&at) {
                marked.push(mark);
            }
        }
        marked
    }

    /// Whether [`mark`](Self::mark) changes the text.
    pub(crate) fn is_marked(&self, text: &str, is_of_model: bool) -> bool {
        !self.added.written_in(&self.inner, text, is_of_model).is_empty()
    }

    /// The control tokens, written out.
    #[cfg(test)]
    pub(crate) fn control_tokens(&self) -> Vec<&str> {
        self.added.control().collect()
    }

    /// The bytes of the longest token: a text has at least as many tokens as its bytes divided by
    /// this.
    pub(crate) fn longest_token(&self) -> usize {
        self.longest
    }

    /// A control token, written out; none where the id is of another token.
    pub(crate) fn control(&self, id: u32) -> Option<&str> {
        self.added.control_of(id)
    }

    /// The text of token ids, without special tokens.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| {
            Error::with_source(ErrorKind::Tokenizer, "cannot decode the model's tokens", e)
        })
    }
}

/// What a tokenizer gives. Its regular expression engine panics where a pattern takes too many
/// steps.
fn guarded(encode: impl FnOnce() -> tokenizers::Result<Vec<u32>>) -> Result<Vec<u32>> {
    let failed = |e| Error::with_source(ErrorKind::Tokenizer, "cannot tokenize the text", e);
    let stopped = |_| {
        let message = "a pattern in the model's tokenizer takes too many steps on the text; \
            shorten the text, or use another model";
        Err(Error::new(ErrorKind::Tokenizer, message))
    };
    catch_unwind(AssertUnwindSafe(encode)).map_or_else(stopped, |ids| ids.map_err(failed))
}
