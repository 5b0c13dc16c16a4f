//! Adapters: low-rank changes of a model's linear layers, and the folders that hold them.

mod lora;
mod peft;

use std::path::Path;

use bake_spec::{Config, Projection};

use crate::error::Result;
pub(crate) use crate::model::linear::LowRank;
pub(crate) use lora::initial;

/// A low-rank change of some of a model's linear layers.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// For each block, a change or none for each of [`Projection::ALL`].
    changes: Vec<[Option<LowRank>; 7]>,
}

impl Adapter {
    /// Reads a folder in the format of the PEFT library: `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// When a file is missing or damaged, when the adapter is of a kind that is more than low-rank changes of linear layers, and when
    /// its shapes are not those of the model.
    pub fn load(dir: &Path, model: &crate::Model) -> Result<Self> {
        peft::read(dir, model.config(), model.decoder().device())
    }

    /// Writes a folder in the format of the PEFT library, which transformers, PEFT and vLLM load too. The folder is made if need be.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, dir: &Path, base_model: &str) -> Result<()> {
        peft::write(self, dir, base_model)
    }

    pub(crate) fn empty(layers: usize) -> Self {
        Self { changes: vec![[const { None }; 7]; layers] }
    }

    pub(crate) fn change(&self, layer: usize, projection: Projection) -> Option<&LowRank> {
        self.changes.get(layer)?[projection as usize].as_ref()
    }

    pub(crate) fn set(&mut self, layer: usize, projection: Projection, change: LowRank) {
        self.changes[layer][projection as usize] = Some(change);
    }

    /// All changes, block by block.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Projection, &LowRank)> {
        self.changes.iter().enumerate().flat_map(|(layer, changes)| {
            Projection::ALL.into_iter().zip(changes).filter_map(move |(projection, change)| Some((layer, projection, change.as_ref()?)))
        })
    }

    /// Numbers in the adapter.
    pub fn parameters(&self) -> usize {
        self.iter().map(|(_, _, change)| change.a.elem_count() + change.b.elem_count()).sum()
    }

    /// The same values, out of the reach of training.
    pub(crate) fn detached(&self) -> Result<Self> {
        let mut adapter = Self::empty(self.changes.len());
        for (layer, projection, change) in self.iter() {
            let (a, b) = (change.a.copy()?.detach(), change.b.copy()?.detach());
            adapter.set(layer, projection, LowRank { a, b, scale: change.scale });
        }
        Ok(adapter)
    }
}

/// The name of a layer in checkpoints and adapters, such as `model.layers.0.self_attn.q_proj`.
fn layer_name(layer: usize, projection: Projection) -> String {
    format!("model.layers.{layer}.{}.{}", projection.module(), projection.name())
}

/// The shapes of the two matrices of a change of this rank: A `[rank, inputs]`, B `[outputs, rank]`.
fn shapes(config: &Config, projection: Projection, rank: usize) -> ([usize; 2], [usize; 2]) {
    let [outputs, inputs] = config.projection_shape(projection);
    ([rank, inputs], [outputs, rank])
}
