//! The folder format of the PEFT library (Hugging Face): a JSON configuration and a safetensors
//! file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bake_spec::store::write::{Durability, replace};
use bake_spec::{Config, Projection};
use candle_core::Device;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Adapter, LowRank, layer_name, shapes};
use crate::checkpoint::hf::Weights;
use crate::error::{Error, ErrorKind, Result};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What PEFT puts before the names of the layers.
const PREFIX: &str = "base_model.model.";

/// What this crate writes.
#[derive(Serialize)]
struct Written<'a> {
    base_model_name_or_path: &'a str,
    bias: &'static str,
    fan_in_fan_out: bool,
    inference_mode: bool,
    init_lora_weights: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers_to_transform: Option<Vec<usize>>,
    lora_alpha: f64,
    lora_dropout: f64,
    modules_to_save: Option<Vec<String>>,
    peft_type: &'static str,
    r: usize,
    target_modules: Vec<&'static str>,
    task_type: &'static str,
    use_dora: bool,
    use_rslora: bool,
}

/// What this crate reads.
#[derive(Deserialize)]
struct Read {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
    /// Everything else.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(super) fn write(adapter: &Adapter, dir: &Path, base_model: &str) -> Result<()> {
    let Some((.., first)) = adapter.iter().next() else {
        return Err(Error::new(
            ErrorKind::Adapter,
            "the adapter changes no layer, so there is nothing to write",
        ));
    };
    let rank = first.a.dim(0)?;
    let layers: BTreeSet<usize> = adapter.iter().map(|(layer, ..)| layer).collect();
    let modules: BTreeSet<&str> =
        adapter.iter().map(|(_, projection, _)| projection.name()).collect();
    let config = Written {
        base_model_name_or_path: base_model,
        bias: "none",
        fan_in_fan_out: false,
        inference_mode: true,
        init_lora_weights: true,
        layers_to_transform: (layers.len() < adapter.changes.len())
            .then(|| layers.into_iter().collect()),
        lora_alpha: first.scale * rank as f64,
        lora_dropout: 0.0,
        modules_to_save: None,
        peft_type: "LORA",
        r: rank,
        target_modules: modules.into_iter().collect(),
        task_type: "CAUSAL_LM",
        use_dora: false,
        use_rslora: false,
    };
    let mut data = BTreeMap::new();
    for (layer, projection, change) in adapter.iter() {
        for (side, tensor) in [("lora_A", &change.a), ("lora_B", &change.b)] {
            let bytes: Vec<u8> = tensor
                .flatten_all()?
                .to_vec1::<f32>()?
                .into_iter()
                .flat_map(f32::to_le_bytes)
                .collect();
            data.insert(
                format!("{PREFIX}{}.{side}.weight", layer_name(layer, projection)),
                (tensor.dims().to_vec(), bytes),
            );
        }
    }
    let views = data
        .iter()
        .map(|(name, (shape, bytes))| {
            Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let weights = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    let weights = weights.map_err(|e| {
        Error::with_source(ErrorKind::Adapter, "cannot write the adapter as safetensors", e)
    })?;
    let mut json = serde_json::to_vec_pretty(&config).expect("the configuration has a JSON form");
    json.push(b'\n');
    std::fs::create_dir_all(dir).map_err(|e| write_error(dir, e))?;
    for (name, bytes) in [(WEIGHTS, &weights), (CONFIG, &json)] {
        replace(&dir.join(name), bytes, Durability::Disk)
            .map_err(|e| write_error(&e.path, e.source))?;
    }
    Ok(())
}

fn write_error(path: &Path, e: std::io::Error) -> Error {
    let message = format!(
        "cannot write the adapter to {}; name a folder that can be written",
        path.display()
    );
    Error::with_source(ErrorKind::Adapter, message, e)
}

pub(super) fn read(dir: &Path, config: &Config, device: &Device) -> Result<Adapter> {
    let path = dir.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(|e| {
        let message =
            format!("{} cannot be read; name the folder of an adapter: {e}", path.display());
        Error::new(ErrorKind::Adapter, message)
    })?;
    let weights = Weights::open(&dir.join(WEIGHTS), ErrorKind::Adapter)?;
    parse(&text, &weights, &dir.display().to_string(), config, device)
}

/// An adapter inside the program.
pub(super) fn embedded(
    files: &[(&str, &'static [u8])],
    config: &Config,
    device: &Device,
) -> Result<Adapter> {
    let bytes = |wanted: &str| {
        files.iter().find(|(name, _)| *name == wanted).map_or(&[][..], |(_, bytes)| *bytes)
    };
    let weights = Weights::embedded(bytes(WEIGHTS), WEIGHTS, ErrorKind::Adapter)?;
    parse(&String::from_utf8_lossy(bytes(CONFIG)), &weights, "the program", config, device)
}

/// An adapter out of a folder, which is only named in messages.
fn parse(
    text: &str,
    weights: &Weights,
    folder: &str,
    config: &Config,
    device: &Device,
) -> Result<Adapter> {
    let error = |what: String| Error::new(ErrorKind::Adapter, format!("{folder}/{CONFIG} {what}"));
    let settings: Read = serde_json::from_str(text)
        .map_err(|e| error(format!("is not the configuration of an adapter: {e}")))?;
    check(&settings).map_err(error)?;
    let file = format!("{folder}/{WEIGHTS}");
    let mut left: BTreeSet<String> = weights.names().collect();
    let mut adapter = Adapter::empty(config.layers());
    for layer in 0..config.layers() {
        for projection in Projection::ALL {
            let layer_name = layer_name(layer, projection);
            let name = |side: &str| format!("{PREFIX}{layer_name}.{side}.weight");
            let Some(rank) = weights
                .shape(&name("lora_A"))
                .and_then(|shape| shape.first().copied())
                .filter(|&rank| rank > 0)
            else {
                continue;
            };
            let (a_shape, b_shape) = shapes(config, projection, rank);
            let tensor = |side: &str, shape: &[usize]| {
                let wrong = |e: Error| {
                    Error::with_source(
                        ErrorKind::Adapter,
                        "the adapter does not belong to the model",
                        e,
                    )
                };
                weights.tensor(&name(side), shape, device).map_err(wrong)
            };
            let change = LowRank {
                a: tensor("lora_A", &a_shape)?,
                b: tensor("lora_B", &b_shape)?,
                scale: settings.scale(&layer_name, rank),
            };
            for (side, matrix) in [("lora_A", &change.a), ("lora_B", &change.b)] {
                if !matrix.sum_all()?.to_scalar::<f32>()?.is_finite() {
                    let message = format!(
                        "{file} has numbers in `{}` that are infinite or no numbers; bake again, or \
                         fetch it again",
                        name(side)
                    );
                    return Err(Error::new(ErrorKind::Adapter, message));
                }
            }
            adapter.set(layer, projection, change);
            for side in ["lora_A", "lora_B"] {
                left.remove(&name(side));
            }
        }
    }
    if let Some(name) = left.first() {
        return Err(Error::new(
            ErrorKind::Adapter,
            format!(
                "{file} has a tensor `{name}`, which is no change of a linear layer of the model"
            ),
        ));
    }
    if adapter.iter().next().is_none() {
        return Err(Error::new(
            ErrorKind::Adapter,
            format!("{file} changes no layer of the model"),
        ));
    }
    Ok(adapter)
}

impl Read {
    fn scale(&self, layer_name: &str, rank: usize) -> f64 {
        let named = |pattern: &&String| {
            layer_name == **pattern || layer_name.ends_with(&format!(".{pattern}"))
        };
        let alpha = self
            .alpha_pattern
            .keys()
            .find(named)
            .map_or(self.lora_alpha, |pattern| self.alpha_pattern[pattern]);
        alpha / if self.use_rslora { (rank as f64).sqrt() } else { rank as f64 }
    }
}

/// Refuses every kind of adapter that would compute something else than `W + scale · B A`.
fn check(settings: &Read) -> Result<(), String> {
    if settings.peft_type != "LORA" {
        return Err(format!(
            "describes an adapter of type {}; bake reads LORA",
            settings.peft_type
        ));
    }
    if settings.r == 0 || !settings.lora_alpha.is_finite() {
        return Err(format!("has rank {} and alpha {}", settings.r, settings.lora_alpha));
    }
    if let Some(pattern) = settings
        .alpha_pattern
        .keys()
        .find(|p| p.chars().any(|c| !c.is_ascii_alphanumeric() && !"._".contains(c)))
    {
        return Err(format!(
            "has an `alpha_pattern` {pattern:?}; bake reads names of layers, not expressions"
        ));
    }
    for key in ["use_dora", "use_qalora", "use_bdlora", "fan_in_fan_out", "lora_bias"] {
        if settings.rest.get(key).is_some_and(|v| *v == Value::Bool(true)) {
            return Err(format!(
                "has `{key}`, which bake does not read; export a plain LoRA adapter"
            ));
        }
    }
    let empty = |v: &Value| {
        v.is_null()
            || v.as_array().is_some_and(Vec::is_empty)
            || v.as_object().is_some_and(|o| o.is_empty())
    };
    for key in [
        "modules_to_save",
        "layer_replication",
        "trainable_token_indices",
        "target_parameters",
        "alora_invocation_tokens",
    ] {
        if settings.rest.get(key).is_some_and(|v| !empty(v)) {
            return Err(format!(
                "has `{key}`, which bake does not read; export a plain LoRA adapter"
            ));
        }
    }
    match settings.rest.get("bias").and_then(Value::as_str) {
        None | Some("none") => Ok(()),
        Some(other) => Err(format!("has bias {other:?}; bake reads adapters without biases")),
    }
}
