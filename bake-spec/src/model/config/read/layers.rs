//! What a configuration says of each layer.

use serde_json::Value;

use super::ConfigReader;
use super::rope::{FULL, SLIDING};
use crate::error::Error;
use crate::model::config::family::{Biases, Windows};
use crate::model::config::{Layer, Projection};

/// The first layer with a window, where Qwen models have windows.
const FIRST_WINDOW: usize = 28;
/// One in how many layers of Gemma 3 sees everything.
const PATTERN: usize = 6;
/// One in how many layers of SmolLM3 turns nothing.
const INTERVAL: usize = 4;
/// What Gemma 3 puts in the place of the heads' width.
const QUERY_SCALAR: f64 = 256.0;

impl ConfigReader<'_> {
    pub(super) fn layers(&self, count: usize, head_dim: usize) -> Result<Vec<Layer>, Error> {
        let turned = self.turned(count)?;
        let windows = self.windows(&turned)?;
        let biases = self.biases()?;
        let attention_scale = 1.0 / self.scores_width(head_dim)?.sqrt();
        let activation = self.activation()?;
        let layer = |(turned, window): (bool, Option<usize>)| Layer {
            norms_after: self.family.norms_after,
            head_norms: self.family.head_norms,
            rope: turned.then_some(usize::from(self.family.rope_by_window && window.is_some())),
            window,
            biases,
            activation,
            attention_scale,
        };
        Ok(turned.into_iter().zip(windows).map(layer).collect())
    }

    /// Whether each layer turns queries and keys.
    fn turned(&self, count: usize) -> Result<Vec<bool>, Error> {
        if !self.family.some_without_rope {
            return Ok(vec![true; count]);
        }
        if let Some(layers) = self.fields.get("no_rope_layers") {
            let flag = |value: &Value| match value {
                Value::Bool(turned) => Some(*turned),
                Value::Number(n) => Some(n.as_f64() != Some(0.0)),
                _ => None,
            };
            let turned = layers.as_array().and_then(|all| all.iter().map(flag).collect());
            return turned
                .filter(|turned: &Vec<bool>| turned.len() >= count)
                .map(|mut turned| {
                    turned.truncate(count);
                    turned
                })
                .ok_or_else(|| {
                    self.fields.error(format!(
                        "has `no_rope_layers` {layers}; expected a 0 or 1 for each of {count} \
                         layers"
                    ))
                });
        }
        let interval = self.interval("no_rope_layer_interval", INTERVAL)?;
        Ok((1..=count).map(|layer| !layer.is_multiple_of(interval)).collect())
    }

    /// The window of each layer.
    fn windows(&self, turned: &[bool]) -> Result<Vec<Option<usize>>, Error> {
        let count = turned.len();
        let window = self.window()?;
        let has_window: Vec<bool> = match (self.family.windows, self.layer_types(count)?) {
            (Windows::None, _) => vec![false; count],
            (Windows::Everywhere { .. }, _) => vec![window.is_some(); count],
            (_, Some(types)) => types,
            (Windows::From { .. }, None) => {
                let first = match self.fields.get("max_window_layers") {
                    Some(Value::Number(n)) if n.as_u64() == Some(0) => 0,
                    _ => self.fields.size_or("max_window_layers", FIRST_WINDOW)?,
                };
                (0..count).map(|layer| window.is_some() && layer >= first).collect()
            }
            (Windows::Pattern { .. }, None) => {
                let pattern = self.interval("sliding_window_pattern", PATTERN)?;
                (1..=count).map(|layer| !layer.is_multiple_of(pattern)).collect()
            }
            (Windows::WithoutRope, None) => {
                turned.iter().map(|turned| window.is_some() && !turned).collect()
            }
        };
        if has_window.contains(&true) && window.is_none() {
            return Err(self.fields.error(
                "has `sliding_attention` layers, but no `sliding_window` for them that is in use",
            ));
        }
        Ok(has_window.into_iter().map(|has| window.filter(|_| has)).collect())
    }

    /// The window that layers with one have, if any is in use.
    fn window(&self) -> Result<Option<usize>, Error> {
        const KEY: &str = "sliding_window";
        let default = match self.family.windows {
            Windows::None => return Ok(None),
            Windows::Everywhere { default } => default,
            Windows::Pattern { default } => Some(default),
            Windows::From { .. } | Windows::WithoutRope
                if !self.fields.flag_or("use_sliding_window", false)? =>
            {
                return Ok(None);
            }
            Windows::From { default } => Some(default),
            Windows::WithoutRope => None,
        };
        match self.fields.value.get(KEY) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.fields.size(KEY).map(Some),
        }
    }

    /// Whether each layer has a window, where `layer_types` says so.
    fn layer_types(&self, count: usize) -> Result<Option<Vec<bool>>, Error> {
        let Some(types) = self.fields.get("layer_types") else { return Ok(None) };
        let window = |value: &Value| match value.as_str() {
            Some(FULL) => Ok(false),
            Some(SLIDING) => Ok(true),
            _ => Err(self.fields.error(format!(
                "has a layer of type {value}; bake supports `{FULL}` and `{SLIDING}` for {} models",
                self.family.name
            ))),
        };
        match types.as_array().filter(|all| all.len() == count) {
            Some(all) => all.iter().map(window).collect::<Result<_, _>>().map(Some),
            None => Err(self.fields.error(format!(
                "has `layer_types` that are not a list of one type for each of {count} layers"
            ))),
        }
    }

    fn biases(&self) -> Result<[bool; 7], Error> {
        let (attention, mlp) = match self.family.biases {
            Biases::None => (false, false),
            Biases::Inputs => {
                use Projection::{Key, Query, Value};
                return Ok(Projection::ALL.map(|p| matches!(p, Query | Key | Value)));
            }
            Biases::Attention => (self.fields.flag_or("attention_bias", false)?, false),
            Biases::Both => (
                self.fields.flag_or("attention_bias", false)?,
                self.fields.flag_or("mlp_bias", false)?,
            ),
        };
        Ok(Projection::ALL.map(|p| if p.module() == "mlp" { mlp } else { attention }))
    }

    /// The width by whose root scores of the attention are divided.
    fn scores_width(&self, head_dim: usize) -> Result<f64, Error> {
        const KEY: &str = "query_pre_attn_scalar";
        if !self.family.own_attention_scale {
            return Ok(head_dim as f64);
        }
        let width = self.fields.number_or(KEY, QUERY_SCALAR)?;
        if width > 0.0 && width.is_finite() {
            return Ok(width);
        }
        Err(self.fields.error(format!("has `{KEY}` {width}; expected a positive number")))
    }

    fn interval(&self, key: &str, default: usize) -> Result<usize, Error> {
        match self.fields.size_or(key, default)? {
            0 => Err(self.fields.error(format!("has `{key}` 0; expected a number of layers"))),
            interval => Ok(interval),
        }
    }
}
