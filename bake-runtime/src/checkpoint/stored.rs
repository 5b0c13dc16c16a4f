//! A tensor as a file has it.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::device::gpu::Gpu;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::weight::{Precision, Weight};

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
    Blocks(GgmlDType),
}

impl StoredDtype {
    /// A factor as transformers rounds it for tensors of this type.
    pub(crate) fn rounded(self, factor: f64) -> f64 {
        match self {
            Self::F16 => f16::from_f64(factor).to_f64(),
            Self::BF16 => bf16::from_f64(factor).to_f64(),
            Self::F32 | Self::Blocks(_) => f64::from(factor as f32),
        }
    }
}

impl Stored<'_> {
    /// Fails unless the tensor has this shape.
    pub(crate) fn check_shape(&self, name: &str, shape: &[usize]) -> Result<()> {
        if self.shape == shape {
            return Ok(());
        }
        let message = format!(
            "{}: tensor `{name}` has shape {:?}, but the configuration requires {shape:?}; the \
             weights do not match it",
            self.file, self.shape
        );
        Err(Error::new(ErrorKind::Model, message))
    }

    /// These of its rows.
    pub(crate) fn rows(mut self, rows: Range<usize>) -> Self {
        let row = self.data.len() / self.shape[0].max(1);
        let bytes = rows.start * row..rows.end * row;
        self.shape[0] = rows.len();
        self.data = match self.data {
            Cow::Borrowed(data) => Cow::Borrowed(&data[bytes]),
            Cow::Owned(data) => Cow::Owned(data[bytes].to_vec()),
        };
        self
    }

    /// A matrix for products: on the processor as the precision says; on a GPU in bf16 where it is
    /// stored so, and otherwise in f32.
    pub(crate) fn weight(&self, device: &Device, precision: Precision) -> Result<Weight> {
        let gpu = Gpu::of_device(device).is_some();
        let stored = !gpu && !precision.widens();
        let kept = |dtype| Tensor::from_raw_buffer(&self.data, dtype, &self.shape, device);
        let weight = match self.dtype {
            StoredDtype::BF16 if gpu || stored => Weight::new(kept(DType::BF16)?)?,
            StoredDtype::F16 if stored => Weight::new(kept(DType::F16)?)?,
            StoredDtype::Blocks(dtype) if stored => self.blocks(dtype)?,
            _ => Weight::new(self.tensor(device)?)?,
        };
        Ok(weight.multiplied_by(precision.unit.filter(|_| !gpu)))
    }

    /// Its blocks as a weight; what is not a matrix is one of a single row.
    fn blocks(&self, dtype: GgmlDType) -> Result<Weight> {
        let inputs = self.shape.last().copied().unwrap_or(1);
        let outputs = self.shape[..self.shape.len().saturating_sub(1)].iter().product();
        Ok(Weight::quantised(dtype, &self.data, [outputs, inputs])?)
    }

    /// The tensor in f32.
    pub(crate) fn tensor(&self, device: &Device) -> Result<Tensor> {
        let data = match self.dtype {
            StoredDtype::F32 => widen(&self.data, f32::from_le_bytes),
            StoredDtype::F16 => widen(&self.data, |b| f16::from_le_bytes(b).to_f32()),
            StoredDtype::BF16 => widen(&self.data, |b| bf16::from_le_bytes(b).to_f32()),
            StoredDtype::Blocks(dtype) => {
                let wide = self.blocks(dtype)?.wide()?;
                return Ok(wide.reshape(&*self.shape)?.to_device(device)?);
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
    use crate::device::gpu::testing::on_gpus;
    use crate::tensor::matrix::bf16::Bf16Unit;
    use crate::tensor::weight::Form;

    #[test]
    fn blocks_are_widened() {
        let mut data = f16::from_f32(0.5).to_le_bytes().to_vec();
        data.extend((0..32u8).map(|i| i.wrapping_sub(7)));
        let dtype = StoredDtype::Blocks(GgmlDType::Q8_0);
        let stored = Stored { file: "m.gguf", dtype, shape: vec![1, 32], data: data.into() };
        let numbers: Vec<Vec<f32>> = stored.tensor(&Device::Cpu).unwrap().to_vec2().unwrap();
        let want: Vec<f32> = (0..32).map(|i| (i - 7) as f32 * 0.5).collect();
        assert_eq!(numbers, [&want[..]]);
        for (form, f32) in [(Form::Stored, false), (Form::Wide, true)] {
            let precision = Precision { form: Some(form), unit: Some(Bf16Unit::Emulated) };
            let weight = stored.weight(&Device::Cpu, precision).unwrap();
            assert_eq!((weight.is_f32(), weight.unit().is_none()), (f32, f32));
            assert_eq!(weight.wide().unwrap().to_vec2::<f32>().unwrap(), [&want[..]]);
        }
        let precision = Precision { form: Some(Form::Stored), ..Precision::fastest() };
        on_gpus(|device| assert!(stored.weight(device, precision).unwrap().is_f32()));
    }

    /// The square root of Gemma 3's width of 3840.
    #[test]
    fn factors_are_rounded_to_the_type() {
        let root = 3840f64.sqrt();
        assert_eq!(StoredDtype::BF16.rounded(root), 62.0);
        assert_eq!(StoredDtype::F16.rounded(root), 61.96875);
        assert_eq!(StoredDtype::F32.rounded(root), f64::from(root as f32));
        assert_eq!(StoredDtype::Blocks(GgmlDType::Q4_0).rounded(1.0), 1.0);
    }

    #[test]
    fn rows_are_whole_blocks_too() {
        let dtype = StoredDtype::Blocks(GgmlDType::Q8_0);
        let data: Vec<u8> = (0..4 * 68).map(|i| i as u8).collect();
        let stored = |data| Stored { file: "m.gguf", dtype, shape: vec![4, 64], data };
        for whole in [stored(data.clone().into()), stored(data[..].into())] {
            let rows = whole.rows(1..3);
            assert_eq!((rows.shape.as_slice(), &rows.data[..]), (&[2, 64][..], &data[68..204]));
        }
    }
}
