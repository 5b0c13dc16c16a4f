//! The gate on a GPU: `kernels/gate.cu`, in f32.

use candle_core::{DType, Result, Tensor};

use crate::device::gpu::{Gpu, address, each, expect_f32, fits, unwritten};

/// `activation(gate) · up`, which is SiLU or GELU.
pub(super) fn forward(gpu: &Gpu, gelu: bool, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let elements = fits(gate.elem_count())?;
    expect_f32(&[gate, up], gate.dims())?;
    // SAFETY: the kernel writes all elements.
    let y = unsafe { unwritten(gate.shape(), DType::F32, gate.device())? };
    let args =
        [address(gate)?, address(up)?, address(&y)?, elements.into(), usize::from(gelu).into()];
    // SAFETY: these are the kernel's arguments, all with this many elements.
    unsafe { gpu.launch(each("gate_forward", elements), &args)? };
    Ok(y)
}

/// The gradients of [`forward`] with respect to gate and up.
pub(super) fn backward(
    gpu: &Gpu,
    gelu: bool,
    gate: &Tensor,
    up: &Tensor,
    dy: &Tensor,
) -> Result<(Tensor, Tensor)> {
    expect_f32(&[gate, up, dy], gate.dims())?;
    // SAFETY: the kernel writes all elements of both.
    let result = || unsafe { unwritten(gate.shape(), DType::F32, gate.device()) };
    let (d_gate, d_up, elements) = (result()?, result()?, fits(gate.elem_count())?);
    let args = [
        address(gate)?,
        address(up)?,
        address(dy)?,
        address(&d_gate)?,
        address(&d_up)?,
        elements.into(),
        usize::from(gelu).into(),
    ];
    // SAFETY: these are the kernel's arguments, all with this many elements.
    unsafe { gpu.launch(each("gate_backward", elements), &args)? };
    Ok((d_gate, d_up))
}

#[cfg(test)]
mod tests {
    use bake_spec::model::config::Activation;

    use super::*;
    use crate::device::gpu::testing::{floats, gpu, on_gpus, same};
    use crate::model::gate;

    #[test]
    fn gates_are_those_of_the_processor() {
        let (gate, up, dy) =
            ((floats(&[7, 50], 1) * 20.0).unwrap(), floats(&[7, 50], 2), floats(&[7, 50], 3));
        for (gelu, activation) in [(false, Activation::Silu), (true, Activation::GeluTanh)] {
            let y = gate::gated(activation, &gate, &up).unwrap();
            let (d_gate, d_up) = gate::gated_backward(activation, &gate, &up, &dy).unwrap();
            on_gpus(|device| {
                let gpu = gpu(device);
                let [gate, up, dy] = [&gate, &up, &dy].map(|t| t.to_device(device).unwrap());
                same(&forward(&gpu, gelu, &gate, &up).unwrap(), &y, 1e-6, "gate");
                let (got_gate, got_up) = backward(&gpu, gelu, &gate, &up, &dy).unwrap();
                same(&got_gate, &d_gate, 1e-6, "its gradient");
                same(&got_up, &d_up, 1e-6, "that of what goes through");
            });
        }
    }
}
