//! A whole model as one GGUF file.

use bake_spec::model::config::{EMBEDDING, HEAD, RopeScaling};
use bake_spec::model::gguf::{Architecture, Placed, ROPE_FACTORS, rope_divisors};
use bake_spec::{Config, Projection};

use super::layout::GgufLayout;
use super::write::{NewGguf, file_type};
use super::{bytes, check, tokenizer};
use crate::adapter::Adapter;
use crate::error::{Error, ErrorKind, Result};
use crate::export::folder::NewFolder;
use crate::export::merge::Merge;
use crate::export::{Base, ExportDtype, numbers};

/// A tensor of the file, and where it comes from.
struct GgufTensor {
    /// The name in transformers.
    name: String,
    placed: Placed,
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
    let entries = entries(base, &config, &layout, &merge, dtype)?;
    let mut file = NewGguf::default();
    file.text("general.architecture", layout.architecture().name());
    file.text("general.type", "model");
    file.text("general.name", name);
    let most = entries.iter().find(|entry| entry.shape.len() > 1);
    let most = most.map_or(ExportDtype::F32, |entry| entry.dtype);
    file.u32("general.file_type", file_type(most));
    if most == ExportDtype::Q8_0 {
        file.u32("general.quantization_version", 2);
    }
    let divisors = write_config(&mut file, layout.architecture(), &config)?;
    tokenizer::write(&mut file, base, config.vocab_size())?;
    if let Some(divisors) = &divisors {
        file.tensor(ROPE_FACTORS.to_owned(), vec![divisors.len()], ExportDtype::F32);
    }
    for GgufTensor { placed, shape, dtype, .. } in &entries {
        file.tensor(placed.name.clone(), shape.clone(), *dtype);
    }
    let divisors = divisors.map(|all| all.into_iter().flat_map(f32::to_le_bytes).collect());
    let divisors: Option<Vec<u8>> = divisors;
    check::means_the_same(&file, divisors.as_deref().unwrap_or_default(), base, folder)?;
    let to = format!("{name}.gguf");
    let mut entries = entries.iter();
    folder.write_with(&to, |out| {
        file.write(out, |tensor| match (&divisors, entries.as_slice()) {
            (Some(divisors), _) if tensor.name == ROPE_FACTORS => Ok(divisors.into()),
            (_, [GgufTensor { name, placed, shape, dtype }, ..]) => {
                entries.next();
                bytes(&merge, placed, name, shape, *dtype)
            }
            _ => {
                let message = format!("`{}` is not a tensor of the model", tensor.name);
                Err(Error::new(ErrorKind::Export, message))
            }
        })
    })
}

/// The tensors of the file.
fn entries(
    base: &Base<'_>,
    config: &Config,
    layout: &GgufLayout,
    merge: &Merge<'_>,
    dtype: Option<ExportDtype>,
) -> Result<Vec<GgufTensor>> {
    let mut entries = Vec::new();
    for tensor in base.checkpoint.names() {
        let stored = merge.stored(&tensor)?;
        // The frequencies of the positions, which old checkpoints contain, follow from the
        // configuration; and a head that is the embedding table is not stored twice.
        if tensor.ends_with("rotary_emb.inv_freq")
            || tensor == HEAD && config.tied_head() && base.checkpoint.same(&stored, EMBEDDING)?
        {
            continue;
        }
        let own = numbers::plain(stored.dtype).unwrap_or(ExportDtype::F16);
        let dtype = numbers::storable(&stored.shape, dtype.unwrap_or(own));
        let placed = layout.place(&tensor)?;
        entries.push(GgufTensor { name: tensor, placed, shape: stored.shape, dtype });
    }
    Ok(entries)
}

/// Writes the shape of the model; returns what its rotary frequencies are divided by, where that is
/// a tensor of the file. What llama.cpp would compute in another way is refused.
fn write_config(
    file: &mut NewGguf,
    architecture: Architecture,
    config: &Config,
) -> Result<Option<Vec<f32>>> {
    let key = |name: &str| format!("{}.{name}", architecture.name());
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
    write_windows(file, architecture, config)?;
    check_biases(architecture, config)?;
    let rope = match (architecture, config.ropes()) {
        (_, [rope]) => rope,
        (Architecture::Gemma3, [rope, local]) if local.scaling == RopeScaling::Unscaled => {
            file.f32(&key("rope.freq_base_swa"), local.theta);
            rope
        }
        _ => return Err(refused("rotary embeddings of several kinds")),
    };
    file.f32(&key("rope.freq_base"), rope.theta);
    match rope.scaling {
        RopeScaling::Unscaled => Ok(None),
        RopeScaling::Linear { factor } => {
            file.text(&key("rope.scaling.type"), "linear");
            file.f32(&key("rope.scaling.factor"), factor);
            Ok(None)
        }
        RopeScaling::Llama3 { .. } if architecture == Architecture::Llama => {
            Ok(Some(rope_divisors(rope, config.head_dim())))
        }
        _ => Err(refused("rotary frequencies that are scaled wave by wave, in this kind of model")),
    }
}

/// Writes which layers see how much.
fn write_windows(file: &mut NewGguf, architecture: Architecture, config: &Config) -> Result<()> {
    let windows: Vec<_> = (0..config.layers()).map(|layer| config.layer(layer).window()).collect();
    let window = windows.iter().copied().flatten().max();
    let key = |name: &str| format!("{}.attention.{name}", architecture.name());
    match (architecture, window) {
        (Architecture::Phi3, _) => {
            file.u32(&key("sliding_window"), window.unwrap_or(0));
            Ok(())
        }
        (_, None) => Ok(()),
        (Architecture::Gemma3, Some(window)) => {
            file.u32(&key("sliding_window"), window);
            let flags = windows.iter().map(Option::is_some);
            file.flags(&key("sliding_window_pattern"), flags);
            Ok(())
        }
        _ => Err(refused("sliding windows, which llama.cpp does not support in such models,")),
    }
}

/// Fails where the model has biases that llama.cpp does not expect.
fn check_biases(architecture: Architecture, config: &Config) -> Result<()> {
    let expected = |projection| match architecture {
        Architecture::Llama => true,
        Architecture::Qwen2 => {
            matches!(projection, Projection::Query | Projection::Key | Projection::Value)
        }
        _ => false,
    };
    let biased = |projection: &Projection| {
        (0..config.layers()).any(|layer| config.layer(layer).has_bias(*projection))
    };
    match Projection::ALL.iter().any(|projection| biased(projection) && !expected(*projection)) {
        true => Err(refused("biases, which llama.cpp does not support in such models,")),
        false => Ok(()),
    }
}

fn refused(what: &str) -> Error {
    let message = format!("bake does not write {what} into a GGUF file; export `merged`");
    Error::new(ErrorKind::Export, message)
}
