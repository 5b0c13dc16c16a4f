//! Low-rank changes of linear layers (Hu et al. 2021, arXiv 2106.09685).

use candle_core::Tensor;

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

/// The gradients of a [`LowRank`].
#[derive(Clone, Debug)]
pub(crate) struct LowRankGradient {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
}
