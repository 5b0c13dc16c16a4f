//! The norm on the processor, row by row.

use crate::tensor::elementary::{Real, dot, vectorised};
use crate::tensor::slices::fill_rows;

/// Rows of `x`, scaled.
pub(super) fn forward<T: Real>(x: &[T], weight: &[T], eps: f64) -> Vec<T> {
    let width = weight.len();
    let mut y = vec![T::zero(); x.len()];
    fill_rows(&mut y, width, |first, y| {
        vectorised(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(width).zip(x[first * width..].chunks_exact(width))
                {
                    let scale = inverse_root_mean_square(x, eps);
                    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                        *y = x * scale * w;
                    }
                }
            },
        );
    });
    y
}

/// With r = 1/√(mean(x²) + ε) and h = weight · dy: `dx = onto + r h − x r³ mean(h · x)`.
pub(super) fn backward<T: Real>(
    [x, dy, weight]: [&[T]; 3],
    onto: Option<&[T]>,
    eps: f64,
) -> Vec<T> {
    let width = weight.len();
    let mut dx = vec![T::zero(); x.len()];
    fill_rows(&mut dx, width, |first, dx| {
        vectorised(
            #[inline(always)]
            || {
                let inputs = x[first * width..]
                    .chunks_exact(width)
                    .zip(dy[first * width..].chunks_exact(width));
                for (row, (dx, (x, dy))) in (first..).zip(dx.chunks_exact_mut(width).zip(inputs)) {
                    let scale = inverse_root_mean_square(x, eps);
                    for ((dx, &dy), &w) in dx.iter_mut().zip(dy).zip(weight) {
                        *dx = dy * w;
                    }
                    let along = dot(dx, x) * scale * scale * scale / T::real(width as f64);
                    for (dx, &x) in dx.iter_mut().zip(x) {
                        *dx = *dx * scale - x * along;
                    }
                    if let Some(onto) = onto {
                        for (dx, &onto) in dx.iter_mut().zip(&onto[row * width..]) {
                            *dx = onto + *dx;
                        }
                    }
                }
            },
        );
    });
    dx
}

#[inline(always)]
fn inverse_root_mean_square<T: Real>(x: &[T], eps: f64) -> T {
    T::real(1.0) / (dot(x, x) / T::real(x.len() as f64) + T::real(eps)).sqrt()
}
