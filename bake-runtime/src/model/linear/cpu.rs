//! Linear layers on the processor: products of slices.

use candle_core::{Result, Tensor};

use crate::adapter::{LowRank, LowRankGradient};
use crate::model::dropout;
use crate::model::linear::{Change, Linear, Sums, Wanted};
use crate::tensor::elementary::Real;
use crate::tensor::matrix::{Matrix, Threads, multiply, times};
use crate::tensor::slices::{tensor, with_slice, with_slices};

/// See [`Linear::forward`].
pub(super) fn forward<T: Real>(
    layer: &Linear,
    x: &Tensor,
    change: Option<Change<'_>>,
    onto: Option<&Tensor>,
    sums: Sums,
) -> Result<Vec<T>> {
    let ((rows, inputs), outputs) = (x.dims2()?, layer.weight.dims().0);
    let mut y = match onto {
        Some(onto) => with_slice(onto, <[T]>::to_vec)?,
        None => vec![T::zero(); rows * outputs],
    };
    if let Some(bias) = &layer.bias {
        with_slice(bias, |bias: &[T]| {
            y.chunks_exact_mut(outputs)
                .for_each(|row| row.iter_mut().zip(bias).for_each(|(y, &b)| *y += b));
        })?;
    }
    let add = onto.is_some() || layer.bias.is_some();
    with_slice(x, |x: &[T]| {
        layer.weight.forward(sums, &mut y, add, Matrix::new(x, rows, inputs))
    })??;
    if let Some(change) = change {
        let LowRank { a, b, scale } = change.low_rank;
        let x = change.dropped(x)?;
        with_slices([&x, a, b], |[x, a, b]| {
            let low = low::<T>(sums, Matrix::new(x, rows, inputs), a);
            let rank = a.len() / inputs;
            let (low, b) = (Matrix::new(&low, rows, rank), Matrix::new(b, outputs, rank));
            times(sums, &mut y, true, low, b, T::real(*scale));
        })?;
    }
    Ok(y)
}

/// See [`Linear::backward`].
pub(super) fn backward<T: Real>(
    layer: &Linear,
    x: &Tensor,
    dy: &Tensor,
    change: Option<Change<'_>>,
    wanted: Wanted,
) -> Result<(Option<Tensor>, Option<LowRankGradient>)> {
    let changed = change.map(|change| learned::<T>(change, x, dy)).transpose()?;
    let (g, gradient) = changed.unzip();
    let onto = match wanted {
        Wanted::Nothing => return Ok((None, gradient)),
        Wanted::Alone => None,
        Wanted::AddedTo(sum) => Some(sum),
    };
    let dx = input_gradient::<T>(layer, dy, change.zip(g), onto)?;
    Ok((Some(tensor(dx, x.shape())?), gradient))
}

/// `dy W + (g A) ∘ dropout`, added to `onto`; `g = scale · dy B` comes with its change.
fn input_gradient<T: Real>(
    layer: &Linear,
    dy: &Tensor,
    change: Option<(Change<'_>, Vec<T>)>,
    onto: Option<Tensor>,
) -> Result<Vec<T>> {
    let (rows, (outputs, inputs)) = (dy.dim(0)?, layer.weight.dims());
    let add = onto.is_some();
    let mut dx = match onto {
        Some(onto) => with_slice(&onto, <[T]>::to_vec)?,
        None => vec![T::zero(); rows * inputs],
    };
    with_slice(dy, |dy: &[T]| {
        layer.weight.backward(&mut dx, add, Matrix::new(dy, rows, outputs))
    })??;
    let Some((Change { low_rank, dropout }, g)) = change else { return Ok(dx) };
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
    match dropout {
        None => product(&mut dx, true)?,
        Some(dropout) => {
            let mut through = vec![T::zero(); rows * inputs];
            product(&mut through, false)?;
            dropout::through(&dropout, &mut through);
            dx.iter_mut().zip(&through).for_each(|(dx, &through)| *dx += through);
        }
    }
    Ok(dx)
}

/// With `x̂ = x ∘ dropout`, `l = x̂ Aᵀ` and `g = scale · dy B`:
/// `dA = gᵀ x̂` and `dB = scale · dyᵀ l`. Returns g too.
fn learned<T: Real>(
    change: Change<'_>,
    x: &Tensor,
    dy: &Tensor,
) -> Result<(Vec<T>, LowRankGradient)> {
    let LowRank { a, b, scale } = change.low_rank;
    let ((rows, inputs), (outputs, rank)) = (x.dims2()?, b.dims2()?);
    let scale = T::real(*scale);
    let (mut g, mut da, mut db) = (
        vec![T::zero(); rows * rank],
        vec![T::zero(); rank * inputs],
        vec![T::zero(); outputs * rank],
    );
    with_slices([&change.dropped(x)?, dy, a, b], |[x, dy, a, b]| {
        let (x, dy) = (Matrix::new(x, rows, inputs), Matrix::new(dy, rows, outputs));
        multiply(&mut g, false, dy, Matrix::new(b, outputs, rank), scale, Threads::All);
        multiply(&mut da, false, Matrix::new(&g, rows, rank).t(), x, T::one(), Threads::All);
        let low = low(Sums::Fastest, x, a);
        multiply(&mut db, false, dy.t(), Matrix::new(&low, rows, rank), scale, Threads::All);
    })?;
    Ok((g, LowRankGradient { a: tensor(da, a.shape())?, b: tensor(db, b.shape())? }))
}

/// `x Aᵀ`, `[tokens, rank]`.
fn low<T: Real>(sums: Sums, x: Matrix<'_, T>, a: &[T]) -> Vec<T> {
    let (rows, inputs) = (x.rows(), x.cols());
    let rank = a.len() / inputs;
    let mut low = vec![T::zero(); rows * rank];
    times(sums, &mut low, false, x, Matrix::new(a, rank, inputs), T::one());
    low
}
