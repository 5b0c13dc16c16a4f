//! A tensor as a file has it.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::device::gpu::Gpu;
use crate::error::{Error, ErrorKind, Result};

/// A tensor in the type and the order of its file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored<'a> {
    /// The file, for messages.
    pub(crate) file: &'a str,
    pub(crate) dtype: StoredDtype,
    /// Rows first, as in `[outputs, inputs]`.
    pub(crate) shape: Vec<usize>,
    /// As many bytes as type and shape say, in little-endian order.
    pub(crate) data: Cow<'a, [u8]>,
}

/// The type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoredDtype {
    F32,
    F16,
    BF16,
    /// Blocks of quantised numbers that share a scale. Rows are whole blocks.
    #[allow(dead_code, reason = "safetensors files have none")]
    Blocks(GgmlDType),
}

impl Stored<'_> {
    /// Fails unless the tensor has this shape.
    pub(crate) fn check_shape(&self, name: &str, shape: &[usize]) -> Result<()> {
        if self.shape == shape {
            return Ok(());
        }
        let message = format!(
            "{}: tensor `{name}` has shape {:?}, but the configuration asks for {shape:?}; the \
             checkpoint does not belong to it",
            self.file, self.shape
        );
        Err(Error::new(ErrorKind::Model, message))
    }

    /// A matrix for products: in f32, but on a GPU in bf16 where it is stored so.
    pub(crate) fn matrix(&self, device: &Device) -> Result<Tensor> {
        match self.dtype {
            StoredDtype::BF16 if Gpu::of_device(device).is_some() => {
                Ok(Tensor::from_raw_buffer(&self.data, DType::BF16, &self.shape, device)?)
            }
            _ => self.tensor(device),
        }
    }

    /// The tensor in f32.
    pub(crate) fn tensor(&self, device: &Device) -> Result<Tensor> {
        let data = match self.dtype {
            StoredDtype::F32 => widen(&self.data, f32::from_le_bytes),
            StoredDtype::F16 => widen(&self.data, |b| f16::from_le_bytes(b).to_f32()),
            StoredDtype::BF16 => widen(&self.data, |b| bf16::from_le_bytes(b).to_f32()),
            StoredDtype::Blocks(dtype) => {
                let data = Cow::Borrowed(&*self.data);
                let blocks = QStorage::from_data(data, &Device::Cpu, dtype)?;
                return Ok(QTensor::new(blocks, &*self.shape)?.dequantize(device)?);
            }
        };
        Ok(Tensor::from_vec(data, &*self.shape, device)?)
    }
}

/// Elements of `N` bytes as f32.
fn widen<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    data.as_chunks::<N>().0.par_iter().with_min_len(1 << 14).map(|&bytes| read(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_widened() {
        let mut data = f16::from_f32(0.5).to_le_bytes().to_vec();
        data.extend((0..32u8).map(|i| i.wrapping_sub(7)));
        let dtype = StoredDtype::Blocks(GgmlDType::Q8_0);
        let stored = Stored { file: "m.gguf", dtype, shape: vec![1, 32], data: data.into() };
        let numbers: Vec<Vec<f32>> = stored.tensor(&Device::Cpu).unwrap().to_vec2().unwrap();
        let want: Vec<f32> = (0..32).map(|i| (i - 7) as f32 * 0.5).collect();
        assert_eq!(numbers, [want]);
    }
}
