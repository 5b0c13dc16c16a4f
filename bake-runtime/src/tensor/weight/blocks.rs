//! Quantised numbers as GGML has them: blocks that share a scale.

use std::fmt;
use std::ops::Range;

use candle_core::Result;
use candle_core::quantized::k_quants::{
    BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K, BlockQ8_0,
};
use candle_core::quantized::{GgmlDType, GgmlType};

/// A matrix of blocks. Rows are whole blocks.
pub(super) struct Blocks {
    dtype: GgmlDType,
    dims: [usize; 2],
    blocks: Box<dyn AnyBlocks>,
}

/// Blocks of one type.
trait AnyBlocks: Send + Sync {
    /// Widens blocks.
    fn widen(&self, blocks: Range<usize>, wide: &mut [f32]);
}

impl<B: GgmlType> AnyBlocks for Vec<B> {
    fn widen(&self, blocks: Range<usize>, wide: &mut [f32]) {
        B::to_float(&self[blocks], wide);
    }
}

impl Blocks {
    pub(super) fn new(dtype: GgmlDType, bytes: &[u8], dims: [usize; 2]) -> Result<Self> {
        let (numbers, block) = (dims[0] * dims[1], dtype.block_size());
        if !dims[1].is_multiple_of(block) || bytes.len() != numbers / block * dtype.type_size() {
            candle_core::bail!("{} bytes are not a matrix {dims:?} of {dtype:?}", bytes.len());
        }
        let blocks = match dtype {
            GgmlDType::Q4_0 => read::<BlockQ4_0>(bytes),
            GgmlDType::Q4_1 => read::<BlockQ4_1>(bytes),
            GgmlDType::Q5_0 => read::<BlockQ5_0>(bytes),
            GgmlDType::Q5_1 => read::<BlockQ5_1>(bytes),
            GgmlDType::Q8_0 => read::<BlockQ8_0>(bytes),
            GgmlDType::Q4K => read::<BlockQ4K>(bytes),
            GgmlDType::Q5K => read::<BlockQ5K>(bytes),
            GgmlDType::Q6K => read::<BlockQ6K>(bytes),
            other => candle_core::bail!("weights of blocks {other:?} are not read"),
        };
        Ok(Self { dtype, dims, blocks })
    }

    pub(super) fn dims(&self) -> (usize, usize) {
        (self.dims[0], self.dims[1])
    }

    pub(super) fn bytes(&self) -> usize {
        self.dims[0] * self.dims[1] / self.dtype.block_size() * self.dtype.type_size()
    }

    /// Numbers of a block.
    pub(super) fn block_size(&self) -> usize {
        self.dtype.block_size()
    }

    /// Columns of a row, in whole blocks.
    pub(super) fn widen_columns(&self, row: usize, columns: Range<usize>, wide: &mut [f32]) {
        let (block, inputs) = (self.block_size(), self.dims[1]);
        let whole = [columns.start, columns.end].iter().all(|column| column.is_multiple_of(block));
        assert!(whole && wide.len() == columns.len(), "a block is cut");
        let blocks = [columns.start, columns.end].map(|column| (row * inputs + column) / block);
        self.blocks.widen(blocks[0]..blocks[1], wide);
    }

    pub(super) fn widen(&self, rows: Range<usize>, wide: &mut [f32]) {
        let row = self.dims[1] / self.dtype.block_size();
        assert_eq!(wide.len(), rows.len() * self.dims[1], "the rows have another length");
        self.blocks.widen(rows.start * row..rows.end * row, wide);
    }
}

fn read<B: GgmlType + 'static>(bytes: &[u8]) -> Box<dyn AnyBlocks> {
    let blocks = bytes.chunks_exact(size_of::<B>());
    // SAFETY: each chunk has the size of a block, which consists of numbers, for which all bits
    // are valid.
    let blocks: Vec<B> =
        blocks.map(|b| unsafe { b.as_ptr().cast::<B>().read_unaligned() }).collect();
    Box::new(blocks)
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks {:?} of {:?}", self.dims, self.dtype)
    }
}
