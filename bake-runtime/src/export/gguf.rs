//! GGUF files: a model with the adapter in its weights, or the adapter by itself.

mod layout;
mod model;
mod tokenizer;
mod write;

use std::borrow::Cow;

use candle_core::Tensor;

use super::folder::NewFolder;
use super::merge::{Changes, Merge};
use super::{Base, ExportDtype, numbers};
use crate::adapter::Adapter;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::slices::with_slice;
use layout::{GgufLayout, GgufPlace};
pub(super) use model::write_model;
use write::NewGguf;

/// Writes the adapter: for each changed tensor `T` of the model's own file, `T.lora_a`
/// `[rank, inputs]` and `T.lora_b` `[outputs, rank]`, whose product counts `alpha / rank` times.
pub(super) fn write_adapter(
    base: &Base<'_>,
    adapter: &Adapter,
    folder: &NewFolder,
    name: &str,
) -> Result<()> {
    let config = base.checkpoint.config()?;
    let layout = GgufLayout::of(base, &config)?;
    let merge = Merge::new(base, &config, adapter);
    let Some((.., first)) = adapter.iter().next() else {
        let message = "the adapter changes no layer, so there is nothing to export";
        return Err(Error::new(ErrorKind::Export, message));
    };
    let alpha = first.scale * first.a.dim(0)? as f64;
    let mut file = NewGguf::default();
    file.text("general.architecture", layout.architecture());
    file.text("general.type", "adapter");
    file.text("general.name", name);
    file.text("adapter.type", "lora");
    file.f32("adapter.lora.alpha", alpha);
    file.u32("general.file_type", write::file_type(ExportDtype::F32));
    let mut data = Vec::new();
    for (name, changes) in merge.changes() {
        let placed = layout.place(name)?;
        let stored = merge.stored(name)?;
        let (a, b) = joined(changes, stored.shape[0], alpha)?;
        let rank = a.len() / stored.shape[1];
        let b = placed.rows(&b, rank);
        file.tensor(
            format!("{}.lora_a", placed.name),
            vec![rank, stored.shape[1]],
            ExportDtype::F32,
        );
        data.push(a);
        file.tensor(
            format!("{}.lora_b", placed.name),
            vec![stored.shape[0], rank],
            ExportDtype::F32,
        );
        data.push(b);
    }
    let to = format!("{name}-adapter.gguf");
    let mut data = data.into_iter();
    folder.write_with(&to, |out| {
        file.write(out, |tensor| {
            let data = data.next().unwrap_or_default();
            Ok(numbers::encode(&data, &tensor.shape, tensor.dtype, &tensor.name)?.into())
        })
    })
}

/// One A and one B for all changes of a tensor of `rows` rows, such that `alpha / rank` times their
/// product is what the changes add: the As below each other, the Bs beside each other.
fn joined(changes: &Changes<'_>, rows: usize, alpha: f64) -> Result<(Vec<f32>, Vec<f32>)> {
    let mut rank = 0;
    for (_, change) in changes {
        rank += change.a.dim(0)?;
    }
    let (mut a, mut b, mut first) = (Vec::new(), vec![0.0; rows * rank], 0);
    for (place, change) in changes {
        let own = change.a.dim(0)?;
        a.extend(floats(&change.a)?);
        let factor = change.scale * rank as f64 / alpha;
        let factor = if (factor - 1.0).abs() < 1e-12 { 1.0 } else { factor as f32 };
        for (row, from) in place.clone().zip(floats(&change.b)?.chunks_exact(own)) {
            for (to, from) in b[row * rank + first..].iter_mut().zip(from) {
                *to = from * factor;
            }
        }
        first += own;
    }
    Ok((a, b))
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(with_slice(tensor, <[f32]>::to_vec)?)
}

/// The bytes of a tensor of the merged model in a GGUF file.
fn bytes<'a>(
    merge: &Merge<'a>,
    placed: &GgufPlace,
    name: &str,
    shape: &[usize],
    dtype: ExportDtype,
) -> Result<Cow<'a, [u8]>> {
    if placed.is_same() {
        return merge.bytes(name, dtype);
    }
    let width = shape.get(1).copied().unwrap_or(1);
    let numbers = placed.rows(&merge.numbers(name)?, width);
    Ok(numbers::encode(&numbers, shape, dtype, name)?.into())
}
