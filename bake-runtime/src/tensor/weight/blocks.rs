//! Quantised numbers as GGML has them: blocks that share a scale.

mod formats;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use candle_core::Result;
use candle_core::quantized::GgmlDType;

use crate::tensor::elementary::vectorised;
use formats::{BlockFormat, Q4K, Q4One, Q4Zero, Q5K, Q5One, Q5Zero, Q6K, Q8Zero};

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

/// The blocks of a format.
struct FormatBlocks<F, const BYTES: usize, const NUMBERS: usize> {
    blocks: Vec<[u8; BYTES]>,
    format: PhantomData<F>,
}

impl<F, const BYTES: usize, const NUMBERS: usize> AnyBlocks for FormatBlocks<F, BYTES, NUMBERS>
where
    F: BlockFormat<BYTES, NUMBERS> + Send + Sync,
{
    fn widen(&self, blocks: Range<usize>, wide: &mut [f32]) {
        let blocks = &self.blocks[blocks];
        vectorised(
            #[inline(always)]
            || {
                for (block, wide) in blocks.iter().zip(wide.as_chunks_mut().0) {
                    // Vectors are to be made of the numbers of one block: made of one number of
                    // each of several blocks, they are read and written in pieces.
                    F::widen(std::hint::black_box(block), wide);
                }
            },
        );
    }
}

impl Blocks {
    pub(super) fn new(dtype: GgmlDType, bytes: &[u8], dims: [usize; 2]) -> Result<Self> {
        let (numbers, block) = (dims[0] * dims[1], dtype.block_size());
        if !dims[1].is_multiple_of(block) || bytes.len() != numbers / block * dtype.type_size() {
            candle_core::bail!("{} bytes are not a matrix {dims:?} of {dtype:?}", bytes.len());
        }
        let blocks = match dtype {
            GgmlDType::Q4_0 => read::<Q4Zero, _, _>(bytes),
            GgmlDType::Q4_1 => read::<Q4One, _, _>(bytes),
            GgmlDType::Q5_0 => read::<Q5Zero, _, _>(bytes),
            GgmlDType::Q5_1 => read::<Q5One, _, _>(bytes),
            GgmlDType::Q8_0 => read::<Q8Zero, _, _>(bytes),
            GgmlDType::Q4K => read::<Q4K, _, _>(bytes),
            GgmlDType::Q5K => read::<Q5K, _, _>(bytes),
            GgmlDType::Q6K => read::<Q6K, _, _>(bytes),
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

fn read<F, const BYTES: usize, const NUMBERS: usize>(bytes: &[u8]) -> Box<dyn AnyBlocks>
where
    F: BlockFormat<BYTES, NUMBERS> + Send + Sync + 'static,
{
    let (blocks, format) = (bytes.as_chunks().0.to_vec(), PhantomData::<F>);
    Box::new(FormatBlocks { blocks, format })
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks {:?} of {:?}", self.dims, self.dtype)
    }
}
