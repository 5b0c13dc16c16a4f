//! Adapters for tests.

use bake_spec::Config;
use bake_spec::recipe::Lora;
use candle_core::{DType, Device};

use super::{Adapter, initial};
use crate::tensor::gradient_check::noise;

/// An adapter of rank 4 of all layers, each of which it changes.
pub(crate) fn noisy(config: &Config, device: &Device) -> Adapter {
    let lora = Lora::default().with(|lora| (lora.rank, lora.alpha) = (4, 8.0)).unwrap();
    let mut adapter = initial(config, &lora, 1, device).unwrap();
    for (seed, change) in adapter.changes.iter_mut().flatten().flatten().enumerate() {
        let numbers = noise(change.b.dims(), seed as u64).to_dtype(DType::F32).unwrap();
        change.b = (numbers * 0.1).unwrap().to_device(device).unwrap();
    }
    adapter
}
