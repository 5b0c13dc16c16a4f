//! The keys that are read, those that change nothing, and those that are refused by name.
//!
//! `general.…`, apart from a few, says where a model came from, and keys that begin with other
//! words come from the programs that wrote the file. Keys of the architecture and of the tokenizer
//! are refused unless they are known here, or are off.

use super::architecture::Architecture;
use super::metadata::{Metadata, MetadataValue};
use crate::error::{Error, ErrorKind};

/// Keys of architectures that are read or change nothing, after the architecture's name.
const ARCHITECTURE: [&str; 19] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.factor",
    // Whether the model was trained with the scaling.
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "attention.sliding_window",
    "final_logit_softcapping",
    "vocab_size",
];

/// The same, of Gemma 3 alone.
const GEMMA: [&str; 2] = ["attention.sliding_window_pattern", "rope.freq_base_swa"];

/// Keys of tokenizers that are read, or make no difference to a conversation, after
/// `tokenizer.ggml.`. Those that end in `_token_id` do not either.
const TOKENIZER: [&str; 10] = [
    "add_bos_token",
    "add_eos_token",
    "add_sep_token",
    "add_space_prefix",
    "merges",
    "model",
    "pre",
    "scores",
    "token_type",
    "tokens",
];

/// Fails where a key asks for something that is not done.
pub(super) fn check(metadata: &Metadata, architecture: Architecture) -> Result<(), Error> {
    let prefix = format!("{}.", architecture.name());
    for (key, value) in metadata.iter() {
        let known = if let Some(rest) = key.strip_prefix(&prefix) {
            known_of_architecture(rest, value, architecture)
        } else if let Some(rest) = key.strip_prefix("tokenizer.ggml.") {
            TOKENIZER.contains(&rest) || rest.ends_with("_token_id")
        } else if let Some(rest) = key.strip_prefix("general.") {
            known_of_file(rest, value)
        } else if let Some(rest) = key.strip_prefix("split.") {
            rest != "count" || *value == MetadataValue::Integer(1)
        } else {
            true
        };
        // The one that changes nothing when it is on.
        let off = value.is_off() && !key.ends_with(".attention.causal");
        if !known && !off {
            let help = if key == "split.count" {
                "join the files with `llama-gguf-split --merge`"
            } else {
                "use another model, or convert it without the key if it works without it"
            };
            let what = format!("has `{key}` {value}, which bake does not read; {help}");
            return Err(metadata.error(ErrorKind::Model, what));
        }
    }
    Ok(())
}

fn known_of_architecture(key: &str, value: &MetadataValue, architecture: Architecture) -> bool {
    match key {
        "attention.causal" => *value == MetadataValue::Flag(true),
        "rope.scaling.attn_factor" => *value == MetadataValue::Float(1.0),
        "tensor_data_layout" => *value == MetadataValue::Text("reference".into()),
        _ => {
            ARCHITECTURE.contains(&key)
                || architecture == Architecture::Gemma3 && GEMMA.contains(&key)
        }
    }
}

fn known_of_file(key: &str, value: &MetadataValue) -> bool {
    match key {
        "type" => *value == MetadataValue::Text("model".into()),
        // Of quantised blocks, which had another layout before.
        "quantization_version" => *value == MetadataValue::Integer(2),
        _ => true,
    }
}
