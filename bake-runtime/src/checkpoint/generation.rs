//! How a model's answers end: `generation_config.json`.

use std::collections::BTreeSet;

use bake_spec::model::Files;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

const FILE: &str = "generation_config.json";

/// Keys that would change which tokens are chosen beyond what a declaration says. Those of
/// sampling, such as `temperature`, and of lengths are the declaration's own.
const REFUSED: [&str; 12] = [
    "bad_words_ids",
    "begin_suppress_tokens",
    "constraints",
    "encoder_no_repeat_ngram_size",
    "force_words_ids",
    "forced_bos_token_id",
    "forced_decoder_ids",
    "forced_eos_token_id",
    "no_repeat_ngram_size",
    "sequence_bias",
    "stop_strings",
    "suppress_tokens",
];

/// The tokens that end an answer: those of `generation_config.json`, else of `config.json`, and the
/// tokenizer's own. Each must be in the vocabulary.
pub(crate) fn end_tokens(
    files: &Files,
    own: Option<u32>,
    vocabulary: usize,
) -> Result<BTreeSet<u32>> {
    let mut tokens = BTreeSet::new();
    if let Some(json) = &files.generation_config {
        let config = parse(files, json, FILE)?;
        if let Some(key) = REFUSED.iter().find(|key| !is_off(&config[**key])) {
            let message = format!(
                "{}/{FILE} sets `{key}`, which bake does not obey; remove it if answers are right \
                 without it",
                files.folder
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        tokens = ids(files, &config, FILE, vocabulary)?;
    }
    if tokens.is_empty() {
        let file = "config.json";
        tokens = ids(files, &parse(files, &files.config, file)?, file, vocabulary)?;
    }
    tokens.extend(own);
    if tokens.is_empty() {
        let message = format!(
            "{} names no token that ends an answer; set `eos_token_id` in {FILE}",
            files.folder
        );
        return Err(Error::new(ErrorKind::Model, message));
    }
    Ok(tokens)
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Array(all) => all.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn ids(files: &Files, config: &Value, file: &str, vocabulary: usize) -> Result<BTreeSet<u32>> {
    let ids = match &config["eos_token_id"] {
        Value::Null => &[],
        Value::Array(ids) => ids.as_slice(),
        id => std::slice::from_ref(id),
    };
    let mut tokens = BTreeSet::new();
    for id in ids {
        let Some(token) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
            let message =
                format!("{}/{file} has the `eos_token_id` {id}; expected a token id", files.folder);
            return Err(Error::new(ErrorKind::Model, message));
        };
        if token as usize >= vocabulary {
            let message = format!(
                "{}/{file} has the `eos_token_id` {token}, but the model knows only the tokens 0 \
                 to {}; correct it, or fetch the file again",
                files.folder,
                vocabulary.saturating_sub(1)
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        tokens.insert(token);
    }
    Ok(tokens)
}

fn parse(files: &Files, json: &str, file: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(json).map_err(|e| {
        let message = format!("{}/{file} is not valid JSON", files.folder);
        Error::with_source(ErrorKind::Model, message, e)
    })?;
    match value {
        Value::Object(_) => Ok(value),
        _ => {
            let message = format!("{}/{file} is not a JSON object; fetch it again", files.folder);
            Err(Error::new(ErrorKind::Model, message))
        }
    }
}
