//! A model's architecture as data, read from the `config.json` of a Hugging Face style folder.

mod keys;
mod read;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The shape of a decoder-only transformer.
///
/// It is always one that a model can have: [`Config::parse`] and reading one from a lock go through
/// the same checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Shape")]
pub struct Config(Shape);

/// The content of a [`Config`], unchecked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shape {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    context: usize,
    rope: Rope,
    norm_eps: f64,
    attention_bias: bool,
    mlp_bias: bool,
    tied_head: bool,
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

/// A linear layer of a block, which is where an adapter can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Projection {
    /// Queries of the attention.
    Query,
    /// Keys of the attention.
    Key,
    /// Values of the attention.
    Value,
    /// The attention's projection back into the residual stream.
    Output,
    /// The gate of the feed-forward layer.
    Gate,
    /// The feed-forward layer's up projection.
    Up,
    /// The feed-forward layer's projection back into the residual stream.
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

    /// The module of a block that contains the layer, such as `self_attn`.
    pub const fn module(self) -> &'static str {
        match self {
            Self::Query | Self::Key | Self::Value | Self::Output => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }

    /// The projection with a name such as `q_proj`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// The largest size that a configuration may name: far beyond any model, and small enough that no
/// product of two overflows.
const LARGEST: usize = 1 << 24;

impl Config {
    /// Parses a `config.json`; `name` is the file's name in messages.
    ///
    /// Reads the keys of transformers 5 (`rope_parameters`) and those of most published checkpoints
    /// (`rope_theta`, `rope_scaling`).
    ///
    /// # Errors
    /// When the text is not JSON, a key is missing or has a value that no model can have, the
    /// model is not of the Llama family, or a key asks for what models of that family do not
    /// compute.
    ///
    /// ```
    /// let config = bake_spec::Config::parse(
    ///     r#"{"model_type": "llama", "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 704,
    ///         "num_hidden_layers": 6, "num_attention_heads": 8}"#,
    ///     "config.json",
    /// )?;
    /// assert_eq!(config.head_dim(), 32);
    /// # Ok::<(), bake_spec::Error>(())
    /// ```
    pub fn parse(json: &str, name: &str) -> Result<Self, Error> {
        let value = serde_json::from_str(json)
            .map_err(|e| Error::new(ErrorKind::Model, format!("{name} is not valid JSON: {e}")))?;
        let shape = read::shape(&value, name)?;
        Self::try_from(shape)
            .map_err(|what| Error::new(ErrorKind::Model, format!("{name} has {what}")))
    }

    /// Entries of the embedding table, V.
    pub const fn vocab_size(&self) -> usize {
        self.0.vocab_size
    }

    /// Width of the residual stream, D.
    pub const fn hidden_size(&self) -> usize {
        self.0.hidden_size
    }

    /// Width of the feed-forward layer.
    pub const fn intermediate_size(&self) -> usize {
        self.0.intermediate_size
    }

    /// Number of blocks.
    pub const fn layers(&self) -> usize {
        self.0.layers
    }

    /// Number of query heads.
    pub const fn heads(&self) -> usize {
        self.0.heads
    }

    /// Number of key and value heads; each serves `heads / kv_heads` query heads.
    pub const fn kv_heads(&self) -> usize {
        self.0.kv_heads
    }

    /// Width of a head, which is even.
    pub const fn head_dim(&self) -> usize {
        self.0.head_dim
    }

    /// The most positions that the model was made for, in tokens.
    pub const fn context(&self) -> usize {
        self.0.context
    }

    /// How positions turn queries and keys.
    pub const fn rope(&self) -> &Rope {
        &self.0.rope
    }

    /// Added to the mean square in the norms.
    pub const fn norm_eps(&self) -> f64 {
        self.0.norm_eps
    }

    /// Whether the four attention projections have biases.
    pub const fn attention_bias(&self) -> bool {
        self.0.attention_bias
    }

    /// Whether the three feed-forward projections have biases.
    pub const fn mlp_bias(&self) -> bool {
        self.0.mlp_bias
    }

    /// Whether the output head is the embedding table, unless the weights contain a separate head.
    pub const fn tied_head(&self) -> bool {
        self.0.tied_head
    }

    /// Width of the queries of one token: `heads * head_dim`.
    pub const fn query_size(&self) -> usize {
        self.0.heads * self.0.head_dim
    }

    /// Width of the keys, and of the values, of one token: `kv_heads * head_dim`.
    pub const fn kv_size(&self) -> usize {
        self.0.kv_heads * self.0.head_dim
    }

    /// The shape `[outputs, inputs]` of a projection's weight.
    pub const fn projection_shape(&self, projection: Projection) -> [usize; 2] {
        let (hidden, intermediate) = (self.0.hidden_size, self.0.intermediate_size);
        match projection {
            Projection::Query => [self.query_size(), hidden],
            Projection::Key | Projection::Value => [self.kv_size(), hidden],
            Projection::Output => [hidden, self.query_size()],
            Projection::Gate | Projection::Up => [intermediate, hidden],
            Projection::Down => [hidden, intermediate],
        }
    }

    /// Whether a projection has a bias.
    pub const fn has_bias(&self, projection: Projection) -> bool {
        match projection {
            Projection::Query | Projection::Key | Projection::Value | Projection::Output => {
                self.0.attention_bias
            }
            Projection::Gate | Projection::Up | Projection::Down => self.0.mlp_bias,
        }
    }
}

impl TryFrom<Shape> for Config {
    type Error = String;

    /// The only way to make a configuration. The error says what no model can have.
    fn try_from(shape: Shape) -> Result<Self, String> {
        let sizes = [
            ("vocab_size", shape.vocab_size),
            ("hidden_size", shape.hidden_size),
            ("intermediate_size", shape.intermediate_size),
            ("num_hidden_layers", shape.layers),
            ("num_attention_heads", shape.heads),
            ("num_key_value_heads", shape.kv_heads),
            ("head_dim", shape.head_dim),
            ("max_position_embeddings", shape.context),
        ];
        for (key, value) in sizes {
            size(key, value)?;
        }
        let Shape { heads, kv_heads, head_dim, .. } = shape;
        if heads * head_dim > LARGEST {
            return Err(format!(
                "{heads} attention heads of width {head_dim}; expected at most {LARGEST} together"
            ));
        }
        if !heads.is_multiple_of(kv_heads) {
            return Err(format!(
                "{heads} attention heads, which {kv_heads} key/value heads cannot share evenly"
            ));
        }
        if !head_dim.is_multiple_of(2) {
            return Err(format!(
                "heads of odd width {head_dim}; rotary embedding needs an even one"
            ));
        }
        positive("rms_norm_eps", shape.norm_eps)?;
        positive("rope_theta", shape.rope.theta)?;
        match shape.rope.scaling {
            RopeScaling::Unscaled => {}
            RopeScaling::Linear { factor } => positive("factor", factor)?,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_context,
            } => {
                size("original_max_position_embeddings", original_context)?;
                positive("factor", factor)?;
                positive("low_freq_factor", low)?;
                positive("high_freq_factor", high)?;
                if low >= high {
                    return Err(format!(
                        "rope `low_freq_factor` {low}, which must be below `high_freq_factor` \
                         {high}"
                    ));
                }
            }
        }
        Ok(Self(shape))
    }
}

fn size(key: &str, value: usize) -> Result<(), String> {
    if (1..=LARGEST).contains(&value) {
        return Ok(());
    }
    Err(format!("`{key}` {value}; expected a whole number from 1 to {LARGEST}"))
}

fn positive(key: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(format!("`{key}` {value}; expected a positive number"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert_eq!(old.rope().theta, 500_000.0);
        assert_eq!(old.projection_shape(Projection::Key), [32, 64]);
    }

    /// With these keys beside the others, which they replace.
    fn with(keys: serde_json::Value) -> Result<Config, Error> {
        let mut json: serde_json::Value = serde_json::from_str(LLAMA).unwrap();
        json.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        Config::parse(&json.to_string(), "m/config.json")
    }

    /// What transformers 5.24 makes of them.
    #[test]
    fn a_key_given_twice_is_read_as_transformers_reads_it() {
        let rope = |keys| with(keys).unwrap().rope().clone();
        let linear = json!({"type": "linear", "factor": 4.0});
        let plain = json!({"rope_type": "default", "rope_theta": 3.0e4});
        let scaling = RopeScaling::Linear { factor: 4.0 };
        // `rope_scaling` takes the place of `rope_parameters`, with their base.
        assert_eq!(
            rope(json!({"rope_theta": null, "rope_parameters": plain, "rope_scaling": linear})),
            Rope { theta: 10_000.0, scaling: scaling.clone() }
        );
        assert_eq!(
            rope(json!({"rope_theta": 7.0, "rope_parameters": plain, "rope_scaling": linear})),
            Rope { theta: 7.0, scaling }
        );
        for nothing in [json!({}), json!(null)] {
            assert_eq!(
                rope(json!({"rope_theta": 7.0, "rope_parameters": plain, "rope_scaling": nothing})),
                Rope { theta: 3.0e4, scaling: RopeScaling::Unscaled }
            );
        }
        // A context of the first training beside the parameters is the one that counts.
        match rope(json!({"original_max_position_embeddings": 128})).scaling {
            RopeScaling::Llama3 { original_context: 128, .. } => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rope_that_a_llama_model_does_not_have_is_refused() {
        let refused = |keys: serde_json::Value| with(keys).unwrap_err().to_string();
        let half = json!({"rope_type": "default", "partial_rotary_factor": 0.5});
        for keys in [json!({"partial_rotary_factor": 0.5}), json!({"rope_scaling": half})] {
            assert!(refused(keys).contains("`partial_rotary_factor` 0.5"));
        }
        assert!(with(json!({"partial_rotary_factor": 1.0})).is_ok());
        let layers = json!({"sliding_attention": {"rope_type": "default", "rope_theta": 1.0e4}});
        assert!(refused(json!({"rope_scaling": layers})).contains("`sliding_attention` layers"));
        assert!(refused(json!({"rope_scaling": 3})).contains("expected an object"));
    }

    #[test]
    fn keys_of_other_families_are_refused_by_name() {
        let error = with(json!({"final_logit_softcapping": 30.0})).unwrap_err().to_string();
        assert!(error.contains("m/config.json") && error.contains("Gemma 2"), "{error}");
        assert!(error.contains("`final_logit_softcapping` 30.0"), "{error}");
        assert!(with(json!({"final_logit_softcapping": null, "logits_scaling": 1.0})).is_ok());
    }

    #[test]
    fn both_doors_have_the_same_checks() {
        let shape = serde_json::to_value(with(json!({})).unwrap()).unwrap();
        let read: Config = serde_json::from_value(shape.clone()).unwrap();
        assert_eq!(read, with(json!({})).unwrap());
        for (key, value) in [
            ("heads", json!(u64::MAX / 2)),
            ("head_dim", json!(1u64 << 40)),
            ("head_dim", json!(15)),
            ("kv_heads", json!(3)),
            ("kv_heads", json!(0)),
            ("layers", json!(0)),
            ("vocab_size", json!((1u64 << 24) + 1)),
            ("norm_eps", json!(0.0)),
            ("rope", json!({"theta": -1.0, "scaling": "Unscaled"})),
            ("rope", json!({"theta": 1.0, "scaling": {"Linear": {"factor": 0.0}}})),
        ] {
            let mut shape = shape.clone();
            shape[key] = value;
            assert!(serde_json::from_value::<Config>(shape.clone()).is_err(), "{key}: {shape}");
        }
        // Both sizes are allowed, but not together.
        let error = with(json!({"num_attention_heads": 1 << 20, "num_key_value_heads": 1 << 20,
            "head_dim": 1 << 20}));
        assert!(error.unwrap_err().to_string().contains("expected at most 16777216 together"));
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
