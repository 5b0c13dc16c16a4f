//! The norm on a GPU: `kernels/norm.cu`, in f32.

use candle_core::{DType, Result, Tensor};

use crate::device::gpu::{Arg, Gpu, Grid, Lane, Launch, address, expect_f32, fits, unwritten};

/// As in `kernels/norm.cu`: the most threads of a block, and shared memory for two sums.
const NORM_THREADS: usize = 256;
const NORM_BYTES: usize = 2 * 33 * 8;

/// `y = x / √(mean(x²) + ε) · weight`, rows of `[tokens, hidden]`.
pub(super) fn forward(gpu: &Gpu, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    // SAFETY: the kernel writes all rows.
    let y = unsafe { unwritten((rows, width), DType::F32, x.device())? };
    let args =
        [address(x)?, address(weight)?, address(&y)?, fits(width)?.into(), (eps as f32).into()];
    expect_f32(&[x], &[rows, width])?;
    expect_f32(&[weight], &[width])?;
    // SAFETY: these are the kernel's arguments: `[rows, width]` in and out, a weight of this width.
    unsafe { gpu.launch(by_rows("norm_forward", rows, width), &args)? };
    Ok(y)
}

/// The gradient of [`forward`] with respect to `x`, added to `onto`.
pub(super) fn backward(
    gpu: &Gpu,
    x: &Tensor,
    dy: &Tensor,
    weight: &Tensor,
    onto: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    // SAFETY: the kernel writes all rows.
    let dx = unsafe { unwritten((rows, width), DType::F32, x.device())? };
    let inputs = [address(x)?, address(dy)?, address(weight)?, address(onto)?, address(&dx)?];
    let args: Vec<Arg> =
        inputs.into_iter().chain([fits(width)?.into(), (eps as f32).into()]).collect();
    expect_f32(&[x, dy, onto], &[rows, width])?;
    expect_f32(&[weight], &[width])?;
    // SAFETY: these are the kernel's arguments: `[rows, width]` in and out, a weight of this width.
    unsafe { gpu.launch(by_rows("norm_backward", rows, width), &args)? };
    Ok(dx)
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
        for width in [1, 5, 40, 1000] {
            let (x, dy, onto, weight) = (
                floats(&[3, width], 1),
                floats(&[3, width], 2),
                floats(&[3, width], 3),
                floats(&[width], 4),
            );
            let norm = RmsNorm::new(weight.clone(), 1e-5);
            let (y, dx) = (norm.forward(&x).unwrap(), norm.backward(&x, &dy, &onto).unwrap());
            on_gpus(|device| {
                let to = |t: &Tensor| t.to_device(device).unwrap();
                let got = forward(&gpu(device), &to(&x), &to(&weight), 1e-5).unwrap();
                same(&got, &y, 1e-6, "norm");
                let got = backward(&gpu(device), &to(&x), &to(&dy), &to(&weight), &to(&onto), 1e-5)
                    .unwrap();
                same(&got, &dx, 1e-5, "its gradient");
            });
        }
    }
}
