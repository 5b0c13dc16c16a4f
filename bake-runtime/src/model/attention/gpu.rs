//! Attention on a GPU: `kernels/attention.cu`, in f32.

use candle_core::{DType, Device, Result, Tensor};

use crate::device::gpu::{Arg, Gpu, Grid, Lane, Launch, address, expect_f32, unwritten};
use crate::model::attention::{Attention, Heads, Projected, Sequences};

/// As in `kernels/attention.cu`.
const ATTENTION_THREADS: usize = 128;
const QUERIES: usize = 16;
const KEYS: usize = 32;
const WIDEST_HEAD: usize = 256;

/// Which tokens see which, as the kernels read it.
pub(super) struct Tiles {
    /// For each sequence its first query, how many there are, its first key, and how many.
    sequences: Tensor,
    /// The slots of all keys; none where keys are the tokens themselves.
    slots: Option<Tensor>,
    /// A sequence and the first of its rows, for every tile of queries.
    tiles: Tensor,
    tile_count: usize,
    /// Rows of queries.
    tokens: usize,
}

impl Tiles {
    pub(super) fn new(sees: &Attention<'_>, device: &Device) -> Result<Self> {
        let (counts, slots) = match sees {
            Attention::Whole(Sequences { shared: 0, lengths }) => (*lengths, None),
            Attention::Whole(_) => {
                candle_core::bail!("the kernels know no tokens that sequences share")
            }
            Attention::Cached { counts, slots, .. } => (*counts, Some(*slots)),
        };
        let (mut sequences, mut tiles, mut query, mut key) = (Vec::new(), Vec::new(), 0, 0);
        for (i, &count) in counts.iter().enumerate() {
            let keys = slots.map_or(count, |slots| slots[i].len());
            sequences.extend([query, count, key, keys].map(|n| n as u32));
            tiles.extend((0..count).step_by(QUERIES).flat_map(|first| [i as u32, first as u32]));
            query += count;
            key += keys;
        }
        let tile_count = tiles.len() / 2;
        Ok(Self {
            sequences: Tensor::new(sequences, device)?,
            slots: slots.map(|slots| Tensor::new(slots.concat(), device)).transpose()?,
            tiles: Tensor::new(tiles, device)?,
            tile_count,
            tokens: query,
        })
    }

    /// See [`CausalAttention::forward`](super::CausalAttention::forward).
    pub(super) fn forward(&self, gpu: &Gpu, projected: Projected<'_>) -> Result<Tensor> {
        let Projected { heads, q, k, v } = projected;
        let keys = if self.slots.is_some() { k.dim(0)? } else { self.tokens };
        expect_f32(&[q], &[self.tokens, heads.queries * heads.width])?;
        expect_f32(&[k, v], &[keys, heads.keys * heads.width])?;
        // SAFETY: the tiles are those of all rows, which the kernel writes.
        let out = unsafe { unwritten(q.shape(), DType::F32, q.device())? };
        let slots = self.slots.as_ref().map_or(Ok(Arg::NULL), address)?;
        let addresses = [
            address(q)?,
            address(k)?,
            address(v)?,
            slots,
            address(&self.sequences)?,
            address(&self.tiles)?,
            address(&out)?,
        ];
        let floats = (QUERIES + 2 * KEYS) * (heads.width + 1) + ATTENTION_THREADS;
        self.launch(gpu, heads, "attention_forward", heads.queries, floats, &addresses)?;
        Ok(out)
    }

    /// See [`CausalAttention::backward`](super::CausalAttention::backward).
    pub(super) fn backward(
        &self,
        gpu: &Gpu,
        projected: Projected<'_>,
        dy: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let Projected { heads, q, k, v } = projected;
        expect_f32(&[q, dy], &[self.tokens, heads.queries * heads.width])?;
        expect_f32(&[k, v], &[self.tokens, heads.keys * heads.width])?;
        // SAFETY: the tiles are those of all rows, which the kernels write before they read them.
        let [dq, dk, dv] =
            [q, k, v].map(|t| unsafe { unwritten(t.shape(), DType::F32, t.device()) });
        let (dq, dk, dv) = (dq?, dk?, dv?);
        // SAFETY: as above; the first kernel writes it for the second.
        let rows = unsafe { unwritten((q.dim(0)?, heads.queries, 2), DType::F32, q.device())? };
        let inputs = [
            address(q)?,
            address(k)?,
            address(v)?,
            address(dy)?,
            address(&self.sequences)?,
            address(&self.tiles)?,
        ];
        let floats = 2 * (QUERIES + KEYS) * (heads.width + 1) + 2 * ATTENTION_THREADS;
        let args: Vec<Arg> = inputs.into_iter().chain([address(&dq)?, address(&rows)?]).collect();
        self.launch(gpu, heads, "attention_backward_queries", heads.queries, floats, &args)?;
        let args: Vec<Arg> =
            inputs.into_iter().chain([address(&rows)?, address(&dk)?, address(&dv)?]).collect();
        self.launch(gpu, heads, "attention_backward_keys", heads.keys, floats, &args)?;
        Ok([dq, dk, dv])
    }

    /// Launches a kernel with a block for each tile and each of `heads_at_once` heads, and `floats`
    /// of shared memory.
    fn launch(
        &self,
        gpu: &Gpu,
        heads: Heads,
        kernel: &str,
        heads_at_once: usize,
        floats: usize,
        addresses: &[Arg],
    ) -> Result<()> {
        if heads.width > WIDEST_HEAD {
            candle_core::bail!(
                "heads of width {} are too wide for a GPU; up to {WIDEST_HEAD} work",
                heads.width
            );
        }
        let window = heads.window.unwrap_or(usize::MAX).min(i32::MAX as usize);
        let sizes: [Arg; 5] = [
            heads.queries.into(),
            heads.keys.into(),
            heads.width.into(),
            (heads.scale as f32).into(),
            window.into(),
        ];
        let args: Vec<Arg> = addresses.iter().copied().chain(sizes).collect();
        let (grid, shared_bytes) =
            (Grid::Blocks(self.tile_count * heads_at_once), floats * size_of::<f32>());
        let launch =
            Launch { kernel, grid, block: ATTENTION_THREADS, shared_bytes, lane: Lane::Main };
        // SAFETY: the callers give the arguments of their kernel, and have checked their shapes.
        unsafe { gpu.launch(launch, &args) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::gpu::testing::{floats, gpu, on_gpus, same};
    use crate::model::attention::cpu::{cached, causal, causal_backward};

    fn heads(queries: usize, keys: usize, width: usize, window: Option<usize>) -> Heads {
        Heads { queries, keys, width, scale: 0.9 / (width as f64).sqrt(), window }
    }

    #[test]
    fn attention_is_that_of_the_processor() {
        for (heads, lengths) in [
            (heads(4, 2, 3, None), &[1, 40, 3][..]),
            (heads(4, 2, 3, Some(5)), &[1, 40, 3]),
            (heads(2, 2, 40, None), &[17, 70]),
            (heads(2, 2, 40, Some(1)), &[17, 70]),
            // The first keys of a tile's window are in a chunk that others of the tile do not see.
            (heads(2, 1, 8, Some(20)), &[100]),
            (heads(2, 1, 8, Some(64)), &[100]),
            (heads(3, 1, 129, None), &[33]),
        ] {
            let tokens: usize = lengths.iter().sum();
            let of = |heads: usize, width: usize, seed| {
                (floats(&[tokens, heads * width], seed) * 2.0).unwrap()
            };
            let (q, dy) = (of(heads.queries, heads.width, 1), of(heads.queries, heads.width, 2));
            let (k, v) = (of(heads.keys, heads.width, 3), of(heads.keys, heads.width, 4));
            let projected = Projected { heads, q: &q, k: &k, v: &v };
            let sequences = Sequences::apart(lengths);
            let y = causal(sequences, projected).unwrap();
            let gradients = causal_backward(sequences, projected, &dy).unwrap();
            on_gpus(|device| {
                let tiles = Tiles::new(&Attention::Whole(sequences), device).unwrap();
                let [q, k, v, dy] = [&q, &k, &v, &dy].map(|t| t.to_device(device).unwrap());
                let projected = Projected { heads, q: &q, k: &k, v: &v };
                let got = tiles.forward(&gpu(device), projected).unwrap();
                same(&got, &y, 1e-5, "attention");
                let got = tiles.backward(&gpu(device), projected, &dy).unwrap();
                for ((got, want), what) in
                    got.iter().zip(&gradients).zip(["queries", "keys", "values"])
                {
                    same(got, want, 1e-5, what);
                }
            });
        }
    }

    #[test]
    fn attention_to_a_cache_is_that_of_the_processor() {
        // Two sequences share a prefix; one has three new tokens, the other 20.
        let prefix: Vec<u32> = (0..50).map(|i| i * 7 % 53).collect();
        let slots = [
            [&prefix[..], &[60, 61, 62]].concat(),
            [&prefix[..], &(63..83).collect::<Vec<u32>>()].concat(),
        ];
        let (counts, q) = ([3, 20], floats(&[23, 20], 1));
        let (k, v) = (floats(&[90, 10], 2), floats(&[90, 10], 3));
        let cache = crate::model::cache::KvCache::new(0, 1, 1, DType::F32, &Device::Cpu).unwrap();
        for window in [None, Some(1), Some(10), Some(60)] {
            let heads = heads(4, 2, 5, window);
            let y = cached(&counts, &slots, Projected { heads, q: &q, k: &k, v: &v }).unwrap();
            on_gpus(|device| {
                let attention =
                    Attention::Cached { cache: &cache, start: 60, counts: &counts, slots: &slots };
                let tiles = Tiles::new(&attention, device).unwrap();
                let [q, k, v] = [&q, &k, &v].map(|t| t.to_device(device).unwrap());
                let projected = Projected { heads, q: &q, k: &k, v: &v };
                let got = tiles.forward(&gpu(device), projected).unwrap();
                same(&got, &y, 1e-5, "attention");
            });
        }
    }

    #[test]
    fn heads_that_are_too_wide_are_refused() {
        let heads = heads(1, 1, WIDEST_HEAD + 1, None);
        let x = floats(&[1, heads.width], 1);
        on_gpus(|device| {
            let tiles = Tiles::new(&Attention::Whole(Sequences::apart(&[1])), device).unwrap();
            let x = x.to_device(device).unwrap();
            let projected = Projected { heads, q: &x, k: &x, v: &x };
            let error = tiles.forward(&gpu(device), projected).unwrap_err();
            assert!(error.to_string().contains("too wide"), "{error}");
        });
    }
}
