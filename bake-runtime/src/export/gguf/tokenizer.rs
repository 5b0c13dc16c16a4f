//! A `tokenizer.json` as the keys of a GGUF file.

use std::collections::HashMap;

use bake_spec::model::gguf::pre_tokenizer_name;
use serde::Deserialize;
use serde_json::Value;

use super::write::NewGguf;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Base;
use crate::text::settings::TextSettings;

/// What of a `tokenizer.json` matters here.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<TokenOfFile>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    model: BpeOfFile,
}

#[derive(Deserialize)]
struct TokenOfFile {
    id: usize,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct BpeOfFile {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: HashMap<String, usize>,
    merges: Vec<MergeOfFile>,
}

/// A merge, as older and newer files write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergeOfFile {
    Joined(String),
    Apart(String, String),
}

/// What tokens are for, by the numbers of the format.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Special tokens, by the names that templates have for them.
const SPECIAL: [(&str, &str); 4] = [
    ("bos_token", "bos_token_id"),
    ("eos_token", "eos_token_id"),
    ("pad_token", "padding_token_id"),
    ("unk_token", "unknown_token_id"),
];

/// Writes the tokenizer and the chat template of a model with so many rows of embeddings.
pub(super) fn write(file: &mut NewGguf, base: &Base<'_>, rows: usize) -> Result<()> {
    let files = base.checkpoint.files();
    let refused = |why: &str| {
        let message = format!(
            "{}/tokenizer.json {why}, which bake does not write into a GGUF file; export `merged`, \
             and convert that with llama.cpp's convert_hf_to_gguf.py",
            files.folder
        );
        Error::new(ErrorKind::Export, message)
    };
    let json: TokenizerFile = serde_json::from_slice(&files.tokenizer)
        .map_err(|_| refused("has no vocabulary with merges"))?;
    if json.model.kind != "BPE" || json.model.byte_fallback {
        return Err(refused("does not merge bytes"));
    }
    let TokenizerFile { normalizer, pre_tokenizer, .. } = &json;
    let pre = pre_tokenizer_name(normalizer, pre_tokenizer, json.model.ignore_merges)
        .ok_or_else(|| refused("cuts texts into words in a way of its own"))?;
    let mut tokens: Vec<(String, i32)> =
        (0..rows).map(|id| (format!("[PAD{id}]"), UNUSED)).collect();
    let normal = json.model.vocab.iter().map(|(text, &id)| (id, text, NORMAL));
    let added = json.added_tokens.iter().map(|token| {
        (token.id, &token.content, if token.special { CONTROL } else { USER_DEFINED })
    });
    for (id, text, kind) in normal.chain(added) {
        let place = tokens
            .get_mut(id)
            .ok_or_else(|| refused("has more tokens than the model has embeddings"))?;
        *place = (text.clone(), kind);
    }
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", pre);
    file.texts("tokenizer.ggml.tokens", tokens.iter().map(|(text, _)| text.as_str()));
    file.i32s("tokenizer.ggml.token_type", tokens.iter().map(|(_, kind)| *kind));
    let merges: Vec<String> = json
        .model
        .merges
        .into_iter()
        .map(|pair| match pair {
            MergeOfFile::Joined(pair) => pair,
            MergeOfFile::Apart(first, second) => format!("{first} {second}"),
        })
        .collect();
    file.texts("tokenizer.ggml.merges", merges.iter().map(String::as_str));
    write_special(file, base, &tokens)
}

/// Writes which tokens are special, and the chat template.
fn write_special(file: &mut NewGguf, base: &Base<'_>, tokens: &[(String, i32)]) -> Result<()> {
    let files = base.checkpoint.files();
    let settings = TextSettings::read(files)?;
    let special = settings.special_tokens();
    for (name, key) in SPECIAL {
        let Some(text) = special.get(name) else { continue };
        if let Some(id) = tokens.iter().position(|(token, _)| token == text) {
            file.u32(&format!("tokenizer.ggml.{key}"), id);
        }
    }
    let config: Value = match &files.tokenizer_config {
        Some(json) => serde_json::from_str(json).unwrap_or_default(),
        None => Value::Null,
    };
    for key in ["add_bos_token", "add_eos_token"] {
        if let Some(flag) = config[key].as_bool() {
            file.flag(&format!("tokenizer.ggml.{key}"), flag);
        }
    }
    file.text("tokenizer.chat_template", settings.template());
    Ok(())
}
