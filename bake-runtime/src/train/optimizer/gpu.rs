//! Muon on a GPU, where starting a product takes longer than the product: all factors of one shape
//! move together, as a stack of matrices.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::{LEAST_SQUARE, Move, POLYNOMIAL, TIMES, ahead, step_size};

/// Moves each factor as [`super::Muon::step`] says.
pub(super) fn step(moves: &[Move<'_>], lr: f64, weight_decay: f64) -> Result<()> {
    let mut shapes = BTreeMap::<_, Vec<&Move<'_>>>::new();
    for one in moves {
        shapes.entry(one.x.dims2()?).or_default().push(one);
    }
    for (shape, group) in shapes {
        let stacked = |of: fn(&Move<'_>) -> Tensor| {
            Tensor::stack(&group.iter().map(|one| of(one)).collect::<Vec<_>>(), 0)
        };
        let x = stacked(|one| one.x.clone())?;
        let gradient = stacked(|one| one.gradient.clone())?;
        let moment = ahead(&stacked(|one| one.moment.clone())?, &gradient)?;
        let direction = orthogonal(&ahead(&moment, &gradient)?)?;
        let x = ((x * (1.0 - lr * weight_decay))? - (direction * step_size(shape, lr))?)?;
        for (i, one) in group.iter().enumerate() {
            one.moment.slice_set(&moment.get(i)?, 0, 0)?;
            one.x.slice_set(&x.get(i)?, 0, 0)?;
        }
    }
    Ok(())
}

/// What [`super::orthogonal`] makes of each matrix of `[matrices, rows, columns]`.
fn orthogonal(x: &Tensor) -> Result<Tensor> {
    let (_, rows, columns) = x.dims3()?;
    let (is_wide, turned) = (rows <= columns, x.transpose(1, 2)?);
    let gram = if is_wide { x.matmul(&turned)? } else { turned.matmul(x)? };
    let one = Tensor::eye(rows.min(columns), x.dtype(), x.device())?;
    // The trace is the square of the matrix's length.
    let square = (gram.broadcast_mul(&one)?.sum_keepdim((1, 2))? + LEAST_SQUARE)?;
    let mut gram = gram.broadcast_div(&square)?;
    let [a, b, c] = POLYNOMIAL;
    let mut all = one.broadcast_as(gram.shape())?.contiguous()?;
    for _ in 0..TIMES {
        let square = (gram.matmul(&gram)? * c)?;
        let factor = ((&gram * b)? + square)?.broadcast_add(&(&one * a)?)?;
        all = factor.matmul(&all)?;
        gram = factor.matmul(&gram)?.matmul(&factor)?;
    }
    let x = if is_wide { all.matmul(x)? } else { x.matmul(&all)? };
    x.broadcast_div(&square.sqrt()?)
}
