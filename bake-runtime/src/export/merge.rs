//! Weights with the adapter in them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bake_spec::Config;
use candle_core::Device;

use super::{Base, ExportDtype, numbers};
use crate::adapter::{Adapter, LowRank};
use crate::checkpoint::stored::Stored;
use crate::error::Result;
use crate::tensor::matrix::{Matrix, Threads, multiply};
use crate::tensor::slices::with_slices;

/// The changes of a tensor: of all its rows, or of some where it contains several projections.
type Changes<'a> = Vec<(Range<usize>, &'a LowRank)>;

/// The tensors of a model, some of them changed by an adapter.
pub(super) struct Merge<'a> {
    base: &'a Base<'a>,
    changes: BTreeMap<String, Changes<'a>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(base: &'a Base<'a>, config: &Config, adapter: &'a Adapter) -> Self {
        let mut changes: BTreeMap<String, Changes<'a>> = BTreeMap::new();
        for (layer, projection, change) in adapter.iter() {
            let stored = config.stored_rows(layer, projection);
            let name = format!("{}.weight", stored.module);
            changes.entry(name).or_default().push((stored.rows, change));
        }
        Self { base, changes }
    }

    /// The tensor as the base model has it.
    pub(super) fn stored(&self, name: &str) -> Result<Stored<'a>> {
        let checkpoint = self.base.checkpoint;
        checkpoint.stored(name)?.ok_or_else(|| checkpoint.missing(name))
    }

    /// A tensor in f32, `W + scale · B A` where the adapter changes it.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        let stored = self.stored(name)?;
        let mut data = stored.tensor(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        for (rows, change) in self.changes.get(name).into_iter().flatten() {
            let ((rank, inputs), outputs) = (change.a.dims2()?, change.b.dim(0)?);
            with_slices([&change.a, &change.b], |[a, b]: [&[f32]; 2]| {
                let (a, b) = (Matrix::new(a, rank, inputs), Matrix::new(b, outputs, rank));
                let out = &mut data[rows.start * inputs..rows.end * inputs];
                multiply(out, true, b, a, change.scale as f32, Threads::All);
            })?;
        }
        Ok(data)
    }

    /// A tensor as a file stores it in this type. One that is not changed keeps its bytes where it
    /// has the type already.
    pub(super) fn bytes(&self, name: &str, dtype: ExportDtype) -> Result<Cow<'a, [u8]>> {
        let stored = self.stored(name)?;
        if !self.changes.contains_key(name) && numbers::plain(stored.dtype) == Some(dtype) {
            return Ok(stored.data);
        }
        Ok(numbers::encode(&self.numbers(name)?, &stored.shape, dtype, name)?.into())
    }
}
