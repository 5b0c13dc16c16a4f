//! A model's architecture as data, read from the `config.json` of a Hugging Face style folder.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// The shape of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Entries of the embedding table, V.
    pub vocab_size: usize,
    /// Width of the residual stream, D.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The most positions that the model was made for, in tokens.
    pub context: usize,
    /// How positions turn queries and keys.
    pub rope: Rope,
    /// Added to the mean square in the norms.
    pub norm_eps: f64,
    /// Whether the four attention projections have biases.
    pub attention_bias: bool,
    /// Whether the three feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Whether the output head is the embedding table.
    pub tied_head: bool,
}

/// Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rope {
    /// The base of the geometric series of wave lengths.
    pub theta: f64,
    /// How the frequencies are changed for contexts longer than those of the first training.
    pub scaling: RopeScaling,
}

/// A change of the rotary frequencies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RopeScaling {
    /// None.
    Unscaled,
    /// All frequencies divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1's: long waves divided by a factor, short ones kept, those between blended.
    Llama3 {
        /// The divisor of the long waves.
        factor: f64,
        /// Waves longer than `original_context / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Waves shorter than `original_context / high_freq_factor` are short.
        high_freq_factor: f64,
        /// The context of the first training, in tokens.
        original_context: usize,
    },
}

/// A linear layer of a block, the places where an adapter may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Projection {
    /// Queries of the attention.
    Query,
    /// Keys of the attention.
    Key,
    /// Values of the attention.
    Value,
    /// The attention's way back into the residual stream.
    Output,
    /// The gate of the feed-forward layer.
    Gate,
    /// The feed-forward layer's way up.
    Up,
    /// The feed-forward layer's way back into the residual stream.
    Down,
}

impl Projection {
    /// All of them, in the order in which a block uses them.
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// The name in checkpoints and in adapters, such as `q_proj`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The module of a block that holds the layer, such as `self_attn`.
    pub const fn module(self) -> &'static str {
        match self {
            Self::Query | Self::Key | Self::Value | Self::Output => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }

    /// The projection of a name such as `q_proj`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

impl Config {
    /// Width of the queries of one token: `heads * head_dim`.
    pub const fn query_size(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of the keys, and of the values, of one token: `kv_heads * head_dim`.
    pub const fn kv_size(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// The shape `[outputs, inputs]` of a projection's weight.
    pub const fn projection_shape(&self, projection: Projection) -> [usize; 2] {
        match projection {
            Projection::Query => [self.query_size(), self.hidden_size],
            Projection::Key | Projection::Value => [self.kv_size(), self.hidden_size],
            Projection::Output => [self.hidden_size, self.query_size()],
            Projection::Gate | Projection::Up => [self.intermediate_size, self.hidden_size],
            Projection::Down => [self.hidden_size, self.intermediate_size],
        }
    }

    /// Whether a projection has a bias.
    pub const fn has_bias(&self, projection: Projection) -> bool {
        match projection {
            Projection::Query | Projection::Key | Projection::Value | Projection::Output => {
                self.attention_bias
            }
            Projection::Gate | Projection::Up | Projection::Down => self.mlp_bias,
        }
    }

    /// Parses a `config.json`; `name` is the file's name in messages.
    ///
    /// Reads the keys of transformers 5 (`rope_parameters`) and those of most published checkpoints
    /// (`rope_theta`, `rope_scaling`).
    ///
    /// # Errors
    /// When the text is not JSON, a key is missing or has a value that no model can have, or the
    /// model is not of the Llama family.
    ///
    /// ```
    /// let config = bake_spec::Config::parse(
    ///     r#"{"model_type": "llama", "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 704,
    ///         "num_hidden_layers": 6, "num_attention_heads": 8}"#,
    ///     "config.json",
    /// )?;
    /// assert_eq!(config.head_dim, 32);
    /// # Ok::<(), bake_spec::Error>(())
    /// ```
    pub fn parse(json: &str, name: &str) -> Result<Self, Error> {
        let value = serde_json::from_str(json)
            .map_err(|e| Error::new(ErrorKind::Model, format!("{name} is not valid JSON: {e}")))?;
        Fields { value: &value, name }.config()
    }
}

/// The keys of one JSON object, with the file's name for messages.
struct Fields<'a> {
    value: &'a Value,
    name: &'a str,
}

impl<'a> Fields<'a> {
    fn config(&self) -> Result<Config, Error> {
        match self.value.get("model_type").and_then(Value::as_str) {
            Some("llama") => {}
            Some(other) => {
                return Err(self.error(format!(
                    "describes a `{other}` model; this version of bake reads models of type `llama`"
                )));
            }
            None => {
                return Err(self.error("has no `model_type`; is it the config.json of a model?"));
            }
        }
        for key in ["quantization_config", "compression_config"] {
            if self.get(key).is_some() {
                return Err(self.error(format!(
                    "has a `{key}`; use a checkpoint with f32, bf16 or f16 weights"
                )));
            }
        }
        if let Some(act) =
            self.get("hidden_act").filter(|v| !matches!(v.as_str(), Some("silu" | "swish")))
        {
            return Err(self.error(format!("has `hidden_act` {act}; a llama model has \"silu\"")));
        }
        let hidden_size = self.size("hidden_size")?;
        let heads = self.size("num_attention_heads")?;
        let kv_heads = self.size_or("num_key_value_heads", heads)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(self.error(format!(
                "has {heads} attention heads, which {kv_heads} key/value heads cannot share evenly"
            )));
        }
        let head_dim = match self.get("head_dim") {
            Some(_) => self.size("head_dim")?,
            None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return Err(self.error(format!(
                    "has no `head_dim`, and `hidden_size` {hidden_size} \
                    is not a multiple of {heads} heads"
                )));
            }
        };
        if !head_dim.is_multiple_of(2) {
            return Err(self.error(format!(
                "has heads of odd width {head_dim}; rotary embedding needs an even one"
            )));
        }
        let context = self.size_or("max_position_embeddings", 2048)?;
        Ok(Config {
            vocab_size: self.size("vocab_size")?,
            hidden_size,
            intermediate_size: self.size("intermediate_size")?,
            layers: self.size("num_hidden_layers")?,
            heads,
            kv_heads,
            head_dim,
            context,
            rope: self.rope(context)?,
            norm_eps: self.positive_or("rms_norm_eps", 1e-6)?,
            attention_bias: self.flag("attention_bias")?,
            mlp_bias: self.flag("mlp_bias")?,
            tied_head: self.flag("tie_word_embeddings")?,
        })
    }

    fn rope(&self, context: usize) -> Result<Rope, Error> {
        let parameters =
            ["rope_parameters", "rope_scaling"].into_iter().find_map(|key| self.get(key));
        let Some(parameters) = parameters else {
            return Ok(Rope {
                theta: self.positive_or("rope_theta", 10_000.0)?,
                scaling: RopeScaling::Unscaled,
            });
        };
        let inner = Fields { value: parameters, name: self.name };
        let theta = if inner.get("rope_theta").is_some() { &inner } else { self }
            .positive_or("rope_theta", 10_000.0)?;
        let kind = ["rope_type", "type"]
            .into_iter()
            .find_map(|key| inner.get(key))
            .and_then(Value::as_str)
            .unwrap_or("default");
        let scaling = match kind {
            "default" => RopeScaling::Unscaled,
            "linear" => RopeScaling::Linear { factor: inner.positive("factor")? },
            "llama3" => {
                let (low, high) =
                    (inner.positive("low_freq_factor")?, inner.positive("high_freq_factor")?);
                if low >= high {
                    return Err(self.error(format!(
                        "has rope `low_freq_factor` {low}, which must be \
                        below `high_freq_factor` {high}"
                    )));
                }
                RopeScaling::Llama3 {
                    factor: inner.positive("factor")?,
                    low_freq_factor: low,
                    high_freq_factor: high,
                    original_context: inner.size_or("original_max_position_embeddings", context)?,
                }
            }
            other => {
                return Err(self.error(format!(
                    "has rope type `{other}`; this version of bake reads \
                    `default`, `linear` and `llama3`"
                )));
            }
        };
        Ok(Rope { theta, scaling })
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|v| !v.is_null())
    }

    /// A size between 1 and 2^24: far beyond any model, and small enough that no product of two
    /// overflows.
    fn size(&self, key: &str) -> Result<usize, Error> {
        let value = self.get(key).ok_or_else(|| self.error(format!("has no `{key}`")))?;
        match value.as_u64() {
            Some(n @ 1..=0x100_0000) => Ok(n as usize),
            _ => Err(self
                .error(format!("has `{key}` {value}; expected a whole number from 1 to 16777216"))),
        }
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize, Error> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    fn positive(&self, key: &str) -> Result<f64, Error> {
        let value = self
            .get(key)
            .ok_or_else(|| self.error(format!("has no `{key}` in its rope parameters")))?;
        match value.as_f64() {
            Some(x) if x > 0.0 && x.is_finite() => Ok(x),
            _ => Err(self.error(format!("has `{key}` {value}; expected a positive number"))),
        }
    }

    fn positive_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        if self.get(key).is_some() { self.positive(key) } else { Ok(default) }
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(b)) => Ok(*b),
            Some(other) => Err(self.error(format!("has `{key}` {other}; expected true or false"))),
        }
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Model, format!("{} {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &str = r#"{"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 500000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}}"#;

    #[test]
    fn both_spellings_of_rope_mean_the_same() {
        let old = Config::parse(LLAMA, "config.json").unwrap();
        let new = LLAMA
            .replace(r#""rope_theta": 500000.0,"#, "")
            .replace("rope_scaling\": {", "rope_parameters\": {\"rope_theta\": 500000.0, ");
        assert_eq!(Config::parse(&new, "config.json").unwrap(), old);
        assert_eq!(old.rope.theta, 500_000.0);
        assert_eq!(old.projection_shape(Projection::Key), [32, 64]);
    }

    #[test]
    fn every_refusal_names_the_file_and_the_key() {
        let refused = [
            ("{", "not valid JSON"),
            ("{}", "no `model_type`"),
            (&LLAMA.replace("llama\",", "mamba\","), "`mamba`"),
            (&LLAMA.replace("\"hidden_size\": 64", "\"hidden_size\": 0"), "`hidden_size` 0"),
            (&LLAMA.replace("\"hidden_size\": 64", "\"hidden_size\": -4"), "`hidden_size` -4"),
            (&LLAMA.replace("\"hidden_size\": 64", "\"hidden_size\": 1e30"), "`hidden_size`"),
            (&LLAMA.replace("\"hidden_size\": 64", "\"hidden_size\": 66"), "not a multiple"),
            (&LLAMA.replace("\"vocab_size\": 512,", ""), "no `vocab_size`"),
            (&LLAMA.replace("heads\": 2", "heads\": 3"), "share evenly"),
            (&LLAMA.replace("\"llama3\"", "\"yarn\""), "`yarn`"),
            (&LLAMA.replace("\"factor\": 8.0", "\"factor\": 0"), "`factor` 0"),
            (
                &LLAMA.replace("\"rope_theta\"", "\"hidden_act\": \"gelu\", \"rope_theta\""),
                "`hidden_act`",
            ),
            (
                &LLAMA.replace("\"rope_theta\"", "\"attention_bias\": 3, \"rope_theta\""),
                "`attention_bias`",
            ),
            (
                &LLAMA.replace("\"rope_theta\"", "\"quantization_config\": {}, \"rope_theta\""),
                "`quantization_config`",
            ),
        ];
        for (json, what) in refused {
            let error = Config::parse(json, "m/config.json").unwrap_err().to_string();
            assert!(error.contains("m/config.json") && error.contains(what), "{what}: {error}");
        }
    }
}
