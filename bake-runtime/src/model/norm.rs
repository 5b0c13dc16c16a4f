//! Root mean square norm (Zhang and Sennrich 2019, arXiv 1910.07467).

use candle_core::{Result, Tensor};

use crate::device::gpu::Gpu;
use crate::model::gpu;
use crate::tensor::elementary::{Real, dot, vectorised};
use crate::tensor::slices::{fill_rows, in_real, tensor, with_slices};

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
        if let Some(gpu) = Gpu::of(x) {
            return gpu::rms_norm(&gpu, x, &self.weight, self.eps);
        }
        in_real!(x, T => tensor(with_slices([x, &self.weight], |[x, weight]| self.rows::<T>(x, weight))?, x.shape()))
    }

    /// The gradient with respect to `x`, added to `onto`.
    pub(crate) fn backward(&self, x: &Tensor, dy: &Tensor, onto: &Tensor) -> Result<Tensor> {
        if let Some(gpu) = Gpu::of(x) {
            return gpu::rms_norm_backward(&gpu, x, dy, &self.weight, onto, self.eps);
        }
        let inputs = [x, dy, &self.weight, onto];
        in_real!(x, T => tensor(with_slices(inputs, |[x, dy, weight, onto]| self.rows_backward::<T>(x, dy, weight, onto))?, x.shape()))
    }

    fn rows<T: Real>(&self, x: &[T], weight: &[T]) -> Vec<T> {
        let width = weight.len();
        let mut y = vec![T::zero(); x.len()];
        fill_rows(&mut y, width, |first, y| {
            vectorised(
                #[inline(always)]
                || {
                    for (y, x) in
                        y.chunks_exact_mut(width).zip(x[first * width..].chunks_exact(width))
                    {
                        let scale = self.inverse_root_mean_square(x);
                        for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                            *y = x * scale * w;
                        }
                    }
                },
            );
        });
        y
    }

    /// With r = 1/√(mean(x²) + ε) and h = weight · dy: `dx = r h − x r³ mean(h · x)`.
    fn rows_backward<T: Real>(&self, x: &[T], dy: &[T], weight: &[T], onto: &[T]) -> Vec<T> {
        let width = weight.len();
        let mut dx = vec![T::zero(); x.len()];
        fill_rows(&mut dx, width, |first, dx| {
            vectorised(
                #[inline(always)]
                || {
                    let inputs = x[first * width..]
                        .chunks_exact(width)
                        .zip(dy[first * width..].chunks_exact(width));
                    let inputs = inputs.zip(onto[first * width..].chunks_exact(width));
                    for (dx, ((x, dy), onto)) in dx.chunks_exact_mut(width).zip(inputs) {
                        let scale = self.inverse_root_mean_square(x);
                        for ((dx, &dy), &w) in dx.iter_mut().zip(dy).zip(weight) {
                            *dx = dy * w;
                        }
                        let along = dot(dx, x) * scale * scale * scale / T::real(width as f64);
                        for ((dx, &x), &onto) in dx.iter_mut().zip(x).zip(onto) {
                            *dx = onto + (*dx * scale - x * along);
                        }
                    }
                },
            );
        });
        dx
    }

    #[inline(always)]
    fn inverse_root_mean_square<T: Real>(&self, x: &[T]) -> T {
        T::real(1.0) / (dot(x, x) / T::real(x.len() as f64) + T::real(self.eps)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::gradient_check::{check, noise};

    #[test]
    fn gradient_is_the_slope() {
        for width in [1, 5, 40] {
            let norm = RmsNorm::new(noise(&[width], 1), 1e-2);
            let zero = noise(&[3, width], 2).zeros_like().unwrap();
            check(
                &[noise(&[3, width], 2)],
                |x| norm.forward(&x[0]),
                |x, dy| Ok(vec![norm.backward(&x[0], dy, &zero)?]),
            );
        }
    }

    #[test]
    fn the_gradient_is_added() {
        let norm = RmsNorm::new(noise(&[8], 1), 1e-5);
        let (x, dy, onto) = (noise(&[3, 8], 2), noise(&[3, 8], 3), noise(&[3, 8], 4));
        let alone = norm.backward(&x, &dy, &onto.zeros_like().unwrap()).unwrap();
        let added = norm.backward(&x, &dy, &onto).unwrap();
        assert_eq!(
            added.to_vec2::<f64>().unwrap(),
            (onto + alone).unwrap().to_vec2::<f64>().unwrap()
        );
    }

    #[test]
    fn rows_have_the_weights_root_mean_square() {
        let norm = RmsNorm::new(noise(&[64], 1).ones_like().unwrap(), 1e-12);
        let y = norm.forward(&noise(&[1000, 64], 3)).unwrap();
        let squares: Vec<f64> = y.sqr().unwrap().mean(1).unwrap().to_vec1().unwrap();
        assert!(squares.iter().all(|s| (s - 1.0).abs() < 1e-9));
    }
}
