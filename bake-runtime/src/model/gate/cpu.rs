//! The gate on the processor, element by element.

use crate::tensor::elementary::{Real, vectorised};
use crate::tensor::slices::{fill_rows, fill_rows2};

/// `silu(gate) · up`.
pub(super) fn forward<T: Real>(gate: &[T], up: &[T]) -> Vec<T> {
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

/// With s = sigmoid(gate): `d_up = dy · gate · s` and
/// `d_gate = dy · up · s · (1 + gate · (1 − s))`.
pub(super) fn backward<T: Real>(gate: &[T], up: &[T], dy: &[T]) -> (Vec<T>, Vec<T>) {
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
