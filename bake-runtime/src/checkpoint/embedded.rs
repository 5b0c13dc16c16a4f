//! The default model, as bytes of the library.

use std::borrow::Cow;

use bake_spec::model::{Files, Origin};

use super::folder::ModelFolder;
use super::safetensors::Weights;
use crate::error::{ErrorKind, Result};

macro_rules! file {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tiny/", $name)
    };
}

const FILES: Files = Files {
    origin: Origin::Folder(Cow::Borrowed("models/tiny")),
    config: Cow::Borrowed(include_str!(file!("config.json"))),
    tokenizer: Cow::Borrowed(include_bytes!(file!("tokenizer.json"))),
    tokenizer_config: Some(Cow::Borrowed(include_str!(file!("tokenizer_config.json")))),
    generation_config: Some(Cow::Borrowed(include_str!(file!("generation_config.json")))),
    template: None,
    special_tokens_map: None,
    added_tokens: None,
    index: None,
};

static WEIGHTS: &[u8] = include_bytes!(file!("model.safetensors"));

/// The model, read where it is in the program.
pub(crate) fn open() -> Result<ModelFolder> {
    let name = "models/tiny/model.safetensors";
    Ok(ModelFolder::new(FILES, Weights::embedded(WEIGHTS, name, ErrorKind::Model)?))
}

#[cfg(test)]
mod tests {
    use bake_spec::model::TINY_HASH;

    #[test]
    fn the_embedded_model_is_the_one_that_checks_assume() {
        assert_eq!(
            crate::model::Model::tiny().unwrap().hash().to_string(),
            TINY_HASH,
            "put this hash into bake-spec/src/model.rs"
        );
    }
}
