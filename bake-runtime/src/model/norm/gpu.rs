//! The norm on a GPU: `kernels/norm.cu`, in f32.

use candle_core::{DType, Result, Tensor};

use crate::device::gpu::{Arg, Gpu, Grid, Lane, Launch, address, expect_f32, fits, unwritten};

/// As in `kernels/norm.cu`: the most threads of a block, and shared memory for two sums.
const NORM_THREADS: usize = 256;
const NORM_BYTES: usize = 2 * 33 * 8;

/// `y = x / √(mean(x²) + ε) · weight`, for each head of `[tokens, heads · width]`.
pub(super) fn forward(gpu: &Gpu, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (rows, width) = heads(x, weight)?;
    // SAFETY: the kernel writes all rows.
    let y = unsafe { unwritten(x.shape(), DType::F32, x.device())? };
    let args =
        [address(x)?, address(weight)?, address(&y)?, fits(width)?.into(), (eps as f32).into()];
    expect_f32(&[x], x.dims())?;
    expect_f32(&[weight], &[width])?;
    // SAFETY: these are the kernel's arguments: `[rows, width]` in and out, a weight of this width.
    unsafe { gpu.launch(by_rows("norm_forward", rows, width), &args)? };
    Ok(y)
}

/// The gradient of [`forward`] with respect to `x`, added to `onto` where it is given.
pub(super) fn backward(
    gpu: &Gpu,
    x: &Tensor,
    dy: &Tensor,
    weight: &Tensor,
    onto: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let (rows, width) = heads(x, weight)?;
    // SAFETY: the kernel writes all rows.
    let dx = unsafe { unwritten(x.shape(), DType::F32, x.device())? };
    let added = onto.map_or(Ok(Arg::NULL), address)?;
    let inputs = [address(x)?, address(dy)?, address(weight)?, added, address(&dx)?];
    let args: Vec<Arg> =
        inputs.into_iter().chain([fits(width)?.into(), (eps as f32).into()]).collect();
    expect_f32(&[x, dy, onto.unwrap_or(x)], x.dims())?;
    expect_f32(&[weight], &[width])?;
    // SAFETY: these are the kernel's arguments: `[rows, width]` in and out, a weight of this width.
    unsafe { gpu.launch(by_rows("norm_backward", rows, width), &args)? };
    Ok(dx)
}

/// How many heads there are, and their width.
fn heads(x: &Tensor, weight: &Tensor) -> Result<(usize, usize)> {
    let ((tokens, all), width) = (x.dims2()?, weight.dims1()?);
    if width == 0 || !all.is_multiple_of(width) {
        candle_core::bail!("rows of {all} numbers are not heads of {width}")
    }
    Ok((tokens * (all / width), width))
}

fn by_rows(kernel: &str, rows: usize, width: usize) -> Launch<'_> {
    let block = width.next_multiple_of(32).clamp(32, NORM_THREADS);
    Launch { kernel, grid: Grid::Blocks(rows), block, shared_bytes: NORM_BYTES, lane: Lane::Main }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::gpu::testing::{floats, gpu, on_gpus, same};
    use crate::model::norm::RmsNorm;

    #[test]
    fn norms_are_those_of_the_processor() {
        for (heads, width, eps) in [
            // With a small eps the gradient of a norm of width 1 is a remainder of rounding.
            (1, 1, 0.5),
            (1, 5, 1e-5),
            (1, 40, 1e-5),
            (4, 40, 1e-5),
            (3, 6, 1e-5),
            (1, 1000, 1e-5),
        ] {
            let (x, dy, onto, weight) = (
                floats(&[3, heads * width], 1),
                floats(&[3, heads * width], 2),
                floats(&[3, heads * width], 3),
                floats(&[width], 4),
            );
            let norm = RmsNorm::new(weight.clone(), eps);
            let y = norm.forward(&x).unwrap();
            let alone = norm.backward(&x, &dy, None).unwrap();
            let added = norm.backward(&x, &dy, Some(&onto)).unwrap();
            on_gpus(|device| {
                let to = |t: &Tensor| t.to_device(device).unwrap();
                let got = forward(&gpu(device), &to(&x), &to(&weight), eps).unwrap();
                same(&got, &y, 1e-6, "norm");
                let (onto, gpu) = (to(&onto), gpu(device));
                for (onto, want) in [(None, &alone), (Some(&onto), &added)] {
                    let got = backward(&gpu, &to(&x), &to(&dy), &to(&weight), onto, eps).unwrap();
                    same(&got, want, 1e-5, "its gradient");
                }
            });
        }
    }
}
