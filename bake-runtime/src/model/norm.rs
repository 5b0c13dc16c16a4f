//! Root mean square norm (Zhang and Sennrich 2019, arXiv 1910.07467).

mod cpu;
mod gpu;

use candle_core::{Result, Tensor};

use crate::device::gpu::Gpu;
use crate::tensor::slices::{in_real, tensor, with_slices};

/// `y = x / √(mean(x²) + ε) · weight`, over rows as long as the weight: those of `x`, or its heads.
#[derive(Clone, Debug)]
pub(crate) struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// `weight` is `[width]` and frozen.
    pub(crate) fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// `x` is `[tokens, heads · width]`, and so is the result.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Self { weight, eps } = self;
        if let Some(gpu) = Gpu::of(x) {
            return gpu::forward(&gpu, x, weight, *eps);
        }
        in_real!(x, T => {
            let y = with_slices([x, weight], |[x, weight]| cpu::forward::<T>(x, weight, *eps))?;
            tensor(y, x.shape())
        })
    }

    /// The gradient with respect to `x`, added to `onto` where it is given.
    pub(crate) fn backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        onto: Option<&Tensor>,
    ) -> Result<Tensor> {
        let Self { weight, eps } = self;
        if let Some(gpu) = Gpu::of(x) {
            return gpu::backward(&gpu, x, dy, weight, onto, *eps);
        }
        in_real!(x, T => {
            let inputs = [x, dy, weight];
            let dx = match onto {
                Some(onto) => with_slices([x, dy, weight, onto], |[x, dy, weight, onto]| {
                    cpu::backward::<T>([x, dy, weight], Some(onto), *eps)
                }),
                None => with_slices(inputs, |inputs| cpu::backward::<T>(inputs, None, *eps)),
            };
            tensor(dx?, x.shape())
        })
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
            // One head, and four.
            for heads in [1, 4] {
                check(
                    &[noise(&[3, heads * width], 2)],
                    |x| norm.forward(&x[0]),
                    |x, dy| Ok(vec![norm.backward(&x[0], dy, None)?]),
                );
            }
        }
    }

    #[test]
    fn the_gradient_is_added() {
        let norm = RmsNorm::new(noise(&[8], 1), 1e-5);
        let (x, dy, onto) = (noise(&[3, 8], 2), noise(&[3, 8], 3), noise(&[3, 8], 4));
        let alone = norm.backward(&x, &dy, None).unwrap();
        let added = norm.backward(&x, &dy, Some(&onto)).unwrap();
        assert_eq!(
            added.to_vec2::<f64>().unwrap(),
            (onto + alone).unwrap().to_vec2::<f64>().unwrap()
        );
    }

    #[test]
    fn heads_are_normed_one_by_one() {
        let norm = RmsNorm::new(noise(&[8], 1), 1e-5);
        let x = noise(&[3, 24], 2);
        let whole: Vec<Vec<f64>> = norm.forward(&x).unwrap().to_vec2().unwrap();
        for head in 0..3 {
            let alone = x.narrow(1, 8 * head, 8).unwrap().contiguous().unwrap();
            let alone: Vec<Vec<f64>> = norm.forward(&alone).unwrap().to_vec2().unwrap();
            for (whole, alone) in whole.iter().zip(&alone) {
                assert_eq!(&whole[8 * head..8 * head + 8], alone);
            }
        }
    }

    #[test]
    fn rows_have_the_weights_root_mean_square() {
        let norm = RmsNorm::new(noise(&[64], 1).ones_like().unwrap(), 1e-12);
        let y = norm.forward(&noise(&[1000, 64], 3)).unwrap();
        let squares: Vec<f64> = y.sqr().unwrap().mean(1).unwrap().to_vec1().unwrap();
        assert!(squares.iter().all(|s| (s - 1.0).abs() < 1e-9));
    }
}
