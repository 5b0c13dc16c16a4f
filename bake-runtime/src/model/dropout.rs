//! Dropout (Srivastava et al. 2014, JMLR 15) of what goes into a change.
//!
//! What is dropped depends on the numbers of the step, of the place and of the element alone, by
//! the counter-based generator Philox4x32-10 (Salmon et al. 2011, SC'11). So nothing is kept from
//! the forward pass to the backward pass, elements are drawn in parallel, and a block that is
//! computed again drops the same. Processor and GPU drop the same elements of a matrix.

mod cpu;
mod gpu;

use bake_spec::model::config::Projection;
use candle_core::{Result, Tensor};
pub(crate) use cpu::through;

use crate::device::gpu::Gpu;
use crate::tensor::slices::{in_real, tensor, with_slice};

/// What a pass drops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    /// An element is dropped if its 32 random bits are below.
    threshold: u32,
    /// What the others are multiplied by, 1 / (1 − rate).
    kept: f64,
    key: [u32; 2],
}

/// What a pass drops of what goes into one change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropoutPlace {
    dropout: Dropout,
    layer: u32,
    projection: u32,
}

impl Dropout {
    /// Drops this share of all elements, at least 0 and below 1. Passes of one key drop the same.
    pub(crate) fn new(rate: f64, key: [u32; 2]) -> Self {
        // The conversion limits what is rounded up to 2³².
        let threshold = (rate * 2f64.powi(32)).round() as u32;
        Self { threshold, kept: 1.0 / (1.0 - rate), key }
    }

    pub(crate) fn at(self, layer: usize, projection: Projection) -> DropoutPlace {
        DropoutPlace { dropout: self, layer: layer as u32, projection: projection as u32 }
    }
}

impl DropoutPlace {
    /// `x`, some elements 0 and the others multiplied. As `y = x ∘ mask` is linear, this is also
    /// the gradient with respect to x of one with respect to y.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(gpu) = Gpu::of(x) {
            return gpu::apply(&gpu, self, x);
        }
        in_real!(x, T => {
            let mut y = with_slice(x, <[T]>::to_vec)?;
            through(self, &mut y);
            tensor(y, x.shape())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(count: usize) -> Tensor {
        tensor(vec![1f32; count], count).unwrap()
    }

    fn dropped(rate: f64, key: [u32; 2], layer: usize, projection: Projection) -> Vec<f32> {
        let place = Dropout::new(rate, key).at(layer, projection);
        place.apply(&ones(100_003)).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_share_is_dropped_and_the_mean_stays() {
        for rate in [0.0, 0.1, 0.5, 0.9, 1.0 - 1e-12] {
            let y = dropped(rate, [1, 2], 3, Projection::Up);
            let zeros = y.iter().filter(|&&y| y == 0.0).count() as f64 / y.len() as f64;
            assert!((zeros - rate).abs() < 5e-3, "{rate}: {zeros} are 0");
            let kept = (1.0 / (1.0 - rate)) as f32;
            assert!(y.iter().all(|&y| y == 0.0 || y == kept), "{rate}");
        }
    }

    #[test]
    fn keys_and_places_drop_different_elements_and_the_same_each_time() {
        let draws = [
            dropped(0.5, [1, 2], 3, Projection::Up),
            dropped(0.5, [2, 2], 3, Projection::Up),
            dropped(0.5, [1, 1], 3, Projection::Up),
            dropped(0.5, [1, 2], 2, Projection::Up),
            dropped(0.5, [1, 2], 3, Projection::Down),
        ];
        for (i, a) in draws.iter().enumerate() {
            for b in &draws[..i] {
                let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
                assert!((49_000..51_000).contains(&same), "{same} of {} are the same", a.len());
            }
        }
        assert_eq!(draws[0], dropped(0.5, [1, 2], 3, Projection::Up));
    }

    #[test]
    fn elements_do_not_depend_on_how_many_there_are() {
        let all = dropped(0.3, [5, 6], 0, Projection::Query);
        for count in [1, 3, 4, 63, 64, 65, 16_384, 16_387] {
            let place = Dropout::new(0.3, [5, 6]).at(0, Projection::Query);
            let some: Vec<f32> = place.apply(&ones(count)).unwrap().to_vec1().unwrap();
            assert_eq!(some, all[..count], "{count}");
        }
    }
}
