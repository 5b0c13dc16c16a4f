//! The rotation on a GPU: `kernels/rope.cu`, in f32.

use candle_core::{DType, Result, Tensor};

use crate::device::gpu::{Arg, Gpu, address, each, expect_f32, fits, unwritten};

/// Turns the heads of `x`, `[tokens, heads · head_dim]`; `turns` are pairs of cosine and sine,
/// `[context, head_dim]`.
pub(super) fn rotate(
    gpu: &Gpu,
    x: &Tensor,
    turns: &Tensor,
    positions: &Tensor,
    direction: f32,
) -> Result<Tensor> {
    let ((rows, width), half) = (x.dims2()?, turns.dim(1)? / 2);
    // SAFETY: the kernel writes all rows.
    let y = unsafe { unwritten((rows, width), DType::F32, x.device())? };
    let heads = width / (2 * half);
    let addresses = [address(x)?, address(turns)?, address(positions)?, address(&y)?];
    let args: Vec<Arg> = addresses
        .into_iter()
        .chain([fits(rows)?.into(), heads.into(), half.into(), direction.into()])
        .collect();
    expect_f32(&[x], &[rows, heads * 2 * half])?;
    expect_f32(&[turns], &[turns.dim(0)?, 2 * half])?;
    if positions.dims1()? != rows || positions.dtype() != DType::U32 {
        candle_core::bail!("there are {:?} positions for {rows} tokens", positions.dims());
    }
    // SAFETY: these are the kernel's arguments, of the sizes that were checked. No position is
    // beyond the table: both are of the model's context.
    unsafe { gpu.launch(each("rope_turn", rows * heads * half), &args)? };
    Ok(y)
}

#[cfg(test)]
mod tests {
    use bake_spec::model::config::{Rope, RopeScaling};
    use candle_core::Device;

    use crate::device::gpu::testing::{floats, on_gpus, same};
    use crate::model::rope::{Positions, RopeTable};

    #[test]
    fn rotations_are_those_of_the_processor() {
        let rope = Rope { theta: 100.0, scaling: RopeScaling::Unscaled };
        let x = floats(&[5, 24], 1);
        let table = RopeTable::new(&rope, 6, 12, &Device::Cpu).unwrap();
        let positions = [0, 7, 3, 11, 11];
        let here = Positions::new(&positions, &Device::Cpu).unwrap();
        let there = table.rotate(&x, &here).unwrap();
        let back = table.rotate_backward(&x, &here).unwrap();
        on_gpus(|device| {
            let table = RopeTable::new(&rope, 6, 12, device).unwrap();
            let positions = Positions::new(&positions, device).unwrap();
            let x = x.to_device(device).unwrap();
            same(&table.rotate(&x, &positions).unwrap(), &there, 1e-6, "there");
            same(&table.rotate_backward(&x, &positions).unwrap(), &back, 1e-6, "back");
        });
    }
}
