//! GGUF files: a model with the adapter in its weights, or the adapter by itself.

mod check;
mod layout;
mod model;
mod tokenizer;
mod write;

use std::borrow::Cow;

use bake_spec::model::gguf::{Placed, RowOrder};
use candle_core::Tensor;

use super::folder::NewFolder;
use super::merge::Merge;
use super::{Base, ExportDtype, numbers};
use crate::adapter::{Adapter, NamedChange};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::slices::with_slice;
use layout::{GgufLayout, as_in_file};
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
    let changes = adapter.as_stored(&config)?;
    let Some(NamedChange { change: first, .. }) = changes.first() else {
        let message = "the adapter changes no layer, so there is nothing to export";
        return Err(Error::new(ErrorKind::Export, message));
    };
    let alpha = first.scale * first.a.dim(0)? as f64;
    let mut file = NewGguf::default();
    file.text("general.architecture", layout.architecture().name());
    file.text("general.type", "adapter");
    file.text("general.name", name);
    file.text("adapter.type", "lora");
    file.f32("adapter.lora.alpha", alpha);
    file.u32("general.file_type", write::file_type(ExportDtype::F32));
    let mut data = Vec::new();
    for NamedChange { name, change, .. } in &changes {
        let placed = layout.place(&format!("{name}.weight"))?;
        let ((rank, inputs), outputs) = (change.a.dims2()?, change.b.dim(0)?);
        // A reader multiplies by the one alpha, divided by the rank.
        let factor = (change.scale * rank as f64 / alpha) as f32;
        let b: Vec<f32> = floats(&change.b)?.into_iter().map(|x| x * factor).collect();
        let b = as_in_file(&b, rank, placed.rows);
        for (side, shape, numbers) in
            [("lora_a", [rank, inputs], floats(&change.a)?), ("lora_b", [outputs, rank], b)]
        {
            file.tensor(format!("{}.{side}", placed.name), shape.to_vec(), ExportDtype::F32);
            data.push(numbers);
        }
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

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(with_slice(tensor, <[f32]>::to_vec)?)
}

/// The bytes of a tensor of the merged model in a GGUF file.
fn bytes<'a>(
    merge: &Merge<'a>,
    placed: &Placed,
    name: &str,
    shape: &[usize],
    dtype: ExportDtype,
) -> Result<Cow<'a, [u8]>> {
    if placed.rows == RowOrder::Same {
        return merge.bytes(name, dtype);
    }
    let width = shape.get(1).copied().unwrap_or(1);
    let numbers = as_in_file(&merge.numbers(name)?, width, placed.rows);
    Ok(numbers::encode(&numbers, shape, dtype, name)?.into())
}
