//! How a model answers: `generation_config.json`.

use std::collections::{BTreeSet, HashSet};

use bake_spec::model::Files;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

const FILE: &str = "generation_config.json";
const END: &str = "eos_token_id";

/// Keys that would change which tokens are chosen, also where the likeliest always is, each with
/// the number that means that it does not. How tokens are drawn (`temperature`, `top_p` and others)
/// and how many (`max_length`) is said by the declaration or the caller, as by the arguments of
/// `generate` in transformers.
const REFUSED: [(&str, f64); 24] = [
    ("bad_words_ids", 0.0),
    ("begin_suppress_tokens", 0.0),
    ("constraints", 0.0),
    ("diversity_penalty", 0.0),
    ("dola_layers", 0.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("exponential_decay_length_penalty", 0.0),
    ("force_words_ids", 0.0),
    ("forced_bos_token_id", 0.0),
    ("forced_decoder_ids", 0.0),
    ("forced_eos_token_id", 0.0),
    ("guidance_scale", 1.0),
    ("min_length", 0.0),
    ("min_new_tokens", 0.0),
    ("no_repeat_ngram_size", 0.0),
    ("num_beam_groups", 1.0),
    ("num_beams", 1.0),
    ("penalty_alpha", 0.0),
    ("sequence_bias", 0.0),
    ("stop_strings", 0.0),
    ("suppress_tokens", 0.0),
    ("token_healing", 0.0),
    ("watermarking_config", 0.0),
];

/// How a model answers beside what a sampling says.
pub(crate) struct Generation {
    /// The tokens that end an answer.
    end_tokens: BTreeSet<u32>,
    /// How much less likely a token is once it has occurred; 1: as likely as before.
    repetition_penalty: f32,
}

impl Generation {
    /// What `generation_config.json` says. The tokens that end an answer are its own, else those of
    /// `config.json`, and the tokenizer's. Each must be in the vocabulary.
    pub(crate) fn read(files: &Files, own_end: Option<u32>, vocabulary: usize) -> Result<Self> {
        let (mut end_tokens, mut repetition_penalty) = (BTreeSet::new(), 1.0);
        if let Some(json) = &files.generation_config {
            let config = parse(files, json, FILE)?;
            let set = |(key, off): &&(&str, f64)| !is_off(&config[*key], *off);
            if let Some((key, _)) = REFUSED.iter().find(set) {
                let message = format!(
                    "{} sets `{key}`, which bake does not support; remove it if answers are right \
                     without it",
                    files.name(FILE)
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
            end_tokens = ids(files, &config, FILE, vocabulary)?;
            repetition_penalty = penalty(files, &config["repetition_penalty"])?;
        }
        if end_tokens.is_empty() {
            let file = "config.json";
            end_tokens = ids(files, &parse(files, &files.config, file)?, file, vocabulary)?;
        }
        end_tokens.extend(own_end);
        if end_tokens.is_empty() {
            let message = format!(
                "{} names no token that ends an answer; set `{}`",
                files.name(FILE),
                files.token_key(END)
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        Ok(Self { end_tokens, repetition_penalty })
    }

    /// The tokens that end an answer.
    #[cfg(feature = "train")]
    pub(crate) fn end_tokens(&self) -> impl Iterator<Item = u32> {
        self.end_tokens.iter().copied()
    }

    /// Whether a token ends an answer.
    pub(crate) fn ends(&self, token: u32) -> bool {
        self.end_tokens.contains(&token)
    }

    /// A token that ends an answer.
    #[cfg(feature = "train")]
    pub(crate) fn end(&self) -> u32 {
        *self.end_tokens.first().expect("a model without a token that ends an answer is refused")
    }

    /// How much less likely than before the tokens of an answer to this prompt are.
    pub(crate) fn repetition(&self, prompt: &[u32]) -> Repetition {
        let penalty = self.repetition_penalty;
        let mut repetition = Repetition { penalty, occurred: HashSet::new() };
        prompt.iter().for_each(|&token| repetition.add(token));
        repetition
    }
}

/// Tokens that have occurred, in the prompt or in the answer, and how much less likely that makes
/// them (Keskar et al. 2019, arXiv 1909.05858).
#[derive(Clone, Debug)]
pub(crate) struct Repetition {
    /// 1: nothing is less likely, and so no tokens are kept.
    penalty: f32,
    occurred: HashSet<u32>,
}

impl Repetition {
    /// Notes that a token has occurred.
    pub(crate) fn add(&mut self, token: u32) {
        if self.penalty != 1.0 {
            self.occurred.insert(token);
        }
    }

    /// Makes what has occurred less likely: a logit of at least 0 is divided by the penalty,
    /// another multiplied.
    pub(crate) fn penalise(&self, logits: &mut [f32]) {
        for &token in &self.occurred {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = match *logit < 0.0 {
                    true => *logit * self.penalty,
                    false => *logit / self.penalty,
                };
            }
        }
    }
}

/// Whether a value means that its key does nothing; `off` is the number that does.
fn is_off(value: &Value, off: f64) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(n) => n.as_f64() == Some(off),
        Value::Array(all) => all.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(_) => false,
    }
}

fn penalty(files: &Files, value: &Value) -> Result<f32> {
    let penalty = if value.is_null() { Some(1.0) } else { value.as_f64() };
    penalty.filter(|penalty| *penalty > 0.0 && *penalty <= 100.0).map_or_else(
        || {
            let message = format!(
                "{} has the `repetition_penalty` {value}; expected a number above 0 and at most \
                 100",
                files.name(FILE)
            );
            Err(Error::new(ErrorKind::Model, message))
        },
        |penalty| Ok(penalty as f32),
    )
}

fn ids(files: &Files, config: &Value, file: &str, vocabulary: usize) -> Result<BTreeSet<u32>> {
    let ids = match &config[END] {
        Value::Null => &[],
        Value::Array(ids) => ids.as_slice(),
        id => std::slice::from_ref(id),
    };
    let key = files.token_key(END);
    let mut tokens = BTreeSet::new();
    for id in ids {
        let Some(token) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
            let message = format!("{} has the `{key}` {id}; expected a token id", files.name(file));
            return Err(Error::new(ErrorKind::Model, message));
        };
        if token as usize >= vocabulary {
            let message = format!(
                "{} has the `{key}` {token}, but the model has only tokens 0 to {}; correct it, or \
                 fetch the file again",
                files.name(file),
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
        let message = format!("{} is not valid JSON", files.name(file));
        Error::with_source(ErrorKind::Model, message, e)
    })?;
    match value {
        Value::Object(_) => Ok(value),
        _ => {
            let message = format!("{} is not a JSON object; fetch it again", files.name(file));
            Err(Error::new(ErrorKind::Model, message))
        }
    }
}
