//! The folder format of the PEFT library (Hugging Face): a JSON configuration and a safetensors
//! file.

mod config;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bake_spec::store::write::{Durability, replace};
use bake_spec::{Config, Projection, file};
use candle_core::Device;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use self::config::PeftConfig;
use super::{Adapter, LowRank, NamedChange, layer_name};
use crate::checkpoint::safetensors::Weights;
use crate::error::{Error, ErrorKind, Result};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What PEFT puts before the names of the layers.
const PREFIX: &str = "base_model.model.";

/// What this crate writes.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    alpha_pattern: BTreeMap<String, f64>,
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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rank_pattern: BTreeMap<String, usize>,
    target_modules: Vec<&'a str>,
    task_type: &'static str,
    use_dora: bool,
    use_rslora: bool,
}

/// Writes the changes of a model with so many blocks.
pub(super) fn write(
    changes: &[NamedChange],
    blocks: usize,
    dir: &Path,
    base_model: &str,
) -> Result<()> {
    let Some(NamedChange { change: first, .. }) = changes.first() else {
        return Err(Error::new(
            ErrorKind::Adapter,
            "the adapter changes no layer, so there is nothing to write",
        ));
    };
    let rank = first.a.dim(0)?;
    let lora_alpha = alpha(first.scale, rank);
    let (mut rank_pattern, mut alpha_pattern) = (BTreeMap::new(), BTreeMap::new());
    for NamedChange { name, change, .. } in changes {
        let own_rank = change.a.dim(0)?;
        let own_alpha = alpha(change.scale, own_rank);
        if own_alpha != lora_alpha {
            alpha_pattern.insert(name.clone(), own_alpha);
        }
        if own_rank != rank {
            rank_pattern.insert(name.clone(), own_rank);
        }
    }
    let layers: BTreeSet<usize> = changes.iter().map(|change| change.layer).collect();
    let modules: BTreeSet<&str> =
        changes.iter().filter_map(|change| change.name.rsplit('.').next()).collect();
    let config = Written {
        alpha_pattern,
        base_model_name_or_path: base_model,
        bias: "none",
        fan_in_fan_out: false,
        inference_mode: true,
        init_lora_weights: true,
        layers_to_transform: (layers.len() < blocks).then(|| layers.into_iter().collect()),
        lora_alpha,
        lora_dropout: 0.0,
        modules_to_save: None,
        peft_type: "LORA",
        r: rank,
        rank_pattern,
        target_modules: modules.into_iter().collect(),
        task_type: "CAUSAL_LM",
        use_dora: false,
        use_rslora: false,
    };
    let mut data = BTreeMap::new();
    for NamedChange { name, change, .. } in changes {
        for (side, tensor) in [("lora_A", &change.a), ("lora_B", &change.b)] {
            let bytes: Vec<u8> = tensor
                .flatten_all()?
                .to_vec1::<f32>()?
                .into_iter()
                .flat_map(f32::to_le_bytes)
                .collect();
            data.insert(tensor_name(name, side), (tensor.dims().to_vec(), bytes));
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

/// The alpha that gives exactly this scale when it is divided by the rank: the product, or a number
/// next to it where the product was rounded.
fn alpha(scale: f64, rank: usize) -> f64 {
    let alpha = scale * rank as f64;
    let gives_scale = |alpha: &f64| alpha / rank as f64 == scale;
    [alpha, alpha.next_up(), alpha.next_down()].into_iter().find(gives_scale).unwrap_or(alpha)
}

fn write_error(path: &Path, e: std::io::Error) -> Error {
    let message =
        format!("cannot write the adapter to {}; choose a writable folder", path.display());
    Error::with_source(ErrorKind::Adapter, message, e)
}

pub(super) fn read(dir: &Path, config: &Config, device: &Device) -> Result<Adapter> {
    let path = dir.join(CONFIG);
    let text = file::read_to_string(&path).map_err(|e| {
        let message = format!("{} cannot be read; name the folder of an adapter", path.display());
        Error::with_source(ErrorKind::Adapter, message, e)
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

/// An adapter from a folder, whose name is for messages only.
fn parse(
    text: &str,
    weights: &Weights,
    folder: &str,
    config: &Config,
    device: &Device,
) -> Result<Adapter> {
    let error = |what: String| Error::new(ErrorKind::Adapter, format!("{folder}/{CONFIG} {what}"));
    let settings = PeftConfig::parse(text).map_err(error)?;
    let file = format!("{folder}/{WEIGHTS}");
    let empty = |name: &String| weights.shape(name).is_some_and(|shape| shape.contains(&0));
    if let Some(name) = weights.names().find(empty) {
        let message = format!(
            "{file} has an empty tensor `{name}`, as do adapters that were saved during \
             training with DeepSpeed ZeRO-3; save it again after its parameters are gathered"
        );
        return Err(Error::new(ErrorKind::Adapter, message));
    }
    let mut left: BTreeSet<String> = weights.names().collect();
    let mut adapter = Adapter::empty(config.layers());
    let source = PeftFiles { settings: &settings, weights, folder, device };
    for layer in 0..config.layers() {
        for projection in Projection::ALL {
            let (own, stored) =
                (layer_name(layer, projection), config.stored_rows(layer, projection));
            let [_, inputs] = config.projection_shape(projection);
            let whole = source.change(layer, &own, [stored.rows.len(), inputs])?;
            let fused = match stored.module == own {
                true => None,
                false => source.change(layer, &stored.module, [stored.of, inputs])?,
            };
            let change = match (whole, fused) {
                (None, None) => continue,
                (Some(change), None) => change,
                (None, Some(fused)) => fused.rows(stored.rows)?,
                (Some(_), Some(_)) => {
                    let fused = &stored.module;
                    let message =
                        format!("{file} changes both `{own}` and `{fused}`, which contains it");
                    return Err(Error::new(ErrorKind::Adapter, message));
                }
            };
            adapter.set(layer, projection, change);
            for module in [&own, &stored.module] {
                for side in SIDES {
                    left.remove(&tensor_name(module, side));
                }
            }
        }
    }
    if let Some(name) = left.first() {
        return Err(Error::new(
            ErrorKind::Adapter,
            format!(
                "{file} has a tensor `{name}`, which does not change a linear layer of the model"
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

/// The files of an adapter.
struct PeftFiles<'a> {
    settings: &'a PeftConfig,
    weights: &'a Weights,
    /// For messages.
    folder: &'a str,
    device: &'a Device,
}

impl PeftFiles<'_> {
    /// The change of a module of this shape, if there is one.
    fn change(
        &self,
        layer: usize,
        module: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Option<LowRank>> {
        let shape = self.weights.shape(&tensor_name(module, "lora_A"));
        let Some(rank) = shape.and_then(|shape| shape.first().copied()) else { return Ok(None) };
        let tensor = |side: &str, shape: &[usize]| {
            let name = tensor_name(module, side);
            let tensor = self.weights.tensor(&name, shape, self.device).map_err(|e| {
                let message = "the adapter does not match the model";
                Error::with_source(ErrorKind::Adapter, message, e)
            })?;
            if tensor.sum_all()?.to_scalar::<f32>()?.is_finite() {
                return Ok(tensor);
            }
            let message = format!(
                "{}/{WEIGHTS} has numbers in `{name}` that are infinite or NaN; bake again, or \
                 fetch it again",
                self.folder
            );
            Err(Error::new(ErrorKind::Adapter, message))
        };
        let (a, b) = (tensor("lora_A", &[rank, inputs])?, tensor("lora_B", &[outputs, rank])?);
        let scale = self.settings.scale(layer, module, rank).map_err(|what| {
            Error::new(ErrorKind::Adapter, format!("{}/{CONFIG} {what}", self.folder))
        })?;
        Ok(Some(LowRank { a, b, scale }))
    }
}

const SIDES: [&str; 2] = ["lora_A", "lora_B"];

/// The name of a tensor of an adapter.
fn tensor_name(module: &str, side: &str) -> String {
    format!("{PREFIX}{module}.{side}.weight")
}

#[cfg(test)]
mod tests {
    use bake_spec::recipe::{Lora, LoraFields};

    use super::*;
    use crate::adapter::initial;
    use crate::checkpoint::testing::Folder;
    use crate::tensor::gradient_check::noise;

    #[test]
    fn an_adapter_of_several_ranks_and_scales_is_read_as_it_was_written() {
        let model = crate::model::Model::tiny().unwrap();
        let mut adapter = Adapter::empty(model.config().layers());
        let lora = |rank, alpha, module: &str, layers| {
            let modules = vec![module.to_owned().into()].into();
            let fields = LoraFields { rank, alpha, modules, layers: Some(layers), dropout: 0.0 };
            Lora::new(fields).unwrap()
        };
        let parts = [
            lora(4, 64.0, "q_proj", (0, 2)),
            lora(3, 0.7, "q_proj", (2, 4)),
            lora(8, 128.0, "up_proj", (0, 1)),
            lora(4, 5.0, "v_proj", (3, 4)),
        ];
        for (seed, lora) in parts.iter().enumerate() {
            let part = initial(model.config(), lora, seed as u64, &Device::Cpu).unwrap();
            for (layer, projection, change) in part.iter() {
                let mut change = change.clone();
                change.b = (change.b + 1.0).unwrap();
                adapter.set(layer, projection, change);
            }
        }
        let dir = tempfile::tempdir().unwrap();
        adapter.save(dir.path(), "tiny").unwrap();
        let again = Adapter::load(dir.path(), &model).unwrap();
        let numbers = |adapter: &Adapter| {
            let of = |(layer, at, change): (usize, Projection, &LowRank)| {
                let data = |t: &candle_core::Tensor| t.to_vec2::<f32>().unwrap();
                (layer, at, change.scale, data(&change.a), data(&change.b))
            };
            adapter.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&adapter), numbers(&again));
        assert_eq!(numbers(&adapter).len(), 6);
    }

    #[test]
    fn a_change_of_a_fused_layer_is_that_of_each_layer_in_it() {
        let folder = Folder::of("phi3");
        let model = folder.load();
        let config = model.config();
        let stored = config.stored_rows(1, Projection::Query);
        let numbers = |shape: [usize; 2], seed| {
            noise(&shape, seed).to_dtype(candle_core::DType::F32).unwrap()
        };
        let (a, b) = (numbers([4, config.hidden_size()], 1), numbers([stored.of, 4], 2));
        let change = LowRank { a, b, scale: 2.0 };
        let named = |name: &str, change: &LowRank| NamedChange {
            layer: 1,
            name: name.to_owned(),
            change: change.clone(),
        };
        let changes = [named(&stored.module, &change)];
        let dir = tempfile::tempdir().unwrap();
        write(&changes, config.layers(), dir.path(), "base").unwrap();
        let adapter = Adapter::load(dir.path(), &model).unwrap();
        let data = |t: &candle_core::Tensor| t.to_vec2::<f32>().unwrap();
        assert_eq!(adapter.iter().count(), 3);
        for (layer, projection, part) in adapter.iter() {
            assert_eq!((layer, part.scale, data(&part.a)), (1, 2.0, data(&change.a)));
            let rows = config.stored_rows(layer, projection).rows;
            assert_eq!(data(&part.b), data(&change.b)[rows]);
        }

        let query = adapter.change(1, Projection::Query).unwrap();
        let twice =
            [named(&layer_name(1, Projection::Query), query), named(&stored.module, &change)];
        write(&twice, config.layers(), dir.path(), "base").unwrap();
        let error = Adapter::load(dir.path(), &model).unwrap_err().to_string();
        assert!(error.contains("qkv_proj`, which contains it"), "{error}");
    }

    #[test]
    fn the_alpha_of_a_scale_gives_the_scale() {
        for rank in 1..200 {
            for wanted in [1.0, 32.0, 0.7, 16.1] {
                let scale = wanted / rank as f64;
                assert_eq!(alpha(scale, rank) / rank as f64, scale, "{scale} at rank {rank}");
                // Scales of other formulas can lie between those that some alpha gives.
                let scale = wanted / (rank as f64).sqrt();
                let again = alpha(scale, rank) / rank as f64;
                assert!(
                    (again / scale - 1.0).abs() <= 2.0 * f64::EPSILON,
                    "{scale} at rank {rank}"
                );
            }
        }
    }
}
