//! The linear layers of a block.

use serde::Serialize;

use crate::hash::Encode;

/// A linear layer of a block, which is where an adapter can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Projection {
    /// Queries of the attention.
    Query,
    /// Keys of the attention.
    Key,
    /// Values of the attention.
    Value,
    /// The attention's projection back into the residual stream.
    Output,
    /// The gate of the feed-forward layer.
    Gate,
    /// The feed-forward layer's up projection.
    Up,
    /// The feed-forward layer's projection back into the residual stream.
    Down,
}

impl Projection {
    /// All of them, in the order in which a block uses them.
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// The name in checkpoints and in adapters, such as `q_proj`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The module of a block that contains the layer, such as `self_attn`.
    pub const fn module(self) -> &'static str {
        match self {
            Self::Query | Self::Key | Self::Value | Self::Output => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }

    /// The projection with a name such as `q_proj`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

impl Encode for Projection {
    fn encode(&self, out: &mut String) {
        self.name().encode(out);
    }
}
