//! The tokenizer of the metadata, as the `tokenizer.json` and the settings beside it that
//! transformers would have of it.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::architecture::Architecture;
use super::metadata::Metadata;
use super::pre_tokenizer::PreTokenizer;
use super::sentencepiece::{ScoredPiece, merges};
use crate::error::{Error, ErrorKind};

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const PRE: &str = "tokenizer.ggml.pre";
const PREFIX: &str = "tokenizer.ggml.add_space_prefix";
/// How SentencePiece writes a space.
const SPACE: char = '▁';

/// Tokens that end an answer, in the families that are read. Files name one of them, and models use
/// several.
const ENDS: [&str; 9] = [
    "</s>",
    "<eos>",
    "<end_of_turn>",
    "<|end|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|im_end|>",
];

/// Special tokens of GGUF files and the names that templates have for them.
const SPECIAL: [(&str, &str); 4] = [
    ("bos_token_id", "bos_token"),
    ("eos_token_id", "eos_token"),
    ("padding_token_id", "pad_token"),
    ("unknown_token_id", "unk_token"),
];

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Byte,
    /// One that only fills a gap: the model has never seen it.
    Filler,
}

struct Tokens<'a> {
    texts: Vec<Cow<'a, str>>,
    kinds: Vec<TokenKind>,
}

#[derive(Serialize)]
struct TokenizerJson<'a> {
    version: &'static str,
    truncation: Option<()>,
    padding: Option<()>,
    added_tokens: Vec<AddedToken<'a>>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Option<()>,
    decoder: Value,
    model: Bpe<'a>,
}

#[derive(Serialize)]
struct AddedToken<'a> {
    id: usize,
    content: &'a str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(Serialize)]
struct Bpe<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: Option<f32>,
    unk_token: Option<&'a str>,
    continuing_subword_prefix: Option<&'a str>,
    end_of_word_suffix: Option<&'a str>,
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: Vocabulary<'a>,
    merges: Vec<(&'a str, &'a str)>,
}

struct Vocabulary<'a>(&'a Tokens<'a>);

impl Serialize for Vocabulary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (id, text, kind) in self.0.iter() {
            if kind != TokenKind::Filler {
                map.serialize_entry(text, &id)?;
            }
        }
        map.end()
    }
}

/// The `tokenizer.json`.
pub(super) fn json(metadata: &Metadata, architecture: Architecture) -> Result<Vec<u8>, Error> {
    let tokens = Tokens::read(metadata)?;
    let json = match metadata.needed(MODEL, metadata.text(MODEL)?)? {
        "gpt2" => byte_level(metadata, &tokens)?,
        "llama" => sentencepiece(metadata, &tokens, architecture)?,
        other => {
            let what = format!(
                "has a tokenizer `{other}` in `{MODEL}`; this version of bake reads `gpt2` and \
                 `llama`"
            );
            return Err(error(metadata, what));
        }
    };
    Ok(serde_json::to_vec(&json).expect("a tokenizer has a JSON form"))
}

/// Bytes as characters, merged by a list of pairs: the tokenizers of GPT-2 and its successors.
fn byte_level<'a>(
    metadata: &'a Metadata,
    tokens: &'a Tokens<'a>,
) -> Result<TokenizerJson<'a>, Error> {
    let Some(name) = metadata.text(PRE)? else {
        let what = format!(
            "has no `{PRE}`, so bake cannot tell how its tokenizer splits text into words; convert \
             the model again"
        );
        return Err(error(metadata, what));
    };
    let Some(pre) = PreTokenizer::of(name) else {
        let read = PreTokenizer::NAMES.join("`, `");
        let what = format!("has `{PRE}` `{name}`; this version of bake reads `{read}`");
        return Err(error(metadata, what));
    };
    let mut pairs = Vec::new();
    for pair in metadata.needed(MERGES, metadata.texts(MERGES)?)? {
        // A space cannot be the first character of the first part.
        let at = pair.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
        let Some(at) = at else {
            let what = format!("has {pair:?} in `{MERGES}`, which is not a pair; fetch it again");
            return Err(error(metadata, what));
        };
        pairs.push((&pair[..at], &pair[at + 1..]));
    }
    Ok(TokenizerJson {
        added_tokens: tokens.added(|_| false),
        normalizer: pre.normalizer,
        pre_tokenizer: pre.splits,
        decoder: json!({
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true
        }),
        ..TokenizerJson::new(Bpe {
            ignore_merges: pre.ignore_merges,
            merges: pairs,
            ..Bpe::new(tokens)
        })
    })
}

/// Characters merged by scores, with spaces as [`SPACE`].
fn sentencepiece<'a>(
    metadata: &Metadata,
    tokens: &'a Tokens<'a>,
    architecture: Architecture,
) -> Result<TokenizerJson<'a>, Error> {
    let scores = metadata.needed(SCORES, metadata.floats(SCORES)?)?;
    if scores.len() != tokens.texts.len() || scores.iter().any(|score| score.is_nan()) {
        let what = format!("has `{SCORES}` that are not a number for each token; fetch it again");
        return Err(error(metadata, what));
    }
    let mut pieces = Vec::new();
    for (id, text, kind) in tokens.iter() {
        match kind {
            TokenKind::Normal => pieces.push(ScoredPiece { id, text, score: scores[id] }),
            // SentencePiece never takes these apart, whatever their scores.
            TokenKind::UserDefined => pieces.push(ScoredPiece { id, text, score: f64::INFINITY }),
            _ => {}
        }
    }
    let unknown =
        tokens.iter().find(|(.., kind)| *kind == TokenKind::Unknown).map(|(_, text, _)| text);
    let prefixed = metadata.flag(PREFIX)?.unwrap_or(true);
    // Mistral's later tokenizers have tokens for its turns, and mark the start of a text only, not
    // what follows a token.
    let first_only = tokens.has_control("[INST]");
    let spaces = json!({
        "type": "Replace", "pattern": {"String": " "}, "content": SPACE.to_string()
    });
    let (normalizer, pre_tokenizer) = match (prefixed, first_only) {
        (false, _) => (spaces, Value::Null),
        (true, true) => (
            Value::Null,
            json!({
                "type": "Metaspace", "replacement": SPACE.to_string(), "prepend_scheme": "first",
                "split": false
            }),
        ),
        (true, false) => {
            let prefix = json!({"type": "Prepend", "prepend": SPACE.to_string()});
            (json!({"type": "Sequence", "normalizers": [prefix, spaces]}), Value::Null)
        }
    };
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE.to_string()}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefixed {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    // Phi-3's swallow the white space after them, which GGUF files do not say.
    let phi = architecture == Architecture::Phi3;
    let swallows = |text: &str| phi && !["<unk>", "<s>", "<|endoftext|>"].contains(&text);
    Ok(TokenizerJson {
        added_tokens: tokens.added(swallows),
        normalizer,
        pre_tokenizer,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        ..TokenizerJson::new(Bpe {
            unk_token: unknown,
            fuse_unk: true,
            byte_fallback: tokens.kinds.contains(&TokenKind::Byte),
            merges: merges(&pieces),
            ..Bpe::new(tokens)
        })
    })
}

/// What `tokenizer_config.json` would say: the special tokens, by their names.
pub(super) fn settings(metadata: &Metadata) -> Result<Value, Error> {
    let mut settings = serde_json::Map::new();
    // transformers then takes `tokenizer.json` as it is, and not as models of its family have it.
    settings.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
    for (key, name) in SPECIAL {
        if let Some((_, text)) = special(metadata, key)? {
            settings.insert(name.to_owned(), json!(text));
        }
    }
    // Where a text begins and ends, for other programs.
    for flag in ["add_bos_token", "add_eos_token"] {
        if let Some(on) = metadata.flag(&format!("tokenizer.ggml.{flag}"))? {
            settings.insert(flag.to_owned(), json!(on));
        }
    }
    Ok(settings.into())
}

/// What `generation_config.json` would say: the tokens that end an answer.
pub(super) fn generation(metadata: &Metadata) -> Result<Value, Error> {
    let mut ends = std::collections::BTreeSet::new();
    for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        ends.extend(special(metadata, key)?.map(|(id, _)| id));
    }
    let tokens = Tokens::read(metadata)?;
    let is_end = |(_, text, kind): &(usize, &str, TokenKind)| {
        matches!(kind, TokenKind::Control | TokenKind::UserDefined) && ENDS.contains(text)
    };
    ends.extend(tokens.iter().filter(is_end).map(|(id, ..)| id));
    Ok(json!({"eos_token_id": ends}))
}

/// A special token, by the end of its key: its number and its text.
fn special<'a>(metadata: &'a Metadata, key: &str) -> Result<Option<(usize, &'a str)>, Error> {
    let key = format!("tokenizer.ggml.{key}");
    let tokens = metadata.needed(TOKENS, metadata.texts(TOKENS)?)?;
    let Some(id) = metadata.count(&key)? else { return Ok(None) };
    // What llama.cpp and others write where there is none.
    if id == u32::MAX as usize {
        return Ok(None);
    }
    match tokens.get(id) {
        Some(text) => Ok(Some((id, text))),
        None => {
            let what = format!("has `{key}` {id}, but only {} tokens", tokens.len());
            Err(error(metadata, what))
        }
    }
}

impl<'a> Tokens<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, Error> {
        let texts = metadata.needed(TOKENS, metadata.texts(TOKENS)?)?;
        let types = metadata.needed(TYPES, metadata.integers(TYPES)?)?;
        if types.len() != texts.len() {
            let what = format!(
                "has {} tokens, but {} entries in `{TYPES}`; fetch it again",
                texts.len(),
                types.len()
            );
            return Err(error(metadata, what));
        }
        let mut tokens =
            Self { texts: Vec::with_capacity(texts.len()), kinds: Vec::with_capacity(texts.len()) };
        let spaces = metadata.text(MODEL)? == Some("llama");
        for (id, (text, number)) in texts.iter().zip(types).enumerate() {
            let kind = match number {
                1 => TokenKind::Normal,
                2 => TokenKind::Unknown,
                3 => TokenKind::Control,
                4 => TokenKind::UserDefined,
                5 if *text == format!("[PAD{id}]") => TokenKind::Filler,
                5 => TokenKind::Normal,
                6 => TokenKind::Byte,
                other => {
                    let what = format!("has a token {id} of the type {other} in `{TYPES}`");
                    return Err(error(metadata, what));
                }
            };
            // Nothing can be written with nothing.
            let kind = if text.is_empty() { TokenKind::Filler } else { kind };
            // Conversion writes the spaces of these as they are in texts.
            let written = spaces && kind == TokenKind::UserDefined && text.contains(' ');
            tokens.texts.push(match written {
                true => text.replace(' ', &SPACE.to_string()).into(),
                false => text.as_str().into(),
            });
            tokens.kinds.push(kind);
        }
        tokens.check_unique(metadata)?;
        Ok(tokens)
    }

    fn check_unique(&self, metadata: &Metadata) -> Result<(), Error> {
        let mut seen = HashMap::new();
        for (id, text, kind) in self.iter() {
            if kind == TokenKind::Filler {
                continue;
            }
            if let Some(other) = seen.insert(text, id) {
                let what = format!(
                    "has {text:?} twice in `{TOKENS}`, as {other} and as {id}; convert the model \
                     again"
                );
                return Err(error(metadata, what));
            }
        }
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &str, TokenKind)> {
        let all = self.texts.iter().zip(&self.kinds).enumerate();
        all.map(|(id, (text, kind))| (id, &**text, *kind))
    }

    fn has_control(&self, wanted: &str) -> bool {
        self.iter().any(|(_, text, kind)| kind == TokenKind::Control && text == wanted)
    }

    /// The tokens that are looked for before a text is cut into words. Some swallow the white space
    /// after them.
    fn added(&self, swallows: impl Fn(&str) -> bool) -> Vec<AddedToken<'_>> {
        let added = |(id, text, kind)| {
            let special = matches!(kind, TokenKind::Control | TokenKind::Unknown);
            (special || kind == TokenKind::UserDefined).then(|| AddedToken {
                id,
                content: text,
                single_word: false,
                lstrip: false,
                rstrip: swallows(text),
                normalized: false,
                special,
            })
        };
        self.iter().filter_map(added).collect()
    }
}

impl<'a> TokenizerJson<'a> {
    fn new(model: Bpe<'a>) -> Self {
        Self {
            version: "1.0",
            truncation: None,
            padding: None,
            added_tokens: Vec::new(),
            normalizer: Value::Null,
            pre_tokenizer: Value::Null,
            post_processor: None,
            decoder: Value::Null,
            model,
        }
    }
}

impl<'a> Bpe<'a> {
    fn new(tokens: &'a Tokens<'a>) -> Self {
        Self {
            kind: "BPE",
            dropout: None,
            unk_token: None,
            continuing_subword_prefix: None,
            end_of_word_suffix: None,
            fuse_unk: false,
            byte_fallback: false,
            ignore_merges: false,
            vocab: Vocabulary(tokens),
            merges: Vec::new(),
        }
    }
}

fn error(metadata: &Metadata, what: String) -> Error {
    metadata.error(ErrorKind::Tokenizer, what)
}
