//! Entry points for `benches/products.rs` to what is not public. They may change at any time.

use candle_core::quantized::GgmlDType;
use candle_core::{Result, Tensor};

use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::matrix::{Matrix, Sums};
use crate::tensor::weight::Weight;

/// A frozen matrix `[outputs, inputs]`.
pub struct FrozenMatrix(Weight);

/// The name of what multiplies bf16 on this processor, where that is faster than f32.
pub fn bf16_unit() -> Option<&'static str> {
    Bf16Unit::of_processor().map(Bf16Unit::name)
}

impl FrozenMatrix {
    /// One in f32, bf16 or f16.
    ///
    /// # Errors
    /// When it is not a matrix of one of these types.
    pub fn plain(matrix: Tensor) -> Result<Self> {
        Ok(Self(Weight::new(matrix)?))
    }

    /// One of quantised blocks.
    ///
    /// # Errors
    /// When the bytes are not blocks of this type and size.
    pub fn quantised(dtype: GgmlDType, bytes: &[u8], dims: [usize; 2]) -> Result<Self> {
        Ok(Self(Weight::quantised(dtype, bytes, dims)?))
    }

    /// The same, multiplied in bf16 where the processor can.
    pub fn in_bf16(&self) -> Self {
        Self(self.0.clone().multiplied_by(Bf16Unit::of_processor()))
    }

    /// `out = x Wᵀ`, summed row by row or in the fastest way.
    ///
    /// # Errors
    /// When a size does not fit.
    pub fn forward(&self, out: &mut [f32], x: &[f32], row_by_row: bool) -> Result<()> {
        let inputs = self.0.dims().1;
        let sums = if row_by_row { Sums::RowByRow } else { Sums::Fastest };
        self.0.forward(sums, out, false, Matrix::new(x, x.len() / inputs, inputs))
    }

    /// `out = dy W`.
    ///
    /// # Errors
    /// When a size does not fit.
    pub fn backward(&self, out: &mut [f32], dy: &[f32]) -> Result<()> {
        let outputs = self.0.dims().0;
        self.0.backward(out, false, Matrix::new(dy, dy.len() / outputs, outputs))
    }
}
