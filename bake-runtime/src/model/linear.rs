//! Linear layers: frozen weights, and low-rank changes as a view on them.

mod cpu;
mod gpu;

use candle_core::{Result, Tensor};

use crate::adapter::{LowRank, LowRankGradient};
use crate::device::gpu::Gpu;
use crate::model::dropout::DropoutPlace;
pub(crate) use crate::tensor::matrix::Sums;
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::slices::{in_real, tensor};
use crate::tensor::weight::Weight;

/// `y = x Wᵀ + bias`, with a frozen weight `[outputs, inputs]`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

/// A change as a pass sees it.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) low_rank: &'a LowRank,
    /// Of what goes into the change.
    pub(crate) dropout: Option<DropoutPlace>,
}

/// What happens to the gradient with respect to a layer's input.
pub(crate) enum Wanted {
    /// It is not computed.
    Nothing,
    Alone,
    AddedTo(Tensor),
}

impl Linear {
    pub(crate) fn new(weight: Weight, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    pub(crate) fn weight(&self) -> &Weight {
        &self.weight
    }

    /// `x` is `[tokens, inputs]`; the result is `[tokens, outputs]`, added to `onto` where it is
    /// given.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        change: Option<Change<'_>>,
        onto: Option<&Tensor>,
        sums: Sums,
    ) -> Result<Tensor> {
        if let Some(gpu) = Gpu::of(x) {
            return gpu::forward(&gpu, self, x, change, onto);
        }
        let shape = (x.dim(0)?, self.weight.dims().0);
        in_real!(x, T => tensor(cpu::forward::<T>(self, x, change, onto, sums)?, shape))
    }

    /// The gradient with respect to `x`, as it is wanted, and the gradients of the change.
    ///
    /// The weight is frozen: it has no gradient, which saves a product and a weight's worth of
    /// memory.
    pub(crate) fn backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        change: Option<Change<'_>>,
        wanted: Wanted,
    ) -> Result<(Option<Tensor>, Option<LowRankGradient>)> {
        if let Some(gpu) = Gpu::of(x) {
            return gpu::backward(&gpu, self, x, dy, change, wanted);
        }
        in_real!(x, T => cpu::backward::<T>(self, x, dy, change, wanted))
    }

    /// The layer with its weight multiplied in bf16, from copies in the unit's orders.
    pub(crate) fn packed(&self, unit: Bf16Unit) -> Result<Self> {
        Ok(Self { weight: self.weight.packed(unit)?, bias: self.bias.clone() })
    }

    /// The layer with the change folded into its weight, which is in f32 then, unless it is in
    /// bf16 on a GPU and stays so.
    pub(crate) fn folded(&self, change: &LowRank) -> Result<Self> {
        let change = (change.b.matmul(&change.a)? * change.scale)?;
        let mut weight = (self.weight.wide()? + change)?;
        if Gpu::of(&weight).is_some() {
            weight = weight.to_dtype(self.weight.plain()?.dtype())?;
        }
        Ok(Self { weight: Weight::new(weight)?, bias: self.bias.clone() })
    }
}

impl Change<'_> {
    /// What goes into the change.
    fn dropped(&self, x: &Tensor) -> Result<Tensor> {
        self.dropout.map_or_else(|| Ok(x.clone()), |dropout| dropout.apply(x))
    }
}

#[cfg(test)]
mod tests {
    use bake_spec::model::config::Projection;
    use candle_core::DType;

    use super::*;
    use crate::model::dropout::Dropout;
    use crate::tensor::gradient_check::{check, noise};
    use crate::tensor::weight::tests::narrow_weights;

    fn layer() -> Linear {
        Linear::new(Weight::new(noise(&[6, 5], 1)).unwrap(), Some(noise(&[6], 2)))
    }

    #[test]
    fn gradients_are_the_slopes() {
        let backward = |x: &[Tensor], dy: &Tensor| {
            Ok(vec![layer().backward(&x[0], dy, None, Wanted::Alone)?.0.unwrap()])
        };
        check(
            &[noise(&[4, 5], 3)],
            |x| layer().forward(&x[0], None, None, Sums::Fastest),
            backward,
        );
        let inputs = [noise(&[4, 5], 3), noise(&[2, 5], 4), noise(&[6, 2], 5)];
        let dropout = Dropout::new(0.4, [1, 2]).at(3, Projection::Gate);
        for dropout in [None, Some(dropout)] {
            let with = |x: &[Tensor], f: &dyn Fn(Change<'_>) -> Result<Vec<Tensor>>| {
                f(Change {
                    low_rank: &LowRank { a: x[1].clone(), b: x[2].clone(), scale: 0.3 },
                    dropout,
                })
            };
            let forward = |x: &[Tensor]| {
                with(x, &|change| {
                    Ok(vec![layer().forward(&x[0], Some(change), None, Sums::Fastest)?])
                })
                .map(|mut y| y.remove(0))
            };
            check(&inputs, forward, |x, dy| {
                with(x, &|change| {
                    let (dx, gradient) =
                        layer().backward(&x[0], dy, Some(change), Wanted::Alone)?;
                    let LowRankGradient { a, b } = gradient.unwrap();
                    Ok(vec![dx.unwrap(), a, b])
                })
            });
        }
    }

    #[test]
    fn gradients_through_weights_of_every_type_are_the_slopes() {
        for weight in narrow_weights([3, 256], 1) {
            let layer = Linear::new(weight, None);
            check(
                &[noise(&[2, 256], 3)],
                |x| layer.forward(&x[0], None, None, Sums::Fastest),
                |x, dy| Ok(vec![layer.backward(&x[0], dy, None, Wanted::Alone)?.0.unwrap()]),
            );
        }
    }

    #[test]
    fn a_change_folded_into_a_weight_of_any_type_is_kept() {
        let of = |shape: &[usize], seed| noise(shape, seed).to_dtype(DType::F32).unwrap();
        let low_rank = LowRank { a: of(&[2, 256], 4), b: of(&[3, 2], 5), scale: 1e-4 };
        for weight in narrow_weights([3, 256], 1) {
            let base = weight.wide().unwrap();
            let folded = Linear::new(weight, None).folded(&low_rank).unwrap();
            assert!(folded.weight().is_f32());
            let change = (folded.weight().wide().unwrap() - base).unwrap();
            let want = (low_rank.b.matmul(&low_rank.a).unwrap() * low_rank.scale).unwrap();
            let to_f64 = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
            assert!(largest_difference(&to_f64(&change), &to_f64(&want)) < 1e-6);
        }
    }

    #[test]
    fn results_are_added_to_what_is_given() {
        let (x, dy, before) = (noise(&[4, 5], 3), noise(&[4, 6], 4), noise(&[4, 6], 5));
        let sum = layer().forward(&x, None, Some(&before), Sums::Fastest).unwrap();
        let want = (layer().forward(&x, None, None, Sums::Fastest).unwrap() + before).unwrap();
        let gradient = |wanted| layer().backward(&x, &dy, None, wanted).unwrap().0;
        let (dx, want_dx) = (
            gradient(Wanted::AddedTo(x.clone())).unwrap(),
            (gradient(Wanted::Alone).unwrap() + &x).unwrap(),
        );
        for (got, want) in [(sum, want), (dx, want_dx)] {
            assert!(largest_difference(&got, &want) < 1e-14);
        }
        assert!(gradient(Wanted::Nothing).is_none());
    }

    #[test]
    fn a_folded_layer_computes_what_the_view_does() {
        let low_rank = LowRank { a: noise(&[2, 5], 4), b: noise(&[6, 2], 5), scale: 1.7 };
        let x = noise(&[9, 5], 3);
        let viewed = layer()
            .forward(&x, Some(Change { low_rank: &low_rank, dropout: None }), None, Sums::Fastest)
            .unwrap();
        let folded =
            layer().folded(&low_rank).unwrap().forward(&x, None, None, Sums::Fastest).unwrap();
        assert!(largest_difference(&viewed, &folded) < 1e-14);
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }
}
