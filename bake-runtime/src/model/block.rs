//! One block of the decoder: attention and feed-forward layer, each after a norm and around a
//! residual.
//!
//! Its backward pass is written out. Candle's own silently cuts the gradient at fused operations,
//! computes gradients of frozen weights, and adds every gradient to zeros first.

use bake_spec::{Config, Projection};
use candle_core::{Result, Tensor};

use crate::adapter::{Adapter, Gradients, LowRank};
use crate::model::attention::{CausalAttention, Heads, Projected};
use crate::model::gate::{swiglu, swiglu_backward};
use crate::model::linear::{Change, Linear, Wanted};
use crate::model::norm::RmsNorm;
use crate::model::rope::{Positions, RopeTable};

/// The weights of a block.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) mlp_norm: RmsNorm,
    /// In the order of [`Projection::ALL`].
    pub(crate) projections: Vec<Linear>,
}

/// Which weights a pass uses: the base's own, or the base's with an adapter viewed on top.
#[derive(Clone, Copy, Default)]
pub(crate) struct WeightView<'a> {
    pub(crate) adapter: Option<&'a Adapter>,
    pub(crate) dropout: Option<&'a dyn DropoutMasks>,
}

/// Where a training pass gets its dropout masks from: the same each time for the same place.
pub(crate) trait DropoutMasks: Sync {
    /// A mask of this shape, `[tokens, inputs]`.
    fn mask(&self, layer: usize, projection: Projection, shape: (usize, usize)) -> Result<Tensor>;
}

/// What a block needs to know of the pass that it is part of.
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a Config,
    pub(crate) rope: &'a RopeTable,
    pub(crate) positions: Positions<'a>,
    pub(crate) attention: CausalAttention<'a>,
    pub(crate) view: WeightView<'a>,
}

/// What the forward pass keeps for the backward pass. All are `[tokens, …]`.
pub(crate) struct Activations {
    x: Tensor,
    normed: Tensor,
    /// Queries and keys after the rotation.
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mixed: Tensor,
    middle: Tensor,
    middle_normed: Tensor,
    gate: Tensor,
    up: Tensor,
    gated: Tensor,
}

impl Activations {
    /// Bytes for this many tokens in f32.
    pub(crate) const fn bytes(config: &Config, tokens: usize) -> usize {
        let widths = 4 * config.hidden_size()
            + 2 * config.query_size()
            + 2 * config.kv_size()
            + 3 * config.intermediate_size();
        tokens * widths * size_of::<f32>()
    }
}

impl Block {
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
        let rotated = |x: Tensor| pass.rope.rotate(&x, &pass.positions);
        let q = rotated(linear(Projection::Query, &normed, None)?)?;
        let k = rotated(linear(Projection::Key, &normed, None)?)?;
        let v = linear(Projection::Value, &normed, None)?;
        let projected = Projected { heads: heads(pass.config), q: &q, k: &k, v: &v };
        let mixed = pass.attention.forward(layer, projected)?;
        let middle = linear(Projection::Output, &mixed, Some(x))?;
        let middle_normed = self.mlp_norm.forward(&middle)?;
        let gate = linear(Projection::Gate, &middle_normed, None)?;
        let up = linear(Projection::Up, &middle_normed, None)?;
        let gated = swiglu(&gate, &up)?;
        let y = linear(Projection::Down, &gated, Some(&middle))?;
        Ok((
            y,
            Activations {
                x: x.clone(),
                normed,
                q,
                k,
                v,
                mixed,
                middle,
                middle_normed,
                gate,
                up,
                gated,
            },
        ))
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
        let d_gated = linear(Projection::Down, &kept.gated, dy, Wanted::Alone)?;
        let (d_gate, d_up) = swiglu_backward(&kept.gate, &kept.up, &present(d_gated)?)?;
        let d_normed = linear(Projection::Gate, &kept.middle_normed, &d_gate, Wanted::Alone)?;
        let d_normed = linear(
            Projection::Up,
            &kept.middle_normed,
            &d_up,
            Wanted::AddedTo(present(d_normed)?),
        )?;
        let d_middle = self.mlp_norm.backward(&kept.middle, &present(d_normed)?, dy)?;
        let d_mixed = linear(Projection::Output, &kept.mixed, &d_middle, Wanted::Alone)?;
        let projected = Projected { heads: heads(pass.config), q: &kept.q, k: &kept.k, v: &kept.v };
        let [dq, dk, dv] = pass.attention.backward(projected, &present(d_mixed)?)?;
        let turned_back = |d: Tensor| pass.rope.rotate_backward(&d, &pass.positions);
        let (dq, dk) = (turned_back(dq)?, turned_back(dk)?);
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
            .map(|d_normed| self.attention_norm.backward(&kept.x, &d_normed, &d_middle))
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
        let change = pass.view.change(layer, projection, x)?;
        self.projections[projection as usize].forward(
            x,
            change.as_ref().map(ViewedChange::get),
            onto,
            pass.attention.sums(),
        )
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
        let change = pass.view.change(layer, projection, x)?;
        let (dx, gradient) = self.projections[projection as usize].backward(
            x,
            dy,
            change.as_ref().map(ViewedChange::get),
            wanted,
        )?;
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

fn heads(config: &Config) -> Heads {
    Heads { queries: config.heads(), keys: config.kv_heads(), width: config.head_dim() }
}

/// A change and its dropout mask.
struct ViewedChange<'a> {
    low_rank: &'a LowRank,
    mask: Option<Tensor>,
}

impl ViewedChange<'_> {
    fn get(&self) -> Change<'_> {
        Change { low_rank: self.low_rank, mask: self.mask.as_ref() }
    }
}

impl<'a> WeightView<'a> {
    fn change(
        &self,
        layer: usize,
        projection: Projection,
        x: &Tensor,
    ) -> Result<Option<ViewedChange<'a>>> {
        let Some(low_rank) = self.adapter.and_then(|adapter| adapter.change(layer, projection))
        else {
            return Ok(None);
        };
        let mask =
            self.dropout.map(|dropout| dropout.mask(layer, projection, x.dims2()?)).transpose()?;
        Ok(Some(ViewedChange { low_rank, mask }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::LowRankGradient;
    use crate::model::attention::Attention;
    use crate::tensor::gradient_check::{check, noise};
    use crate::tensor::weight::Weight;

    const CONFIG: &str = r#"{"model_type": "llama", "vocab_size": 16, "hidden_size": 8,
        "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 4, "attention_bias": true}"#;
    const RANK: usize = 2;
    const LENGTHS: [usize; 2] = [3, 2];

    /// The same mask for each place: every third input is dropped.
    struct EveryThird;

    impl DropoutMasks for EveryThird {
        fn mask(&self, _: usize, _: Projection, (rows, cols): (usize, usize)) -> Result<Tensor> {
            let mask: Vec<f64> =
                (0..rows * cols).map(|i| if i % 3 == 0 { 0.0 } else { 1.5 }).collect();
            Tensor::from_vec(mask, (rows, cols), &candle_core::Device::Cpu)
        }
    }

    fn block(config: &Config) -> Block {
        let norm = |seed| RmsNorm::new(noise(&[config.hidden_size()], seed), 1e-5);
        let projection = |p: Projection| {
            let shape = config.projection_shape(p);
            let bias = config.has_bias(p).then(|| noise(&shape[..1], 20 + p as u64));
            Linear::new(Weight::new(noise(&shape, 10 + p as u64)).unwrap(), bias)
        };
        Block {
            attention_norm: norm(1),
            mlp_norm: norm(2),
            projections: Projection::ALL.into_iter().map(projection).collect(),
        }
    }

    /// An adapter whose matrices are the inputs after the first, A and B alternating.
    fn adapter(inputs: &[Tensor]) -> Adapter {
        let mut adapter = Adapter::empty(1);
        for (projection, ab) in Projection::ALL.into_iter().zip(inputs[1..].chunks(2)) {
            adapter.set(0, projection, LowRank { a: ab[0].clone(), b: ab[1].clone(), scale: 0.7 });
        }
        adapter
    }

    #[test]
    fn the_gradients_of_a_whole_block_are_the_slopes() {
        let config = Config::parse(CONFIG, "config.json").unwrap();
        let (block, rope) = (
            block(&config),
            RopeTable::new(
                config.rope(),
                config.head_dim(),
                config.context(),
                &candle_core::Device::Cpu,
            )
            .unwrap(),
        );
        let mut inputs = vec![noise(&[5, config.hidden_size()], 3)];
        for projection in Projection::ALL {
            let [outputs, from] = config.projection_shape(projection);
            inputs.extend([
                noise(&[RANK, from], 30 + projection as u64),
                noise(&[outputs, RANK], 40 + projection as u64),
            ]);
        }
        let positions = [0, 1, 2, 0, 1];
        for dropout in [None, Some(&EveryThird as &dyn DropoutMasks)] {
            let with = |inputs: &[Tensor], f: &mut dyn FnMut(&Pass<'_>) -> Result<()>| {
                let adapter = adapter(inputs);
                let view = WeightView { adapter: Some(&adapter), dropout };
                f(&Pass {
                    config: &config,
                    rope: &rope,
                    positions: Positions::new(&positions, &candle_core::Device::Cpu)?,
                    attention: CausalAttention::new(
                        Attention::Whole(&LENGTHS),
                        &candle_core::Device::Cpu,
                    )?,
                    view,
                })
            };
            let forward = |inputs: &[Tensor]| {
                let mut y = None;
                with(inputs, &mut |pass| {
                    y = Some(block.forward(0, &inputs[0], pass)?.0);
                    Ok(())
                })?;
                present(y)
            };
            let backward = |inputs: &[Tensor], dy: &Tensor| {
                let mut all = Vec::new();
                with(inputs, &mut |pass| {
                    let (_, kept) = block.forward(0, &inputs[0], pass)?;
                    let mut gradients = Gradients::default();
                    all.push(present(block.backward(0, &kept, dy, pass, &mut gradients, true)?)?);
                    all.extend(
                        gradients
                            .iter()
                            .flat_map(|(.., LowRankGradient { a, b })| [a.clone(), b.clone()]),
                    );
                    Ok(())
                })?;
                Ok(all)
            };
            check(&inputs, forward, backward);
        }
    }
}
