//! Any bytes as an adapter folder: the configuration up to the first zero byte, then the weights.
//! What can be read can be put on the model.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use bake_runtime::{Adapter, Device, Model};
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/models/llama-tied");
    Model::load(Path::new(folder), Device::Cpu).expect("the fixture is a model")
});

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (config, weights) = bytes.split_at(end);
    bake_fuzz::write("adapter_config.json", config);
    bake_fuzz::write("adapter_model.safetensors", weights.get(1..).unwrap_or_default());
    if let Ok(adapter) = Adapter::load(bake_fuzz::folder(), &MODEL) {
        MODEL.forward(&[1, 2], Some(&adapter)).expect("it was checked against the model");
    }
});
