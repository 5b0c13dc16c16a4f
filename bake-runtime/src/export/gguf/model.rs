//! A whole model as one GGUF file.

use bake_spec::Config;
use bake_spec::model::config::RopeScaling;

use super::layout::{GgufLayout, GgufPlace};
use super::write::{NewGguf, file_type};
use super::{bytes, tokenizer};
use crate::adapter::Adapter;
use crate::error::{Error, ErrorKind, Result};
use crate::export::folder::NewFolder;
use crate::export::merge::Merge;
use crate::export::{Base, ExportDtype, numbers};

/// A tensor of the file, and where it comes from.
struct GgufTensor {
    /// The name in transformers.
    name: String,
    placed: GgufPlace,
    shape: Vec<usize>,
    dtype: ExportDtype,
}

/// Writes the model with the adapter in its weights.
pub(in crate::export) fn write_model(
    base: &Base<'_>,
    adapter: &Adapter,
    dtype: Option<ExportDtype>,
    folder: &NewFolder,
    name: &str,
) -> Result<()> {
    let config = base.checkpoint.config()?;
    let layout = GgufLayout::of(base, &config)?;
    let merge = Merge::new(base, &config, adapter);
    let mut entries = Vec::new();
    for tensor in base.checkpoint.names() {
        // The frequencies of the positions, which old checkpoints contain, follow from the
        // configuration; and a head that is the embedding table is not stored twice.
        if tensor.ends_with("rotary_emb.inv_freq")
            || config.tied_head() && tensor == "lm_head.weight"
        {
            continue;
        }
        let stored = merge.stored(&tensor)?;
        let own = numbers::plain(stored.dtype).unwrap_or(ExportDtype::F16);
        let dtype = numbers::storable(&stored.shape, dtype.unwrap_or(own));
        let placed = layout.place(&tensor)?;
        entries.push(GgufTensor { name: tensor, placed, shape: stored.shape, dtype });
    }
    let mut file = NewGguf::default();
    file.text("general.architecture", layout.architecture());
    file.text("general.type", "model");
    file.text("general.name", name);
    let most = entries.iter().find(|entry| entry.shape.len() > 1);
    let most = most.map_or(ExportDtype::F32, |entry| entry.dtype);
    file.u32("general.file_type", file_type(most));
    if most == ExportDtype::Q8_0 {
        file.u32("general.quantization_version", 2);
    }
    write_config(&mut file, layout.architecture(), &config)?;
    tokenizer::write(&mut file, base, config.vocab_size())?;
    for GgufTensor { placed, shape, dtype, .. } in &entries {
        file.tensor(placed.name.clone(), shape.clone(), *dtype);
    }
    let to = format!("{name}.gguf");
    let mut entries = entries.iter();
    folder.write_with(&to, |out| {
        file.write(out, |tensor| {
            let Some(GgufTensor { name, placed, shape, dtype }) = entries.next() else {
                let message = format!("`{}` is not a tensor of the model", tensor.name);
                return Err(Error::new(ErrorKind::Export, message));
            };
            bytes(&merge, placed, name, shape, *dtype)
        })
    })
}

/// The shape of the model. What files of the format cannot say, or say in several ways, is refused.
fn write_config(file: &mut NewGguf, architecture: &str, config: &Config) -> Result<()> {
    let refused = |what: &str| {
        let message = format!(
            "bake does not write {what} into a GGUF file; export `merged`, and convert that with \
             llama.cpp's convert_hf_to_gguf.py"
        );
        Err(Error::new(ErrorKind::Export, message))
    };
    if !["llama", "qwen2", "qwen3"].contains(&architecture) {
        return refused(&format!("`{architecture}` models that were not one"));
    }
    if (0..config.layers()).any(|layer| config.layer(layer).window().is_some()) {
        return refused("sliding windows");
    }
    let [rope] = config.ropes() else { return refused("several rotary embeddings") };
    let key = |name: &str| format!("{architecture}.{name}");
    for (name, value) in [
        ("block_count", config.layers()),
        ("context_length", config.context()),
        ("embedding_length", config.hidden_size()),
        ("feed_forward_length", config.intermediate_size()),
        ("attention.head_count", config.heads()),
        ("attention.head_count_kv", config.kv_heads()),
        ("attention.key_length", config.head_dim()),
        ("attention.value_length", config.head_dim()),
        ("rope.dimension_count", config.head_dim()),
        ("vocab_size", config.vocab_size()),
    ] {
        file.u32(&key(name), value);
    }
    file.f32(&key("attention.layer_norm_rms_epsilon"), config.norm_eps());
    file.f32(&key("rope.freq_base"), rope.theta);
    match rope.scaling {
        RopeScaling::Unscaled => Ok(()),
        RopeScaling::Linear { factor } => {
            file.text(&key("rope.scaling.type"), "linear");
            file.f32(&key("rope.scaling.factor"), factor);
            Ok(())
        }
        _ => refused("rotary frequencies that are scaled wave by wave"),
    }
}
