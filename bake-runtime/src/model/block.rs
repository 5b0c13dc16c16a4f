//! One block of the decoder: attention and feed-forward layer, each after a norm, in some families
//! before one too, and around a residual.
//!
//! Its backward pass is written out. Candle's own silently cuts the gradient at fused operations,
//! computes gradients of frozen weights, and adds every gradient to zeros first.

#[cfg(test)]
mod tests;

use bake_spec::model::config::Norm;
use bake_spec::{Config, Projection};
use candle_core::{Result, Tensor};

use crate::adapter::{Adapter, Gradients};
use crate::model::attention::{CausalAttention, Heads, Projected};
use crate::model::dropout::Dropout;
use crate::model::gate::{gated, gated_backward};
use crate::model::linear::{Change, Linear, Wanted};
use crate::model::norm::RmsNorm;
use crate::model::rope::{Positions, RopeTable};

/// The weights of a block.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) mlp_norm: RmsNorm,
    /// Of what attention and feed-forward layer add to the residual stream.
    pub(crate) norms_after: Option<[RmsNorm; 2]>,
    /// Of the heads of queries and keys.
    pub(crate) head_norms: Option<[RmsNorm; 2]>,
    /// In the order of [`Projection::ALL`].
    pub(crate) projections: Vec<Linear>,
}

/// Which weights a pass uses: the base's own, or the base's with an adapter viewed on top.
#[derive(Clone, Copy, Default)]
pub(crate) struct WeightView<'a> {
    pub(crate) adapter: Option<&'a Adapter>,
    pub(crate) dropout: Option<Dropout>,
}

/// What a block needs to know of the pass that it is part of.
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ropes: &'a [RopeTable],
    pub(crate) positions: Positions<'a>,
    pub(crate) attention: CausalAttention<'a>,
    pub(crate) view: WeightView<'a>,
}

/// What the forward pass keeps for the backward pass. All are `[tokens, …]`.
pub(crate) struct Activations {
    x: Tensor,
    normed: Tensor,
    /// Queries and keys before the norm of their heads, where there is one.
    heads: Option<[Tensor; 2]>,
    /// Queries and keys after the rotation.
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mixed: Tensor,
    /// What attention and feed-forward layer give, before the norms after them, where there are
    /// any.
    given: Option<[Tensor; 2]>,
    middle: Tensor,
    middle_normed: Tensor,
    gate: Tensor,
    up: Tensor,
    gated: Tensor,
}

impl Activations {
    /// Bytes for this many tokens in f32, of the block that keeps most.
    pub(crate) fn bytes(config: &Config, tokens: usize) -> usize {
        let plain = 4 * config.hidden_size()
            + 2 * config.query_size()
            + 2 * config.kv_size()
            + 3 * config.intermediate_size();
        let more = |layer: usize| {
            let has = |norm| usize::from(config.layer(layer).has_norm(norm));
            has(Norm::AfterAttention) * config.hidden_size()
                + has(Norm::AfterMlp) * config.hidden_size()
                + has(Norm::Query) * config.query_size()
                + has(Norm::Key) * config.kv_size()
        };
        let most = (0..config.layers()).map(more).max().unwrap_or(0);
        tokens * (plain + most) * size_of::<f32>()
    }
}

impl Block {
    /// Bytes that the backward pass of these many tokens holds beside the activations, in f32, when
    /// it holds most: gradients of the feed-forward layer and of the heads, and those of queries,
    /// keys and values once more while they are put in order.
    pub(crate) fn backward_bytes(config: &Config, tokens: usize) -> usize {
        let numbers = 3 * config.intermediate_size()
            + config.hidden_size()
            + 3 * config.query_size()
            + 4 * config.kv_size();
        tokens * numbers * size_of::<f32>()
    }

    /// `x` is `[tokens, hidden]`, and so is the result.
    pub(crate) fn forward(
        &self,
        layer: usize,
        x: &Tensor,
        pass: &Pass<'_>,
    ) -> Result<(Tensor, Activations)> {
        let linear = |projection, x: &Tensor, onto: Option<&Tensor>| {
            self.linear(layer, projection, x, onto, pass)
        };
        let normed = self.attention_norm.forward(x)?;
        let [q, k] = [Projection::Query, Projection::Key].map(|p| linear(p, &normed, None));
        let (q, k) = (q?, k?);
        let (q, k, before) = match &self.head_norms {
            None => (q, k, None),
            Some([queries, keys]) => (queries.forward(&q)?, keys.forward(&k)?, Some([q, k])),
        };
        let (q, k) = match pass.rope(layer) {
            None => (q, k),
            Some(rope) => (rope.rotate(&q, &pass.positions)?, rope.rotate(&k, &pass.positions)?),
        };
        let v = linear(Projection::Value, &normed, None)?;
        let projected = Projected { heads: pass.heads(layer), q: &q, k: &k, v: &v };
        let mixed = pass.attention.forward(layer, projected)?;
        let (middle, attended) =
            self.added(0, x, |onto| linear(Projection::Output, &mixed, onto))?;
        let middle_normed = self.mlp_norm.forward(&middle)?;
        let gate = linear(Projection::Gate, &middle_normed, None)?;
        let up = linear(Projection::Up, &middle_normed, None)?;
        let gated = gated(pass.config.layer(layer).activation(), &gate, &up)?;
        let (y, down) = self.added(1, &middle, |onto| linear(Projection::Down, &gated, onto))?;
        let kept = Activations {
            x: x.clone(),
            normed,
            heads: before,
            q,
            k,
            v,
            mixed,
            given: attended.zip(down).map(|(attended, down)| [attended, down]),
            middle,
            middle_normed,
            gate,
            up,
            gated,
        };
        Ok((y, kept))
    }

    /// What a layer gives, after the norm that follows it, added to `onto`. Returns what it gave
    /// before that norm too, where there is one. `part` is 0 for the attention and 1 for the
    /// feed-forward layer; `layer` adds to what it is given.
    fn added(
        &self,
        part: usize,
        onto: &Tensor,
        layer: impl Fn(Option<&Tensor>) -> Result<Tensor>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        match &self.norms_after {
            None => Ok((layer(Some(onto))?, None)),
            Some(norms) => {
                let given = layer(None)?;
                Ok(((onto + norms[part].forward(&given)?)?, Some(given)))
            }
        }
    }

    /// The gradient of what a layer gave, from that of what was added.
    fn added_backward(&self, part: usize, kept: &Activations, dy: &Tensor) -> Result<Tensor> {
        match (&self.norms_after, &kept.given) {
            (Some(norms), Some(given)) => norms[part].backward(&given[part], dy, None),
            _ => Ok(dy.clone()),
        }
    }

    /// The gradient with respect to `x`, where it is wanted, from that of the result; those of the
    /// adapter go into `gradients`.
    pub(crate) fn backward(
        &self,
        layer: usize,
        kept: &Activations,
        dy: &Tensor,
        pass: &Pass<'_>,
        gradients: &mut Gradients,
        dx_wanted: bool,
    ) -> Result<Option<Tensor>> {
        let mut linear = |projection, x: &Tensor, dy: &Tensor, wanted| {
            self.linear_backward(layer, projection, x, dy, wanted, pass, gradients)
        };
        let d_down = self.added_backward(1, kept, dy)?;
        let d_gated = present(linear(Projection::Down, &kept.gated, &d_down, Wanted::Alone)?)?;
        let activation = pass.config.layer(layer).activation();
        let (d_gate, d_up) = gated_backward(activation, &kept.gate, &kept.up, &d_gated)?;
        let d_normed = linear(Projection::Gate, &kept.middle_normed, &d_gate, Wanted::Alone)?;
        let d_normed = linear(
            Projection::Up,
            &kept.middle_normed,
            &d_up,
            Wanted::AddedTo(present(d_normed)?),
        )?;
        let d_middle = self.mlp_norm.backward(&kept.middle, &present(d_normed)?, Some(dy))?;
        let d_attended = self.added_backward(0, kept, &d_middle)?;
        let d_mixed = linear(Projection::Output, &kept.mixed, &d_attended, Wanted::Alone)?;
        let heads = pass.heads(layer);
        let projected = Projected { heads, q: &kept.q, k: &kept.k, v: &kept.v };
        let [dq, dk, dv] = pass.attention.backward(projected, &present(d_mixed)?)?;
        let (dq, dk) = match pass.rope(layer) {
            None => (dq, dk),
            Some(rope) => (
                rope.rotate_backward(&dq, &pass.positions)?,
                rope.rotate_backward(&dk, &pass.positions)?,
            ),
        };
        let (dq, dk) = match (&self.head_norms, &kept.heads) {
            (Some([queries, keys]), Some([q, k])) => {
                (queries.backward(q, &dq, None)?, keys.backward(k, &dk, None)?)
            }
            _ => (dq, dk),
        };
        let mut d_normed = None;
        for (projection, d) in
            [(Projection::Query, dq), (Projection::Key, dk), (Projection::Value, dv)]
        {
            let wanted = match d_normed.take() {
                Some(sum) => Wanted::AddedTo(sum),
                None if dx_wanted => Wanted::Alone,
                None => Wanted::Nothing,
            };
            d_normed = linear(projection, &kept.normed, &d, wanted)?;
        }
        d_normed
            .map(|d_normed| self.attention_norm.backward(&kept.x, &d_normed, Some(&d_middle)))
            .transpose()
    }

    fn linear(
        &self,
        layer: usize,
        projection: Projection,
        x: &Tensor,
        onto: Option<&Tensor>,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        let change = pass.view.change(layer, projection);
        self.projections[projection as usize].forward(x, change, onto, pass.attention.sums())
    }

    #[expect(clippy::too_many_arguments, reason = "place, inputs and outputs of one layer")]
    fn linear_backward(
        &self,
        layer: usize,
        projection: Projection,
        x: &Tensor,
        dy: &Tensor,
        wanted: Wanted,
        pass: &Pass<'_>,
        gradients: &mut Gradients,
    ) -> Result<Option<Tensor>> {
        let change = pass.view.change(layer, projection);
        let (dx, gradient) =
            self.projections[projection as usize].backward(x, dy, change, wanted)?;
        if let Some(gradient) = gradient {
            gradients.set(layer, projection, gradient);
        }
        Ok(dx)
    }
}

fn present(gradient: Option<Tensor>) -> Result<Tensor> {
    gradient
        .ok_or_else(|| candle_core::Error::Msg("a gradient that was asked for is missing".into()))
}

impl Pass<'_> {
    /// The rotation of a layer, where it has one.
    fn rope(&self, layer: usize) -> Option<&RopeTable> {
        Some(&self.ropes[self.config.layer(layer).rope()?])
    }

    /// The heads of a layer.
    fn heads(&self, layer: usize) -> Heads {
        let layer = self.config.layer(layer);
        Heads {
            queries: self.config.heads(),
            keys: self.config.kv_heads(),
            width: self.config.head_dim(),
            scale: layer.attention_scale(),
            window: layer.window(),
        }
    }
}

impl<'a> WeightView<'a> {
    fn change(&self, layer: usize, projection: Projection) -> Option<Change<'a>> {
        let low_rank = self.adapter?.change(layer, projection)?;
        let dropout = self.dropout.map(|dropout| dropout.at(layer, projection));
        Some(Change { low_rank, dropout })
    }
}
