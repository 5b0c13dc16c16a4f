//! A `tokenizer.json` as the keys of a GGUF file.

use std::collections::HashMap;

use bake_spec::model::Files;
use bake_spec::model::gguf::pre_tokenizer_name;
use serde::Deserialize;
use serde_json::Value;

use super::write::NewGguf;
use crate::checkpoint::generation::Generation;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Base;
use crate::text::settings::TextSettings;
use crate::text::tokenizer::Tokenizer;

/// What of a `tokenizer.json` matters here.
#[derive(Deserialize)]
struct TokenizerFile {
    added_tokens: Vec<TokenOfFile>,
    normalizer: Value,
    pre_tokenizer: Value,
    model: BpeOfFile,
}

#[derive(Deserialize)]
struct TokenOfFile {
    id: usize,
    content: String,
    special: bool,
}

#[derive(Deserialize)]
struct BpeOfFile {
    #[serde(rename = "type")]
    kind: String,
    unk_token: Option<String>,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: HashMap<String, usize>,
    merges: Vec<(String, String)>,
}

/// What tokens are for, by the numbers of the format.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// Special tokens, by the names that templates have for them.
const SPECIAL: [(&str, &str); 4] = [
    ("bos_token", "bos_token_id"),
    ("eos_token", "eos_token_id"),
    ("pad_token", "padding_token_id"),
    ("unk_token", "unknown_token_id"),
];

/// Keys for tokens that end an answer.
const ENDS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];

/// Writes the tokenizer and the chat template of a model with so many rows of embeddings.
pub(super) fn write(file: &mut NewGguf, base: &Base<'_>, rows: usize) -> Result<()> {
    let files = base.checkpoint.files();
    let settings = TextSettings::read(files)?;
    let name = files.name("tokenizer.json");
    let tokenizer = Tokenizer::parse(&files.tokenizer, &settings, rows, &name)?;
    let json: TokenizerFile = serde_json::from_value(tokenizer.json()?)
        .map_err(|_| refused(files, "has no vocabulary with merges"))?;
    if json.model.kind != "BPE" {
        return Err(refused(files, "has no vocabulary with merges"));
    }
    let tokens = json.tokens(rows);
    match json.model.byte_fallback {
        true => write_scores(file, &json, &tokens),
        false => write_merges(file, &json, files)?,
    }
    file.texts("tokenizer.ggml.tokens", tokens.iter().map(|(text, _)| text.as_str()));
    file.i32s("tokenizer.ggml.token_type", tokens.iter().map(|(_, kind)| *kind));
    let special = settings.special_tokens();
    let mut named = Vec::new();
    for (name, key) in SPECIAL {
        let Some(text) = special.get(name) else { continue };
        if let Some(id) = tokens.iter().position(|(token, _)| token == text) {
            file.u32(&format!("tokenizer.ggml.{key}"), id);
            named.push((name, id));
        }
    }
    let end = named.iter().find(|(name, _)| *name == "eos_token").map(|(_, id)| *id);
    write_ends(file, files, end, rows)?;
    write_flags(file, files);
    file.text("tokenizer.chat_template", settings.template());
    Ok(())
}

impl TokenizerFile {
    /// The text of each token, and what it is for.
    fn tokens(&self, rows: usize) -> Vec<(String, i32)> {
        let mut tokens: Vec<(String, i32)> =
            (0..rows).map(|id| (format!("[PAD{id}]"), UNUSED)).collect();
        let unknown = self.model.unk_token.as_deref().filter(|_| self.model.byte_fallback);
        let kind = |text: &str| match text.as_bytes() {
            [b'<', b'0', b'x', _, _, b'>'] if self.model.byte_fallback => BYTE,
            _ => NORMAL,
        };
        let normal = self.model.vocab.iter().map(|(text, &id)| (id, text, kind(text)));
        let added = self.added_tokens.iter().map(|token| {
            let kind = match token.special {
                true if unknown == Some(&token.content) => UNKNOWN,
                true => CONTROL,
                false => USER_DEFINED,
            };
            (token.id, &token.content, kind)
        });
        // The tokenizer was read for so many rows, so each token has one.
        for (id, text, kind) in normal.chain(added) {
            if let Some(place) = tokens.get_mut(id) {
                *place = (text.clone(), kind);
            }
        }
        tokens
    }
}

/// Writes a tokenizer of bytes, which are merged by a list of pairs.
fn write_merges(file: &mut NewGguf, json: &TokenizerFile, files: &Files) -> Result<()> {
    let pre = pre_tokenizer_name(&json.normalizer, &json.pre_tokenizer, json.model.ignore_merges)
        .ok_or_else(|| refused(files, "splits text into words in its own way"))?;
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", pre);
    let merges: Vec<String> =
        json.model.merges.iter().map(|(first, second)| format!("{first} {second}")).collect();
    file.texts("tokenizer.ggml.merges", merges.iter().map(String::as_str));
    Ok(())
}

/// Writes a tokenizer of SentencePiece, which joins the two neighbours that make the token with the
/// best score: the earlier a token is in the list of merges, the better.
fn write_scores(file: &mut NewGguf, json: &TokenizerFile, tokens: &[(String, i32)]) {
    let mut order: HashMap<String, usize> = HashMap::new();
    for (first, second) in &json.model.merges {
        let next = order.len();
        order.entry(format!("{first}{second}")).or_insert(next);
    }
    let last = order.len();
    let score = |text: &String| -(order.get(text).copied().unwrap_or(last) as f32);
    file.text("tokenizer.ggml.model", "llama");
    file.text("tokenizer.ggml.pre", "default");
    file.f32s("tokenizer.ggml.scores", tokens.iter().map(|(text, _)| score(text)));
    let spaces_only = json.normalizer["type"] == "Replace";
    file.flag("tokenizer.ggml.add_space_prefix", !spaces_only);
}

/// Writes which tokens end an answer, beside the one that is written already.
fn write_ends(file: &mut NewGguf, files: &Files, end: Option<usize>, rows: usize) -> Result<()> {
    let ends = Generation::read(files, end.map(|id| id as u32), rows)?;
    let more = ends.end_tokens().map(|id| id as usize).filter(|id| Some(*id) != end);
    let keys = ENDS.into_iter().skip(usize::from(end.is_some()));
    for (id, key) in more.zip(keys) {
        file.u32(&format!("tokenizer.ggml.{key}"), id);
    }
    Ok(())
}

/// Writes which tokens belong around a text.
fn write_flags(file: &mut NewGguf, files: &Files) {
    let config = files.tokenizer_config.as_deref().map(serde_json::from_str::<Value>);
    let config = config.and_then(std::result::Result::ok).unwrap_or_default();
    for key in ["add_bos_token", "add_eos_token"] {
        if let Some(flag) = config[key].as_bool() {
            file.flag(&format!("tokenizer.ggml.{key}"), flag);
        }
    }
}

fn refused(files: &Files, why: &str) -> Error {
    let message = format!(
        "{} {why}, which bake does not write into a GGUF file; export `merged`, and convert that \
         with llama.cpp's convert_hf_to_gguf.py",
        files.name("tokenizer.json")
    );
    Error::new(ErrorKind::Export, message)
}
