//! From the keys of a `config.json` to a shape.

mod layers;
mod rope;

use serde_json::Value;

use super::family::{Defaults, FAMILIES, Family};
use super::fields::Fields;
use super::keys;
use super::layer::Activation;
use super::shape::{Shape, layer_count};
use crate::error::Error;

/// The shape that a configuration describes; `name` is the file's name in messages.
pub(super) fn shape(value: &Value, name: &str) -> Result<Shape, Error> {
    let fields = Fields { value, name };
    ConfigReader { fields, family: family(fields)? }.shape()
}

/// The keys of a configuration, and what they mean in its family.
struct ConfigReader<'a> {
    fields: Fields<'a>,
    family: &'static Family,
}

/// The family that the keys name. Refuses what is not a model of a family that is read, with plain
/// weights.
fn family(fields: Fields<'_>) -> Result<&'static Family, Error> {
    let Some(model_type) = fields.value.get("model_type").and_then(Value::as_str) else {
        return Err(fields.error("has no `model_type`; is it the config.json of a model?"));
    };
    let Some(family) = Family::of(model_type) else {
        let known: Vec<_> = FAMILIES.iter().map(|f| format!("`{}`", f.model_type)).collect();
        return Err(fields.error(format!(
            "describes a `{model_type}` model; this version of bake reads models of the types {}",
            known.join(", ")
        )));
    };
    for key in ["quantization_config", "compression_config"] {
        if fields.get(key).is_some() {
            return Err(fields
                .error(format!("has a `{key}`; use a checkpoint with f32, bf16 or f16 weights")));
        }
    }
    if let Some(file) = fields.get("transformers_weights") {
        return Err(fields.error(format!(
            "names its weights in `transformers_weights` {file}, which bake does not read; call \
             them `model.safetensors`, or their index `model.safetensors.index.json`, and remove \
             the key"
        )));
    }
    // Of these, transformers takes one by its own version.
    if fields.get("configuration_files").is_some_and(|files| *files != Value::Array(Vec::new())) {
        return Err(fields.error(
            "names other configurations in `configuration_files`; copy the one to use to \
             config.json",
        ));
    }
    match keys::foreign(fields.value, family) {
        None => Ok(family),
        Some(what) => Err(fields.error(format!(
            "has {what}; this is not supported for {} models, so use one without it, or remove the \
             key if the model was made without it",
            family.name
        ))),
    }
}

impl ConfigReader<'_> {
    fn shape(&self) -> Result<Shape, Error> {
        let (fields, defaults) = (self.fields, self.family.defaults);
        let hidden_size = fields.size("hidden_size")?;
        let heads = fields.size("num_attention_heads")?;
        let head_dim = self.head_dim(hidden_size, heads)?;
        let context = fields.size_or("max_position_embeddings", defaults.context)?;
        let layers = fields.size("num_hidden_layers")?;
        layer_count(layers).map_err(|what| fields.error(format!("has {what}")))?;
        Ok(Shape {
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            heads,
            kv_heads: self.kv_heads(heads)?,
            head_dim,
            context,
            ropes: self.ropes(context)?,
            norm_eps: fields.number_or("rms_norm_eps", defaults.norm_eps)?,
            norms_from_one: self.family.norms_from_one,
            embedding_scale: match self.family.scaled_embedding {
                true => (hidden_size as f64).sqrt(),
                false => 1.0,
            },
            tied_head: fields.flag_or("tie_word_embeddings", defaults.tied_head)?,
            fused: self.family.fused,
            layers: self.layers(layers, head_dim)?,
        })
    }

    fn head_dim(&self, hidden_size: usize, heads: usize) -> Result<usize, Error> {
        if self.fields.get("head_dim").is_some() {
            return self.fields.size("head_dim");
        }
        match self.family.defaults.head_dim {
            Some(width) => Ok(width),
            None if heads > 0 && hidden_size.is_multiple_of(heads) => Ok(hidden_size / heads),
            None => Err(self.fields.error(format!(
                "has no `head_dim`, and `hidden_size` {hidden_size} is not a multiple of {heads} \
                 heads"
            ))),
        }
    }

    /// Where the key is missing, transformers takes the family's default; where it is null, as many
    /// as there are heads.
    fn kv_heads(&self, heads: usize) -> Result<usize, Error> {
        const KEY: &str = "num_key_value_heads";
        let default = match self.fields.value.get(KEY) {
            None => self.family.defaults.kv_heads.unwrap_or(heads),
            Some(_) => heads,
        };
        self.fields.size_or(KEY, default)
    }

    fn activation(&self) -> Result<Activation, Error> {
        let Defaults { activation: (key, default), .. } = self.family.defaults;
        let activation = self.activation_at(key)?.unwrap_or(default);
        // Beside `hidden_activation`, transformers does not read it.
        match self.activation_at("hidden_act")? {
            Some(other) if other != activation => Err(self.fields.error(format!(
                "has `hidden_act` {} and a different `{key}`",
                self.fields.value["hidden_act"]
            ))),
            _ => Ok(activation),
        }
    }

    fn activation_at(&self, key: &str) -> Result<Option<Activation>, Error> {
        match self.fields.get(key) {
            None => Ok(None),
            Some(Value::String(name)) if name == "silu" || name == "swish" => {
                Ok(Some(Activation::Silu))
            }
            Some(Value::String(name)) if name == "gelu_pytorch_tanh" => {
                Ok(Some(Activation::GeluTanh))
            }
            Some(other) => Err(self.fields.error(format!(
                "has `{key}` {other}; bake supports \"silu\" and \"gelu_pytorch_tanh\""
            ))),
        }
    }
}
