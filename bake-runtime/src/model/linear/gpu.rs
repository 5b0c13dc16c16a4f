//! Linear layers on a GPU: products in f32, with a factor that may be in 16 bits.

use candle_core::{DType, Result, Tensor};

use crate::adapter::{LowRank, LowRankGradient};
use crate::device::gpu::{Factor, Gpu, MatrixProduct, address, expect_f32, unwritten};
use crate::model::linear::{Change, Linear, Wanted};

/// See [`Linear::forward`].
pub(super) fn forward(
    gpu: &Gpu,
    layer: &Linear,
    x: &Tensor,
    change: Option<Change<'_>>,
    onto: Option<&Tensor>,
) -> Result<Tensor> {
    let mut y = product(
        gpu,
        Side::plain(x),
        Side::transposed(layer.weight.plain()?),
        1.0,
        onto.map(Tensor::copy).transpose()?,
    )?;
    if let Some(bias) = &layer.bias {
        y = y.broadcast_add(bias)?;
    }
    let Some(change) = change else { return Ok(y) };
    let LowRank { a, b, scale } = change.low_rank;
    let low = product(gpu, Side::plain(&change.dropped(x)?), Side::transposed(a), 1.0, None)?;
    product(gpu, Side::plain(&low), Side::transposed(b), *scale, Some(y))
}

/// See [`Linear::backward`].
pub(super) fn backward(
    gpu: &Gpu,
    layer: &Linear,
    x: &Tensor,
    dy: &Tensor,
    change: Option<Change<'_>>,
    wanted: Wanted,
) -> Result<(Option<Tensor>, Option<LowRankGradient>)> {
    let changed = change.map(|change| learned(gpu, change, x, dy)).transpose()?;
    let (g, gradient) = changed.unzip();
    let onto = match wanted {
        Wanted::Nothing => return Ok((None, gradient)),
        Wanted::Alone => None,
        Wanted::AddedTo(sum) => Some(sum.copy()?),
    };
    let dx = product(gpu, Side::plain(dy), Side::plain(layer.weight.plain()?), 1.0, onto)?;
    let dx = match change.zip(g.as_ref()) {
        None => dx,
        Some((Change { low_rank, dropout: None }, g)) => {
            product(gpu, Side::plain(g), Side::plain(&low_rank.a), 1.0, Some(dx))?
        }
        Some((Change { low_rank, dropout: Some(dropout) }, g)) => {
            let through = product(gpu, Side::plain(g), Side::plain(&low_rank.a), 1.0, None)?;
            (dx + dropout.apply(&through)?)?
        }
    };
    Ok((Some(dx), gradient))
}

/// g and the gradients of the change, as on the processor.
fn learned(
    gpu: &Gpu,
    change: Change<'_>,
    x: &Tensor,
    dy: &Tensor,
) -> Result<(Tensor, LowRankGradient)> {
    let LowRank { a, b, scale } = change.low_rank;
    let x = change.dropped(x)?;
    let g = product(gpu, Side::plain(dy), Side::plain(b), *scale, None)?;
    let low = product(gpu, Side::plain(&x), Side::transposed(a), 1.0, None)?;
    let gradient = LowRankGradient {
        a: product(gpu, Side::transposed(&g), Side::plain(&x), 1.0, None)?,
        b: product(gpu, Side::transposed(dy), Side::plain(&low), *scale, None)?,
    };
    Ok((g, gradient))
}

/// A matrix that may be transposed.
#[derive(Clone, Copy)]
struct Side<'a> {
    tensor: &'a Tensor,
    transposed: bool,
}

impl<'a> Side<'a> {
    fn plain(tensor: &'a Tensor) -> Self {
        Self { tensor, transposed: false }
    }

    fn transposed(tensor: &'a Tensor) -> Self {
        Self { tensor, transposed: true }
    }

    fn dims(self) -> Result<(usize, usize)> {
        let (rows, columns) = self.tensor.dims2()?;
        Ok(if self.transposed { (columns, rows) } else { (rows, columns) })
    }
}

/// `a · b · scale` in f32, added to `onto` where it is given, to which there may be no other
/// reference. The left side is rounded to the type of the right.
fn product(
    gpu: &Gpu,
    a: Side<'_>,
    b: Side<'_>,
    scale: f64,
    onto: Option<Tensor>,
) -> Result<Tensor> {
    let ((rows, inner), (from, columns), dtype) = (a.dims()?, b.dims()?, b.tensor.dtype());
    if inner != from {
        candle_core::bail!("the inner sizes of a product differ: {inner} and {from}");
    }
    let (left, add) = (a.tensor.to_dtype(dtype)?, onto.is_some());
    let out = match onto {
        Some(onto) => onto,
        // SAFETY: the product writes all of it.
        None => unsafe { unwritten((rows, columns), DType::F32, a.tensor.device())? },
    };
    expect_f32(&[&out], &[rows, columns])?;
    let factor = |tensor: &Tensor, transposed| {
        let factor = Factor::new(address(tensor)?, dtype, tensor.dim(1)?);
        Ok::<_, candle_core::Error>(if transposed { factor.t() } else { factor })
    };
    let (a, b) = (factor(&left, a.transposed)?, factor(b.tensor, b.transposed)?);
    let product =
        MatrixProduct { a, b, out: address(&out)?, rows, inner, columns, scale: scale as f32, add };
    // SAFETY: factors and result are tensors of the sizes that the product names.
    unsafe { gpu.multiply(product)? };
    Ok(out)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use half::bf16;

    use super::*;
    use crate::device::gpu::testing::{floats, gpu, on_gpus, same};

    #[test]
    fn products_of_all_layouts_and_types() {
        let (a, b, onto) = (floats(&[5, 7], 1), floats(&[7, 6], 2), floats(&[5, 6], 3));
        let rounded = b.to_dtype(DType::BF16).unwrap();
        let want = |b: &Tensor, add: bool| {
            let product = (a.matmul(b).unwrap() * 0.5).unwrap();
            if add { (product + &onto).unwrap() } else { product }
        };
        let turned = |t: &Tensor| t.t().unwrap().contiguous().unwrap();
        let (at, bt) = (turned(&a), turned(&b));
        on_gpus(|device| {
            let [a, b, at, bt, onto, rounded] =
                [&a, &b, &at, &bt, &onto, &rounded].map(|t| t.to_device(device).unwrap());
            for a in [Side::plain(&a), Side::transposed(&at)] {
                for b in [Side::plain(&b), Side::transposed(&bt)] {
                    for add in [false, true] {
                        let onto = add.then(|| onto.copy().unwrap());
                        same(
                            &product(&gpu(device), a, b, 0.5, onto).unwrap(),
                            &want(&want_of(b), add),
                            1e-6,
                            "product",
                        );
                    }
                }
                // Both sides are rounded, but not the sums.
                let got = product(&gpu(device), a, Side::plain(&rounded), 0.5, None).unwrap();
                same(
                    &got,
                    &want(
                        &rounded.to_dtype(DType::F32).unwrap().to_device(&Device::Cpu).unwrap(),
                        false,
                    ),
                    1e-2,
                    "bf16",
                );
            }
        });
        fn want_of(b: Side<'_>) -> Tensor {
            let b = if b.transposed {
                b.tensor.t().unwrap().contiguous().unwrap()
            } else {
                b.tensor.clone()
            };
            b.to_device(&Device::Cpu).unwrap()
        }
        let exact = bf16::from_f32(1.0 / 3.0).to_f32();
        on_gpus(|device| {
            let third = Tensor::new(&[[1f32 / 3.0]], device).unwrap();
            let one = Tensor::new(&[[bf16::ONE]], device).unwrap();
            let got =
                product(&gpu(device), Side::plain(&third), Side::plain(&one), 1.0, None).unwrap();
            assert_eq!(got.to_vec2::<f32>().unwrap(), [[exact]]);
        });
    }
}
