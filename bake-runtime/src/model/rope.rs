//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864), in the half-split layout of
//! Hugging Face checkpoints.

mod cpu;
mod gpu;

use std::sync::{Arc, Mutex, PoisonError};

use bake_spec::model::config::Rope;
use candle_core::{DType, Device, Result, Tensor};

use crate::device::gpu::Gpu;
use crate::tensor::slices::{in_real, tensor, with_slice};

/// The fewest positions of a table.
const SHORTEST: usize = 256;

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

/// Sines and cosines of a model's positions, as far as they have been needed: a long context costs
/// nothing until it is used.
#[derive(Clone, Debug)]
pub(crate) struct RopeTable {
    frequencies: Arc<[f64]>,
    /// `[positions so far, head_dim]`: pairs of cosine and sine.
    turns: Arc<Mutex<Tensor>>,
    /// The most positions that there can be.
    context: usize,
}

impl RopeTable {
    pub(crate) fn new(
        rope: &Rope,
        head_dim: usize,
        context: usize,
        device: &Device,
    ) -> Result<Self> {
        let empty = Tensor::zeros((0, head_dim), DType::F32, device)?;
        let frequencies = rope.frequencies(head_dim).collect();
        Ok(Self { frequencies, turns: Arc::new(Mutex::new(empty)), context })
    }

    /// The table for these positions, extended where it is too short. Each row is
    /// computed alone, so its bits do not depend on when.
    fn turns(&self, positions: &[u32]) -> Result<Tensor> {
        let needed = positions.iter().max().map_or(0, |&last| last as usize + 1);
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let there = turns.dim(0)?;
        if there < needed {
            let rows = needed.max(SHORTEST).next_power_of_two().min(self.context).max(needed);
            let new: Vec<f32> = (there..rows)
                .flat_map(|position| self.frequencies.iter().map(move |f| position as f64 * f))
                .flat_map(|angle| [angle.cos() as f32, angle.sin() as f32])
                .collect();
            let shape = (rows - there, 2 * self.frequencies.len());
            let new = Tensor::from_vec(new, shape, turns.device())?;
            *turns = if there == 0 { new } else { Tensor::cat(&[&*turns, &new], 0)? };
        }
        Ok(turns.clone())
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
        let turns = self.turns(positions.here)?;
        if let (Some(gpu), Some(positions)) = (Gpu::of(x), &positions.there) {
            return gpu::rotate(&gpu, x, &turns, positions, direction);
        }
        let half = self.frequencies.len();
        let rows = |turns: &[f32]| {
            in_real!(x, T => {
                let y = with_slice(x, |x| {
                    cpu::rotate::<T>(x, turns, positions.here, half, direction)
                })?;
                tensor(y, x.shape())
            })
        };
        with_slice(&turns, rows)?
    }
}

#[cfg(test)]
mod tests {
    use bake_spec::model::config::RopeScaling;

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
    fn the_table_is_as_long_as_what_was_used() {
        let device = Device::Cpu;
        let rope = plain(10_000.0);
        let rows = |table: &RopeTable| table.turns.lock().unwrap().dim(0).unwrap();
        let long = RopeTable::new(&rope, 64, 1 << 24, &device).unwrap();
        assert_eq!(rows(&long), 0);
        let whole = RopeTable::new(&rope, 64, 1000, &device).unwrap();
        let whole = whole.turns(&[999]).unwrap();
        let mut last = 0;
        for position in [0, 3, 255, 256, 700] {
            long.turns(&[position]).unwrap();
            assert!(rows(&long) >= last && rows(&long) <= 1024, "{position}: {}", rows(&long));
            last = rows(&long);
        }
        // Its rows are the same however it grew.
        let rows = |t: &Tensor| t.narrow(0, 0, 1000).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows(&long.turns(&[999]).unwrap()), rows(&whole));
        // It does not grow beyond the context.
        let short = RopeTable::new(&rope, 64, 300, &device).unwrap();
        assert_eq!(short.turns(&[299]).unwrap().dims(), [300, 64]);
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
}
