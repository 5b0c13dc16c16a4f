//! Numbers as files store them.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use super::ExportDtype;
use crate::checkpoint::stored::StoredDtype;
use crate::error::{Error, ErrorKind, Result};

/// Numbers in a block of Q8_0.
const BLOCK: usize = 32;

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

/// The bytes of a tensor.
pub(super) fn size(shape: &[usize], dtype: ExportDtype) -> usize {
    let numbers: usize = shape.iter().product();
    match dtype {
        ExportDtype::F32 => 4 * numbers,
        ExportDtype::F16 | ExportDtype::Bf16 => 2 * numbers,
        ExportDtype::Q8_0 => numbers / BLOCK * (BLOCK + 2),
    }
}

/// The type in which a GGUF file has a tensor whose model is stored in `dtype`: vectors are always
/// in f32, and rows that are not whole blocks are in f16 instead.
pub(super) fn storable(shape: &[usize], dtype: ExportDtype) -> ExportDtype {
    match (shape, dtype) {
        ([_], _) => ExportDtype::F32,
        ([.., row], ExportDtype::Q8_0) if !row.is_multiple_of(BLOCK) => ExportDtype::F16,
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
