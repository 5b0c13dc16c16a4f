//! Rows of 16 bits or of quantised blocks, and how they become rows of f32.

use std::ops::Range;

use half::slice::HalfFloatSliceExt as _;
use half::{bf16, f16};

use super::blocks::Blocks;
use crate::tensor::elementary::vectorised;
use crate::tensor::matrix::{Matrix, Rows};

/// The numbers of a weight, and how many a row has.
#[derive(Clone, Copy)]
pub(super) enum Narrow<'a> {
    Bf16(&'a [bf16], usize),
    F16(&'a [f16], usize),
    Blocks(&'a Blocks),
}

impl Narrow<'_> {
    /// Writes rows as f32, exactly.
    pub(super) fn widen(self, rows: Range<usize>, wide: &mut [f32]) {
        let of = |inputs: usize| rows.start * inputs..rows.end * inputs;
        match self {
            Self::Bf16(numbers, inputs) => {
                let numbers = &numbers[of(inputs)];
                assert_eq!(numbers.len(), wide.len(), "the rows have another length");
                vectorised(
                    #[inline(always)]
                    || {
                        for (wide, number) in wide.iter_mut().zip(numbers) {
                            *wide = f32::from_bits(u32::from(number.to_bits()) << 16);
                        }
                    },
                );
            }
            Self::F16(numbers, inputs) => numbers[of(inputs)].convert_to_f32_slice(wide),
            Self::Blocks(blocks) => blocks.widen(rows, wide),
        }
    }
}

impl Rows for Narrow<'_> {
    fn rows(&self) -> usize {
        match *self {
            Self::Bf16(numbers, inputs) => numbers.len() / inputs.max(1),
            Self::F16(numbers, inputs) => numbers.len() / inputs.max(1),
            Self::Blocks(blocks) => blocks.dims().0,
        }
    }

    fn cols(&self) -> usize {
        match *self {
            Self::Bf16(_, inputs) | Self::F16(_, inputs) => inputs,
            Self::Blocks(blocks) => blocks.dims().1,
        }
    }

    fn some<'a>(&'a self, rows: Range<usize>, scratch: &'a mut Vec<f32>) -> Matrix<'a, f32> {
        let (count, inputs) = (rows.len(), self.cols());
        scratch.resize(count * inputs, 0.0);
        self.widen(rows, scratch);
        Matrix::new(scratch, count, inputs)
    }
}
