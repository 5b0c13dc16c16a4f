//! Linear layers: frozen weights, and low-rank changes as a view on them (Hu et al. 2021, arXiv
//! 2106.09685).

use candle_core::{Result, Tensor};

use crate::device::gpu::Gpu;
use crate::model::gpu::{Side, product};
use crate::tensor::elementary::Real;
use crate::tensor::matrix::{Matrix, Threads, multiply};
use crate::tensor::slices::{in_real, tensor, with_slice, with_slices};

/// `y = x Wᵀ + bias`, with a frozen weight `[outputs, inputs]`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// A change of a linear layer's weight: `W + scale · B A`.
#[derive(Clone, Debug)]
pub(crate) struct LowRank {
    /// `[rank, inputs]`.
    pub(crate) a: Tensor,
    /// `[outputs, rank]`.
    pub(crate) b: Tensor,
    /// `alpha / rank`, or `alpha / √rank` for a rank-stabilised adapter.
    pub(crate) scale: f64,
}

/// A change as a pass sees it.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) low_rank: &'a LowRank,
    /// Multiplies what goes into the change, `[tokens, inputs]`: dropout.
    pub(crate) mask: Option<&'a Tensor>,
}

/// The gradients of a [`LowRank`].
#[derive(Clone, Debug)]
pub(crate) struct LowRankGradient {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
}

/// What becomes of the gradient with respect to a layer's input.
pub(crate) enum Wanted {
    /// It is not computed.
    Nothing,
    Alone,
    AddedTo(Tensor),
}

impl Linear {
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `x` is `[tokens, inputs]`; the result is `[tokens, outputs]`, added to `onto` where it is
    /// given.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        change: Option<Change<'_>>,
        onto: Option<&Tensor>,
    ) -> Result<Tensor> {
        if let Some(gpu) = Gpu::of(x) {
            return self.forward_on(&gpu, x, change, onto);
        }
        let shape = (x.dim(0)?, self.weight.dim(0)?);
        in_real!(x, T => tensor(self.rows::<T>(x, change, onto)?, shape))
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
            return self.backward_on(&gpu, x, dy, change, wanted);
        }
        in_real!(x, T => {
            let (g, gradient) = match change {
                Some(change) => change.backward::<T>(x, dy).map(|(g, gradient)| (Some(g), Some(gradient)))?,
                None => (None, None),
            };
            let onto = match wanted {
                Wanted::Nothing => return Ok((None, gradient)),
                Wanted::Alone => None,
                Wanted::AddedTo(sum) => Some(sum),
            };
            let dx = self.input_gradient::<T>(dy, change.zip(g), onto)?;
            Ok((Some(tensor(dx, x.shape())?), gradient))
        })
    }

    /// The layer with the change folded into its weight, so that it costs what it cost before.
    pub(crate) fn folded(&self, change: &LowRank) -> Result<Self> {
        let change = (change.b.matmul(&change.a)? * change.scale)?;
        let weight =
            (self.weight.to_dtype(change.dtype())? + change)?.to_dtype(self.weight.dtype())?;
        Ok(Self { weight, bias: self.bias.clone() })
    }

    /// [`forward`](Self::forward) on a GPU.
    fn forward_on(
        &self,
        gpu: &Gpu,
        x: &Tensor,
        change: Option<Change<'_>>,
        onto: Option<&Tensor>,
    ) -> Result<Tensor> {
        let mut y = product(
            gpu,
            Side::plain(x),
            Side::transposed(&self.weight),
            1.0,
            onto.map(Tensor::copy).transpose()?,
        )?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(bias)?;
        }
        let Some(change) = change else { return Ok(y) };
        let LowRank { a, b, scale } = change.low_rank;
        let low = product(gpu, Side::plain(&change.masked(x)?), Side::transposed(a), 1.0, None)?;
        product(gpu, Side::plain(&low), Side::transposed(b), *scale, Some(y))
    }

    /// [`backward`](Self::backward) on a GPU.
    fn backward_on(
        &self,
        gpu: &Gpu,
        x: &Tensor,
        dy: &Tensor,
        change: Option<Change<'_>>,
        wanted: Wanted,
    ) -> Result<(Option<Tensor>, Option<LowRankGradient>)> {
        let learned = change.map(|change| change.backward_on(gpu, x, dy)).transpose()?;
        let (g, gradient) = learned.unzip();
        let onto = match wanted {
            Wanted::Nothing => return Ok((None, gradient)),
            Wanted::Alone => None,
            Wanted::AddedTo(sum) => Some(sum.copy()?),
        };
        let dx = product(gpu, Side::plain(dy), Side::plain(&self.weight), 1.0, onto)?;
        let dx = match change.zip(g.as_ref()) {
            None => dx,
            Some((Change { low_rank, mask: None }, g)) => {
                product(gpu, Side::plain(g), Side::plain(&low_rank.a), 1.0, Some(dx))?
            }
            Some((Change { low_rank, mask: Some(mask) }, g)) => {
                (dx + (product(gpu, Side::plain(g), Side::plain(&low_rank.a), 1.0, None)? * mask)?)?
            }
        };
        Ok((Some(dx), gradient))
    }

    fn rows<T: Real>(
        &self,
        x: &Tensor,
        change: Option<Change<'_>>,
        onto: Option<&Tensor>,
    ) -> Result<Vec<T>> {
        let ((rows, inputs), outputs) = (x.dims2()?, self.weight.dim(0)?);
        let mut y = match onto {
            Some(onto) => with_slice(onto, <[T]>::to_vec)?,
            None => vec![T::zero(); rows * outputs],
        };
        if let Some(bias) = &self.bias {
            with_slice(bias, |bias: &[T]| {
                y.chunks_exact_mut(outputs)
                    .for_each(|row| row.iter_mut().zip(bias).for_each(|(y, &b)| *y += b));
            })?;
        }
        let add = onto.is_some() || self.bias.is_some();
        with_slices([x, &self.weight], |[x, weight]| {
            let weight = Matrix::new(weight, outputs, inputs);
            multiply(&mut y, add, Matrix::new(x, rows, inputs), weight.t(), T::one(), Threads::All);
        })?;
        if let Some(change) = change {
            let LowRank { a, b, scale } = change.low_rank;
            let x = change.masked(x)?;
            with_slices([&x, a, b], |[x, a, b]| {
                let low = low::<T>(Matrix::new(x, rows, inputs), a);
                let rank = a.len() / inputs;
                let (low, b) = (Matrix::new(&low, rows, rank), Matrix::new(b, outputs, rank));
                multiply(&mut y, true, low, b.t(), T::real(*scale), Threads::All);
            })?;
        }
        Ok(y)
    }

    /// `dy W + (g A) ∘ mask`, added to `onto`; `g = scale · dy B` comes with its change.
    fn input_gradient<T: Real>(
        &self,
        dy: &Tensor,
        change: Option<(Change<'_>, Vec<T>)>,
        onto: Option<Tensor>,
    ) -> Result<Vec<T>> {
        let (rows, (outputs, inputs)) = (dy.dim(0)?, self.weight.dims2()?);
        let add = onto.is_some();
        let mut dx = match onto {
            Some(onto) => with_slice(&onto, <[T]>::to_vec)?,
            None => vec![T::zero(); rows * inputs],
        };
        with_slices([dy, &self.weight], |[dy, weight]| {
            let weight = Matrix::new(weight, outputs, inputs);
            multiply(&mut dx, add, Matrix::new(dy, rows, outputs), weight, T::one(), Threads::All);
        })?;
        let Some((Change { low_rank, mask }, g)) = change else { return Ok(dx) };
        let rank = low_rank.a.dim(0)?;
        let product = |out: &mut [T], add: bool| {
            with_slice(&low_rank.a, |a| {
                multiply(
                    out,
                    add,
                    Matrix::new(&g, rows, rank),
                    Matrix::new(a, rank, inputs),
                    T::one(),
                    Threads::All,
                );
            })
        };
        match mask {
            None => product(&mut dx, true)?,
            Some(mask) => {
                let mut through = vec![T::zero(); rows * inputs];
                product(&mut through, false)?;
                with_slice(mask, |mask: &[T]| {
                    dx.iter_mut().zip(&through).zip(mask).for_each(|((dx, &t), &m)| *dx += t * m)
                })?;
            }
        }
        Ok(dx)
    }
}

impl Change<'_> {
    /// With `x̂ = x ∘ mask`, `l = x̂ Aᵀ` and `g = scale · dy B`: `dA = gᵀ x̂` and `dB = scale · dyᵀ
    /// l`. Returns g too.
    fn backward<T: Real>(&self, x: &Tensor, dy: &Tensor) -> Result<(Vec<T>, LowRankGradient)> {
        let LowRank { a, b, scale } = self.low_rank;
        let ((rows, inputs), (outputs, rank)) = (x.dims2()?, b.dims2()?);
        let scale = T::real(*scale);
        let (mut g, mut da, mut db) = (
            vec![T::zero(); rows * rank],
            vec![T::zero(); rank * inputs],
            vec![T::zero(); outputs * rank],
        );
        with_slices([&self.masked(x)?, dy, a, b], |[x, dy, a, b]| {
            let (x, dy) = (Matrix::new(x, rows, inputs), Matrix::new(dy, rows, outputs));
            multiply(&mut g, false, dy, Matrix::new(b, outputs, rank), scale, Threads::All);
            multiply(&mut da, false, Matrix::new(&g, rows, rank).t(), x, T::one(), Threads::All);
            let low = low(x, a);
            multiply(&mut db, false, dy.t(), Matrix::new(&low, rows, rank), scale, Threads::All);
        })?;
        Ok((g, LowRankGradient { a: tensor(da, a.shape())?, b: tensor(db, b.shape())? }))
    }

    /// [`backward`](Self::backward) on a GPU.
    fn backward_on(&self, gpu: &Gpu, x: &Tensor, dy: &Tensor) -> Result<(Tensor, LowRankGradient)> {
        let LowRank { a, b, scale } = self.low_rank;
        let x = self.masked(x)?;
        let g = product(gpu, Side::plain(dy), Side::plain(b), *scale, None)?;
        let low = product(gpu, Side::plain(&x), Side::transposed(a), 1.0, None)?;
        let gradient = LowRankGradient {
            a: product(gpu, Side::transposed(&g), Side::plain(&x), 1.0, None)?,
            b: product(gpu, Side::transposed(dy), Side::plain(&low), *scale, None)?,
        };
        Ok((g, gradient))
    }

    /// `x ∘ mask`.
    fn masked(&self, x: &Tensor) -> Result<Tensor> {
        self.mask.map_or_else(|| Ok(x.clone()), |mask| x * mask)
    }
}

/// `x Aᵀ`, `[tokens, rank]`.
fn low<T: Real>(x: Matrix<'_, T>, a: &[T]) -> Vec<T> {
    let (rows, inputs) = (x.rows(), x.cols());
    let rank = a.len() / inputs;
    let mut low = vec![T::zero(); rows * rank];
    multiply(&mut low, false, x, Matrix::new(a, rank, inputs).t(), T::one(), Threads::All);
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::gradient_check::{check, noise};

    fn layer() -> Linear {
        Linear::new(noise(&[6, 5], 1), Some(noise(&[6], 2)))
    }

    #[test]
    fn gradients_are_the_slopes() {
        let backward = |x: &[Tensor], dy: &Tensor| {
            Ok(vec![layer().backward(&x[0], dy, None, Wanted::Alone)?.0.unwrap()])
        };
        check(&[noise(&[4, 5], 3)], |x| layer().forward(&x[0], None, None), backward);
        let inputs = [noise(&[4, 5], 3), noise(&[2, 5], 4), noise(&[6, 2], 5)];
        let mask = tensor((0..20).map(|i| f64::from(i % 3) * 0.7).collect(), (4, 5)).unwrap();
        for mask in [None, Some(&mask)] {
            let with = |x: &[Tensor], f: &dyn Fn(Change<'_>) -> Result<Vec<Tensor>>| {
                f(Change {
                    low_rank: &LowRank { a: x[1].clone(), b: x[2].clone(), scale: 0.3 },
                    mask,
                })
            };
            let forward = |x: &[Tensor]| {
                with(x, &|change| Ok(vec![layer().forward(&x[0], Some(change), None)?]))
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
    fn results_are_added_to_what_is_given() {
        let (x, dy, before) = (noise(&[4, 5], 3), noise(&[4, 6], 4), noise(&[4, 6], 5));
        let sum = layer().forward(&x, None, Some(&before)).unwrap();
        let want = (layer().forward(&x, None, None).unwrap() + before).unwrap();
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
        let viewed =
            layer().forward(&x, Some(Change { low_rank: &low_rank, mask: None }), None).unwrap();
        let folded = layer().folded(&low_rank).unwrap().forward(&x, None, None).unwrap();
        assert!(largest_difference(&viewed, &folded) < 1e-14);
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }
}
