//! Adapters: low-rank changes of a model's linear layers, and the folders that contain them.

pub(crate) mod kept;
mod lora;
mod low_rank;
mod peft;
#[cfg(all(test, feature = "train"))]
pub(crate) mod testing;

use std::collections::BTreeMap;
use std::path::Path;

#[cfg(feature = "train")]
use bake_spec::model::config::StoredRows;
use bake_spec::{Config, Projection};
use candle_core::Device;
#[cfg(feature = "train")]
use candle_core::Tensor;
#[cfg(feature = "train")]
use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "train")]
use crate::tensor::in_place;
#[cfg(feature = "train")]
pub(crate) use lora::initial;
pub(crate) use low_rank::{LowRank, LowRankGradient};

/// A low-rank change of some of a model's linear layers.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// For each block, a change or none for each of [`Projection::ALL`].
    changes: Vec<[Option<LowRank>; 7]>,
}

impl Adapter {
    /// An adapter from a folder in the format of the PEFT library, for a model of this shape.
    pub(crate) fn read(dir: &Path, config: &Config, device: &Device) -> Result<Self> {
        peft::read(dir, config, device)
    }

    /// The same from bytes in the program: names of files and their contents.
    pub(crate) fn embedded(
        files: &[(&str, &'static [u8])],
        config: &Config,
        device: &Device,
    ) -> Result<Self> {
        peft::embedded(files, config, device)
    }

    /// Writes a folder in the format of the PEFT library, which transformers, PEFT and vLLM load
    /// too. The folder is created if necessary. Layers that a model has in one tensor, as Phi-3
    /// models have some, keep their own names, which only this library reads; `export` writes those
    /// of the tensors.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, dir: &Path, base_model: &str) -> Result<()> {
        let changes = self.iter().map(|(layer, projection, change)| NamedChange {
            layer,
            name: layer_name(layer, projection),
            change: change.clone(),
        });
        peft::write(&changes.collect::<Vec<_>>(), self.changes.len(), dir, base_model)
    }

    /// The same with the names of the model's tensors, also where one of them contains several
    /// layers.
    #[cfg(feature = "train")]
    pub(crate) fn save_as_stored(
        &self,
        config: &Config,
        dir: &Path,
        base_model: &str,
    ) -> Result<()> {
        let changes = self.as_stored(config)?;
        peft::write(&changes, self.changes.len(), dir, base_model)
    }

    /// The changes of the model's tensors.
    #[cfg(feature = "train")]
    pub(crate) fn as_stored(&self, config: &Config) -> Result<Vec<NamedChange>> {
        let mut modules: BTreeMap<(usize, String), (usize, Vec<_>)> = BTreeMap::new();
        for (layer, projection, change) in self.iter() {
            let StoredRows { module, rows, of } = config.stored_rows(layer, projection);
            let (_, parts) = modules.entry((layer, module)).or_insert((of, Vec::new()));
            parts.push((rows, change));
        }
        let mut named = Vec::with_capacity(modules.len());
        for ((layer, name), (of, parts)) in modules {
            let change = match &parts[..] {
                [(rows, change)] if rows.len() == of => (*change).clone(),
                parts => LowRank::joined(parts, of)?,
            };
            named.push(NamedChange { layer, name, change });
        }
        Ok(named)
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
            Projection::ALL
                .into_iter()
                .zip(changes)
                .filter_map(move |(projection, change)| Some((layer, projection, change.as_ref()?)))
        })
    }

    /// The adapter with its changes so many times as large: 0 leaves the model as it was.
    ///
    /// # Errors
    /// When the strength is below 0, or so large that nothing can be computed with it.
    pub(crate) fn with_strength(mut self, strength: f64) -> Result<Self> {
        for change in self.changes.iter_mut().flatten().flatten() {
            change.scale *= strength;
        }
        // Tensors are multiplied by it in f32.
        let finite = self.iter().all(|(_, _, change)| (change.scale as f32).is_finite());
        if !strength.is_finite() || strength < 0.0 || !finite {
            let message = format!(
                "the strength of an adapter must be a finite number ≥ 0 (0 gives the base model, 1 \
                 the adapter as it was baked), not {strength:?}"
            );
            return Err(Error::new(ErrorKind::Adapter, message));
        }
        Ok(self)
    }

    /// Fails where the adapter is for a model of another shape.
    pub(crate) fn check_fits(&self, config: &Config) -> Result<()> {
        let same = |&(_, projection, change): &(usize, Projection, &LowRank)| {
            let [outputs, inputs] = config.projection_shape(projection);
            change.a.dims().get(1) == Some(&inputs) && change.b.dims().first() == Some(&outputs)
        };
        match self.iter().find(|change| !same(change)) {
            None if self.changes.len() == config.layers() => Ok(()),
            None => {
                let message = format!(
                    "the adapter is for a model with {} blocks, not {}",
                    self.changes.len(),
                    config.layers()
                );
                Err(Error::new(
                    ErrorKind::Adapter,
                    format!("{message}; load it with the model that it was made for"),
                ))
            }
            Some((layer, projection, _)) => {
                let message = format!(
                    "the adapter's change of `{}` does not have the shape of the model's layer",
                    layer_name(layer, projection)
                );
                Err(Error::new(
                    ErrorKind::Adapter,
                    format!("{message}; load it with the model that it was made for"),
                ))
            }
        }
    }

    /// The adapter with the changes of another, which come last in each layer.
    #[cfg(feature = "train")]
    pub(crate) fn on_top_of(&self, parent: &Self) -> Result<Self> {
        let mut both = self.clone();
        for (layer, projection, below) in parent.iter() {
            let change = match self.change(layer, projection) {
                Some(own) => own.with(below)?,
                // Training changes the numbers of an adapter where they are.
                None => below.copied()?,
            };
            both.set(layer, projection, change);
        }
        Ok(both)
    }

    /// Numbers in the adapter.
    pub fn parameters(&self) -> usize {
        self.iter().map(|(_, _, change)| change.a.elem_count() + change.b.elem_count()).sum()
    }

    pub(crate) fn change_mut(
        &mut self,
        layer: usize,
        projection: Projection,
    ) -> Option<&mut LowRank> {
        self.changes.get_mut(layer)?[projection as usize].as_mut()
    }

    /// The same adapter with numbers of its own.
    #[cfg(feature = "train")]
    pub(crate) fn copied(&self) -> candle_core::Result<Self> {
        let mut copied = self.clone();
        for change in copied.changes.iter_mut().flatten().flatten() {
            *change = change.copied()?;
        }
        Ok(copied)
    }

    /// The lowest block with a change.
    pub(crate) fn lowest_layer(&self) -> usize {
        self.iter().next().map_or(self.changes.len(), |(layer, ..)| layer)
    }
}

/// A change of a module, which contains one linear layer or several.
pub(crate) struct NamedChange {
    pub(crate) layer: usize,
    /// Such as `model.layers.0.self_attn.q_proj`.
    pub(crate) name: String,
    pub(crate) change: LowRank,
}

/// The gradients of an adapter.
#[derive(Default)]
pub(crate) struct Gradients(BTreeMap<(usize, Projection), LowRankGradient>);

impl Gradients {
    pub(crate) fn set(&mut self, layer: usize, projection: Projection, gradient: LowRankGradient) {
        self.0.insert((layer, projection), gradient);
    }

    /// All of them, in the order of [`Adapter::iter`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Projection, &LowRankGradient)> {
        self.0.iter().map(|(&(layer, projection), gradient)| (layer, projection, gradient))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut LowRankGradient> {
        self.0.values_mut()
    }

    /// Adds the gradients of another pass through the same layers.
    #[cfg(feature = "train")]
    pub(crate) fn add(&mut self, other: Self) -> Result<()> {
        if self.0.is_empty() {
            *self = other;
            return Ok(());
        }
        assert!(self.0.keys().eq(other.0.keys()), "gradients of other layers are added");
        let sums: Vec<_> = self.0.values_mut().zip(other.0.into_values()).collect();
        if sums.iter().any(|(sum, _)| !sum.a.device().is_cpu()) {
            return sums.into_iter().try_for_each(|(sum, new)| {
                (sum.a, sum.b) = ((&sum.a + new.a)?, (&sum.b + new.b)?);
                Ok(())
            });
        }
        sums.into_par_iter().try_for_each(|(sum, new)| {
            in_place::add(&sum.a, &new.a)?;
            Ok(in_place::add(&sum.b, &new.b)?)
        })
    }

    /// Leaves the changes of an adapter [on top](Adapter::on_top_of) of which others are trained
    /// without gradient, so that they stay as they are.
    #[cfg(feature = "train")]
    pub(crate) fn leave(&mut self, parent: &Adapter) -> Result<()> {
        for (&(layer, projection), LowRankGradient { a, b }) in &mut self.0 {
            let Some(below) = parent.change(layer, projection) else { continue };
            let rank = below.a.dim(0)?;
            let own = a.dim(0)? - rank;
            let zeros = |x: &Tensor, side| x.narrow(side, own, rank)?.zeros_like();
            *a = Tensor::cat(&[a.narrow(0, 0, own)?, zeros(a, 0)?], 0)?;
            *b = Tensor::cat(&[b.narrow(1, 0, own)?, zeros(b, 1)?], 1)?.contiguous()?;
        }
        Ok(())
    }

    /// Fails where a variable of the adapter has no gradient: it would never change, although
    /// training would seem to work.
    pub(crate) fn check_complete(&self, adapter: &Adapter) -> Result<()> {
        match adapter
            .iter()
            .find(|&(layer, projection, _)| !self.0.contains_key(&(layer, projection)))
        {
            None => Ok(()),
            Some((layer, projection, _)) => {
                let message = format!(
                    "`{}` got no gradient in the first backward pass, so it cannot learn",
                    layer_name(layer, projection)
                );
                Err(Error::new(ErrorKind::Training, message))
            }
        }
    }
}

/// The name of a layer in checkpoints and adapters, such as `model.layers.0.self_attn.q_proj`.
fn layer_name(layer: usize, projection: Projection) -> String {
    format!("model.layers.{layer}.{}.{}", projection.module(), projection.name())
}

/// The shapes of the two matrices of a change of this rank: A `[rank, inputs]`, B `[outputs,
/// rank]`.
fn shapes(config: &Config, projection: Projection, rank: usize) -> ([usize; 2], [usize; 2]) {
    let [outputs, inputs] = config.projection_shape(projection);
    ([rank, inputs], [outputs, rank])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bake_spec::recipe::{Lora, LoraFields};

    #[test]
    fn a_variable_without_a_gradient_is_named() {
        let model = crate::model::Model::tiny().unwrap();
        let lora = Lora::new(LoraFields {
            rank: 2,
            alpha: 2.0,
            modules: vec!["k_proj".into(), "up_proj".into()].into(),
            layers: Some((1, 3)),
            ..LoraFields::DEFAULT
        })
        .unwrap();
        let adapter = initial(model.config(), &lora, 0, &Device::Cpu).unwrap();
        assert_eq!((adapter.iter().count(), adapter.lowest_layer()), (4, 1));

        let mut gradients = Gradients::default();
        for (layer, projection, LowRank { a, b, .. }) in adapter.iter() {
            let error = gradients.check_complete(&adapter).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Training);
            assert!(error.to_string().contains(&layer_name(layer, projection)), "{error}");
            gradients.set(layer, projection, LowRankGradient { a: a.clone(), b: b.clone() });
        }
        gradients.check_complete(&adapter).unwrap();
    }

    #[test]
    fn what_a_model_does_not_have_cannot_be_changed() {
        let model = crate::model::Model::tiny().unwrap();
        let refused = |change: &dyn Fn(&mut LoraFields)| {
            let lora = Lora::default().with(change).unwrap();
            initial(model.config(), &lora, 0, &Device::Cpu).unwrap_err().to_string()
        };
        assert!(refused(&|lora| lora.rank = 1000).contains("rank 1000 is not between 1 and"));
        let blocks = refused(&|lora| (lora.rank, lora.layers) = (2, Some((4, 9))));
        assert!(blocks.contains("not blocks of a model with 6"));
    }
}
