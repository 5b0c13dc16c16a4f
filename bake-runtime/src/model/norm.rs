//! Root mean square norm (Zhang and Sennrich 2019, arXiv 1910.07467).

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use crate::elementary::{Real, vectorised};
use crate::model::kernel::{Kernel, View, apply1, chunk_of_rows, with_slice};

/// `y = x / √(mean(x²) + ε) · weight`, over the last dimension.
#[derive(Clone, Debug)]
pub(crate) struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// `weight` is `[hidden]` and frozen.
    pub(crate) fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// `x` is `[tokens, hidden]`, and so is the result.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        apply1(self.clone(), x)
    }
}

impl Kernel<1> for RmsNorm {
    const NAME: &'static str = "rms-norm";

    fn forward<T: Real>(&self, [x]: [View<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let (_, width) = x.rows();
        let mut y = vec![T::zero(); x.data.len()];
        let chunk = chunk_of_rows(width);
        with_slice(&self.weight, |weight: &[T]| {
            y.par_chunks_mut(chunk).zip(x.data.par_chunks(chunk)).for_each(|(y, x)| {
                vectorised(|| {
                    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        let scale = inverse_root_mean_square(x, self.eps);
                        for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                            *y = x * scale * w;
                        }
                    }
                });
            });
        })?;
        Ok((y, x.shape.clone()))
    }

    /// With r = 1/√(mean(x²) + ε) and h = weight · dy: `dx = r h − x r³ mean(h · x)`.
    fn backward<T: Real>(&self, [x]: [View<'_, T>; 1], dy: &[T], _wanted: [bool; 1]) -> Result<[Option<Vec<T>>; 1]> {
        let (_, width) = x.rows();
        let mut dx = vec![T::zero(); x.data.len()];
        let chunk = chunk_of_rows(width);
        with_slice(&self.weight, |weight: &[T]| {
            dx.par_chunks_mut(chunk).zip(x.data.par_chunks(chunk)).zip(dy.par_chunks(chunk)).for_each(|((dx, x), dy)| {
                vectorised(|| {
                    for ((dx, x), dy) in dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width)) {
                        let scale = inverse_root_mean_square(x, self.eps);
                        for ((dx, &dy), &w) in dx.iter_mut().zip(dy).zip(weight) {
                            *dx = dy * w;
                        }
                        let along = dot(dx, x) * scale * scale * scale / T::real(width as f64);
                        for (dx, &x) in dx.iter_mut().zip(x) {
                            *dx = *dx * scale - x * along;
                        }
                    }
                });
            });
        })?;
        Ok([Some(dx)])
    }
}

#[inline(always)]
fn inverse_root_mean_square<T: Real>(x: &[T], eps: f64) -> T {
    T::real(1.0) / (dot(x, x) / T::real(x.len() as f64) + T::real(eps)).sqrt()
}

#[inline(always)]
fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    const LANES: usize = 16;
    let mut lanes = [T::zero(); LANES];
    let ((full_a, rest_a), (full_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in full_a.iter().zip(full_b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *lane += a * b;
    }
    lanes.iter().fold(T::zero(), |sum, &x| sum + x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kernel::gradient_check::{check, noise};

    #[test]
    fn gradient_is_the_slope() {
        for width in [1, 5, 40] {
            let norm = RmsNorm::new(noise(&[width], 1), 1e-2);
            check(&[noise(&[3, width], 2)], |x| norm.forward(&x[0]));
        }
    }

    #[test]
    fn rows_have_the_weights_root_mean_square() {
        let norm = RmsNorm::new(Tensor::ones(64, candle_core::DType::F64, &candle_core::Device::Cpu).unwrap(), 1e-12);
        let y = norm.forward(&noise(&[1000, 64], 3)).unwrap();
        let squares: Vec<f64> = y.sqr().unwrap().mean(1).unwrap().to_vec1().unwrap();
        assert!(squares.iter().all(|s| (s - 1.0).abs() < 1e-9));
    }
}
