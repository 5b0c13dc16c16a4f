//! Dropout on a GPU: `kernels/dropout.cu`, in f32.

use candle_core::{DType, Result, Tensor};

use crate::device::gpu::{Gpu, address, each, expect_f32, fits, unwritten};
use crate::model::dropout::DropoutPlace;

/// See [`DropoutPlace::apply`].
pub(super) fn apply(gpu: &Gpu, place: &DropoutPlace, x: &Tensor) -> Result<Tensor> {
    let DropoutPlace { dropout, layer, projection } = *place;
    let elements = fits(x.elem_count())?;
    expect_f32(&[x], x.dims())?;
    // SAFETY: the kernel writes all elements.
    let y = unsafe { unwritten(x.shape(), DType::F32, x.device())? };
    let number = |x: u32| (x as usize).into();
    let args = [
        address(x)?,
        address(&y)?,
        elements.into(),
        number(layer),
        number(projection),
        number(dropout.key[0]),
        number(dropout.key[1]),
        number(dropout.threshold),
        (dropout.kept as f32).into(),
    ];
    // SAFETY: these are the kernel's arguments, both tensors with this many elements.
    unsafe { gpu.launch(each("dropout", elements.div_ceil(4)), &args)? };
    Ok(y)
}

#[cfg(test)]
mod tests {
    use bake_spec::model::config::Projection;

    use super::*;
    use crate::device::gpu::testing::{floats, gpu, on_gpus};
    use crate::model::dropout::Dropout;

    #[test]
    fn the_same_elements_are_dropped_as_on_the_processor() {
        for (rate, elements) in [(0.5, 1), (0.1, 1027), (0.999, 4096)] {
            let place = Dropout::new(rate, [0xFFFF_FFFE, 7]).at(29, Projection::Down);
            let x = floats(&[elements], 1);
            let want: Vec<f32> = place.apply(&x).unwrap().to_vec1().unwrap();
            on_gpus(|device| {
                let y = apply(&gpu(device), &place, &x.to_device(device).unwrap()).unwrap();
                assert_eq!(y.to_vec1::<f32>().unwrap(), want, "{rate} of {elements}");
            });
        }
    }
}
