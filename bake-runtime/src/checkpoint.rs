//! From a model's files to named tensors.

#[cfg(feature = "tiny")]
pub(crate) mod embedded;
pub(crate) mod folder;
pub(crate) mod generation;
pub(crate) mod gguf;
pub(crate) mod safetensors;
pub(crate) mod stored;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use bake_spec::model::Files;
use bake_spec::model::gguf::is_gguf;
use bake_spec::{Config, Hash};
use candle_core::{Device, Tensor};

use crate::checkpoint::folder::ModelFolder;
use crate::checkpoint::gguf::GgufFile;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::weight::{Precision, Weight};
use stored::Stored;

/// A model as it is stored. Tensors have the names that they have in a folder of transformers,
/// such as `model.layers.0.self_attn.q_proj.weight`, and their rows have its order.
pub(crate) trait Checkpoint {
    /// What the model looks like.
    ///
    /// # Errors
    /// When the configuration is not that of a model that bake reads.
    fn config(&self) -> Result<Config>;

    /// Everything but the weights.
    fn files(&self) -> &Files;

    /// The names of all tensors.
    fn names(&self) -> Vec<String>;

    /// A tensor as it is stored; none if there is no such tensor.
    ///
    /// # Errors
    /// When it has a type that bake does not read.
    fn stored(&self, name: &str) -> Result<Option<Stored<'_>>>;

    /// What to say of a tensor that the model must have and that is not there.
    fn missing(&self, name: &str) -> Error;

    /// The hash of everything that the model consists of.
    fn hash(&self) -> Hash;
}

/// Opens a model by its path, a folder or a GGUF file; returns its name too.
pub(crate) fn open(path: &Path) -> Result<(String, Box<dyn Checkpoint>)> {
    let of_file = is_gguf(path);
    let name = if of_file { path.file_stem() } else { path.file_name() };
    let name = name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match of_file {
        true => Ok((name, Box::new(GgufFile::open(path)?))),
        false => Ok((name, Box::new(ModelFolder::open(path)?))),
    }
}

impl dyn Checkpoint + '_ {
    /// A tensor that must be there, in this shape.
    pub(crate) fn find(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>> {
        let stored = self.stored(name)?.ok_or_else(|| self.missing(name))?;
        stored.check_shape(name, shape)?;
        Ok(stored)
    }

    /// A matrix for products, which must have this shape; see [`Stored::weight`].
    pub(crate) fn matrix(
        &self,
        name: &str,
        shape: &[usize],
        device: &Device,
        precision: Precision,
    ) -> Result<Weight> {
        self.find(name, shape)?.weight(device, precision)
    }

    /// A tensor in f32, which must have this shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        self.find(name, shape)?.tensor(device)
    }

    /// Whether a tensor is the same as another, to the bit.
    pub(crate) fn same(&self, tensor: &Stored<'_>, other: &str) -> Result<bool> {
        Ok(self.stored(other)?.is_some_and(|other| {
            (tensor.dtype, &tensor.shape, &tensor.data) == (other.dtype, &other.shape, &other.data)
        }))
    }

    /// Fails where the checkpoint has a part of a decoder, or of its head, that the configuration
    /// does not ask for, such as a bias or a further block, which would silently be ignored.
    pub(crate) fn check_all_used(&self, config: &Config) -> Result<()> {
        let known: BTreeSet<String> = config.tensors().into_iter().map(|t| t.name).collect();
        // Old checkpoints contain the frequencies of the positions, which the configuration
        // determines too.
        let used = |name: &String| {
            !(name.starts_with("model.") || name.starts_with("lm_head."))
                || known.contains(name)
                || name.starts_with("model.layers.") && name.ends_with(".rotary_emb.inv_freq")
        };
        let Some(name) = self.names().into_iter().find(|name| !used(name)) else {
            return Ok(());
        };
        let file = self.stored(&name)?.map_or("the checkpoint", |stored| stored.file);
        let message = format!(
            "{file} has an unexpected tensor `{name}`; the weights do not match the configuration, \
             or the model is of a family that bake does not support"
        );
        Err(Error::new(ErrorKind::Model, message))
    }
}
