//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864), in the half-split layout of Hugging Face checkpoints.

use std::f64::consts::TAU;
use std::sync::Arc;

use bake_spec::config::{Rope, RopeScaling};
use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use crate::elementary::Real;
use crate::model::kernel::{Kernel, View, apply1, chunk_of_rows};

/// Sines and cosines of all positions of a model's context.
#[derive(Clone, Debug)]
pub(crate) struct RopeTable {
    /// `[context, head_dim / 2]` pairs of cosine and sine.
    turns: Arc<[(f32, f32)]>,
    head_dim: usize,
}

impl RopeTable {
    pub(crate) fn new(rope: &Rope, head_dim: usize, context: usize) -> Self {
        let frequencies = frequencies(rope, head_dim);
        let turns = (0..context)
            .flat_map(|position| frequencies.iter().map(move |f| position as f64 * f))
            .map(|angle| (angle.cos() as f32, angle.sin() as f32))
            .collect();
        Self { turns, head_dim }
    }

    /// Turns every head of `x`, `[tokens, heads * head_dim]`, by the angles of the tokens' positions.
    pub(crate) fn rotate(&self, x: &Tensor, positions: &Arc<[u32]>) -> Result<Tensor> {
        apply1(Rotation { table: self.clone(), positions: positions.clone() }, x)
    }
}

/// Radians by which each pair of a head turns from one position to the next.
fn frequencies(rope: &Rope, head_dim: usize) -> Vec<f64> {
    let plain = (0..head_dim / 2).map(|i| rope.theta.powf(-((2 * i) as f64) / head_dim as f64));
    plain
        .map(|frequency| match rope.scaling {
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                // transformers, `_compute_llama3_parameters`: 0 keeps the slow waves stretched, 1 leaves the fast ones alone.
                let waves = original_context as f64 * frequency / TAU;
                let kept = ((waves - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            }
            _ => frequency,
        })
        .collect()
}

/// `(a, b) → (a cos − b sin, b cos + a sin)` for the pairs `(x[i], x[i + head_dim / 2])` of each head.
struct Rotation {
    table: RopeTable,
    positions: Arc<[u32]>,
}

impl Rotation {
    /// `direction` 1 turns forward; −1 turns back, which is the transposed rotation and so its gradient.
    fn turn<T: Real>(&self, x: &[T], width: usize, direction: f32) -> Vec<T> {
        let (head_dim, half) = (self.table.head_dim, self.table.head_dim / 2);
        let mut y = x.to_vec();
        let chunk = chunk_of_rows(width);
        y.par_chunks_mut(chunk).zip(self.positions.par_chunks(chunk / width)).for_each(|(rows, positions)| {
            for (row, &position) in rows.chunks_exact_mut(width).zip(positions) {
                let turns = &self.table.turns[position as usize * half..][..half];
                for head in row.chunks_exact_mut(head_dim) {
                    let (low, high) = head.split_at_mut(half);
                    for ((a, b), &(cos, sin)) in low.iter_mut().zip(high).zip(turns) {
                        let (cos, sin) = (T::real(cos.into()), T::real((direction * sin).into()));
                        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                    }
                }
            }
        });
        y
    }
}

impl Kernel<1> for Rotation {
    const NAME: &'static str = "rotary-embedding";

    fn forward<T: Real>(&self, [x]: [View<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        Ok((self.turn(x.data, x.rows().1, 1.0), x.shape.clone()))
    }

    fn backward<T: Real>(&self, [x]: [View<'_, T>; 1], dy: &[T], _wanted: [bool; 1]) -> Result<[Option<Vec<T>>; 1]> {
        Ok([Some(self.turn(dy, x.rows().1, -1.0))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kernel::gradient_check::{check, noise};

    fn plain(theta: f64) -> Rope {
        Rope { theta, scaling: RopeScaling::Unscaled }
    }

    #[test]
    fn gradient_is_the_slope() {
        let table = RopeTable::new(&plain(100.0), 6, 12);
        check(&[noise(&[3, 12], 1)], |x| table.rotate(&x[0], &Arc::from([0, 5, 11])));
    }

    #[test]
    fn products_depend_on_the_distance_only() {
        let table = RopeTable::new(&plain(10_000.0), 32, 100);
        let (q, k) = (noise(&[1, 32], 1), noise(&[1, 32], 2));
        let product = |at: u32, from: u32| -> f64 {
            let (q, k) = (table.rotate(&q, &Arc::from([at])).unwrap(), table.rotate(&k, &Arc::from([from])).unwrap());
            (q * k).unwrap().sum_all().unwrap().to_scalar().unwrap()
        };
        assert!((product(7, 3) - product(97, 93)).abs() < 1e-4);
        assert!((product(7, 3) - product(7, 4)).abs() > 1e-3);
    }

    #[test]
    fn scaling_stretches_slow_waves_and_keeps_fast_ones() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 64 };
        let (kept, scaled) = (frequencies(&plain(500_000.0), 16), frequencies(&Rope { theta: 500_000.0, scaling }, 16));
        assert_eq!(kept[0], scaled[0]);
        assert!((kept[7] / scaled[7] - 8.0).abs() < 1e-9);
        let linear = frequencies(&Rope { theta: 500_000.0, scaling: RopeScaling::Linear { factor: 2.0 } }, 16);
        assert_eq!(linear[3] * 2.0, kept[3]);
    }
}
