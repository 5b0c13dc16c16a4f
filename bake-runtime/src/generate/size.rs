//! How much memory generation takes.

use super::{ROWS, TOKENS};
use crate::model::Model;

/// How many tokens the largest group of answers that are [made together](super::complete) has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupSize {
    /// Tokens that all prompts begin with.
    pub(crate) prefix: usize,
    /// Different prompts, and their tokens after the prefix.
    pub(crate) prompts: usize,
    pub(crate) prompt_tokens: usize,
    /// Answers, and their tokens.
    pub(crate) answers: usize,
    pub(crate) answer_tokens: usize,
}

impl GroupSize {
    /// The answers of a group, where there are so many in all.
    pub(crate) fn answers_together(all: usize) -> usize {
        all.min(ROWS)
    }

    /// The most memory that the group takes beside the model: the cache, and a pass with its
    /// logits.
    pub(crate) fn bytes(&self, model: &Model) -> usize {
        let decoder = model.decoder();
        let read = self.prompt_tokens.min(TOKENS);
        let slots = self.prefix + self.prompt_tokens + self.answer_tokens;
        let cache = decoder.cache_bytes(self.prefix + read, slots);
        let pass = decoder.pass_bytes(read.max(self.prefix.min(TOKENS)).max(self.answers));
        // As they are computed, once more while they are put in order, and those of all prompts.
        let logits = 3 * self.answers.max(self.prompts) * model.config().vocab_size();
        cache + pass.max(logits * size_of::<f32>())
    }
}

/// The most memory that sequences take beside the model when they are read once, in parts of at
/// most [`TOKENS`] tokens, after a common prefix: `tokens` are those of all without it, and the
/// longest has `longest` of them.
pub(crate) fn read_bytes(model: &Model, prefix: usize, tokens: usize, longest: usize) -> usize {
    let together = tokens.min(TOKENS).max(longest);
    let decoder = model.decoder();
    let pass = decoder.pass_bytes(together.max(prefix.min(TOKENS)));
    decoder.cache_bytes(prefix + tokens.min(TOKENS), prefix + together) + pass
}
