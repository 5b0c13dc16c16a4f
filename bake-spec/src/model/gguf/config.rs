//! The shape of a model, as the `config.json` that transformers would have of it.

use serde_json::{Map, Value, json};

use super::architecture::{Architecture, HeadCounts};
use super::keys;
use super::metadata::{Metadata, MetadataValue};
use super::rope;
use super::{Header, ROPE_FACTORS};
use crate::error::{Error, ErrorKind};
use crate::model::config::{RopeScaling, shape};

/// Gemma 3's, where a file does not say otherwise.
const GEMMA_PATTERN: usize = 6;
const GEMMA_LOCAL_BASE: f64 = 10_000.0;
/// The layers of the one Gemma 3 whose attention divides by another number than the others.
const GEMMA_27B_LAYERS: usize = 62;
/// Every which layer of SmolLM3 does not turn queries and keys.
const SMOLLM3_UNTURNED: usize = 4;

/// Keys of a `config.json`, and those of the architecture that say the same.
const KEYS: [(&str, &str); 13] = [
    ("factor", "rope.scaling.factor"),
    ("head_dim", "attention.key_length"),
    ("hidden_size", "embedding_length"),
    ("intermediate_size", "feed_forward_length"),
    ("max_position_embeddings", "context_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_hidden_layers", "block_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("original_max_position_embeddings", "rope.scaling.original_context_length"),
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("rope_local_base_freq", "rope.freq_base_swa"),
    ("rope_theta", "rope.freq_base"),
    ("sliding_window", "attention.sliding_window"),
];

/// A message about a `config.json`, with the keys that the file has.
pub(super) fn with_own_keys(message: &str, architecture: Architecture) -> String {
    KEYS.iter().fold(message.to_owned(), |message, (theirs, own)| {
        message.replace(&format!("`{theirs}`"), &format!("`{}.{own}`", architecture.name()))
    })
}

pub(super) fn json(header: &Header, architecture: Architecture) -> Result<Value, Error> {
    keys::check(&header.metadata, architecture)?;
    let keys = Keys { metadata: &header.metadata, architecture };
    let (layers, heads) =
        (keys.needed_count("block_count")?, heads(&header.metadata, architecture)?);
    let hidden = keys.needed_count("embedding_length")?;
    let head_dim = keys.head_dim(hidden, heads)?;
    let mut config = json!({
        "model_type": keys.model_type()?,
        "vocab_size": vocab_size(header, &keys)?,
        "hidden_size": hidden,
        "intermediate_size": keys.needed_count("feed_forward_length")?,
        "num_hidden_layers": layers,
        "num_attention_heads": heads.queries,
        "num_key_value_heads": heads.keys,
        "head_dim": head_dim,
        "max_position_embeddings": keys.needed_count("context_length")?,
        "rms_norm_eps": keys.needed_number("attention.layer_norm_rms_epsilon")?,
        "tie_word_embeddings": header.tensor("output.weight").is_none(),
        "rope_theta": keys.number("rope.freq_base")?.unwrap_or(10_000.0),
    });
    let map = config.as_object_mut().expect("it was made as an object");
    keys.rope(header, head_dim, map)?;
    keys.window(layers, map)?;
    if let Some(cap) = keys.number("final_logit_softcapping")?.filter(|cap| *cap != 0.0) {
        map.insert("final_logit_softcapping".into(), json!(cap));
    }
    let has = |name: &str| header.tensor(name).is_some();
    match architecture {
        Architecture::Gemma3 => {
            let scalar = if layers == GEMMA_27B_LAYERS { hidden / heads.queries } else { head_dim };
            map.insert("query_pre_attn_scalar".into(), json!(scalar));
            map.insert("hidden_activation".into(), json!("gelu_pytorch_tanh"));
        }
        Architecture::SmolLm3 => {
            // What is said of each layer is not written for more than a model can have.
            let turned = (1..=layers.min(shape::MOST_LAYERS))
                .map(|layer| !layer.is_multiple_of(SMOLLM3_UNTURNED));
            let turned: Vec<u8> = turned.map(u8::from).collect();
            map.insert("no_rope_layers".into(), json!(turned));
        }
        _ => {}
    }
    if matches!(architecture, Architecture::Llama | Architecture::Qwen3 | Architecture::SmolLm3) {
        map.insert("attention_bias".into(), json!(has("blk.0.attn_q.bias")));
    }
    if architecture == Architecture::Llama {
        map.insert("mlp_bias".into(), json!(has("blk.0.ffn_up.bias")));
    }
    if architecture != Architecture::Gemma3 {
        map.insert("hidden_act".into(), json!("silu"));
    }
    Ok(config)
}

/// The heads of a model.
pub(super) fn heads(metadata: &Metadata, architecture: Architecture) -> Result<HeadCounts, Error> {
    let keys = Keys { metadata, architecture };
    let queries = keys.needed_count("attention.head_count")?;
    let kv = keys.key("attention.head_count_kv");
    let heads = HeadCounts { queries, keys: metadata.same_count(&kv)?.unwrap_or(queries) };
    if heads.queries == 0 || heads.keys == 0 {
        let what = "has no attention heads; expected at least one";
        return Err(metadata.error(ErrorKind::Model, what));
    }
    Ok(heads)
}

/// The rows of the embedding, which must be as many as the file says.
fn vocab_size(header: &Header, keys: &Keys<'_>) -> Result<usize, Error> {
    const EMBEDDING: &str = "token_embd.weight";
    let Some([rows, _]) = header.tensor(EMBEDDING).map(|tensor| tensor.shape.as_slice()) else {
        let what = format!("has no matrix `{EMBEDDING}`; use a file with a whole model");
        return Err(keys.metadata.error(ErrorKind::Model, what));
    };
    let key = keys.key("vocab_size");
    match keys.metadata.count(&key)?.filter(|count| count != rows) {
        None => Ok(*rows),
        Some(count) => {
            let what = format!("has `{key}` {count}, but `{EMBEDDING}` has {rows} rows");
            Err(keys.metadata.error(ErrorKind::Model, what))
        }
    }
}

/// The keys about an architecture, which begin with its name.
struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: Architecture,
}

impl Keys<'_> {
    fn key(&self, rest: &str) -> String {
        format!("{}.{rest}", self.architecture.name())
    }

    fn number(&self, rest: &str) -> Result<Option<f64>, Error> {
        self.metadata.number(&self.key(rest))
    }

    fn needed_number(&self, rest: &str) -> Result<f64, Error> {
        self.metadata.needed(&self.key(rest), self.number(rest)?)
    }

    fn count(&self, rest: &str) -> Result<Option<usize>, Error> {
        self.metadata.same_count(&self.key(rest))
    }

    fn needed_count(&self, rest: &str) -> Result<usize, Error> {
        self.metadata.needed(&self.key(rest), self.count(rest)?)
    }

    /// A window that is not 0.
    fn window_size(&self) -> Result<Option<usize>, Error> {
        Ok(self.count("attention.sliding_window")?.filter(|window| *window != 0))
    }

    /// The family, by its name in transformers.
    fn model_type(&self) -> Result<&'static str, Error> {
        Ok(match self.architecture {
            // Llama models have no window.
            Architecture::Llama if self.window_size()?.is_some() => "mistral",
            other => other.model_type(),
        })
    }

    /// The width of a head, which must be the same for keys and values.
    fn head_dim(&self, hidden: usize, heads: HeadCounts) -> Result<usize, Error> {
        let width = hidden / heads.queries;
        let [keys, values] = ["attention.key_length", "attention.value_length"];
        let (of_keys, of_values) =
            (self.count(keys)?.unwrap_or(width), self.count(values)?.unwrap_or(width));
        if of_keys == of_values {
            return Ok(of_keys);
        }
        let what = format!(
            "has `{}` {of_keys}, but `{}` {of_values}; bake reads models in which they are the \
             same",
            self.key(keys),
            self.key(values)
        );
        Err(self.metadata.error(ErrorKind::Model, what))
    }

    fn rope(
        &self,
        header: &Header,
        head_dim: usize,
        config: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let turned = self.count("rope.dimension_count")?.unwrap_or(head_dim);
        if turned != head_dim {
            let what = format!(
                "has `{}` {turned}, but heads of width {head_dim}; bake rotates whole heads",
                self.key("rope.dimension_count")
            );
            return Err(self.metadata.error(ErrorKind::Model, what));
        }
        let scaling = self.scaling()?;
        let divisors =
            header.rope_factors.as_deref().filter(|all| all.iter().any(|divisor| *divisor != 1.0));
        let scaling = match (scaling, divisors) {
            (scaling, None) => scaling,
            (None, Some(divisors)) => Some(self.llama3(divisors, turned, config)?),
            (Some(_), Some(_)) => {
                let what = format!(
                    "has both `{}` and a tensor `{ROPE_FACTORS}`; bake reads one of them",
                    self.key("rope.scaling.type")
                );
                return Err(self.metadata.error(ErrorKind::Model, what));
            }
        };
        if let Some(scaling) = scaling {
            config.insert("rope_scaling".into(), scaling);
        }
        if self.architecture == Architecture::Gemma3 {
            let local = self.number("rope.freq_base_swa")?.unwrap_or(GEMMA_LOCAL_BASE);
            config.insert("rope_local_base_freq".into(), json!(local));
        }
        Ok(())
    }

    /// How the keys say that the frequencies are changed.
    fn scaling(&self) -> Result<Option<Value>, Error> {
        let old = self.number("rope.scale_linear")?;
        let factor = self.number("rope.scaling.factor")?.or(old).filter(|factor| *factor != 0.0);
        let key = self.key("rope.scaling.type");
        let kind = self.metadata.text(&key)?;
        Ok(match (kind, factor) {
            (Some("none"), _) | (None | Some("linear"), None | Some(1.0)) => None,
            (None | Some("linear"), Some(factor)) => {
                Some(json!({"rope_type": "linear", "factor": factor}))
            }
            (Some(kind), factor) => Some(json!({
                "rope_type": kind,
                "factor": factor,
                "original_max_position_embeddings":
                    self.count("rope.scaling.original_context_length")?,
            })),
        })
    }

    fn llama3(
        &self,
        divisors: &[f32],
        turned: usize,
        config: &Map<String, Value>,
    ) -> Result<Value, Error> {
        let theta = config["rope_theta"].as_f64().unwrap_or(f64::NAN);
        let divisors = Some(divisors).filter(|divisors| 2 * divisors.len() == turned);
        match divisors.and_then(|divisors| rope::llama3(divisors, theta)) {
            Some(RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            }) => Ok(json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_context,
            })),
            _ => {
                let what = format!(
                    "has a tensor `{ROPE_FACTORS}` that is not Llama 3's scaling, which is the \
                     only one that bake reads in this form"
                );
                Err(self.metadata.error(ErrorKind::Model, what))
            }
        }
    }

    /// Which layers see how much.
    fn window(&self, layers: usize, config: &mut Map<String, Value>) -> Result<(), Error> {
        let window = self.window_size()?;
        if let Some(window) = window {
            config.insert("sliding_window".into(), json!(window));
            if matches!(self.architecture, Architecture::Qwen2 | Architecture::Qwen3) {
                config.insert("use_sliding_window".into(), json!(true));
                config.insert("max_window_layers".into(), json!(0));
            }
        }
        if self.architecture != Architecture::Gemma3 {
            return Ok(());
        }
        let sliding = |layer: usize, pattern: usize| {
            window.is_some() && pattern > 1 && !(layer + 1).is_multiple_of(pattern)
        };
        let key = self.key("attention.sliding_window_pattern");
        let sliding: Vec<bool> = match self.metadata.get(&key) {
            Some(MetadataValue::Flags(all)) if all.len() >= layers => all[..layers].to_vec(),
            _ => {
                let pattern = self.metadata.count(&key)?.unwrap_or(GEMMA_PATTERN);
                (0..layers.min(shape::MOST_LAYERS)).map(|layer| sliding(layer, pattern)).collect()
            }
        };
        let kinds: Vec<&str> = sliding
            .into_iter()
            .map(|sliding| if sliding { "sliding_attention" } else { "full_attention" })
            .collect();
        config.insert("layer_types".into(), json!(kinds));
        Ok(())
    }
}
