//! The families of models that are read, as data: what a `config.json` of each means, and where a
//! checkpoint of it differs from one of a Llama model.

use super::{Activation, Projection};

/// A family of models.
#[derive(Debug)]
pub(super) struct Family {
    /// The `model_type`.
    pub(super) model_type: &'static str,
    /// The class of transformers.
    pub(super) class: &'static str,
    /// Its name in messages.
    pub(super) name: &'static str,
    /// Keys that are read for this family and few others.
    pub(super) reads: &'static [&'static str],
    pub(super) defaults: Defaults,
    pub(super) biases: Biases,
    pub(super) windows: Windows,
    /// Whether `no_rope_layers` says which layers turn queries and keys.
    pub(super) some_without_rope: bool,
    /// Whether layers with a window are turned with a base of their own.
    pub(super) rope_by_window: bool,
    /// Whether queries and keys are normed head by head.
    pub(super) head_norms: bool,
    /// Whether there are norms after attention and feed-forward layer too.
    pub(super) norms_after: bool,
    /// Whether checkpoints have the norms' weights as distances from 1.
    pub(super) norms_from_one: bool,
    /// Whether embeddings are multiplied by the square root of the width.
    pub(super) scaled_embedding: bool,
    /// Whether `query_pre_attn_scalar` takes the place of the heads' width in the attention.
    pub(super) own_attention_scale: bool,
    pub(super) fused: &'static [Fused],
}

/// What transformers takes for keys that are not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// As many as query heads, where there is none.
    pub(super) kv_heads: Option<usize>,
    /// The width divided by the number of query heads, where there is none.
    pub(super) head_dim: Option<usize>,
    pub(super) context: usize,
    pub(super) theta: f64,
    pub(super) norm_eps: f64,
    pub(super) tied_head: bool,
    /// The key of the activation, and what it is.
    pub(super) activation: (&'static str, Activation),
}

/// Which projections have biases.
#[derive(Clone, Copy, Debug)]
pub(super) enum Biases {
    None,
    /// Queries, keys and values.
    Inputs,
    /// Those of the attention by `attention_bias`.
    Attention,
    /// The same, and those of the feed-forward layer by `mlp_bias`.
    Both,
}

/// Which layers have a sliding window.
#[derive(Clone, Copy, Debug)]
pub(super) enum Windows {
    None,
    /// All of them, if `sliding_window` is given; this is its default.
    Everywhere {
        default: Option<usize>,
    },
    /// Those that `layer_types` names, and without it those from `max_window_layers` on; if
    /// `use_sliding_window` is on.
    From {
        default: usize,
    },
    /// Those that `layer_types` names, and without it all but one in `sliding_window_pattern`.
    Pattern {
        default: usize,
    },
    /// Those that `layer_types` names, and without it those that turn nothing; if
    /// `use_sliding_window` is on.
    WithoutRope,
}

/// A tensor that contains the weights of several projections, one below the other.
#[derive(Debug, PartialEq)]
pub(in crate::model) struct Fused {
    pub(super) name: &'static str,
    pub(super) parts: &'static [Projection],
}

impl Family {
    /// The family of a `model_type`.
    pub(super) fn of(model_type: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.model_type == model_type)
    }
}

/// All of them.
pub(super) static FAMILIES: [Family; 7] = [
    LLAMA,
    Family {
        model_type: "mistral",
        class: "MistralForCausalLM",
        name: "Mistral",
        reads: &["sliding_window"],
        defaults: Defaults { kv_heads: Some(8), context: 4096 * 32, ..LLAMA.defaults },
        biases: Biases::None,
        windows: Windows::Everywhere { default: Some(4096) },
        ..LLAMA
    },
    Family {
        model_type: "qwen2",
        class: "Qwen2ForCausalLM",
        name: "Qwen 2",
        reads: &["layer_types", "sliding_window"],
        biases: Biases::Inputs,
        head_norms: false,
        defaults: Defaults { head_dim: None, ..QWEN3.defaults },
        ..QWEN3
    },
    QWEN3,
    Family {
        model_type: "gemma3_text",
        class: "Gemma3ForCausalLM",
        name: "Gemma 3",
        reads: &[
            "attention_bias",
            "hidden_activation",
            "layer_types",
            "query_pre_attn_scalar",
            "rope_local_base_freq",
            "sliding_window",
            "sliding_window_pattern",
        ],
        defaults: Defaults {
            kv_heads: Some(4),
            head_dim: Some(256),
            context: 131_072,
            theta: 1_000_000.0,
            norm_eps: 1e-6,
            tied_head: true,
            activation: ("hidden_activation", Activation::GeluTanh),
        },
        biases: Biases::Attention,
        windows: Windows::Pattern { default: 4096 },
        rope_by_window: true,
        head_norms: true,
        norms_after: true,
        norms_from_one: true,
        scaled_embedding: true,
        own_attention_scale: true,
        ..LLAMA
    },
    Family {
        model_type: "phi3",
        class: "Phi3ForCausalLM",
        name: "Phi-3",
        reads: &["sliding_window"],
        defaults: Defaults { context: 4096, norm_eps: 1e-5, ..LLAMA.defaults },
        biases: Biases::None,
        windows: Windows::Everywhere { default: None },
        fused: &[
            Fused {
                name: "qkv_proj",
                parts: &[Projection::Query, Projection::Key, Projection::Value],
            },
            Fused { name: "gate_up_proj", parts: &[Projection::Gate, Projection::Up] },
        ],
        ..LLAMA
    },
    Family {
        model_type: "smollm3",
        class: "SmolLM3ForCausalLM",
        name: "SmolLM3",
        reads: &[
            "attention_bias",
            "layer_types",
            "mlp_bias",
            "no_rope_layer_interval",
            "no_rope_layers",
            "sliding_window",
        ],
        defaults: Defaults {
            kv_heads: Some(4),
            context: 32_768,
            theta: 2_000_000.0,
            tied_head: true,
            ..LLAMA.defaults
        },
        windows: Windows::WithoutRope,
        some_without_rope: true,
        ..LLAMA
    },
];

const LLAMA: Family = Family {
    model_type: "llama",
    class: "LlamaForCausalLM",
    name: "Llama",
    reads: &["attention_bias", "mlp_bias"],
    defaults: Defaults {
        kv_heads: None,
        head_dim: None,
        context: 2048,
        theta: 10_000.0,
        norm_eps: 1e-6,
        tied_head: false,
        activation: ("hidden_act", Activation::Silu),
    },
    biases: Biases::Both,
    windows: Windows::None,
    some_without_rope: false,
    rope_by_window: false,
    head_norms: false,
    norms_after: false,
    norms_from_one: false,
    scaled_embedding: false,
    own_attention_scale: false,
    fused: &[],
};

const QWEN3: Family = Family {
    model_type: "qwen3",
    class: "Qwen3ForCausalLM",
    name: "Qwen 3",
    reads: &["attention_bias", "layer_types", "sliding_window"],
    defaults: Defaults {
        kv_heads: Some(32),
        head_dim: Some(128),
        context: 32_768,
        ..LLAMA.defaults
    },
    biases: Biases::Attention,
    windows: Windows::From { default: 4096 },
    head_norms: true,
    ..LLAMA
};
