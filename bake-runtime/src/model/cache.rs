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
                    let shape = (grown(capacity, self.used), width);
                    let grown = Tensor::zeros(shape, tensor.dtype(), tensor.device())?;
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

    /// The memory of a cache in f32 with this many blocks that began with room for `capacity`
    /// tokens and has come to `used`.
    pub(crate) fn bytes(layers: usize, width: usize, capacity: usize, used: usize) -> usize {
        2 * layers * width * grown(capacity.max(1), used) * size_of::<f32>()
    }

    /// Forgets all slots from `used` on. No sequence may contain one of them.
    pub(crate) fn truncate(&mut self, used: usize) {
        self.used = self.used.min(used);
    }
}

/// The room of a cache that has to grow: by a quarter at a time, so that little of it is empty.
fn grown(mut capacity: usize, used: usize) -> usize {
    while capacity < used {
        capacity += capacity.div_ceil(4);
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_grows_keeps_what_it_has_and_says_what_it_takes() {
        let mut cache = KvCache::new(2, 3, 4, DType::F32, &Device::Cpu).unwrap();
        let row = |x: f32| Tensor::new(&[[x, x, x]], &Device::Cpu).unwrap();
        for step in 0..40u32 {
            let slots = cache.reserve(1).unwrap();
            assert_eq!(slots, step..step + 1);
            for layer in 0..2 {
                let (k, v) = (row(step as f32), row(-(step as f32)));
                cache.write(layer, slots.start, &k, &v).unwrap();
            }
        }
        let bytes = KvCache::bytes(2, 3, 4, 40);
        assert!((40..=50).contains(&(bytes / (2 * 2 * 3 * 4))), "{bytes}");
        let tensors = cache.layers.iter().flat_map(|(k, v)| [k, v]);
        assert_eq!(bytes, tensors.map(|t| t.elem_count() * 4).sum::<usize>());
        for (k, v) in &cache.layers {
            let numbers = |t: &Tensor| t.narrow(0, 0, 40).unwrap().to_vec2::<f32>().unwrap();
            let want: Vec<Vec<f32>> = (0..40).map(|x| vec![x as f32; 3]).collect();
            assert_eq!(numbers(k), want);
            assert_eq!(numbers(&v.neg().unwrap()), want);
        }
    }
}
