//! What tests of models need: copies of a fixture's folder, to be changed by them, and a way to say
//! that they are skipped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::model::Model;

/// Says that a test is skipped: not through `eprintln!`, which the harness hides where tests pass.
pub(crate) fn say_skipped(what: &str) {
    let line = format!("skipped: {what}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
}

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn of(model: &str) -> Self {
        let from =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models").join(model);
        let dir = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
        Self(dir)
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        std::fs::write(self.path(file), text).unwrap();
    }

    pub(crate) fn edit(&self, file: &str, edit: impl FnOnce(&mut Value)) {
        let mut json = serde_json::from_slice(&std::fs::read(self.path(file)).unwrap()).unwrap();
        edit(&mut json);
        self.write(file, &json.to_string());
    }

    pub(crate) fn weights(&self) -> HashMap<String, Tensor> {
        candle_core::safetensors::load(self.path("model.safetensors"), &Device::Cpu).unwrap()
    }

    pub(crate) fn write_weights(&self, file: &str, weights: &HashMap<String, Tensor>) {
        candle_core::safetensors::save(weights, self.path(file)).unwrap();
    }

    pub(crate) fn load(&self) -> Model {
        Model::load(self.0.path(), crate::device::Device::Cpu).unwrap()
    }

    pub(crate) fn refused(&self) -> String {
        Model::load(self.0.path(), crate::device::Device::Cpu).unwrap_err().to_string()
    }
}

pub(crate) fn logits(model: &Model) -> Vec<Vec<f32>> {
    model.forward(&[5, 17, 300, 42, 9], None).unwrap().logits.to_vec2().unwrap()
}
