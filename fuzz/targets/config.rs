//! Any text as `config.json`: the sizes of an accepted configuration can be multiplied without
//! overflow.

#![no_main]

use bake_spec::{Config, Projection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(text, "config.json") {
        for projection in Projection::ALL {
            let [outputs, inputs] = config.projection_shape(projection);
            assert!(outputs.checked_mul(inputs).is_some_and(|size| size > 0));
        }
    }
});
