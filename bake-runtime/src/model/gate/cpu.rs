//! The gate on the processor, element by element.

use crate::tensor::elementary::{Real, vectorised};
use crate::tensor::slices::{fill_rows, fill_rows2};

/// An activation `x · σ(z(x))` with `σ(z) = 1 / (1 + e^−z)`.
pub(super) trait GateFunction {
    fn z<T: Real>(x: T) -> T;
    /// The derivative of `z`.
    fn slope<T: Real>(x: T) -> T;
}

/// `z = x`.
pub(super) struct Silu;

impl GateFunction for Silu {
    #[inline(always)]
    fn z<T: Real>(x: T) -> T {
        x
    }

    #[inline(always)]
    fn slope<T: Real>(_: T) -> T {
        T::real(1.0)
    }
}

/// `x / 2 · (1 + tanh(u))` with `u = √(2/π) (x + 0.044715 x³)`, which is `x · σ(2 u)`.
pub(super) struct GeluTanh;

impl GeluTanh {
    /// 2 √(2/π), and 0.044715 of it.
    const FACTORS: [f64; 2] = [1.595_769_121_605_730_7, 0.071_354_816_272_600_25];
}

impl GateFunction for GeluTanh {
    #[inline(always)]
    fn z<T: Real>(x: T) -> T {
        let [a, b] = Self::FACTORS;
        x * (T::real(a) + T::real(b) * x * x)
    }

    #[inline(always)]
    fn slope<T: Real>(x: T) -> T {
        let [a, b] = Self::FACTORS;
        T::real(a) + T::real(3.0 * b) * x * x
    }
}

/// `activation(gate) · up`.
pub(super) fn forward<T: Real, G: GateFunction>(gate: &[T], up: &[T]) -> Vec<T> {
    let mut y = vec![T::zero(); gate.len()];
    fill_rows(&mut y, 1, |first, y| {
        vectorised(
            #[inline(always)]
            || {
                for ((y, &gate), &up) in y.iter_mut().zip(&gate[first..]).zip(&up[first..]) {
                    *y = gate * sigmoid(G::z(gate)) * up;
                }
            },
        );
    });
    y
}

/// With s = σ(z(gate)): `d_up = dy · gate · s` and
/// `d_gate = dy · up · s · (1 + gate · z′(gate) · (1 − s))`.
pub(super) fn backward<T: Real, G: GateFunction>(
    gate: &[T],
    up: &[T],
    dy: &[T],
) -> (Vec<T>, Vec<T>) {
    let (mut d_gate, mut d_up) = (vec![T::zero(); dy.len()], vec![T::zero(); dy.len()]);
    fill_rows2(&mut d_gate, &mut d_up, 1, |first, d_gate, d_up| {
        vectorised(
            #[inline(always)]
            || {
                let inputs = gate[first..].iter().zip(&up[first..]).zip(&dy[first..]);
                for ((d_gate, d_up), ((&gate, &up), &dy)) in d_gate.iter_mut().zip(d_up).zip(inputs)
                {
                    let s = sigmoid(G::z(gate));
                    let inner = gate * G::slope(gate) * (T::real(1.0) - s);
                    *d_up = dy * gate * s;
                    *d_gate = dy * up * s * (T::real(1.0) + inner);
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
