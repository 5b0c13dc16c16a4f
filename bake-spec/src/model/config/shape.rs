//! The content of a configuration, and what no model can have.

use super::family::Fused;
use super::{Config, Layer, Rope, RopeScaling};

/// The largest size that a configuration may name: far beyond any model, and small enough that no
/// product of two overflows.
pub(in crate::model) const LARGEST: usize = 1 << 24;

/// The most blocks of a model: far beyond any, and few enough to describe each.
pub(in crate::model) const MOST_LAYERS: usize = 1 << 12;

/// The content of a [`Config`], unchecked.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::model) struct Shape {
    pub(in crate::model) vocab_size: usize,
    pub(in crate::model) hidden_size: usize,
    pub(in crate::model) intermediate_size: usize,
    pub(in crate::model) heads: usize,
    pub(in crate::model) kv_heads: usize,
    pub(in crate::model) head_dim: usize,
    pub(in crate::model) context: usize,
    pub(in crate::model) ropes: Vec<Rope>,
    pub(in crate::model) norm_eps: f64,
    /// Whether the checkpoint has the norms' weights as distances from 1.
    pub(in crate::model) norms_from_one: bool,
    /// What embeddings are multiplied by.
    pub(in crate::model) embedding_scale: f64,
    pub(in crate::model) tied_head: bool,
    /// Tensors of the checkpoint that contain the weights of several projections.
    pub(in crate::model) fused: &'static [Fused],
    pub(in crate::model) layers: Vec<Layer>,
}

impl TryFrom<Shape> for Config {
    type Error = String;

    /// The only way to make a configuration. The error says what no model can have.
    fn try_from(shape: Shape) -> Result<Self, String> {
        let sizes = [
            ("vocab_size", shape.vocab_size),
            ("hidden_size", shape.hidden_size),
            ("intermediate_size", shape.intermediate_size),
            ("num_attention_heads", shape.heads),
            ("num_key_value_heads", shape.kv_heads),
            ("head_dim", shape.head_dim),
            ("max_position_embeddings", shape.context),
        ];
        for (key, value) in sizes {
            size(key, value)?;
        }
        layer_count(shape.layers.len())?;
        let Shape { heads, kv_heads, head_dim, .. } = shape;
        if heads * head_dim > LARGEST {
            return Err(format!(
                "{heads} attention heads of width {head_dim}; expected at most {LARGEST} together"
            ));
        }
        if !heads.is_multiple_of(kv_heads) {
            return Err(format!(
                "{heads} attention heads, which {kv_heads} key/value heads cannot share evenly"
            ));
        }
        if !head_dim.is_multiple_of(2) {
            return Err(format!(
                "heads of odd width {head_dim}; rotary embedding needs an even one"
            ));
        }
        positive("rms_norm_eps", shape.norm_eps)?;
        positive("embedding_scale", shape.embedding_scale)?;
        for rope in &shape.ropes {
            check_rope(rope)?;
        }
        for (i, layer) in shape.layers.iter().enumerate() {
            if let Some(window) = layer.window {
                size("sliding_window", window)?;
            }
            positive("query_pre_attn_scalar", layer.attention_scale)?;
            if layer.rope.is_some_and(|rope| rope >= shape.ropes.len()) {
                return Err(format!("no rotation for layer {i}"));
            }
        }
        Ok(Self(shape))
    }
}

fn check_rope(rope: &Rope) -> Result<(), String> {
    positive("rope_theta", rope.theta)?;
    match rope.scaling {
        RopeScaling::Unscaled => Ok(()),
        RopeScaling::Linear { factor } => positive("factor", factor),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_context,
        } => {
            size("original_max_position_embeddings", original_context)?;
            positive("factor", factor)?;
            positive("low_freq_factor", low)?;
            positive("high_freq_factor", high)?;
            if low >= high {
                return Err(format!(
                    "rope `low_freq_factor` {low}, which must be below `high_freq_factor` {high}"
                ));
            }
            Ok(())
        }
    }
}

/// Checks the number of blocks, before there is anything for each of them.
pub(in crate::model) fn layer_count(count: usize) -> Result<(), String> {
    if (1..=MOST_LAYERS).contains(&count) {
        return Ok(());
    }
    Err(format!("`num_hidden_layers` {count}; expected a whole number from 1 to {MOST_LAYERS}"))
}

fn size(key: &str, value: usize) -> Result<(), String> {
    if (1..=LARGEST).contains(&value) {
        return Ok(());
    }
    Err(format!("`{key}` {value}; expected a whole number from 1 to {LARGEST}"))
}

fn positive(key: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(format!("`{key}` {value}; expected a positive number"))
}
