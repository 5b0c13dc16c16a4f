//! Rows of 16 bits or of quantised blocks, and how they become rows of f32.

use std::ops::Range;

use half::slice::HalfFloatSliceExt as _;
use half::{bf16, f16};

use super::blocks::Blocks;
use crate::tensor::elementary::vectorised;
use crate::tensor::matrix::bf16::Bf16Rows;
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

/// Columns that are widened before they are rounded; whole blocks of every type.
const ROUNDED_TOGETHER: usize = 1024;

impl Bf16Rows for Narrow<'_> {
    fn dims(&self) -> [usize; 2] {
        [self.rows(), self.cols()]
    }

    fn together(&self) -> usize {
        match self {
            Self::Bf16(..) | Self::F16(..) => 1,
            // More than a block, since a few are widened in hardly less time.
            Self::Blocks(blocks) => blocks.block_size().max(128),
        }
    }

    fn part<'a>(
        &'a self,
        rows: Range<usize>,
        columns: Range<usize>,
        scratch: &'a mut Vec<bf16>,
    ) -> (&'a [bf16], usize) {
        if let Self::Bf16(numbers, inputs) = *self {
            let part = &numbers[rows.start * inputs..rows.end * inputs];
            return (&part[columns.start.min(part.len())..], inputs);
        }
        scratch.resize(rows.len() * columns.len(), bf16::ZERO);
        let mut wide = [0f32; ROUNDED_TOGETHER];
        for (row, rounded) in rows.zip(scratch.chunks_exact_mut(columns.len().max(1))) {
            for (i, rounded) in rounded.chunks_mut(ROUNDED_TOGETHER).enumerate() {
                let first = columns.start + i * ROUNDED_TOGETHER;
                let wide = &mut wide[..rounded.len()];
                self.widen_columns(row, first..first + rounded.len(), wide);
                round(wide, rounded);
            }
        }
        (scratch, columns.len())
    }
}

impl Narrow<'_> {
    /// Writes some columns of a row as f32, exactly.
    fn widen_columns(&self, row: usize, columns: Range<usize>, wide: &mut [f32]) {
        match *self {
            Self::Bf16(numbers, inputs) => {
                let numbers = &numbers[row * inputs..][columns];
                wide.iter_mut().zip(numbers).for_each(|(wide, x)| *wide = x.to_f32());
            }
            Self::F16(numbers, inputs) => {
                numbers[row * inputs..][columns].convert_to_f32_slice(wide);
            }
            Self::Blocks(blocks) => blocks.widen_columns(row, columns, wide),
        }
    }
}

/// Rounds to the nearest bf16, and to the even one of two.
fn round(wide: &[f32], rounded: &mut [bf16]) {
    vectorised(
        #[inline(always)]
        || {
            for (x, rounded) in wide.iter().zip(rounded) {
                let bits = x.to_bits();
                let nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
                let kept = if x.is_nan() { bits >> 16 | 0x40 } else { nearest };
                *rounded = bf16::from_bits(kept as u16);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_everywhere() {
        let numbers: Vec<f32> = (0..1 << 18).map(|i| f32::from_bits(i * 16381)).collect();
        let mut rounded = vec![bf16::ZERO; numbers.len()];
        round(&numbers, &mut rounded);
        for (x, got) in numbers.into_iter().zip(rounded) {
            let want = bf16::from_f32(x);
            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{x} {got}");
        }
    }
}
