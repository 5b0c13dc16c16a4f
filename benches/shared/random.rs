//! Models of random weights, for what depends on shapes alone.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

use bake::Model;
use candle_core::{DType, Device, Tensor};

/// The sizes of a decoder whose embeddings are tied.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    layers: usize,
    hidden: usize,
    intermediate: usize,
    heads: usize,
    kv_heads: usize,
    vocabulary: usize,
}

/// Those of SmolLM2-135M.
pub(crate) const SHAPE_135M: Shape = Shape {
    layers: 30,
    hidden: 576,
    intermediate: 1536,
    heads: 9,
    kv_heads: 3,
    vocabulary: 49_152,
};

/// Those of Qwen2.5-0.5B.
pub(crate) const SHAPE_05B: Shape = Shape {
    layers: 24,
    hidden: 896,
    intermediate: 4864,
    heads: 14,
    kv_heads: 2,
    vocabulary: 151_936,
};

/// A folder with a model of random weights in bf16, and the tokenizer of `tiny`.
pub(crate) fn model(dir: &Path, shape: Shape) -> Result<(), Box<dyn Error>> {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    let Shape { layers, hidden, intermediate, heads, kv_heads, vocabulary } = shape;
    let kv = hidden / heads * kv_heads;
    std::fs::create_dir_all(dir)?;
    for file in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        std::fs::copy(tiny.join(file), dir.join(file))?;
    }
    let config = format!(
        r#"{{"model_type": "llama", "vocab_size": {vocabulary}, "hidden_size": {hidden},
        "intermediate_size": {intermediate}, "num_hidden_layers": {layers},
        "num_attention_heads": {heads}, "num_key_value_heads": {kv_heads},
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}}"#
    );
    std::fs::write(dir.join("config.json"), config)?;
    let random = |shape: (usize, usize)| {
        Tensor::randn(0f32, 0.02, shape, &Device::Cpu)?.to_dtype(DType::BF16)
    };
    let ones = || Tensor::ones(hidden, DType::BF16, &Device::Cpu);
    let mut tensors = HashMap::new();
    tensors.insert("model.embed_tokens.weight".to_owned(), random((vocabulary, hidden))?);
    tensors.insert("model.norm.weight".to_owned(), ones()?);
    let matrices = [
        ("self_attn.q_proj", (hidden, hidden)),
        ("self_attn.k_proj", (kv, hidden)),
        ("self_attn.v_proj", (kv, hidden)),
        ("self_attn.o_proj", (hidden, hidden)),
        ("mlp.gate_proj", (intermediate, hidden)),
        ("mlp.up_proj", (intermediate, hidden)),
        ("mlp.down_proj", (hidden, intermediate)),
    ];
    for layer in 0..layers {
        let name = |name: &str| format!("model.layers.{layer}.{name}.weight");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            tensors.insert(name(norm), ones()?);
        }
        for (matrix, shape) in matrices {
            tensors.insert(name(matrix), random(shape)?);
        }
    }
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors"))?;
    Model::load(dir, bake::Device::Cpu)?;
    Ok(())
}
