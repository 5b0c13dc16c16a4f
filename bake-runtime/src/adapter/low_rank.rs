//! Low-rank changes of linear layers (Hu et al. 2021, arXiv 2106.09685).

use std::ops::Range;

#[cfg(feature = "train")]
use candle_core::Device;
use candle_core::{Result, Tensor};

#[cfg(feature = "train")]
use crate::tensor::slices::with_slice;

/// A change of a linear layer's weight: `W + scale · B A`.
#[derive(Clone, Debug)]
pub(crate) struct LowRank {
    /// `[rank, inputs]`.
    pub(crate) a: Tensor,
    /// `[outputs, rank]`.
    pub(crate) b: Tensor,
    /// `alpha / rank`, or `alpha / √rank` for a rank-stabilised adapter.
    pub(crate) scale: f64,
}

impl LowRank {
    /// One change of a tensor of so many rows for the changes of some of them: the As below each
    /// other, the Bs each in its own rows and columns.
    #[cfg(feature = "train")]
    pub(crate) fn joined(parts: &[(Range<usize>, &Self)], rows: usize) -> Result<Self> {
        let (mut a, mut rank, mut scale) = (Vec::new(), 0, 1.0);
        for (_, part) in parts {
            scale = if rank == 0 { part.scale } else { scale };
            rank += part.a.dim(0)?;
            a.push(&part.a);
        }
        let (mut b, mut first) = (vec![0.0; rows * rank], 0);
        for (place, part) in parts {
            let own = part.a.dim(0)?;
            let factor = (part.scale / scale) as f32;
            with_slice(&part.b, |from: &[f32]| {
                for (row, from) in place.clone().zip(from.chunks_exact(own)) {
                    for (to, from) in b[row * rank + first..].iter_mut().zip(from) {
                        *to = from * factor;
                    }
                }
            })?;
            first += own;
        }
        let b = Tensor::from_vec(b, (rows, rank), &Device::Cpu)?;
        Ok(Self { a: Tensor::cat(&a, 0)?, b, scale })
    }

    /// The same change with numbers of its own.
    #[cfg(feature = "train")]
    pub(crate) fn copied(&self) -> Result<Self> {
        Ok(Self { a: self.a.copy()?, b: self.b.copy()?, scale: self.scale })
    }

    /// Both changes of one tensor, the other one last, on its device.
    #[cfg(feature = "train")]
    pub(crate) fn with(&self, other: &Self) -> Result<Self> {
        let other_b = (&other.b * (other.scale / self.scale))?;
        let a = Tensor::cat(&[&self.a, &other.a], 0)?;
        let b = Tensor::cat(&[&self.b, &other_b], 1)?.contiguous()?;
        Ok(Self { a, b, scale: self.scale })
    }

    /// The change of these rows alone, without what adds nothing to them.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Result<Self> {
        let b = self.b.narrow(0, rows.start, rows.len())?.contiguous()?;
        let sizes = b.abs()?.sum(0)?.to_vec1::<f32>()?;
        let used = (0u32..).zip(sizes).filter(|(_, size)| *size != 0.0).map(|(column, _)| column);
        let used: Vec<u32> = used.collect();
        if used.is_empty() || used.len() == self.a.dim(0)? {
            return Ok(Self { a: self.a.clone(), b, scale: self.scale });
        }
        let used = Tensor::new(used, b.device())?;
        let (a, b) = (self.a.index_select(&used, 0)?, b.index_select(&used, 1)?);
        Ok(Self { a, b, scale: self.scale })
    }
}

/// The gradients of a [`LowRank`].
#[derive(Clone, Debug)]
pub(crate) struct LowRankGradient {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
}
