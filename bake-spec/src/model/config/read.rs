//! From the keys of a `config.json` to a shape.

use serde_json::Value;

use super::{LARGEST, Rope, RopeScaling, Shape, keys};
use crate::error::{Error, ErrorKind};

/// The shape that a configuration describes; `name` is the file's name in messages.
pub(super) fn shape(value: &Value, name: &str) -> Result<Shape, Error> {
    Fields { value, name }.shape()
}

/// The keys of one JSON object, with the file's name for messages.
struct Fields<'a> {
    value: &'a Value,
    name: &'a str,
}

impl<'a> Fields<'a> {
    fn shape(&self) -> Result<Shape, Error> {
        self.check_family()?;
        let hidden_size = self.size("hidden_size")?;
        let heads = self.size("num_attention_heads")?;
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
        let context = self.size_or("max_position_embeddings", 2048)?;
        Ok(Shape {
            vocab_size: self.size("vocab_size")?,
            hidden_size,
            intermediate_size: self.size("intermediate_size")?,
            layers: self.size("num_hidden_layers")?,
            heads,
            kv_heads: self.size_or("num_key_value_heads", heads)?,
            head_dim,
            context,
            rope: self.rope(context)?,
            norm_eps: self.number_or("rms_norm_eps", 1e-6)?,
            attention_bias: self.flag("attention_bias")?,
            mlp_bias: self.flag("mlp_bias")?,
            tied_head: self.flag("tie_word_embeddings")?,
        })
    }

    /// Refuses what is not a Llama model with plain weights.
    fn check_family(&self) -> Result<(), Error> {
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
        match keys::foreign(self.value) {
            None => Ok(()),
            Some(what) => Err(self.error(format!(
                "has {what}; bake computes plain Llama models, so use one, or remove the key if \
                 the model was made without it"
            ))),
        }
    }

    /// As transformers 5 reads it: `rope_scaling`, if it says anything, replaces `rope_parameters`,
    /// whose base of the waves is then ignored too.
    fn rope(&self, context: usize) -> Result<Rope, Error> {
        let given = |key: &str| {
            self.get(key).filter(|value| value.as_object().is_none_or(|map| !map.is_empty()))
        };
        let parameters = given("rope_scaling").or_else(|| given("rope_parameters"));
        if let Some(other) = parameters.filter(|value| !value.is_object()) {
            return Err(self.error(format!("has rope parameters {other}; expected an object")));
        }
        let inner = Fields { value: parameters.unwrap_or(&Value::Null), name: self.name };
        if let Some(layers) = inner.nested() {
            return Err(self.error(format!(
                "has rope parameters of their own for `{layers}` layers, which Gemma 3 models \
                 have; bake computes plain Llama models"
            )));
        }
        for fields in [&inner, self] {
            if let Some(part) = fields.get("partial_rotary_factor")
                && part.as_f64() != Some(1.0)
            {
                return Err(self.error(format!(
                    "has `partial_rotary_factor` {part}; bake turns whole heads, as Llama models do"
                )));
            }
        }
        let theta = if inner.get("rope_theta").is_some() { &inner } else { self }
            .number_or("rope_theta", 10_000.0)?;
        Ok(Rope { theta, scaling: self.scaling(&inner, context)? })
    }

    fn scaling(&self, inner: &Fields<'_>, context: usize) -> Result<RopeScaling, Error> {
        let kind = ["rope_type", "type"]
            .into_iter()
            .find_map(|key| inner.get(key))
            .and_then(Value::as_str)
            .unwrap_or("default");
        match kind {
            "default" => Ok(RopeScaling::Unscaled),
            "linear" => Ok(RopeScaling::Linear { factor: inner.number("factor")? }),
            "llama3" => {
                const ORIGINAL: &str = "original_max_position_embeddings";
                // Beside the parameters, it overrides the one in them.
                let original = if self.get(ORIGINAL).is_some() { self } else { inner };
                Ok(RopeScaling::Llama3 {
                    factor: inner.number("factor")?,
                    low_freq_factor: inner.number("low_freq_factor")?,
                    high_freq_factor: inner.number("high_freq_factor")?,
                    original_context: original.size_or(ORIGINAL, context)?,
                })
            }
            other => Err(self.error(format!(
                "has rope type `{other}`; this version of bake reads `default`, `linear` and \
                 `llama3`"
            ))),
        }
    }

    /// The keys of parameters inside these.
    fn nested(&self) -> Option<&'a str> {
        let map = self.value.as_object()?;
        map.iter().find(|(_, value)| value.is_object()).map(|(key, _)| key.as_str())
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|v| !v.is_null())
    }

    fn size(&self, key: &str) -> Result<usize, Error> {
        let value = self.get(key).ok_or_else(|| self.error(format!("has no `{key}`")))?;
        value.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
            self.error(format!("has `{key}` {value}; expected a whole number from 1 to {LARGEST}"))
        })
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize, Error> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    fn number(&self, key: &str) -> Result<f64, Error> {
        let value = self
            .get(key)
            .ok_or_else(|| self.error(format!("has no `{key}` in its rope parameters")))?;
        value
            .as_f64()
            .ok_or_else(|| self.error(format!("has `{key}` {value}; expected a positive number")))
    }

    fn number_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        if self.get(key).is_some() { self.number(key) } else { Ok(default) }
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
