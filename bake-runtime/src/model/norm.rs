//! Root mean square norm (Zhang and Sennrich 2019, arXiv 1910.07467).

mod cpu;
mod gpu;

use candle_core::{Result, Tensor};

use crate::device::gpu::Gpu;
use crate::tensor::slices::{in_real, tensor, with_slices};

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
        let Self { weight, eps } = self;
        if let Some(gpu) = Gpu::of(x) {
            return gpu::forward(&gpu, x, weight, *eps);
        }
        in_real!(x, T => {
            let y = with_slices([x, weight], |[x, weight]| cpu::forward::<T>(x, weight, *eps))?;
            tensor(y, x.shape())
        })
    }

    /// The gradient with respect to `x`, added to `onto`.
    pub(crate) fn backward(&self, x: &Tensor, dy: &Tensor, onto: &Tensor) -> Result<Tensor> {
        let Self { weight, eps } = self;
        if let Some(gpu) = Gpu::of(x) {
            return gpu::backward(&gpu, x, dy, weight, onto, *eps);
        }
        in_real!(x, T => {
            let inputs = [x, dy, weight, onto];
            tensor(with_slices(inputs, |inputs| cpu::backward::<T>(inputs, *eps))?, x.shape())
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
