//! A decoder's block in candle's own operations, whose backward pass is candle's: the oracle of the
//! engine's, and what its training step is timed against.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::{rms_norm_slow, softmax};
use candle_nn::rotary_emb::rope_slow;

/// What a block's sizes do not say.
pub(crate) struct Shape {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) eps: f32,
    /// Cosines and sines of all positions, `[context, head_dim / 2]` each.
    pub(crate) turns: [Tensor; 2],
}

/// A linear layer with a low-rank change.
pub(crate) struct Changed {
    /// `[outputs, inputs]`.
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    /// `[rank, inputs]` and `[outputs, rank]`.
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
    pub(crate) scale: f64,
}

impl Changed {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        y + (x.matmul(&self.a.t()?)?.matmul(&self.b.t()?)? * self.scale)?
    }
}

/// The weights of a block.
pub(crate) struct Block {
    /// Before attention and before the feed-forward layer.
    pub(crate) norms: [Tensor; 2],
    /// Queries, keys, values, output; gate, up, down.
    pub(crate) projections: [Changed; 7],
}

impl Block {
    /// `x` is `[tokens, hidden]`: sequences of these lengths, one after the other.
    pub(crate) fn forward(&self, shape: &Shape, lengths: &[usize], x: &Tensor) -> Result<Tensor> {
        let [query, key, value, output, gate, up, down] = &self.projections;
        let normed = rms_norm_slow(x, &self.norms[0], shape.eps)?;
        let (q, k, v) = (query.forward(&normed)?, key.forward(&normed)?, value.forward(&normed)?);
        let middle = (x + output.forward(&attention(shape, lengths, [&q, &k, &v])?)?)?;
        let normed = rms_norm_slow(&middle, &self.norms[1], shape.eps)?;
        let gated = (gate.forward(&normed)?.silu()? * up.forward(&normed)?)?;
        middle + down.forward(&gated)?
    }
}

/// Causal attention within sequences of these lengths, after the rotation.
pub(crate) fn attention(shape: &Shape, lengths: &[usize], qkv: [&Tensor; 3]) -> Result<Tensor> {
    let (mut mixed, mut first) = (Vec::new(), 0);
    for &length in lengths {
        let [q, k, v] = qkv.map(|t| t.narrow(0, first, length));
        let heads = |x: &Tensor, heads: usize| {
            x.reshape((length, heads, shape.head_dim))?.transpose(0, 1)?.contiguous()
        };
        let q = rotated(shape, &heads(&q?, shape.heads)?)?;
        let k = repeated(shape, &rotated(shape, &heads(&k?, shape.kv_heads)?)?)?;
        let v = repeated(shape, &heads(&v?, shape.kv_heads)?)?;
        let scores = (q.matmul(&k.t()?)? / (shape.head_dim as f64).sqrt())?;
        let hidden: Vec<f32> = (0..length * length)
            .map(|i| if i % length > i / length { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        let hidden = Tensor::from_vec(hidden, (length, length), q.device())?.to_dtype(q.dtype())?;
        let p = softmax(&scores.broadcast_add(&hidden)?, D::Minus1)?;
        let y = p.matmul(&v)?.transpose(0, 1)?.contiguous()?;
        mixed.push(y.reshape((length, shape.heads * shape.head_dim))?);
        first += length;
    }
    Tensor::cat(&mixed, 0)
}

/// Each of `[heads, tokens, head_dim]` turned by the angles of the positions from 0 on.
pub(crate) fn rotated(shape: &Shape, x: &Tensor) -> Result<Tensor> {
    let [cos, sin] = &shape.turns;
    rope_slow(&x.unsqueeze(0)?, cos, sin)?.squeeze(0)
}

/// Each key head as often as there are query heads that it serves.
fn repeated(shape: &Shape, x: &Tensor) -> Result<Tensor> {
    let (heads, tokens, width) = x.dims3()?;
    let group = shape.heads / shape.kv_heads;
    x.unsqueeze(1)?.broadcast_as((heads, group, tokens, width))?.contiguous()?.reshape((
        shape.heads,
        tokens,
        width,
    ))
}
