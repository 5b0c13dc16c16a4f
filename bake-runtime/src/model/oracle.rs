//! Our backward passes against candle's autograd, on the same numbers.

use bake_spec::model::config::{Activation, Rope, RopeScaling};
use bake_spec::{Config, Projection};
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::{log_softmax, rms_norm_slow};

use crate::adapter::{Adapter, Gradients, LowRank};
use crate::model::attention::{Attention, CausalAttention, Heads, Projected, Sequences};
use crate::model::block::{Block, Pass, WeightView};
use crate::model::gate::{gated, gated_backward};
use crate::model::linear::{Change, Linear, Sums, Wanted};
use crate::model::norm::RmsNorm;
use crate::model::rope::{Positions, RopeTable};
use crate::tensor::gradient_check::noise;
use crate::tensor::weight::Weight;

#[path = "../../../benches/step/autograd.rs"]
mod autograd;

const LENGTHS: [usize; 3] = [9, 1, 30];
const TOKENS: usize = 40;

/// Compares `f` and its gradients with those that candle finds for `oracle`, in f64.
fn agree(
    inputs: &[Tensor],
    f: impl Fn(&[Tensor], &Tensor) -> Result<(Tensor, Vec<Tensor>)>,
    oracle: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let variables: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|x| x.as_tensor().clone()).collect();
    let want = oracle(&tensors).unwrap();
    let dy = noise(want.dims(), 77);
    let gradients = (&want * &dy).unwrap().sum_all().unwrap().backward().unwrap();
    let (got, ours) = f(inputs, &dy).unwrap();
    near(&got, &want, "the result");
    assert_eq!(ours.len(), inputs.len());
    for (i, (ours, variable)) in ours.iter().zip(&variables).enumerate() {
        near(ours, gradients.get(variable).unwrap(), &format!("gradient {i}"));
    }
}

fn near(got: &Tensor, want: &Tensor, what: &str) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let largest = |t: &Tensor| {
        let t = t.to_dtype(DType::F64).unwrap().abs().unwrap();
        t.max_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let far = largest(&(got - want).unwrap());
    let tolerance = if got.dtype() == DType::F64 { 1e-12 } else { 1e-5 };
    assert!(far <= tolerance * largest(want).max(1e-3), "{what} is {far:e} off");
}

const HEADS: Heads = Heads {
    queries: 6,
    keys: 2,
    width: 8,
    scale: std::f64::consts::FRAC_1_SQRT_2 / 2.0,
    window: None,
};
const ROPE: Rope = Rope { theta: 100.0, scaling: RopeScaling::Unscaled };

fn shape(heads: Heads, dtype: DType) -> autograd::Shape {
    let half = heads.width / 2;
    let angles = |f: fn(f64) -> f64| {
        let turns = (0..TOKENS).flat_map(|position| {
            (0..half).map(move |i| {
                let frequency = ROPE.theta.powf(-((2 * i) as f64) / (2 * half) as f64);
                f64::from(f(position as f64 * frequency) as f32)
            })
        });
        let turns = Tensor::from_vec(turns.collect::<Vec<_>>(), (TOKENS, half), &Device::Cpu);
        turns.unwrap().to_dtype(dtype).unwrap()
    };
    autograd::Shape {
        heads: heads.queries,
        kv_heads: heads.keys,
        head_dim: heads.width,
        eps: 2f32.powi(-10),
        turns: [angles(f64::cos), angles(f64::sin)],
    }
}

#[test]
fn the_norm_is_candles() {
    let (x, onto, weight) = (noise(&[7, 40], 1), noise(&[7, 40], 2), noise(&[40], 3));
    let norm = RmsNorm::new(weight.clone(), 2f64.powi(-10));
    agree(
        &[x, onto],
        |x, dy| {
            // The gradient that bypasses the norm is added.
            let dx = norm.backward(&x[0], dy, Some(dy))?;
            Ok(((norm.forward(&x[0])? + (&x[0] + &x[1])?)?, vec![dx, dy.clone()]))
        },
        |x| rms_norm_slow(&x[0], &weight, 2f32.powi(-10))? + (&x[0] + &x[1])?,
    );
}

#[test]
fn the_rotation_is_candles() {
    let table = RopeTable::new(&ROPE, HEADS.width, TOKENS, &Device::Cpu).unwrap();
    let positions: Vec<u32> = (0..TOKENS as u32).collect();
    let positions = Positions::new(&positions, &Device::Cpu).unwrap();
    let shape = shape(HEADS, DType::F64);
    agree(
        &[noise(&[TOKENS, HEADS.queries * HEADS.width], 1)],
        |x, dy| {
            let dx = table.rotate_backward(dy, &positions)?;
            Ok((table.rotate(&x[0], &positions)?, vec![dx]))
        },
        |x| {
            let x = x[0].reshape((TOKENS, HEADS.queries, HEADS.width))?.transpose(0, 1)?;
            let y = autograd::rotated(&shape, &x.contiguous()?)?.transpose(0, 1)?;
            y.contiguous()?.reshape((TOKENS, HEADS.queries * HEADS.width))
        },
    );
}

#[test]
fn attention_is_candles() {
    let ours =
        CausalAttention::new(Attention::Whole(Sequences::apart(&LENGTHS)), &Device::Cpu).unwrap();
    // Without the rotation: all angles are 0.
    let mut shape = shape(HEADS, DType::F64);
    let [cos, sin] = &shape.turns;
    shape.turns = [cos.ones_like().unwrap(), sin.zeros_like().unwrap()];
    let width = |heads: usize| heads * HEADS.width;
    let inputs = [
        (noise(&[TOKENS, width(HEADS.queries)], 1) * 3.0).unwrap(),
        noise(&[TOKENS, width(HEADS.keys)], 2),
        noise(&[TOKENS, width(HEADS.keys)], 3),
    ];
    agree(
        &inputs,
        |x, dy| {
            let projected = Projected { heads: HEADS, q: &x[0], k: &x[1], v: &x[2] };
            Ok((ours.forward(0, projected)?, ours.backward(projected, dy)?.into()))
        },
        |x| autograd::attention(&shape, &LENGTHS, [&x[0], &x[1], &x[2]]),
    );
}

#[test]
fn the_gate_is_candles() {
    for activation in [Activation::Silu, Activation::GeluTanh] {
        agree(
            &[(noise(&[9, 21], 1) * 8.0).unwrap(), noise(&[9, 21], 2)],
            |x, dy| {
                let (gate, up) = gated_backward(activation, &x[0], &x[1], dy)?;
                Ok((gated(activation, &x[0], &x[1])?, vec![gate, up]))
            },
            |x| match activation {
                // Candle's own gradient of it has few digits.
                Activation::GeluTanh => {
                    let u = ((&x[0] + (x[0].powf(3.0)? * 0.044715)?)?
                        * std::f64::consts::FRAC_2_PI.sqrt())?;
                    ((&x[0] * (u.tanh()? + 1.0)?)? * 0.5)? * &x[1]
                }
                _ => x[0].silu()? * &x[1],
            },
        );
    }
}

#[test]
fn a_changed_linear_layer_is_candles() {
    let (weight, bias) = (noise(&[13, 11], 1), noise(&[13], 2));
    let layer = Linear::new(Weight::new(weight.clone()).unwrap(), Some(bias.clone()));
    agree(
        &[noise(&[TOKENS, 11], 3), noise(&[4, 11], 4), noise(&[13, 4], 5)],
        |x, dy| {
            let low_rank = LowRank { a: x[1].clone(), b: x[2].clone(), scale: 0.7 };
            let change = Some(Change { low_rank: &low_rank, dropout: None });
            let (dx, gradient) = layer.backward(&x[0], dy, change, Wanted::Alone)?;
            let gradient = gradient.unwrap();
            let y = layer.forward(&x[0], change, None, Sums::Fastest)?;
            Ok((y, vec![dx.unwrap(), gradient.a, gradient.b]))
        },
        |x| {
            let (weight, bias) = (weight.clone(), Some(bias.clone()));
            let (a, b) = (x[1].clone(), x[2].clone());
            autograd::Changed { weight, bias, a, b, scale: 0.7 }.forward(&x[0])
        },
    );
}

/// A block with its frozen weights, and the variables of its changes.
struct Fixture {
    config: Config,
    rope: [RopeTable; 1],
    ours: Block,
    norms: [Tensor; 2],
    weights: Vec<(Tensor, Option<Tensor>)>,
    shape: autograd::Shape,
}

const RANK: usize = 3;
const SCALE: f64 = 0.7;

impl Fixture {
    fn new(dtype: DType) -> Self {
        let config = r#"{"model_type": "llama", "vocab_size": 16, "hidden_size": 24,
            "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 6,
            "num_key_value_heads": 2, "head_dim": 8, "attention_bias": true, "rope_theta": 100.0,
            "rms_norm_eps": 0.0009765625, "max_position_embeddings": 40}"#;
        let config = Config::parse(config, "config.json").unwrap();
        let of = |shape: &[usize], seed| noise(shape, seed).to_dtype(dtype).unwrap();
        let norms = [1, 2].map(|seed| of(&[config.hidden_size()], seed));
        let weights: Vec<_> = Projection::ALL
            .into_iter()
            .map(|p| {
                let shape = config.projection_shape(p);
                let weight = (of(&shape, 10 + p as u64) * 0.3).unwrap();
                let bias = config.layer(0).has_bias(p).then(|| of(&shape[..1], 20 + p as u64));
                (weight, bias)
            })
            .collect();
        let norm = |i: usize| RmsNorm::new(norms[i].clone(), config.norm_eps());
        let linear = |(weight, bias): &(Tensor, Option<Tensor>)| {
            Linear::new(Weight::new(weight.clone()).unwrap(), bias.clone())
        };
        let ours = Block {
            attention_norm: norm(0),
            mlp_norm: norm(1),
            norms_after: None,
            head_norms: None,
            projections: weights.iter().map(linear).collect(),
        };
        let rope = RopeTable::new(&ROPE, HEADS.width, TOKENS, &Device::Cpu).unwrap();
        Self { config, rope: [rope], ours, norms, weights, shape: shape(HEADS, dtype) }
    }

    /// A and B of all projections, alternating.
    fn changes(&self, dtype: DType) -> Vec<Tensor> {
        let both = |p: Projection| {
            let [outputs, inputs] = self.config.projection_shape(p);
            let of = |shape: &[usize], seed| noise(shape, seed).to_dtype(dtype).unwrap();
            [of(&[RANK, inputs], 30 + p as u64), of(&[outputs, RANK], 40 + p as u64)]
        };
        Projection::ALL.into_iter().flat_map(both).collect()
    }

    fn oracle(&self, x: &Tensor, changes: &[Tensor]) -> Result<Tensor> {
        let changed = std::array::from_fn(|i| {
            let (weight, bias) = self.weights[i].clone();
            let (a, b) = (changes[2 * i].clone(), changes[2 * i + 1].clone());
            autograd::Changed { weight, bias, a, b, scale: SCALE }
        });
        let block = autograd::Block { norms: self.norms.clone(), projections: changed };
        block.forward(&self.shape, &LENGTHS, x)
    }

    /// The block's result, and from the gradient that `dy` makes of it those of `x` and of the
    /// changes.
    fn passes(
        &self,
        x: &Tensor,
        adapter: &Adapter,
        dy: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, Tensor, Gradients)> {
        let positions: Vec<u32> = LENGTHS.iter().flat_map(|&length| 0..length as u32).collect();
        let pass = Pass {
            config: &self.config,
            ropes: &self.rope,
            positions: Positions::new(&positions, &Device::Cpu)?,
            attention: CausalAttention::new(
                Attention::Whole(Sequences::apart(&LENGTHS)),
                &Device::Cpu,
            )?,
            view: WeightView { adapter: Some(adapter), ..WeightView::default() },
        };
        let (y, kept) = self.ours.forward(0, x, &pass)?;
        let mut gradients = Gradients::default();
        let dy = dy(&y)?;
        let dx = self.ours.backward(0, &kept, &dy, &pass, &mut gradients, true)?;
        Ok((y, dx.unwrap(), gradients))
    }
}

fn adapter(changes: &[Tensor]) -> Adapter {
    let mut adapter = Adapter::empty(1);
    for (projection, ab) in Projection::ALL.into_iter().zip(changes.chunks(2)) {
        adapter.set(0, projection, LowRank { a: ab[0].clone(), b: ab[1].clone(), scale: SCALE });
    }
    adapter
}

#[test]
fn a_whole_block_is_candles() {
    let fixture = Fixture::new(DType::F64);
    let mut inputs = vec![noise(&[TOKENS, fixture.config.hidden_size()], 3)];
    inputs.extend(fixture.changes(DType::F64));
    agree(
        &inputs,
        |x, dy| {
            let (y, dx, gradients) =
                fixture.passes(&x[0], &adapter(&x[1..]), |_| Ok(dy.clone()))?;
            let changes = gradients.iter().flat_map(|(.., g)| [g.a.clone(), g.b.clone()]);
            Ok((y, std::iter::once(dx).chain(changes).collect()))
        },
        |x| fixture.oracle(&x[0], &x[1..]),
    );
}

#[cfg(feature = "train")]
mod training {
    use super::*;
    use crate::distill::{Divergence, Options, States, distill};
    use crate::train::optimizer::Muon;

    /// `Σ weight · KL(p ‖ q)` from two log-softmaxes.
    fn plain_loss(states: States<'_>, temperature: f64) -> Result<Tensor> {
        let logs =
            |h: &Tensor| log_softmax(&(h.matmul(&states.head.t()?)? / temperature)?, D::Minus1);
        let (p, q) = (logs(states.teacher)?, logs(states.student)?);
        let per_token = (p.exp()? * (p - q)?)?.sum(D::Minus1)?;
        (per_token * states.weights)?.sum_all()
    }

    fn of(shape: &[usize], seed: u64) -> Tensor {
        noise(shape, seed).to_dtype(DType::F32).unwrap()
    }

    #[test]
    fn the_loss_is_that_of_two_log_softmaxes() {
        let (teacher, head) = (of(&[TOKENS, 24], 1), (of(&[50, 24], 2) * 2.0).unwrap());
        let student = Var::from_tensor(&(&teacher + of(&[TOKENS, 24], 3)).unwrap()).unwrap();
        let weights = of(&[TOKENS], 4).abs().unwrap();
        let states = States {
            teacher: &teacher,
            student: &student,
            head: &head,
            weights: &weights,
            masked: None,
        };
        for temperature in [1.0, 2.0] {
            let options =
                Options { divergence: Divergence::ForwardKl, temperature, ..Options::default() };
            let ours = distill(states, options).unwrap();
            let plain = plain_loss(states, temperature).unwrap();
            near(&(ours.per_token * &weights).unwrap().sum_all().unwrap(), &plain, "the loss");
            let gradients = plain.backward().unwrap();
            near(&ours.gradient, gradients.get(&student).unwrap(), "its gradient");
        }
    }

    #[test]
    fn gradients_of_training_steps_are_candles() {
        let fixture = Fixture::new(DType::F32);
        let hidden = fixture.config.hidden_size();
        let (x, teacher, last) =
            (of(&[TOKENS, hidden], 3), of(&[TOKENS, hidden], 5), of(&[hidden], 6));
        let (head, weights) =
            (of(&[50, hidden], 7), Tensor::ones(TOKENS, DType::F32, &Device::Cpu));
        let weights = weights.unwrap();
        let states = States {
            teacher: &teacher,
            student: &teacher,
            head: &head,
            weights: &weights,
            masked: None,
        };
        let changes = fixture.changes(DType::F32);
        let variables: Vec<Var> = changes.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
        let tensors: Vec<Tensor> = variables.iter().map(|x| x.as_tensor().clone()).collect();
        let adapter = adapter(&changes);
        let optimizer = Muon::new(&adapter, 0.02).unwrap();
        let norm = RmsNorm::new(last.clone(), fixture.config.norm_eps());
        for step in 0..3 {
            let mut loss = None;
            let (.., gradients) = fixture
                .passes(&x, &adapter, |y| {
                    let student = norm.forward(y)?;
                    let found = distill(States { student: &student, ..states }, Options::default())
                        .unwrap();
                    loss = Some(found.per_token.sum_all()?);
                    norm.backward(y, &found.gradient, None)
                })
                .unwrap();
            let y = fixture.oracle(&x, &tensors).unwrap();
            let student = rms_norm_slow(&y, &last, 2f32.powi(-10)).unwrap();
            let plain = plain_loss(States { student: &student, ..states }, 1.0).unwrap();
            near(&loss.unwrap(), &plain, &format!("the loss of step {step}"));
            let slopes = plain.backward().unwrap();
            for ((.., gradient), of) in gradients.iter().zip(variables.chunks(2)) {
                near(&gradient.a, slopes.get(&of[0]).unwrap(), &format!("A in step {step}"));
                near(&gradient.b, slopes.get(&of[1]).unwrap(), &format!("B in step {step}"));
            }
            optimizer.step(&adapter, &gradients, 1e-2).unwrap();
            for ((.., change), of) in adapter.iter().zip(variables.chunks(2)) {
                of[0].set(&change.a).unwrap();
                of[1].set(&change.b).unwrap();
            }
        }
    }
}
