//! What the instructions of AMX compute, step by step, for the tests.

use half::bf16;

use super::pack::{LINE, Line, TILE, WIDTH};

pub(super) fn round(numbers: &[f32; LINE]) -> Line {
    Line(numbers.map(|x| bf16::from_f32(flushed(x))))
}

pub(super) fn pack_transposed(w: &[bf16], stride: usize, tile: &mut [Line; TILE]) {
    for (pair, line) in tile.iter_mut().enumerate() {
        for (i, number) in line.0.iter_mut().enumerate() {
            *number = w[i / 2 * stride + 2 * pair + i % 2];
        }
    }
}

pub(super) fn pack_plain(w: &[bf16], stride: usize, tiles: [&mut [Line; TILE]; 2]) {
    for (half, tile) in tiles.into_iter().enumerate() {
        for (pair, line) in tile.iter_mut().enumerate() {
            for (i, number) in line.0.iter_mut().enumerate() {
                *number = w[(2 * pair + i % 2) * stride + half * TILE + i / 2];
            }
        }
    }
}

/// # Safety
/// `c` has as many rows as `a`, of 32 elements, that begin `stride` apart, and nothing else uses
/// them.
pub(super) unsafe fn multiply(a: &[Line], b: &[Line], c: *mut f32, stride: usize, add: bool) {
    let steps = b.len() / WIDTH;
    for row in 0..a.len() / steps {
        for column in 0..WIDTH {
            // SAFETY: the element is there.
            let c = unsafe { &mut *c.add(row * stride + column) };
            let mut sum = if add { *c } else { 0.0 };
            for step in 0..steps {
                let x = &a[(row / TILE * steps + step) * TILE + row % TILE].0;
                let w = &b[(column / TILE * steps + step) * TILE..][..TILE];
                let (mut even, mut odd) = (0f32, 0f32);
                for pair in 0..TILE {
                    let w = &w[pair].0[column % TILE * 2..][..2];
                    even = added(x[2 * pair], w[0], even);
                    odd = added(x[2 * pair + 1], w[1], odd);
                }
                sum = flushed(sum + flushed(even + odd));
            }
            *c = sum;
        }
    }
}

/// `x w + sum`, rounded once.
fn added(x: bf16, w: bf16, sum: f32) -> f32 {
    flushed(flushed(x.to_f32()).mul_add(flushed(w.to_f32()), sum))
}

/// Numbers too small to be normal are zero to these instructions.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}
