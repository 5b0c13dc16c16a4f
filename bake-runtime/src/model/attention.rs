//! Causal attention of several sequences at once, without padding.
//!
//! The tokens of all sequences follow each other. In training a sequence's keys are its own tokens
//! and those that all sequences begin with; in generation they are slots of a
//! [cache](super::cache).

mod cpu;
mod gpu;

use candle_core::{Device, Result, Tensor};

use crate::device::gpu::Gpu;
use crate::model::attention::gpu::Tiles;
use crate::model::cache::KvCache;
use crate::model::linear::Sums;

/// The heads of a layer, and what they see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) queries: usize,
    /// Key and value heads; each serves `queries / keys` query heads.
    pub(crate) keys: usize,
    /// Width of a head.
    pub(crate) width: usize,
    /// What products of queries and keys are multiplied by.
    pub(crate) scale: f64,
    /// How many positions a token sees, its own among them; all where there is none.
    pub(crate) window: Option<usize>,
}

impl Heads {
    const fn group(self) -> usize {
        self.queries / self.keys
    }

    /// The first position that the token at this one sees.
    #[inline]
    fn first_seen(self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// What a layer's projections give to its heads.
#[derive(Clone, Copy)]
pub(crate) struct Projected<'a> {
    pub(crate) heads: Heads,
    /// `[tokens, queries * width]`.
    pub(crate) q: &'a Tensor,
    /// `[tokens, keys * width]`, of all slots where they are in a cache.
    pub(crate) k: &'a Tensor,
    /// As `k`.
    pub(crate) v: &'a Tensor,
}

/// Whole sequences that may begin with the same tokens, which are there once: before the tokens of
/// the first sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequences<'a> {
    /// The tokens that all begin with. On a GPU there are none yet.
    pub(crate) shared: usize,
    /// The tokens of each that come after those.
    pub(crate) lengths: &'a [usize],
}

/// Tokens of a pass that follow each other, and how many of the shared ones they see before them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) before: usize,
    pub(crate) count: usize,
}

impl<'a> Sequences<'a> {
    /// Sequences of these lengths that share nothing.
    pub(crate) fn apart(lengths: &'a [usize]) -> Self {
        Self { shared: 0, lengths }
    }

    /// The shared tokens, if there are any, and then those of each sequence.
    pub(crate) fn segments(self) -> impl Iterator<Item = Segment> + use<'a> {
        let Self { shared, lengths } = self;
        let first = (shared > 0).then_some(Segment { before: 0, count: shared });
        first.into_iter().chain(lengths.iter().map(move |&count| Segment { before: shared, count }))
    }
}

/// How the tokens of a pass see each other.
pub(crate) enum Attention<'a> {
    Whole(Sequences<'a>),
    /// New tokens of sequences in a cache: `counts[i]` of them, the last of `slots[i]`. The new
    /// slots begin at `start`.
    Cached {
        cache: &'a KvCache,
        start: u32,
        counts: &'a [usize],
        slots: &'a [Vec<u32>],
    },
}

/// Attention as all blocks of a pass compute it.
pub(crate) struct CausalAttention<'a> {
    sees: Attention<'a>,
    /// The same for the kernels, where the pass computes on a GPU.
    tiles: Option<Tiles>,
}

impl<'a> CausalAttention<'a> {
    pub(crate) fn new(sees: Attention<'a>, device: &Device) -> Result<Self> {
        let tiles = Gpu::of_device(device).map(|_| Tiles::new(&sees, device)).transpose()?;
        Ok(Self { sees, tiles })
    }

    /// How the pass sums: an answer must not depend on what is generated along with it.
    pub(crate) fn sums(&self) -> Sums {
        match self.sees {
            Attention::Whole(_) => Sums::Fastest,
            Attention::Cached { .. } => Sums::RowByRow,
        }
    }

    /// Each token sees its own and earlier tokens of its sequence, as far as the window reaches.
    ///
    /// The result has the shape of the queries. Keys and values of new tokens are written into this
    /// layer of the cache.
    pub(crate) fn forward(&self, layer: usize, mut new: Projected<'a>) -> Result<Tensor> {
        if let Attention::Cached { cache, start, .. } = self.sees {
            (new.k, new.v) = cache.write(layer, start, new.k, new.v)?;
        }
        match (Gpu::of(new.q), &self.tiles, &self.sees) {
            (Some(gpu), Some(tiles), _) => tiles.forward(&gpu, new),
            (.., Attention::Whole(sequences)) => cpu::causal(*sequences, new),
            (.., Attention::Cached { counts, slots, .. }) => cpu::cached(counts, slots, new),
        }
    }

    /// The gradients with respect to queries, keys and values, for whole sequences.
    pub(crate) fn backward(&self, kept: Projected<'_>, dy: &Tensor) -> Result<[Tensor; 3]> {
        let Attention::Whole(sequences) = self.sees else {
            candle_core::bail!("a pass over a cache has no backward pass")
        };
        match (Gpu::of(dy), &self.tiles) {
            (Some(gpu), Some(tiles)) => tiles.backward(&gpu, kept, dy),
            _ => cpu::causal_backward(sequences, kept, dy),
        }
    }
}
