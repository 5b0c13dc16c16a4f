use super::*;
use crate::adapter::{LowRank, LowRankGradient};
use crate::model::attention::{Attention, Sequences};
use crate::tensor::gradient_check::{check, noise};
use crate::tensor::weight::Weight;

/// One of each family. The second block of SmolLM3 turns nothing; Gemma's first has a window,
/// and a base of its own.
const FAMILIES: [(&str, usize); 7] = [
    (r#""model_type": "llama", "attention_bias": true, "mlp_bias": true"#, 0),
    (r#""model_type": "mistral", "sliding_window": 2"#, 0),
    (r#""model_type": "qwen2""#, 0),
    (r#""model_type": "qwen3""#, 0),
    (
        r#""model_type": "gemma3_text", "sliding_window": 2, "query_pre_attn_scalar": 3,
            "rope_theta": 50.0, "rope_local_base_freq": 10.0"#,
        0,
    ),
    (r#""model_type": "phi3""#, 0),
    (r#""model_type": "smollm3", "no_rope_layer_interval": 2"#, 1),
];
const RANK: usize = 2;
const LENGTHS: [usize; 2] = [3, 2];

fn config(family: &str) -> Config {
    let sizes = r#""vocab_size": 16, "hidden_size": 8, "intermediate_size": 12,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 4"#;
    Config::parse(&format!("{{{family}, {sizes}}}"), "config.json").unwrap()
}

fn block(config: &Config, layer: usize) -> Block {
    let layer = config.layer(layer);
    let norm = |width, seed| RmsNorm::new(noise(&[width], seed), 1e-5);
    let projection = |p: Projection| {
        let shape = config.projection_shape(p);
        let bias = layer.has_bias(p).then(|| noise(&shape[..1], 20 + p as u64));
        Linear::new(Weight::new(noise(&shape, 10 + p as u64)).unwrap(), bias)
    };
    let norms =
        |is_there: bool, width, seed| is_there.then(|| [norm(width, seed), norm(width, seed + 1)]);
    Block {
        attention_norm: norm(config.hidden_size(), 1),
        mlp_norm: norm(config.hidden_size(), 2),
        norms_after: norms(layer.has_norm(Norm::AfterMlp), config.hidden_size(), 4),
        head_norms: norms(layer.has_norm(Norm::Key), config.head_dim(), 6),
        projections: Projection::ALL.into_iter().map(projection).collect(),
    }
}

/// An adapter whose matrices are the inputs after the first, A and B alternating.
fn adapter(layer: usize, inputs: &[Tensor]) -> Adapter {
    let mut adapter = Adapter::empty(2);
    for (projection, ab) in Projection::ALL.into_iter().zip(inputs[1..].chunks(2)) {
        adapter.set(layer, projection, LowRank { a: ab[0].clone(), b: ab[1].clone(), scale: 0.7 });
    }
    adapter
}

#[test]
fn the_gradients_of_a_whole_block_are_the_slopes() {
    for (family, layer) in FAMILIES {
        for dropout in [None, Some(Dropout::new(0.3, [1, 2]))] {
            check_block(&config(family), layer, dropout);
        }
    }
}

fn check_block(config: &Config, layer: usize, dropout: Option<Dropout>) {
    let device = &candle_core::Device::Cpu;
    let block = block(config, layer);
    let rope = |rope| RopeTable::new(rope, config.head_dim(), config.context(), device);
    let ropes: Vec<RopeTable> = config.ropes().iter().map(|r| rope(r).unwrap()).collect();
    let mut inputs = vec![noise(&[5, config.hidden_size()], 3)];
    for projection in Projection::ALL {
        let [outputs, from] = config.projection_shape(projection);
        inputs.extend([
            noise(&[RANK, from], 30 + projection as u64),
            noise(&[outputs, RANK], 40 + projection as u64),
        ]);
    }
    let positions = [0, 1, 2, 0, 1];
    let with = |inputs: &[Tensor], f: &mut dyn FnMut(&Pass<'_>) -> Result<()>| {
        let adapter = adapter(layer, inputs);
        let view = WeightView { adapter: Some(&adapter), dropout };
        f(&Pass {
            config,
            ropes: &ropes,
            positions: Positions::new(&positions, device)?,
            attention: CausalAttention::new(Attention::Whole(Sequences::apart(&LENGTHS)), device)?,
            view,
        })
    };
    let forward = |inputs: &[Tensor]| {
        let mut y = None;
        with(inputs, &mut |pass| {
            y = Some(block.forward(layer, &inputs[0], pass)?.0);
            Ok(())
        })?;
        present(y)
    };
    let backward = |inputs: &[Tensor], dy: &Tensor| {
        let mut all = Vec::new();
        with(inputs, &mut |pass| {
            let (_, kept) = block.forward(layer, &inputs[0], pass)?;
            let mut gradients = Gradients::default();
            all.push(present(block.backward(layer, &kept, dy, pass, &mut gradients, true)?)?);
            let both = |(.., g): (_, _, &LowRankGradient)| [g.a.clone(), g.b.clone()];
            all.extend(gradients.iter().flat_map(both));
            Ok(())
        })?;
        Ok(all)
    };
    check(&inputs, forward, backward);
}

#[test]
fn activations_take_as_many_bytes_as_they_say() {
    for (family, layer) in FAMILIES {
        let config = config(family);
        let block = block(&config, layer);
        let device = &candle_core::Device::Cpu;
        let rope = |rope| RopeTable::new(rope, config.head_dim(), config.context(), device);
        let ropes: Vec<RopeTable> = config.ropes().iter().map(|r| rope(r).unwrap()).collect();
        let pass = Pass {
            config: &config,
            ropes: &ropes,
            positions: Positions::new(&[0, 1, 2, 0, 1], device).unwrap(),
            attention: CausalAttention::new(Attention::Whole(Sequences::apart(&LENGTHS)), device)
                .unwrap(),
            view: WeightView::default(),
        };
        let x = noise(&[5, config.hidden_size()], 3);
        let (_, kept) = block.forward(layer, &x, &pass).unwrap();
        let Activations { x, normed, heads, q, k, v, mixed, given, .. } = kept;
        let Activations { middle, middle_normed, gate, up, gated, .. } =
            block.forward(layer, &x, &pass).unwrap().1;
        let all = [x, normed, q, k, v, mixed, middle, middle_normed, gate, up, gated];
        let all = all.iter().chain(heads.iter().flatten()).chain(given.iter().flatten());
        let numbers: usize = all.map(Tensor::elem_count).sum();
        assert_eq!(Activations::bytes(&config, 5), 4 * numbers, "{family}");
    }
}
