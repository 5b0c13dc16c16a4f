//! Control tokens: which of a tokenizer's tokens steer a conversation, and encoding texts in which
//! some of them are only written out.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::normalizer::Range;
use tokenizers::{
    AddedToken, Model as _, NormalizedString, Normalizer as _, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer as _, Token,
};

use super::settings::TextSettings;
use bake_spec::text::jinja::{self, Piece};

/// The tokens that a tokenizer finds before it splits a text into words.
pub(super) struct AddedTokens(Vec<Added>);

struct Added {
    id: u32,
    token: AddedToken,
    /// How it reads where it is looked for.
    pattern: String,
    control: bool,
}

impl AddedTokens {
    /// Those of a tokenizer.
    pub(super) fn of(tokenizer: &tokenizers::Tokenizer, settings: &TextSettings) -> Self {
        let pattern = |token: &AddedToken| match tokenizer.get_normalizer() {
            Some(normalizer) if token.normalized => {
                let mut content = NormalizedString::from(token.content.as_str());
                normalizer.normalize(&mut content).ok()?;
                Some(content.get().to_owned())
            }
            _ => Some(token.content.clone()),
        };
        let written = literal_text(settings.template());
        let mut all: Vec<Added> = tokenizer
            .get_added_tokens_decoder()
            .into_iter()
            .filter_map(|(id, token)| {
                let pattern = pattern(&token).filter(|pattern| !pattern.is_empty())?;
                Some(Added { id, pattern, control: is_control(&token, settings, &written), token })
            })
            .collect();
        all.sort_by_key(|added| added.id);
        Self(all)
    }

    /// The control tokens, written out.
    #[cfg(test)]
    pub(super) fn control(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|added| added.control).map(|added| added.token.content.as_str())
    }

    /// The byte positions at which a text has control tokens, or what the tokenizer's normalizer
    /// makes of it: in full-width letters, say, for one that makes them ordinary ones. With
    /// `special`, only those that the tokenizer calls special.
    pub(super) fn written_in(
        &self,
        tokenizer: &tokenizers::Tokenizer,
        text: &str,
        special: bool,
    ) -> BTreeSet<usize> {
        let sought =
            self.0.iter().filter(|added| added.control && (added.token.special || !special));
        let (changed, plain): (Vec<_>, Vec<_>) = sought
            .partition(|added| added.token.normalized && tokenizer.get_normalizer().is_some());
        let contents = plain.iter().chain(&changed).map(|added| added.token.content.as_str());
        let mut starts: BTreeSet<usize> = starts(text, contents).collect();
        if !changed.is_empty()
            && let Some(normalized) = normalized(tokenizer, text)
        {
            let patterns = changed.iter().map(|added| added.pattern.as_str());
            for start in self::starts(normalized.get(), patterns) {
                let first = normalized.get()[start..].chars().next().map_or(0, char::len_utf8);
                let range = normalized.convert_offsets(Range::Normalized(start..start + first));
                starts.extend(range.map(|range| range.start));
            }
        }
        starts
    }

    /// The control token of an id, written out.
    pub(super) fn control_of(&self, id: u32) -> Option<&str> {
        let added = self.0.iter().find(|added| added.id == id && added.control)?;
        Some(&added.token.content)
    }

    /// The ids of a text as the tokenizer gives them, except for tokens that would span one of the
    /// `breaks` (byte positions in the text): those are left as text.
    ///
    /// The text goes through the tokenizer as a whole, so anything that is done only at its start,
    /// such as marking a space before the first word, is done only there.
    pub(super) fn encode(
        &self,
        tokenizer: &tokenizers::Tokenizer,
        text: &str,
        breaks: &[usize],
    ) -> tokenizers::Result<Vec<u32>> {
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, piece| self.split(piece, false, breaks))?;
        pieces.split(|_, mut piece| {
            if let Some(normalizer) = tokenizer.get_normalizer() {
                normalizer.normalize(&mut piece)?;
            }
            self.split(piece, true, breaks)
        })?;
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        pieces.tokenize(|piece| tokenizer.get_model().tokenize(piece.get()))?;
        let mut ids = Vec::new();
        for (_, _, tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::None) {
            ids.extend(tokens.iter().flatten().map(|token| token.id));
        }
        Ok(ids)
    }

    /// A piece of text cut at the tokens that are looked for in normalized text, or at the others.
    fn split(
        &self,
        piece: NormalizedString,
        normalized: bool,
        breaks: &[usize],
    ) -> tokenizers::Result<Vec<(NormalizedString, Option<Vec<Token>>)>> {
        let (mut parts, mut done, mut at) = (Vec::new(), 0, 0);
        let text = piece.get();
        let cut = |range: std::ops::Range<usize>| {
            piece.slice(Range::Normalized(range)).ok_or("a token is cut inside a character")
        };
        let whole = |range: std::ops::Range<usize>| {
            let first = piece.offsets_original().0;
            let range = piece.convert_offsets(Range::Normalized(range)).unwrap_or_default();
            !breaks.iter().any(|&b| first + range.start < b && b <= first + range.end)
        };
        while at < text.len() {
            let rest = &text[at..];
            let found = self
                .0
                .iter()
                .filter(|added| added.token.normalized == normalized)
                .filter(|added| rest.starts_with(&added.pattern))
                .filter(|added| whole(at..at + added.pattern.len()))
                .max_by_key(|added| added.pattern.len());
            let Some(Added { id, token, pattern, .. }) = found else {
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let (mut start, mut end) = (at, at + pattern.len());
            at = end;
            if token.single_word && (ends_in_word(&text[..start]) || starts_in_word(&text[end..])) {
                continue;
            }
            if token.lstrip {
                start = text[..start].trim_end().len().max(done);
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            if done < start {
                parts.push((cut(done..start)?, None));
            }
            parts.push((cut(start..end)?, Some(vec![Token::new(*id, pattern.clone(), (0, 0))])));
            (done, at) = (end, end);
        }
        if done < text.len() {
            parts.push((cut(done..text.len())?, None));
        }
        Ok(parts)
    }
}

/// The byte positions at which one of the patterns begins in a text.
fn starts<'a>(
    text: &'a str,
    patterns: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = usize> {
    // Nearly all texts have none, and models hundreds of tokens.
    let patterns: Vec<_> = patterns.filter(|pattern| text.contains(*pattern)).collect();
    text.char_indices()
        .map(|(at, _)| at)
        .filter(move |&at| patterns.iter().any(|pattern| text[at..].starts_with(pattern)))
}

/// A text as a tokenizer's normalizer makes it; none where it fails, and encoding the text will.
fn normalized(tokenizer: &tokenizers::Tokenizer, text: &str) -> Option<NormalizedString> {
    let mut normalized = NormalizedString::from(text);
    let normalize = || tokenizer.get_normalizer()?.normalize(&mut normalized).ok();
    // The regular expressions of a normalizer panic where they take too many steps.
    catch_unwind(AssertUnwindSafe(normalize)).ok()??;
    Some(normalized)
}

/// Whether a token steers the conversation: if it is called special, if the files name it, if it
/// looks like a tag, or if the chat template writes it. Others are words or white space that models
/// have learned as part of texts.
fn is_control(token: &AddedToken, settings: &TextSettings, written: &str) -> bool {
    let content = token.content.trim();
    let tag = content.starts_with(['<', '[', '{', '|']) && content.ends_with(['>', ']', '}', '|']);
    token.special
        || settings.steers(&token.content)
        || !content.is_empty() && (tag || written.contains(content))
}

/// What a template can write: its text outside tags, and the quoted texts inside them. Zeros
/// separate them, so that no word spans two of them.
fn literal_text(template: &str) -> String {
    let mut text = String::new();
    for piece in jinja::pieces(template) {
        match piece {
            Piece::Text(comment) if comment.starts_with("{#") => text.push('\0'),
            Piece::Text(written) => text += written,
            Piece::Expression(mut tag) | Piece::Block(mut tag) => {
                text.push('\0');
                while let Some(at) = tag.find(['"', '\'']) {
                    let quoted;
                    (quoted, tag) = tag[at..].split_at(jinja::string(&tag[at..]));
                    text += quoted[1..].strip_suffix(&quoted[..1]).unwrap_or(&quoted[1..]);
                    text.push('\0');
                }
            }
        }
    }
    text
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_word)
}

fn starts_in_word(text: &str) -> bool {
    text.chars().next().is_some_and(is_word)
}
