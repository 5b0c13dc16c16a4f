//! A model's folder in the Hugging Face style.

use std::path::Path;

use bake_spec::model::Files;
use bake_spec::{Config, Hash};

use super::Checkpoint;
use super::safetensors::Weights;
use super::stored::Stored;
use crate::error::{Error, Result};

/// A model's text files, and its weights in safetensors.
pub(crate) struct ModelFolder {
    files: Files,
    weights: Weights,
}

impl ModelFolder {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let files = Files::read(dir)?;
        let weights = Weights::open_model(dir, files.index.as_ref())?;
        Ok(Self::new(files, weights))
    }

    pub(super) fn new(files: Files, weights: Weights) -> Self {
        Self { files, weights }
    }
}

impl Checkpoint for ModelFolder {
    fn config(&self) -> Result<Config> {
        Ok(Config::parse(&self.files.config, &self.files.name("config.json"))?)
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn names(&self) -> Vec<String> {
        self.weights.names().collect()
    }

    fn stored(&self, name: &str) -> Result<Option<Stored<'_>>> {
        self.weights.stored(name)
    }

    fn missing(&self, name: &str) -> Error {
        self.weights.missing(name)
    }

    fn hash(&self) -> Hash {
        self.files.hash(&self.weights.hashes())
    }
}
