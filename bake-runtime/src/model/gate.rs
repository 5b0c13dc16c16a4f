//! The gate of the feed-forward layer (Shazeer 2020, arXiv 2002.05202).

use candle_core::{Result, Tensor};

use crate::device::gpu::Gpu;
use crate::model::gpu;
use crate::tensor::elementary::{Real, vectorised};
use crate::tensor::slices::{fill_rows, fill_rows2, in_real, tensor, with_slices};

/// `silu(gate) · up` with `silu(x) = x / (1 + e^−x)`; all are `[tokens, intermediate]`.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if let Some(gpu) = Gpu::of(gate) {
        return gpu::swiglu(&gpu, gate, up);
    }
    in_real!(gate, T => tensor(with_slices([gate, up], |[gate, up]| forward::<T>(gate, up))?, gate.shape()))
}

/// The gradients of [`swiglu`] with respect to gate and up.
pub(crate) fn swiglu_backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
    if let Some(gpu) = Gpu::of(gate) {
        return gpu::swiglu_backward(&gpu, gate, up, dy);
    }
    in_real!(gate, T => {
        let (d_gate, d_up) = with_slices([gate, up, dy], |[gate, up, dy]| backward::<T>(gate, up, dy))?;
        Ok((tensor(d_gate, gate.shape())?, tensor(d_up, gate.shape())?))
    })
}

fn forward<T: Real>(gate: &[T], up: &[T]) -> Vec<T> {
    let mut y = vec![T::zero(); gate.len()];
    fill_rows(&mut y, 1, |first, y| {
        vectorised(
            #[inline(always)]
            || {
                for ((y, &gate), &up) in y.iter_mut().zip(&gate[first..]).zip(&up[first..]) {
                    *y = gate * sigmoid(gate) * up;
                }
            },
        );
    });
    y
}

/// With s = sigmoid(gate): `d_up = dy · gate · s` and `d_gate = dy · up · s · (1 + gate · (1 −
/// s))`.
fn backward<T: Real>(gate: &[T], up: &[T], dy: &[T]) -> (Vec<T>, Vec<T>) {
    let (mut d_gate, mut d_up) = (vec![T::zero(); dy.len()], vec![T::zero(); dy.len()]);
    fill_rows2(&mut d_gate, &mut d_up, 1, |first, d_gate, d_up| {
        vectorised(
            #[inline(always)]
            || {
                let inputs = gate[first..].iter().zip(&up[first..]).zip(&dy[first..]);
                for ((d_gate, d_up), ((&gate, &up), &dy)) in d_gate.iter_mut().zip(d_up).zip(inputs)
                {
                    let s = sigmoid(gate);
                    *d_up = dy * gate * s;
                    *d_gate = dy * up * s * (T::real(1.0) + gate * (T::real(1.0) - s));
                }
            },
        );
    });
    (d_gate, d_up)
}

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::real(1.0) / (T::real(1.0) + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::gradient_check::{check, noise};

    #[test]
    fn gradient_is_the_slope() {
        let backward = |x: &[Tensor], dy: &Tensor| {
            swiglu_backward(&x[0], &x[1], dy).map(|(gate, up)| vec![gate, up])
        };
        check(
            &[(noise(&[3, 7], 1) * 4.0).unwrap(), noise(&[3, 7], 2)],
            |x| swiglu(&x[0], &x[1]),
            backward,
        );
    }

    #[test]
    fn far_gates_are_closed_or_open() {
        let gate = tensor(vec![-200f32, -30.0, 0.0, 30.0, 200.0], 5).unwrap();
        let y: Vec<f32> = swiglu(&gate, &gate.ones_like().unwrap()).unwrap().to_vec1().unwrap();
        assert!(
            y[0] == 0.0 && y[1].abs() < 1e-11 && y[2] == 0.0 && y[3] == 30.0 && y[4] == 200.0,
            "{y:?}"
        );
    }
}
