//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864), in the half-split layout of
//! Hugging Face checkpoints.

mod gpu;

use std::f64::consts::TAU;

use bake_spec::model::config::{Rope, RopeScaling};
use candle_core::{Device, Result, Tensor};

use crate::device::gpu::Gpu;
use crate::tensor::elementary::Real;
use crate::tensor::slices::{fill_rows, in_real, tensor, with_slice};

/// The position of each token of a pass in its sequence.
pub(crate) struct Positions<'a> {
    here: &'a [u32],
    /// The same on a GPU, where the pass computes there.
    there: Option<Tensor>,
}

impl<'a> Positions<'a> {
    pub(crate) fn new(positions: &'a [u32], device: &Device) -> Result<Self> {
        let there = Gpu::of_device(device).map(|_| Tensor::new(positions, device)).transpose()?;
        Ok(Self { here: positions, there })
    }
}

/// Sines and cosines of all positions of a model's context.
#[derive(Clone, Debug)]
pub(crate) struct RopeTable {
    /// `[context, head_dim]`: pairs of cosine and sine.
    turns: Tensor,
    head_dim: usize,
}

impl RopeTable {
    pub(crate) fn new(
        rope: &Rope,
        head_dim: usize,
        context: usize,
        device: &Device,
    ) -> Result<Self> {
        let frequencies = frequencies(rope, head_dim);
        let turns: Vec<f32> = (0..context)
            .flat_map(|position| frequencies.iter().map(move |f| position as f64 * f))
            .flat_map(|angle| [angle.cos() as f32, angle.sin() as f32])
            .collect();
        Ok(Self {
            turns: Tensor::from_vec(turns, (context, 2 * frequencies.len()), device)?,
            head_dim,
        })
    }

    /// Turns every head of `x`, `[tokens, heads * head_dim]`, by the angles of the tokens'
    /// positions: `(a, b) → (a cos − b sin, b cos + a sin)` for the pairs `(x[i], x[i + head_dim /
    /// 2])`.
    pub(crate) fn rotate(&self, x: &Tensor, positions: &Positions<'_>) -> Result<Tensor> {
        self.turn(x, positions, 1.0)
    }

    /// The gradient of [`rotate`](Self::rotate) with respect to `x`: the transposed rotation, which
    /// turns back.
    pub(crate) fn rotate_backward(&self, dy: &Tensor, positions: &Positions<'_>) -> Result<Tensor> {
        self.turn(dy, positions, -1.0)
    }

    fn turn(&self, x: &Tensor, positions: &Positions<'_>, direction: f32) -> Result<Tensor> {
        if let (Some(gpu), Some(positions)) = (Gpu::of(x), &positions.there) {
            return gpu::rotate(&gpu, x, &self.turns, positions, direction);
        }
        let rows = |turns: &[f32]| {
            in_real!(x, T => {
                let y = with_slice(x, |x| self.rows::<T>(x, turns, positions.here, direction))?;
                tensor(y, x.shape())
            })
        };
        with_slice(&self.turns, rows)?
    }

    fn rows<T: Real>(&self, x: &[T], turns: &[f32], positions: &[u32], direction: f32) -> Vec<T> {
        let half = self.head_dim / 2;
        let width = x.len() / positions.len().max(1);
        let mut y = vec![T::zero(); x.len()];
        fill_rows(&mut y, width, |first, y| {
            let inputs = x[first * width..].chunks_exact(width).zip(&positions[first..]);
            for (y, (x, &position)) in y.chunks_exact_mut(width).zip(inputs) {
                let turns = turns[position as usize * 2 * half..][..2 * half].as_chunks::<2>().0;
                for (y, x) in y.chunks_exact_mut(self.head_dim).zip(x.chunks_exact(self.head_dim)) {
                    let ((y_low, y_high), (x_low, x_high)) =
                        (y.split_at_mut(half), x.split_at(half));
                    for (((y_low, y_high), (&a, &b)), &[cos, sin]) in
                        y_low.iter_mut().zip(y_high).zip(x_low.iter().zip(x_high)).zip(turns)
                    {
                        let (cos, sin) = (T::real(cos.into()), T::real((direction * sin).into()));
                        *y_low = a * cos - b * sin;
                        *y_high = b * cos + a * sin;
                    }
                }
            }
        });
        y
    }
}

/// Radians by which each pair of a head turns from one position to the next.
fn frequencies(rope: &Rope, head_dim: usize) -> Vec<f64> {
    let plain = (0..head_dim / 2).map(|i| rope.theta.powf(-((2 * i) as f64) / head_dim as f64));
    plain
        .map(|frequency| match rope.scaling {
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                // transformers, `_compute_llama3_parameters`: 0 keeps the slow waves stretched, 1
                // leaves the fast ones alone.
                let waves = original_context as f64 * frequency / TAU;
                let kept = ((waves - low_freq_factor) / (high_freq_factor - low_freq_factor))
                    .clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            }
            _ => frequency,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::gradient_check::{check, noise};

    fn plain(theta: f64) -> Rope {
        Rope { theta, scaling: RopeScaling::Unscaled }
    }

    #[test]
    fn gradient_is_the_slope() {
        let table = RopeTable::new(&plain(100.0), 6, 12, &Device::Cpu).unwrap();
        let positions = Positions::new(&[0, 5, 11], &Device::Cpu).unwrap();
        let backward = |_: &[Tensor], dy: &Tensor| Ok(vec![table.rotate_backward(dy, &positions)?]);
        check(&[noise(&[3, 12], 1)], |x| table.rotate(&x[0], &positions), backward);
    }

    #[test]
    fn products_depend_on_the_distance_only() {
        let table = RopeTable::new(&plain(10_000.0), 32, 100, &Device::Cpu).unwrap();
        let (q, k) = (noise(&[1, 32], 1), noise(&[1, 32], 2));
        let product = |at: u32, from: u32| -> f64 {
            let turned = |x: &Tensor, position| {
                table.rotate(x, &Positions::new(&[position], &Device::Cpu).unwrap()).unwrap()
            };
            let (q, k) = (turned(&q, at), turned(&k, from));
            (q * k).unwrap().sum_all().unwrap().to_scalar().unwrap()
        };
        assert!((product(7, 3) - product(97, 93)).abs() < 1e-4);
        assert!((product(7, 3) - product(7, 4)).abs() > 1e-3);
    }

    #[test]
    fn scaling_stretches_slow_waves_and_keeps_fast_ones() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 64,
        };
        let (kept, scaled) = (
            frequencies(&plain(500_000.0), 16),
            frequencies(&Rope { theta: 500_000.0, scaling }, 16),
        );
        assert_eq!(kept[0], scaled[0]);
        assert!((kept[7] / scaled[7] - 8.0).abs() < 1e-9);
        let linear = frequencies(
            &Rope { theta: 500_000.0, scaling: RopeScaling::Linear { factor: 2.0 } },
            16,
        );
        assert_eq!(linear[3] * 2.0, kept[3]);
    }
}
