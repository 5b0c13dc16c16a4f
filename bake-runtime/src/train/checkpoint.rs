//! Checkpoints: what a training that was stopped resumes from.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bake_spec::{Hash, Store};
use candle_core::Tensor;

use super::optimizer::AdamW;
use crate::adapter::Adapter;
use crate::error::Result;

const STAGE: &str = "checkpoints";

/// The time between two checkpoints where no number of steps is set. When they are written does not
/// change the result.
const INTERVAL: Duration = Duration::from_secs(10);

/// The checkpoints of one bake; only the last is kept.
///
/// One is the number of steps as eight bytes, the loss of each step as f64, and then the adapter's
/// matrices and the optimiser's moments as f32, all little-endian.
pub(crate) struct Checkpoints<'a> {
    store: &'a Store,
    key: Hash,
    every: Option<usize>,
    last: Cell<Instant>,
}

impl<'a> Checkpoints<'a> {
    pub(crate) fn new(store: &'a Store, key: Hash, every: Option<usize>) -> Self {
        Self { store, key, every, last: Cell::new(Instant::now()) }
    }

    /// Restores adapter and optimiser from the last checkpoint, and returns the losses of the
    /// steps up to it. Without a checkpoint they stay as they are.
    pub(crate) fn load(&self, adapter: &mut Adapter, optimizer: &mut AdamW) -> Result<Vec<f64>> {
        let Some(bytes) = self.store.latest(STAGE, &self.key)? else { return Ok(Vec::new()) };
        let (_, moments) = optimizer.state();
        let shaped: Vec<Tensor> = matrices(adapter).chain(moments).cloned().collect();
        let numbers: usize = shaped.iter().map(Tensor::elem_count).sum();
        let Some((steps, rest)) = bytes.split_first_chunk::<8>() else { return Ok(Vec::new()) };
        let steps = u64::from_le_bytes(*steps) as usize;
        let Some((losses, mut data)) = rest
            .split_at_checked(steps.saturating_mul(8))
            .filter(|(_, data)| data.len() == 4 * numbers)
        else {
            return Ok(Vec::new());
        };
        let mut tensors = Vec::with_capacity(shaped.len());
        for like in &shaped {
            let (here, rest) = data.split_at(4 * like.elem_count());
            tensors.push(Tensor::from_raw_buffer(here, like.dtype(), like.dims(), like.device())?);
            data = rest;
        }
        let moments = tensors.split_off(matrices(adapter).count());
        let mut tensors = tensors.into_iter();
        let places: Vec<_> =
            adapter.iter().map(|(layer, projection, _)| (layer, projection)).collect();
        for (layer, projection) in places {
            if let (Some(change), Some(a), Some(b)) =
                (adapter.change_mut(layer, projection), tensors.next(), tensors.next())
            {
                (change.a, change.b) = (a, b);
            }
        }
        optimizer.resume(steps as i32, moments);
        Ok(losses.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    /// Keeps a checkpoint after a step, when it is time for one or this was the last of `steps`.
    /// There is a loss for each step done.
    pub(crate) fn step(
        &self,
        losses: &[f64],
        steps: usize,
        adapter: &Adapter,
        optimizer: &AdamW,
    ) -> Result<()> {
        let step = losses.len();
        let due = match self.every {
            Some(every) => step.is_multiple_of(every),
            None => self.last.get().elapsed() >= INTERVAL,
        };
        if due || step == steps {
            self.save(losses, adapter, optimizer)?;
            self.last.set(Instant::now());
        }
        Ok(())
    }

    /// Forgets the last checkpoint.
    pub(crate) fn clear(&self) -> Result<()> {
        Ok(self.store.remove_latest(STAGE, &self.key)?)
    }

    fn save(&self, losses: &[f64], adapter: &Adapter, optimizer: &AdamW) -> Result<()> {
        let mut bytes = (losses.len() as u64).to_le_bytes().to_vec();
        bytes.extend(losses.iter().flat_map(|loss| loss.to_le_bytes()));
        let (_, moments) = optimizer.state();
        for tensor in matrices(adapter).chain(moments) {
            bytes.extend(
                tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes),
            );
        }
        self.store.put_latest(STAGE, &self.key, &bytes)?;
        Ok(())
    }
}

fn matrices(adapter: &Adapter) -> impl Iterator<Item = &Tensor> {
    adapter.iter().flat_map(|(_, _, change)| [&change.a, &change.b])
}
