//! The gate of the feed-forward layer (Shazeer 2020, arXiv 2002.05202).

mod cpu;
mod gpu;

use bake_spec::model::config::Activation;
use candle_core::{Result, Tensor};

use crate::device::gpu::Gpu;
use crate::tensor::slices::{in_real, tensor, with_slices};

/// `activation(gate) · up`; all are `[tokens, intermediate]`.
pub(crate) fn gated(activation: Activation, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let gelu = is_gelu(activation)?;
    if let Some(gpu) = Gpu::of(gate) {
        return gpu::forward(&gpu, gelu, gate, up);
    }
    in_real!(gate, T => {
        let y = with_slices([gate, up], |[gate, up]| match gelu {
            true => cpu::forward::<T, cpu::GeluTanh>(gate, up),
            false => cpu::forward::<T, cpu::Silu>(gate, up),
        })?;
        tensor(y, gate.shape())
    })
}

/// The gradients of [`gated`] with respect to gate and up.
pub(crate) fn gated_backward(
    activation: Activation,
    gate: &Tensor,
    up: &Tensor,
    dy: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let gelu = is_gelu(activation)?;
    if let Some(gpu) = Gpu::of(gate) {
        return gpu::backward(&gpu, gelu, gate, up, dy);
    }
    in_real!(gate, T => {
        let (d_gate, d_up) = with_slices([gate, up, dy], |[gate, up, dy]| match gelu {
            true => cpu::backward::<T, cpu::GeluTanh>(gate, up, dy),
            false => cpu::backward::<T, cpu::Silu>(gate, up, dy),
        })?;
        Ok((tensor(d_gate, gate.shape())?, tensor(d_up, gate.shape())?))
    })
}

/// Whether it is GELU and not SiLU.
fn is_gelu(activation: Activation) -> Result<bool> {
    match activation {
        Activation::Silu => Ok(false),
        Activation::GeluTanh => Ok(true),
        other => candle_core::bail!("there is no kernel for {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::gradient_check::{check, noise};

    const ALL: [Activation; 2] = [Activation::Silu, Activation::GeluTanh];

    #[test]
    fn gradient_is_the_slope() {
        for activation in ALL {
            let backward = |x: &[Tensor], dy: &Tensor| {
                gated_backward(activation, &x[0], &x[1], dy).map(|(gate, up)| vec![gate, up])
            };
            check(
                &[(noise(&[3, 7], 1) * 4.0).unwrap(), noise(&[3, 7], 2)],
                |x| gated(activation, &x[0], &x[1]),
                backward,
            );
        }
    }

    #[test]
    fn far_gates_are_closed_or_open() {
        for activation in ALL {
            let gate = tensor(vec![-200f32, -30.0, 0.0, 30.0, 200.0], 5).unwrap();
            let one = gate.ones_like().unwrap();
            let y: Vec<f32> = gated(activation, &gate, &one).unwrap().to_vec1().unwrap();
            assert!(
                y[0] == 0.0 && y[1].abs() < 1e-11 && y[2] == 0.0 && y[3] == 30.0 && y[4] == 200.0,
                "{y:?}"
            );
            let (slope, _) = gated_backward(activation, &gate, &one, &one).unwrap();
            let slope: Vec<f32> = slope.to_vec1().unwrap();
            assert!(slope[1].abs() < 1e-10 && slope[2] == 0.5 && slope[4] == 1.0, "{slope:?}");
        }
    }

    #[test]
    fn gelu_is_its_definition() {
        let numbers: Vec<f64> = (-60..=60).map(|i| f64::from(i) * 0.1).collect();
        let gelu = |x: f64| {
            let u = std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + u.tanh())
        };
        let gate = tensor(numbers.clone(), 121).unwrap();
        let one = gate.ones_like().unwrap();
        let y: Vec<f64> = gated(Activation::GeluTanh, &gate, &one).unwrap().to_vec1().unwrap();
        for (y, x) in y.into_iter().zip(numbers) {
            assert!((y - gelu(x)).abs() < 1e-12, "{x}: {y}");
        }
    }
}
