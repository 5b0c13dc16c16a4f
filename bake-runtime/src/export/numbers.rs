//! Numbers as files store them.

use bake_spec::model::gguf::TensorType;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use super::ExportDtype;
use crate::checkpoint::stored::StoredDtype;
use crate::error::{Error, ErrorKind, Result};

/// Rounds numbers to what a file stores; `name` is for messages.
pub(super) fn encode(
    data: &[f32],
    shape: &[usize],
    dtype: ExportDtype,
    name: &str,
) -> Result<Vec<u8>> {
    match dtype {
        ExportDtype::F32 => Ok(bytes(data, f32::to_le_bytes)),
        ExportDtype::Bf16 => Ok(bytes(data, |x| bf16::from_f32(x).to_le_bytes())),
        ExportDtype::F16 => {
            let largest = f16::MAX.to_f32();
            if let Some(x) = data.iter().find(|x| x.abs() > largest) {
                let message = format!(
                    "`{name}` has a number {x}, which f16 cannot store; export in bf16 or f32"
                );
                return Err(Error::new(ErrorKind::Export, message));
            }
            Ok(bytes(data, |x| f16::from_f32(x).to_le_bytes()))
        }
        ExportDtype::Q8_0 => {
            let tensor = Tensor::from_slice(data, shape, &Device::Cpu)?;
            Ok(QTensor::quantize(&tensor, GgmlDType::Q8_0)?.data()?.into_owned())
        }
    }
}

fn bytes<const N: usize>(data: &[f32], write: impl Fn(f32) -> [u8; N] + Sync) -> Vec<u8> {
    let mut bytes = vec![0; data.len() * N];
    bytes
        .as_chunks_mut::<N>()
        .0
        .par_iter_mut()
        .with_min_len(1 << 14)
        .zip(data)
        .for_each(|(to, &x)| *to = write(x));
    bytes
}

/// The type in GGUF files.
pub(super) const fn in_gguf(dtype: ExportDtype) -> TensorType {
    match dtype {
        ExportDtype::F32 => TensorType::F32,
        ExportDtype::F16 => TensorType::F16,
        ExportDtype::Bf16 => TensorType::BF16,
        ExportDtype::Q8_0 => TensorType::Q8_0,
    }
}

/// The name in safetensors, which have no blocks.
pub(super) const fn in_safetensors(dtype: ExportDtype) -> Option<&'static str> {
    match dtype {
        ExportDtype::F32 => Some("F32"),
        ExportDtype::F16 => Some("F16"),
        ExportDtype::Bf16 => Some("BF16"),
        ExportDtype::Q8_0 => None,
    }
}

/// The bytes of a tensor.
pub(super) fn size(shape: &[usize], dtype: ExportDtype) -> usize {
    let (numbers, bytes) = in_gguf(dtype).block();
    shape.iter().product::<usize>() / numbers * bytes
}

/// The type in which a GGUF file has a tensor whose model is stored in `dtype`: vectors are always
/// in f32, and rows that are not whole blocks are in f16 instead.
pub(super) fn storable(shape: &[usize], dtype: ExportDtype) -> ExportDtype {
    let (block, _) = in_gguf(dtype).block();
    match shape {
        [_] => ExportDtype::F32,
        [.., row] if !row.is_multiple_of(block) => ExportDtype::F16,
        _ => dtype,
    }
}

/// The type of a stored tensor, where it has no blocks.
pub(super) fn plain(dtype: StoredDtype) -> Option<ExportDtype> {
    match dtype {
        StoredDtype::F32 => Some(ExportDtype::F32),
        StoredDtype::F16 => Some(ExportDtype::F16),
        StoredDtype::BF16 => Some(ExportDtype::Bf16),
        StoredDtype::Blocks(_) => None,
    }
}
