//! Linear layers: frozen weights, and low-rank changes as a view on them (Hu et al. 2021, arXiv 2106.09685).

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use crate::elementary::Real;
use crate::matrix::{Matrix, Threads, multiply};
use crate::model::kernel::{Kernel, View, apply1, apply3, with_slice};

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

impl Linear {
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `x` is `[tokens, inputs]`; the result is `[tokens, outputs]`.
    ///
    /// `mask`, of the shape of `x`, multiplies what goes into the low-rank change: dropout.
    pub(crate) fn forward(&self, x: &Tensor, change: Option<&LowRank>, mask: Option<Tensor>) -> Result<Tensor> {
        match change {
            None => apply1(Frozen(self.clone()), x),
            Some(LowRank { a, b, scale }) => apply3(Adapted { linear: self.clone(), scale: *scale, mask }, x, a, b),
        }
    }

    /// The layer with the change folded into its weight, so that it costs what it cost before.
    pub(crate) fn folded(&self, change: &LowRank) -> Result<Self> {
        let change = (change.b.matmul(&change.a)? * change.scale)?;
        Ok(Self { weight: (&self.weight + change)?, bias: self.bias.clone() })
    }

    fn product<T: Real>(&self, x: View<'_, T>) -> Result<Vec<T>> {
        let (rows, inputs) = x.rows();
        let outputs = self.weight.dim(0)?;
        let mut y = vec![T::zero(); rows * outputs];
        if let Some(bias) = &self.bias {
            with_slice(bias, |bias: &[T]| y.par_chunks_mut(outputs).for_each(|row| row.copy_from_slice(bias)))?;
        }
        with_slice(&self.weight, |weight| {
            let weight = Matrix::new(weight, outputs, inputs);
            multiply(&mut y, self.bias.is_some(), Matrix::new(x.data, rows, inputs), weight.t(), T::one(), Threads::All);
        })?;
        Ok(y)
    }

    /// `dx = dy W`. The weight is frozen: it has no gradient, which saves a product and a weight's worth of memory.
    fn product_backward<T: Real>(&self, rows: usize, dy: &[T]) -> Result<Vec<T>> {
        let (outputs, inputs) = self.weight.dims2()?;
        let mut dx = vec![T::zero(); rows * inputs];
        with_slice(&self.weight, |weight| {
            multiply(&mut dx, false, Matrix::new(dy, rows, outputs), Matrix::new(weight, outputs, inputs), T::one(), Threads::All);
        })?;
        Ok(dx)
    }
}

struct Frozen(Linear);

impl Kernel<1> for Frozen {
    const NAME: &'static str = "frozen-linear";

    fn forward<T: Real>(&self, [x]: [View<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let y = self.0.product(x)?;
        Ok((y, Shape::from((x.rows().0, self.0.weight.dim(0)?))))
    }

    fn backward<T: Real>(&self, [x]: [View<'_, T>; 1], dy: &[T], _wanted: [bool; 1]) -> Result<[Option<Vec<T>>; 1]> {
        Ok([Some(self.0.product_backward(x.rows().0, dy)?)])
    }
}

/// `y = x Wᵀ + bias + scale · (x ∘ mask) Aᵀ Bᵀ`, of x, A and B.
struct Adapted {
    linear: Linear,
    scale: f64,
    mask: Option<Tensor>,
}

impl Adapted {
    /// `x ∘ mask`.
    fn masked<T: Real>(&self, x: &[T]) -> Result<Option<Vec<T>>> {
        let Some(mask) = &self.mask else { return Ok(None) };
        with_slice(mask, |mask: &[T]| Some(x.iter().zip(mask).map(|(&x, &m)| x * m).collect()))
    }
}

impl Kernel<3> for Adapted {
    const NAME: &'static str = "adapted-linear";

    fn forward<T: Real>(&self, [x, a, b]: [View<'_, T>; 3]) -> Result<(Vec<T>, Shape)> {
        let ((rows, inputs), (outputs, rank)) = (x.rows(), b.rows());
        let mut y = self.linear.product(x)?;
        let masked = self.masked(x.data)?;
        let x = Matrix::new(masked.as_deref().unwrap_or(x.data), rows, inputs);
        let mut low = vec![T::zero(); rows * rank];
        multiply(&mut low, false, x, Matrix::new(a.data, rank, inputs).t(), T::one(), Threads::All);
        let (low, b) = (Matrix::new(&low, rows, rank), Matrix::new(b.data, outputs, rank));
        multiply(&mut y, true, low, b.t(), T::real(self.scale), Threads::All);
        Ok((y, Shape::from((rows, outputs))))
    }

    /// With `x̂ = x ∘ mask`, `l = x̂ Aᵀ` and `g = scale · dy B`: `dx = dy W + (g A) ∘ mask`, `dA = gᵀ x̂`, `dB = scale · dyᵀ l`.
    fn backward<T: Real>(&self, [x, a, b]: [View<'_, T>; 3], dy: &[T], wanted: [bool; 3]) -> Result<[Option<Vec<T>>; 3]> {
        let ((rows, inputs), (outputs, rank)) = (x.rows(), b.rows());
        let scale = T::real(self.scale);
        let masked = self.masked(x.data)?;
        let x = Matrix::new(masked.as_deref().unwrap_or(x.data), rows, inputs);
        let (a, b) = (Matrix::new(a.data, rank, inputs), Matrix::new(b.data, outputs, rank));
        let dy_matrix = Matrix::new(dy, rows, outputs);
        let mut g = vec![T::zero(); rows * rank];
        multiply(&mut g, false, dy_matrix, b, scale, Threads::All);
        let g = Matrix::new(&g, rows, rank);
        let dx = match wanted[0] {
            false => None,
            true => {
                let mut dx = self.linear.product_backward(rows, dy)?;
                if self.mask.is_some() {
                    let mut through = vec![T::zero(); rows * inputs];
                    multiply(&mut through, false, g, a, T::one(), Threads::All);
                    let through = self.masked(&through)?.expect("there is a mask");
                    dx.iter_mut().zip(through).for_each(|(dx, t)| *dx += t);
                } else {
                    multiply(&mut dx, true, g, a, T::one(), Threads::All);
                }
                Some(dx)
            }
        };
        let mut da = vec![T::zero(); rank * inputs];
        multiply(&mut da, false, g.t(), x, T::one(), Threads::All);
        let mut low = vec![T::zero(); rows * rank];
        multiply(&mut low, false, x, a.t(), T::one(), Threads::All);
        let mut db = vec![T::zero(); outputs * rank];
        multiply(&mut db, false, dy_matrix.t(), Matrix::new(&low, rows, rank), scale, Threads::All);
        Ok([dx, Some(da), Some(db)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kernel::gradient_check::{check, noise};

    fn layer() -> Linear {
        Linear::new(noise(&[6, 5], 1), Some(noise(&[6], 2)))
    }

    #[test]
    fn gradients_are_the_slopes() {
        check(&[noise(&[4, 5], 3)], |x| layer().forward(&x[0], None, None));
        let inputs = [noise(&[4, 5], 3), noise(&[2, 5], 4), noise(&[6, 2], 5)];
        let mask = Tensor::from_vec((0..20).map(|i| f64::from(i % 3) * 0.7).collect(), (4, 5), &candle_core::Device::Cpu).unwrap();
        for mask in [None, Some(mask)] {
            check(&inputs, |x| layer().forward(&x[0], Some(&LowRank { a: x[1].clone(), b: x[2].clone(), scale: 0.3 }), mask.clone()));
        }
    }

    #[test]
    fn a_folded_layer_computes_what_the_view_does() {
        let change = LowRank { a: noise(&[2, 5], 4), b: noise(&[6, 2], 5), scale: 1.7 };
        let x = noise(&[9, 5], 3);
        let viewed = layer().forward(&x, Some(&change), None).unwrap();
        let folded = layer().folded(&change).unwrap().forward(&x, None, None).unwrap();
        let difference = (viewed - folded).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(difference < 1e-14, "{difference}");
    }

    #[test]
    fn the_frozen_weight_gets_no_gradient() {
        let weight = candle_core::Var::from_tensor(&noise(&[6, 5], 1)).unwrap();
        let x = candle_core::Var::from_tensor(&noise(&[4, 5], 3)).unwrap();
        let gradients = Linear::new(weight.as_tensor().clone(), None).forward(&x, None, None).unwrap().backward().unwrap();
        assert!(gradients.get(&x).is_some() && gradients.get(&weight).is_none());
    }
}
