//! The gate of the feed-forward layer (Shazeer 2020, arXiv 2002.05202).

mod cpu;
mod gpu;

use candle_core::{Result, Tensor};

use crate::device::gpu::Gpu;
use crate::tensor::slices::{in_real, tensor, with_slices};

/// `silu(gate) · up` with `silu(x) = x / (1 + e^−x)`; all are `[tokens, intermediate]`.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if let Some(gpu) = Gpu::of(gate) {
        return gpu::forward(&gpu, gate, up);
    }
    in_real!(gate, T => {
        let y = with_slices([gate, up], |[gate, up]| cpu::forward::<T>(gate, up))?;
        tensor(y, gate.shape())
    })
}

/// The gradients of [`swiglu`] with respect to gate and up.
pub(crate) fn swiglu_backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
    if let Some(gpu) = Gpu::of(gate) {
        return gpu::backward(&gpu, gate, up, dy);
    }
    in_real!(gate, T => {
        let inputs = [gate, up, dy];
        let (d_gate, d_up) =
            with_slices(inputs, |[gate, up, dy]| cpu::backward::<T>(gate, up, dy))?;
        Ok((tensor(d_gate, gate.shape())?, tensor(d_up, gate.shape())?))
    })
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
