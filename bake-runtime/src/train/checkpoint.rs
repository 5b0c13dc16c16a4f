//! Checkpoints: what a training that was stopped resumes from.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bake_spec::{Hash, Store};
use candle_core::Tensor;

use super::epochs::TrainingState;
use crate::adapter::Adapter;
use crate::error::Result;

const STAGE: &str = "checkpoints";

/// The time between two checkpoints where no number of steps is set. When they are written does not
/// change the result.
const INTERVAL: Duration = Duration::from_secs(10);

/// The checkpoints of one bake; only the last is kept.
///
/// One is the number of steps as eight bytes and the loss of each as f64, the number of measured
/// epochs and the held-out divergence of each in the same way, and then as f32 the matrices of the
/// best adapter, where an epoch was measured, those of the last one, and the optimiser's moments;
/// all little-endian.
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

    /// Restores a training from the last checkpoint. Without one that can be read, it stays as it
    /// is.
    pub(super) fn load(&self, state: &mut TrainingState) -> Result<()> {
        let Some(bytes) = self.store.latest(STAGE, &self.key)? else { return Ok(()) };
        let Some((losses, rest)) = numbers(&bytes) else { return Ok(()) };
        let Some((held_out, mut data)) = numbers(rest) else { return Ok(()) };
        let last: Vec<Tensor> = matrices(&state.adapter).cloned().collect();
        let best: &[Tensor] = if held_out.is_empty() { &[] } else { &last };
        let moments: Vec<Tensor> = state.optimizer.state().1.cloned().collect();
        let shaped = || best.iter().chain(&last).chain(&moments);
        if data.len() != 4 * shaped().map(Tensor::elem_count).sum::<usize>() {
            return Ok(());
        }
        let mut tensors = Vec::new();
        for like in shaped() {
            let (here, rest) = data.split_at(4 * like.elem_count());
            tensors.push(Tensor::from_raw_buffer(here, like.dtype(), like.dims(), like.device())?);
            data = rest;
        }
        let mut tensors = tensors.into_iter();
        if !held_out.is_empty() {
            let mut adapter = state.adapter.clone();
            replace(&mut adapter, &mut tensors);
            state.best = Some(adapter);
        }
        replace(&mut state.adapter, &mut tensors);
        state.optimizer.resume(losses.len() as i32, tensors);
        (state.losses, state.held_out) = (losses, held_out);
        Ok(())
    }

    /// Keeps a checkpoint after a step, when it is time for one or this was the last.
    pub(super) fn step(&self, state: &TrainingState, last: bool) -> Result<()> {
        let due = match self.every {
            Some(every) => state.losses.len().is_multiple_of(every),
            None => self.last.get().elapsed() >= INTERVAL,
        };
        if due || last {
            self.save(state)?;
            self.last.set(Instant::now());
        }
        Ok(())
    }

    /// Forgets the last checkpoint.
    pub(crate) fn clear(&self) -> Result<()> {
        Ok(self.store.remove_latest(STAGE, &self.key)?)
    }

    fn save(&self, state: &TrainingState) -> Result<()> {
        let best = state.best.iter().flat_map(matrices);
        let (_, moments) = state.optimizer.state();
        let tensors: Vec<&Tensor> = best.chain(matrices(&state.adapter)).chain(moments).collect();
        let elements: usize = tensors.iter().map(|tensor| tensor.elem_count()).sum();
        let divergences = state.losses.len() + state.held_out.len();
        let mut bytes = Vec::with_capacity(16 + 8 * divergences + 4 * elements);
        for numbers in [&state.losses, &state.held_out] {
            bytes.extend((numbers.len() as u64).to_le_bytes());
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        for tensor in tensors {
            bytes.extend(
                tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes),
            );
        }
        self.store.put_latest(STAGE, &self.key, &bytes)?;
        Ok(())
    }
}

/// Numbers with their count before them, and what follows them.
fn numbers(bytes: &[u8]) -> Option<(Vec<f64>, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<8>()?;
    let size = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(8)?;
    let (numbers, rest) = rest.split_at_checked(size)?;
    let numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
    Some((numbers.collect(), rest))
}

fn matrices(adapter: &Adapter) -> impl Iterator<Item = &Tensor> {
    adapter.iter().flat_map(|(_, _, change)| [&change.a, &change.b])
}

/// Puts other matrices into an adapter, in the order of [`matrices`].
fn replace(adapter: &mut Adapter, matrices: &mut impl Iterator<Item = Tensor>) {
    let places: Vec<_> = adapter.iter().map(|(layer, projection, _)| (layer, projection)).collect();
    for (layer, projection) in places {
        if let (Some(change), Some(a), Some(b)) =
            (adapter.change_mut(layer, projection), matrices.next(), matrices.next())
        {
            (change.a, change.b) = (a, b);
        }
    }
}
