//! Keys and values of tokens that were read, for generation.
//!
//! The cache is a log: every step appends the keys and values of its new tokens. A sequence is a
//! list of slots of the log, in the order of its positions. Sequences can therefore share the slots
//! of a common prefix without copies, branch by copying a list of numbers, and forget by shortening
//! it.

use candle_core::{DType, Device, Result, Tensor};

/// The keys and values of all blocks.
pub(crate) struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    used: usize,
}

impl KvCache {
    /// A cache of a model with this many blocks, whose keys have `width` numbers a token. It grows
    /// when it is full.
    pub(crate) fn new(
        layers: usize,
        width: usize,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let empty = || Tensor::zeros((capacity.max(1), width), dtype, device);
        let layers = (0..layers).map(|_| Ok((empty()?, empty()?))).collect::<Result<_>>()?;
        Ok(Self { layers, used: 0 })
    }

    /// Makes room for `count` tokens and returns their slots.
    pub(crate) fn reserve(&mut self, count: usize) -> Result<std::ops::Range<u32>> {
        let start = self.used;
        self.used += count;
        for (k, v) in &mut self.layers {
            for tensor in [k, v] {
                let (capacity, width) = tensor.dims2()?;
                if self.used > capacity {
                    let grown = Tensor::zeros(
                        (self.used.max(2 * capacity), width),
                        tensor.dtype(),
                        tensor.device(),
                    )?;
                    grown.slice_set(tensor, 0, 0)?;
                    *tensor = grown;
                }
            }
        }
        Ok(start as u32..self.used as u32)
    }

    /// Writes the keys and values of a block for the tokens whose slots begin at `start`; returns
    /// those of all slots.
    pub(crate) fn write(
        &self,
        layer: usize,
        start: u32,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<(&Tensor, &Tensor)> {
        let (keys, values) = &self.layers[layer];
        keys.slice_set(&k.contiguous()?, 0, start as usize)?;
        values.slice_set(&v.contiguous()?, 0, start as usize)?;
        Ok((keys, values))
    }

    /// Forgets all slots from `used` on. No sequence may contain one of them.
    pub(crate) fn truncate(&mut self, used: usize) {
        self.used = self.used.min(used);
    }
}
