//! Checkpoints: what a training that was stopped resumes from, and what it keeps of its epochs.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bake_spec::recipe::Train;
use bake_spec::{Hash, KeyHasher, Store};
use candle_core::Tensor;

use super::epochs::TrainingState;
use crate::adapter::Adapter;
use crate::error::Result;

const STAGE: &str = "checkpoints";

/// The stage of the adapters that are kept after some epochs, until the bake is done.
const KEPT: &str = "kept";

/// The time between two checkpoints where no number of steps is set. When they are written does not
/// change the result.
const INTERVAL: Duration = Duration::from_secs(10);

/// The lists of numbers in a checkpoint.
const LISTS: usize = 5;

/// The checkpoints of one training: the last, from which it resumes, and the adapters after those
/// epochs that the recipe wants to be kept.
///
/// One is the number of steps as eight bytes, then five lists of numbers, each as its length in
/// eight bytes and its numbers as f64: the divergences of epochs, those of what is held out, and
/// what is known of the sequences; and then as f32 the matrices of the best adapter, where an epoch
/// was measured, those of the last one, and the optimiser's moments; all little-endian. An adapter
/// that is kept is its matrices in the same form.
pub(crate) struct Checkpoints<'a> {
    store: &'a Store,
    key: Hash,
    settings: &'a Train,
    last: Cell<Instant>,
}

impl<'a> Checkpoints<'a> {
    pub(crate) fn new(store: &'a Store, key: Hash, settings: &'a Train) -> Self {
        Self { store, key, settings, last: Cell::new(Instant::now()) }
    }

    /// Restores a training from the last checkpoint. It stays as it is without one that can be
    /// read.
    pub(super) fn load(&self, state: &mut TrainingState) -> Result<()> {
        let Some(bytes) = self.store.latest(STAGE, &self.key)? else { return Ok(()) };
        let Some((steps, rest)) = bytes.split_first_chunk::<8>() else { return Ok(()) };
        let Some((lists, data)) = lists(rest) else { return Ok(()) };
        let [epochs, held_out, known @ ..] = lists;
        let Some(rehearsal) = state.rehearsal.of_numbers(known) else { return Ok(()) };
        let last: Vec<Tensor> = matrices(&state.adapter).cloned().collect();
        let best: &[Tensor] = if held_out.is_empty() { &[] } else { &last };
        let moments: Vec<Tensor> = state.optimizer.moments().cloned().collect();
        let shaped: Vec<&Tensor> = best.iter().chain(&last).chain(&moments).collect();
        let Some(tensors) = tensors(data, &shaped)? else { return Ok(()) };
        let mut tensors = tensors.into_iter();
        if !held_out.is_empty() {
            let mut adapter = state.adapter.clone();
            replace(&mut adapter, &mut tensors);
            state.best = Some(adapter);
        }
        replace(&mut state.adapter, &mut tensors);
        state.optimizer.resume(tensors);
        state.steps = u64::from_le_bytes(*steps) as usize;
        (state.epochs, state.held_out) = (epochs, held_out);
        state.rehearsal = rehearsal;
        Ok(())
    }

    /// Keeps a checkpoint after a step, when it is time for one or this was the last.
    pub(super) fn step(&self, state: &TrainingState, last: bool) -> Result<()> {
        let due = match self.settings.checkpoint_every {
            Some(every) => state.steps.is_multiple_of(every),
            None => self.last.get().elapsed() >= INTERVAL,
        };
        if due || last {
            self.save(state)?;
            self.last.set(Instant::now());
        }
        Ok(())
    }

    /// Keeps the adapter as it is after an epoch, counted from 1, where the recipe wants it.
    pub(super) fn keep(&self, epoch: usize, adapter: &Adapter) -> Result<()> {
        if !self.settings.keep_every.is_some_and(|every| epoch.is_multiple_of(every)) {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(4 * adapter.parameters());
        add_numbers(matrices(adapter), &mut bytes)?;
        Ok(self.store.put_latest(KEPT, &self.kept_key(epoch), &bytes)?)
    }

    /// The epochs, of so many, after which the adapter is kept.
    pub(crate) fn kept_epochs(&self, epochs: usize) -> impl Iterator<Item = usize> + use<> {
        let every = self.settings.keep_every.unwrap_or(usize::MAX);
        (every..=epochs).step_by(every)
    }

    /// The adapter as it was after an epoch; none where that was not kept, or is damaged. `like` is
    /// an adapter of the same training.
    pub(crate) fn kept(&self, epoch: usize, like: &Adapter) -> Result<Option<Adapter>> {
        let Some(bytes) = self.store.latest(KEPT, &self.kept_key(epoch))? else { return Ok(None) };
        let shaped: Vec<&Tensor> = matrices(like).collect();
        let Some(tensors) = tensors(&bytes, &shaped)? else { return Ok(None) };
        let mut adapter = like.clone();
        replace(&mut adapter, &mut tensors.into_iter());
        Ok(Some(adapter))
    }

    fn kept_key(&self, epoch: usize) -> Hash {
        KeyHasher::new(KEPT, 1).field("training", &self.key).field("epoch", &epoch).finish()
    }

    /// Forgets the last checkpoint, and the adapters that were kept.
    pub(crate) fn clear(&self) -> Result<()> {
        for epoch in self.kept_epochs(self.settings.epochs) {
            self.store.remove_latest(KEPT, &self.kept_key(epoch))?;
        }
        Ok(self.store.remove_latest(STAGE, &self.key)?)
    }

    fn save(&self, state: &TrainingState) -> Result<()> {
        let best = state.best.iter().flat_map(matrices);
        let moments = state.optimizer.moments();
        let tensors: Vec<&Tensor> = best.chain(matrices(&state.adapter)).chain(moments).collect();
        let elements: usize = tensors.iter().map(|tensor| tensor.elem_count()).sum();
        let [divergences, epochs, now] = state.rehearsal.numbers();
        let lists = [&state.epochs, &state.held_out, &divergences, &epochs, &now];
        let numbers: usize = lists.iter().map(|list| 1 + list.len()).sum();
        let mut bytes = Vec::with_capacity(8 + 8 * numbers + 4 * elements);
        bytes.extend((state.steps as u64).to_le_bytes());
        for list in lists {
            bytes.extend((list.len() as u64).to_le_bytes());
            bytes.extend(list.iter().flat_map(|number| number.to_le_bytes()));
        }
        add_numbers(tensors, &mut bytes)?;
        self.store.put_latest(STAGE, &self.key, &bytes)?;
        Ok(())
    }
}

/// Adds the numbers of some tensors.
fn add_numbers<'t>(
    tensors: impl IntoIterator<Item = &'t Tensor>,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    for tensor in tensors {
        let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
        bytes.extend(numbers.into_iter().flat_map(f32::to_le_bytes));
    }
    Ok(())
}

/// Tensors of the shapes of these, which the bytes contain one after the other; none where they
/// contain more or less.
fn tensors(mut bytes: &[u8], shaped: &[&Tensor]) -> Result<Option<Vec<Tensor>>> {
    if bytes.len() != 4 * shaped.iter().map(|like| like.elem_count()).sum::<usize>() {
        return Ok(None);
    }
    let mut tensors = Vec::with_capacity(shaped.len());
    for like in shaped {
        let (here, rest) = bytes.split_at(4 * like.elem_count());
        tensors.push(Tensor::from_raw_buffer(here, like.dtype(), like.dims(), like.device())?);
        bytes = rest;
    }
    Ok(Some(tensors))
}

/// The lists of numbers of a checkpoint, and what follows them.
fn lists(mut bytes: &[u8]) -> Option<([Vec<f64>; LISTS], &[u8])> {
    let mut lists = [const { Vec::new() }; LISTS];
    for list in &mut lists {
        (*list, bytes) = numbers(bytes)?;
    }
    Some((lists, bytes))
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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn what_is_not_whole_is_not_read() {
        let empty = [0u64; LISTS].map(u64::to_le_bytes).concat();
        assert_eq!(lists(&empty), Some(([const { Vec::new() }; LISTS], &[][..])));
        for cut in 0..empty.len() {
            assert_eq!(lists(&empty[..cut]), None, "{cut}");
        }
        // More numbers than there are, or than there can be.
        for count in [1, 1 << 40, 1 << 61, u64::MAX] {
            let mut lying = empty.clone();
            lying[..8].copy_from_slice(&count.to_le_bytes());
            assert_eq!(lists(&lying), None, "{count}");
        }
        let like = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        for bytes in [0, 4, 23, 24, 25, 48] {
            let read = tensors(&vec![0; bytes], &[&like]).unwrap();
            assert_eq!(read.is_some(), bytes == 24, "{bytes}");
        }
    }
}
