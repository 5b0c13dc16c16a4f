//! The order in which the instructions want their factors.
//!
//! A step of the inner size is 32 numbers, a line of 64 bytes. The left side comes in tiles of 16
//! rows of a line each. The right side comes in tiles of 16 lines: line p holds the numbers 2p and
//! 2p + 1 of the step for each of 16 columns, beside each other.

use std::ops::Range;

use half::bf16;

/// Numbers of a step.
pub(super) const LINE: usize = 32;

/// Lines of a tile.
pub(super) const TILE: usize = 16;

/// Columns of a panel: two tiles beside each other.
pub(super) const WIDTH: usize = 2 * TILE;

/// Numbers that lie in one line of the caches.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(super) [bf16; LINE]);

impl Line {
    pub(super) const ZERO: Self = Self([bf16::ZERO; LINE]);
}

/// Up to 32 rows of up to 32 numbers, filled up with zeros.
pub(super) fn padded(
    w: &[bf16],
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
) -> [bf16; LINE * LINE] {
    let mut whole = [bf16::ZERO; LINE * LINE];
    for (row, padded) in rows.zip(whole.chunks_exact_mut(LINE)) {
        padded[..columns.len()].copy_from_slice(&w[row * stride..][columns.clone()]);
    }
    whole
}
