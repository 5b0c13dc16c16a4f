//! One block of a decoder as data.

use super::Projection;

/// What a block computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Whether what attention and feed-forward layer give is normed too, before it is added to the
    /// residual stream.
    pub(in crate::model) norms_after: bool,
    /// Whether the heads of queries and keys are normed, before the rotation.
    pub(in crate::model) head_norms: bool,
    /// Which of the model's rotations turns queries and keys.
    pub(in crate::model) rope: Option<usize>,
    /// How many positions a token sees, its own among them.
    pub(in crate::model) window: Option<usize>,
    /// Whether a projection has a bias, in the order of [`Projection::ALL`].
    pub(in crate::model) biases: [bool; 7],
    pub(in crate::model) activation: Activation,
    /// What products of queries and keys are multiplied by.
    pub(in crate::model) attention_scale: f64,
}

/// The function of the gate of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `x / (1 + e^−x)`.
    Silu,
    /// GELU, approximated by a hyperbolic tangent:
    /// `x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
}

/// A norm of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Of what goes into the attention.
    BeforeAttention,
    /// Of what the attention gives.
    AfterAttention,
    /// Of what goes into the feed-forward layer.
    BeforeMlp,
    /// Of what the feed-forward layer gives.
    AfterMlp,
    /// Of each head of the queries.
    Query,
    /// Of each head of the keys.
    Key,
}

impl Norm {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BeforeAttention,
        Self::AfterAttention,
        Self::BeforeMlp,
        Self::AfterMlp,
        Self::Query,
        Self::Key,
    ];
}

impl Layer {
    /// Whether the block has this norm.
    pub const fn has_norm(&self, norm: Norm) -> bool {
        match norm {
            Norm::BeforeAttention | Norm::BeforeMlp => true,
            Norm::AfterAttention | Norm::AfterMlp => self.norms_after,
            Norm::Query | Norm::Key => self.head_norms,
        }
    }

    /// Which of [`Config::ropes`](super::Config::ropes) turns queries and keys, if any does.
    pub const fn rope(&self) -> Option<usize> {
        self.rope
    }

    /// The sliding window: how many positions a token sees, its own among them. It sees all
    /// earlier ones where there is none.
    pub const fn window(&self) -> Option<usize> {
        self.window
    }

    /// Whether a projection has a bias.
    pub const fn has_bias(&self, projection: Projection) -> bool {
        self.biases[projection as usize]
    }

    /// The function of the feed-forward layer's gate.
    pub const fn activation(&self) -> Activation {
        self.activation
    }

    /// What products of queries and keys are multiplied by before the softmax.
    pub const fn attention_scale(&self) -> f64 {
        self.attention_scale
    }
}
