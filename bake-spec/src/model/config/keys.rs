//! The keys of a `config.json`: those that are read, those that change nothing, and those of other
//! families that would change the result, which are refused by name.
//!
//! transformers ignores the keys of other families. Whoever wrote one there meant it, so here it is
//! an error. Keys that transformers does not know either are ignored: published files have many. A
//! test holds all that it knows against these lists.

use serde_json::Value;

use super::family::Family;

/// Keys that the configuration is read from in every family.
#[cfg(test)]
pub(super) const READ: [&str; 23] = [
    "compression_config",
    "configuration_files",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "transformers_weights",
    // Beside `sliding_window`.
    "use_sliding_window",
    // The tokens that end an answer, where generation_config.json names none.
    "eos_token_id",
    "tie_word_embeddings",
    "vocab_size",
];

/// Keys of published models that do not change what a model computes: about training, about
/// memory, or about where it came from.
#[cfg(test)]
pub(super) const HARMLESS: [&str; 39] = [
    "_attn_implementation",
    "_commit_hash",
    "_experts_implementation",
    "_name_or_path",
    // Beside `layer_types`, which says the same.
    "_sliding_window_pattern",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    // The tokenizer's own is what counts.
    "bos_token_id",
    // Of encoders.
    "chunk_size_feed_forward",
    "distributed_config",
    "dtype",
    "embd_pdrop",
    "experts_implementation",
    // Of images.
    "fusion_config",
    "gradient_checkpointing",
    // Of models that sort texts into classes.
    "id2label",
    "initializer_range",
    "label2id",
    // Without windows.
    "max_window_layers",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    // Another order of the same sums.
    "pretraining_tp",
    "problem_type",
    "resid_pdrop",
    "return_dict",
    "router_aux_loss_coef",
    "sep_token_id",
    // Which of the hidden states are given out beside the logits.
    "tie_last_hidden_states",
    // A text is cut into tokens as tokenizer.json says.
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "unsloth_version",
    "use_cache",
    "z_loss_coefficient",
];

/// The values at which a key changes nothing.
#[derive(Clone, Copy)]
enum Neutral {
    /// `null`, `false`, 0, and anything empty.
    Off,
    /// The same, and 1.
    One,
    /// The same, and this word in every place.
    Only(&'static str),
}

use Neutral::{Off, One, Only};

/// Keys with which other families change what a decoder computes, each with one such family.
const FOREIGN: [(&str, Neutral, &str); 71] = [
    // The scores of the attention.
    ("alibi", Off, "Falcon"),
    ("attention_chunk_size", Off, "Llama 4"),
    ("attention_multiplier", One, "Granite"),
    ("attention_value_scale", One, "MiMo"),
    ("attn_logit_softcapping", Off, "Gemma 2"),
    ("attn_temperature_tuning", Off, "Llama 4"),
    ("clip_qkv", Off, "OLMo"),
    ("key_multiplier", One, "Falcon-H1"),
    ("layer_types", Only("full_attention"), "Gemma 3"),
    ("qk_layernorm", Off, "Persimmon"),
    ("query_pre_attn_scalar", Off, "Gemma 2"),
    ("scale_attn_by_inverse_layer_idx", Off, "GPT-2"),
    ("sliding_window_pattern", Off, "Gemma 3"),
    ("use_bidirectional_attention", Off, "Gemma 3"),
    ("use_qk_norm", Off, "Cohere"),
    ("qk_norm", Off, "OLMo 2"),
    // Positions.
    ("layer_rope_theta", Off, "Granite"),
    ("learned_pos_emb", Off, "MPT"),
    ("no_rope_layer_interval", Off, "SmolLM3"),
    ("rope_interleave", Off, "DeepSeek"),
    ("rope_interleaved", Off, "DeepSeek"),
    ("rope_local_base_freq", Off, "Gemma 3"),
    ("rope_traditional", Off, "Cohere"),
    ("rotary_dim", Off, "GPT-J"),
    ("rotary_pct", One, "GPT-NeoX"),
    // Factors along the way.
    ("attention_in_multiplier", One, "Falcon-H1"),
    ("attention_out_multiplier", One, "Falcon-H1"),
    ("dim_model_base", Off, "MiniCPM"),
    ("embedding_multiplier", One, "Granite"),
    ("embedding_scale", One, "Gemma"),
    ("lm_head_multiplier", One, "Falcon-H1"),
    ("logit_scale", One, "Cohere"),
    ("logits_scaling", One, "Granite"),
    ("mlp_multipliers", One, "Falcon-H1"),
    ("mup_enabled", Off, "AFMoE"),
    ("residual_multiplier", One, "Granite"),
    ("scale_depth", Off, "MiniCPM"),
    ("scale_emb", One, "MiniCPM"),
    ("scale_embedding", Off, "BART"),
    // What is done with the logits.
    ("final_logit_softcapping", Off, "Gemma 2"),
    ("logits_soft_cap", Off, "RecurrentGemma"),
    ("output_logit_soft_cap", Off, "xLSTM"),
    // Other layers.
    ("activation_function", Only("silu"), "GPT-2"),
    ("add_bias_linear", Off, "ChatGLM"),
    ("attention_bias", Off, "Llama"),
    ("add_cross_attention", Off, "BERT"),
    ("apply_residual_connection_post_layernorm", Off, "BLOOM"),
    ("attention_out_bias", Off, "Seed-OSS"),
    ("enable_bias", Off, "OPT"),
    ("first_k_dense_replace", Off, "DeepSeek"),
    ("hidden_activation", Only("silu"), "Gemma"),
    ("is_encoder_decoder", Off, "T5"),
    ("kv_lora_rank", Off, "DeepSeek"),
    ("kv_sharing_modes", Off, "Gemma 4"),
    ("lm_head_bias", Off, "Phi"),
    ("mlp_bias", Off, "Llama"),
    ("mlp_layer_types", Only("dense"), "Qwen 3 MoE"),
    ("moe_intermediate_size", Off, "Qwen 3 MoE"),
    ("n_routed_experts", Off, "DeepSeek"),
    ("num_experts", Off, "Qwen 3 MoE"),
    ("num_kv_shared_layers", Off, "Gemma 3n"),
    ("num_local_experts", One, "Mixtral"),
    ("parallel_attn", Off, "Falcon"),
    ("per_layer_config", Off, "Gemma 4"),
    ("q_lora_rank", Off, "DeepSeek"),
    ("qkv_bias", Off, "Qwen"),
    ("swiglu_limit", Off, "gpt-oss"),
    ("use_bias", Off, "Cohere"),
    ("use_parallel_residual", Off, "GPT-NeoX"),
    ("use_post_norm", Off, "HyperCLOVA X"),
    ("use_qkv_bias", Off, "StableLM"),
];

impl Neutral {
    fn holds(self, value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(n) => {
                n.as_f64() == Some(0.0) || matches!(self, One) && n.as_f64() == Some(1.0)
            }
            Value::String(s) => s.is_empty() || matches!(self, Only(word) if s == word),
            Value::Array(all) => all.iter().all(|value| self.holds(value)),
            Value::Object(map) => map.is_empty(),
        }
    }
}

/// A key that asks for what a model of this family does not compute: its value, and a family that
/// it belongs to.
pub(super) fn foreign(config: &Value, family: &Family) -> Option<String> {
    let given = |key: &str| {
        config.get(key).filter(|v| !v.is_null()).filter(|_| !family.reads.contains(&key))
    };
    let of =
        |key: &str, family: &str| format!("`{key}` {}, which {family} models have", config[key]);
    for (key, neutral, family) in FOREIGN {
        if let Some(value) = given(key)
            && !neutral.holds(value)
        {
            return Some(of(key, family));
        }
    }
    // A window is on if it is given, unless a switch beside it is off.
    let windowed = config.get("use_sliding_window") != Some(&Value::Bool(false));
    if given("sliding_window").is_some_and(|window| windowed && !Off.holds(window)) {
        return Some(of("sliding_window", "Mistral"));
    }
    // A one for each layer that turns queries and keys.
    let turned = |layers: &Value| {
        layers.as_array().is_some_and(|all| all.iter().all(|turned| !Off.holds(turned)))
    };
    if given("no_rope_layers").is_some_and(|layers| !turned(layers)) {
        return Some(of("no_rope_layers", "SmolLM3"));
    }
    // The one that changes nothing when it is on.
    if given("is_causal").is_some_and(|causal| *causal != Value::Bool(true)) {
        return Some(of("is_causal", "embedding"));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::config::family::FAMILIES;

    /// Keys that are refused by rules of their own.
    const ELSEWHERE: [&str; 3] = ["is_causal", "no_rope_layers", "sliding_window"];

    /// The fields of the families' configuration classes in transformers 5.24, and what else it
    /// reads of any configuration: in `PreTrainedConfig`, in the mixins of that, and in
    /// `modeling_utils`, `masking_utils` and `cache_utils`.
    const OF_TRANSFORMERS: [&str; 77] = [
        "_attn_implementation",
        "_commit_hash",
        "_experts_implementation",
        "_name_or_path",
        "_sliding_window_pattern",
        "architectures",
        "attention_bias",
        "attention_chunk_size",
        "attention_dropout",
        "attn_implementation",
        "attn_logit_softcapping",
        "auto_map",
        "bos_token_id",
        "chunk_size_feed_forward",
        "configuration_files",
        "distributed_config",
        "dtype",
        "embd_pdrop",
        "eos_token_id",
        "experts_implementation",
        "final_logit_softcapping",
        "fusion_config",
        "gradient_checkpointing",
        "head_dim",
        "hidden_act",
        "hidden_activation",
        "hidden_size",
        "id2label",
        "initializer_range",
        "intermediate_size",
        "is_causal",
        "is_encoder_decoder",
        "kv_sharing_modes",
        "label2id",
        "layer_types",
        "max_position_embeddings",
        "max_window_layers",
        "mlp_bias",
        "mlp_layer_types",
        "model_type",
        "name_or_path",
        "no_rope_layer_interval",
        "no_rope_layers",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "num_labels",
        "original_max_position_embeddings",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "partial_rotary_factor",
        "per_layer_config",
        "pretraining_tp",
        "problem_type",
        "quantization_config",
        "query_pre_attn_scalar",
        "resid_pdrop",
        "return_dict",
        "rms_norm_eps",
        "rope_local_base_freq",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "sep_token_id",
        "sliding_window",
        "sliding_window_pattern",
        "tie_last_hidden_states",
        "tie_word_embeddings",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "transformers_weights",
        "use_bidirectional_attention",
        "use_cache",
        "use_sliding_window",
        "vocab_size",
    ];

    fn llama() -> &'static Family {
        Family::of("llama").unwrap()
    }

    /// All keys that are known, each as often as it is.
    fn known() -> Vec<&'static str> {
        let foreign = FOREIGN.map(|(key, ..)| key);
        READ.into_iter().chain(HARMLESS).chain(foreign).chain(ELSEWHERE).collect()
    }

    #[test]
    fn every_key_of_transformers_is_known() {
        let known = known();
        let unknown: Vec<&str> =
            OF_TRANSFORMERS.into_iter().filter(|key| !known.contains(key)).collect();
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn a_key_is_read_or_harmless_or_refused() {
        let mut all = known();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        // What one family reads is refused in all that do not.
        for family in &FAMILIES {
            let refused = |key: &str| {
                FOREIGN.iter().any(|(foreign, ..)| *foreign == key) || ELSEWHERE.contains(&key)
            };
            assert!(family.reads.iter().all(|key| refused(key)), "{family:?}");
        }
    }

    #[test]
    fn every_key_of_another_family_is_refused_unless_it_is_neutral() {
        for family in &FAMILIES {
            for (key, neutral, other) in FOREIGN {
                if family.reads.contains(&key) {
                    continue;
                }
                for off in [json!(null), json!(false), json!(0), json!(0.0), json!([]), json!({})] {
                    assert_eq!(foreign(&json!({key: off}), family), None, "{key}");
                }
                for on in [json!(true), json!(2), json!("other"), json!(["other"]), json!({"a": 1})]
                {
                    let said = foreign(&json!({key: on}), family).unwrap();
                    assert!(said.contains(&format!("`{key}`")) && said.contains(other), "{said}");
                }
                let one = foreign(&json!({key: 1.0}), family).is_none();
                assert_eq!(one, matches!(neutral, One), "{key}");
            }
        }
    }

    #[test]
    fn windows_masks_and_layers_without_positions() {
        let refused = |config: Value| foreign(&config, llama()).is_some();
        assert!(refused(json!({"is_causal": false})));
        assert!(!refused(json!({"is_causal": true})));
        assert!(!refused(json!({"is_causal": null})));
        assert!(refused(json!({"sliding_window": 4096})));
        assert!(refused(json!({"sliding_window": 4096, "use_sliding_window": true})));
        assert!(!refused(json!({"sliding_window": 4096, "use_sliding_window": false})));
        assert!(!refused(json!({"sliding_window": null, "use_sliding_window": true})));
        assert!(refused(json!({"no_rope_layers": [1, 1, 0]})));
        assert!(!refused(json!({"no_rope_layers": [1, 1, 1]})));
        assert!(refused(json!({"layer_types": ["full_attention", "sliding_attention"]})));
        assert!(!refused(json!({"layer_types": ["full_attention", "full_attention"]})));
        let mistral = Family::of("mistral").unwrap();
        assert_eq!(foreign(&json!({"sliding_window": 4096}), mistral), None);
        assert!(foreign(&json!({"no_rope_layers": [1, 1, 0]}), mistral).is_some());
    }
}
