//! The gate of the feed-forward layer (Shazeer 2020, arXiv 2002.05202).

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use crate::elementary::{Real, vectorised};
use crate::model::kernel::{Kernel, View, apply2, chunk_of_rows};

/// `silu(gate) · up` with `silu(x) = x / (1 + e^−x)`; all are `[tokens, intermediate]`.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    apply2(SwiGlu, gate, up)
}

struct SwiGlu;

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::real(1.0) / (T::real(1.0) + (-x).exp())
}

impl Kernel<2> for SwiGlu {
    const NAME: &'static str = "swiglu";

    fn forward<T: Real>(&self, [gate, up]: [View<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let mut y = vec![T::zero(); gate.data.len()];
        let chunk = chunk_of_rows(1);
        y.par_chunks_mut(chunk).zip(gate.data.par_chunks(chunk)).zip(up.data.par_chunks(chunk)).for_each(|((y, gate), up)| {
            vectorised(|| {
                for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
                    *y = gate * sigmoid(gate) * up;
                }
            });
        });
        Ok((y, gate.shape.clone()))
    }

    /// With s = sigmoid(gate): `d_up = dy · gate · s` and `d_gate = dy · up · s · (1 + gate · (1 − s))`.
    fn backward<T: Real>(&self, [gate, up]: [View<'_, T>; 2], dy: &[T], _wanted: [bool; 2]) -> Result<[Option<Vec<T>>; 2]> {
        let (mut d_gate, mut d_up) = (vec![T::zero(); dy.len()], vec![T::zero(); dy.len()]);
        let chunk = chunk_of_rows(1);
        let inputs = gate.data.par_chunks(chunk).zip(up.data.par_chunks(chunk)).zip(dy.par_chunks(chunk));
        d_gate.par_chunks_mut(chunk).zip(d_up.par_chunks_mut(chunk)).zip(inputs).for_each(|((d_gate, d_up), ((gate, up), dy))| {
            vectorised(|| {
                let inputs = gate.iter().zip(up).zip(dy);
                for ((d_gate, d_up), ((&gate, &up), &dy)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
                    let s = sigmoid(gate);
                    *d_up = dy * gate * s;
                    *d_gate = dy * up * s * (T::real(1.0) + gate * (T::real(1.0) - s));
                }
            });
        });
        Ok([Some(d_gate), Some(d_up)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kernel::gradient_check::{check, noise};

    #[test]
    fn gradient_is_the_slope() {
        check(&[(noise(&[3, 7], 1) * 4.0).unwrap(), noise(&[3, 7], 2)], |x| swiglu(&x[0], &x[1]));
    }

    #[test]
    fn far_gates_are_closed_or_open() {
        let device = &candle_core::Device::Cpu;
        let gate = Tensor::new(&[-200f32, -30.0, 0.0, 30.0, 200.0], device).unwrap();
        let up = Tensor::new(&[1f32, 1.0, 1.0, 1.0, 1.0], device).unwrap();
        let y: Vec<f32> = swiglu(&gate, &up).unwrap().to_vec1().unwrap();
        assert!(y[0] == 0.0 && y[1].abs() < 1e-11 && y[2] == 0.0 && y[3] == 30.0 && y[4] == 200.0, "{y:?}");
    }
}
