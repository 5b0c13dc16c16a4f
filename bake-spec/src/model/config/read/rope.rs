//! The rotations of a configuration.

use serde_json::{Map, Value};

use super::{ConfigReader, Fields};
use crate::error::Error;
use crate::model::config::{Rope, RopeScaling};

/// The base of layers with a window, in families where they have one of their own.
const LOCAL_THETA: f64 = 10_000.0;
/// The types of layers, as `layer_types` and rope parameters name them.
pub(super) const FULL: &str = "full_attention";
pub(super) const SLIDING: &str = "sliding_attention";

impl ConfigReader<'_> {
    /// The rotation of all layers; or that of layers which see everything, and that of layers with
    /// a window.
    pub(super) fn ropes(&self, context: usize) -> Result<Vec<Rope>, Error> {
        if self.family.rope_by_window {
            return self.ropes_by_window(context);
        }
        let parameters = self.given("rope_scaling").or_else(|| self.given("rope_parameters"));
        let parameters = parameters.unwrap_or(&Value::Null);
        if let Some(layers) = nested(parameters) {
            return Err(self.fields.error(format!(
                "has separate rope parameters for `{layers}` layers, which Gemma 3 models have; \
                 this is not supported for {} models",
                self.family.name
            )));
        }
        // `rope_scaling`, if it says anything, replaces `rope_parameters`, whose base of the waves
        // is then ignored too: so transformers 5.
        Ok(vec![self.rope(parameters, ("rope_theta", self.family.defaults.theta), context)?])
    }

    /// As transformers 5 reads them: `rope_scaling` adds to the parameters of layers that see
    /// everything.
    fn ropes_by_window(&self, context: usize) -> Result<Vec<Rope>, Error> {
        let parameters = match self.given("rope_parameters") {
            None => &Map::new(),
            Some(Value::Object(parameters)) => parameters,
            Some(other) => return Err(self.not_an_object(other)),
        };
        if let Some(key) = parameters.keys().find(|key| *key != FULL && *key != SLIDING) {
            return Err(self.fields.error(format!(
                "has rope parameters for `{key}`; a {} model has them for `{FULL}` and \
                 `{SLIDING}` layers",
                self.family.name
            )));
        }
        let mut full = match parameters.get(FULL) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(full)) => full.clone(),
            Some(other) => return Err(self.not_an_object(other)),
        };
        match self.given("rope_scaling") {
            None => {}
            Some(Value::Object(more)) => full.extend(more.clone()),
            Some(other) => return Err(self.not_an_object(other)),
        }
        let sliding = parameters.get(SLIDING).unwrap_or(&Value::Null);
        let everything = ("rope_theta", self.family.defaults.theta);
        Ok(vec![
            self.rope(&Value::Object(full), everything, context)?,
            self.rope(sliding, ("rope_local_base_freq", LOCAL_THETA), context)?,
        ])
    }

    /// The rotation that these parameters describe. Where they do not have the base, it is under
    /// `key` beside them, or the default.
    fn rope(
        &self,
        parameters: &Value,
        (key, default): (&str, f64),
        context: usize,
    ) -> Result<Rope, Error> {
        if !parameters.is_object() && !parameters.is_null() {
            return Err(self.not_an_object(parameters));
        }
        let inner = Fields { value: parameters, name: self.fields.name };
        for fields in [inner, self.fields] {
            if let Some(part) = fields.get("partial_rotary_factor")
                && part.as_f64() != Some(1.0)
            {
                return Err(self.fields.error(format!(
                    "has `partial_rotary_factor` {part}; bake rotates whole heads"
                )));
            }
        }
        let theta = match inner.get("rope_theta") {
            Some(_) => inner.number("rope_theta")?,
            None => self.fields.number_or(key, default)?,
        };
        Ok(Rope { theta, scaling: self.scaling(inner, context)? })
    }

    fn scaling(&self, inner: Fields<'_>, context: usize) -> Result<RopeScaling, Error> {
        let kind = ["rope_type", "type"].into_iter().find_map(|key| inner.get(key));
        let kind = match kind {
            None => "default",
            Some(Value::String(kind)) => kind,
            Some(other) => {
                return Err(self.fields.error(format!("has rope type {other}, which is not text")));
            }
        };
        match kind {
            "default" => Ok(RopeScaling::Unscaled),
            "linear" => Ok(RopeScaling::Linear { factor: inner.number("factor")? }),
            "llama3" => {
                const ORIGINAL: &str = "original_max_position_embeddings";
                // Beside the parameters, it overrides the one in them.
                let original =
                    if self.fields.get(ORIGINAL).is_some() { self.fields } else { inner };
                Ok(RopeScaling::Llama3 {
                    factor: inner.number("factor")?,
                    low_freq_factor: inner.number("low_freq_factor")?,
                    high_freq_factor: inner.number("high_freq_factor")?,
                    original_context: original.size_or(ORIGINAL, context)?,
                })
            }
            other => Err(self.fields.error(format!(
                "has rope type `{other}`; this version of bake reads `default`, `linear` and \
                 `llama3`"
            ))),
        }
    }

    /// A key that says something.
    fn given(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| value.as_object().is_none_or(|map| !map.is_empty()))
    }

    fn not_an_object(&self, other: &Value) -> Error {
        self.fields.error(format!("has rope parameters {other}; expected an object"))
    }
}

/// The key of parameters inside these.
fn nested(parameters: &Value) -> Option<&str> {
    let map = parameters.as_object()?;
    map.iter().find(|(_, value)| value.is_object()).map(|(key, _)| key.as_str())
}
