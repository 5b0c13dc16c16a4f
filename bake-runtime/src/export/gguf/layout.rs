//! Where a model's tensors are in GGUF files of its architecture.

use bake_spec::Config;

use crate::error::{Error, ErrorKind, Result};
use crate::export::Base;

/// Modules of a block in transformers, and their names in GGUF files.
const MODULES: [(&str, &str); 12] = [
    ("input_layernorm", "attn_norm"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.up_proj", "ffn_up"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.v_proj", "attn_v"),
];

/// The norm after attention has a name that means another one in a Llama block.
const NORMS: [(&str, &str); 1] = [("post_attention_layernorm", "ffn_norm")];
const GEMMA_NORMS: [(&str, &str); 3] = [
    ("post_attention_layernorm", "post_attention_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
];

/// The names and the order of rows of an architecture.
pub(super) struct GgufLayout {
    architecture: &'static str,
    heads: usize,
    kv_heads: usize,
}

/// A tensor's place in a GGUF file.
pub(super) struct GgufPlace {
    pub(super) name: String,
    /// How many heads its rows belong to, where the two rows that are turned together are
    /// neighbours, and not half a head apart.
    turned: Option<usize>,
    /// What is added to its numbers: Gemma's norms are stored as distances from 1 elsewhere.
    added: f32,
}

impl GgufLayout {
    pub(super) fn of(base: &Base<'_>, config: &Config) -> Result<Self> {
        let architecture = architecture(base)?;
        Ok(Self { architecture, heads: config.heads(), kv_heads: config.kv_heads() })
    }

    /// The name of the architecture.
    pub(super) fn architecture(&self) -> &'static str {
        self.architecture
    }

    fn is_gemma(&self) -> bool {
        self.architecture == "gemma3"
    }

    /// The place of a tensor with this name in transformers.
    pub(super) fn place(&self, name: &str) -> Result<GgufPlace> {
        self.find(name).ok_or_else(|| {
            let message = format!("`{name}` has no place in a GGUF file; export `merged` instead");
            Error::new(ErrorKind::Export, message)
        })
    }

    fn find(&self, name: &str) -> Option<GgufPlace> {
        let added = if self.is_gemma() && name.ends_with("norm.weight") { 1.0 } else { 0.0 };
        let whole = match name {
            "model.embed_tokens.weight" => Some("token_embd.weight"),
            "model.norm.weight" => Some("output_norm.weight"),
            "lm_head.weight" => Some("output.weight"),
            _ => None,
        };
        if let Some(name) = whole {
            return Some(GgufPlace { name: name.to_owned(), turned: None, added });
        }
        let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (module, kind) = rest.rsplit_once('.')?;
        let norms: &[_] = if self.is_gemma() { &GEMMA_NORMS } else { &NORMS };
        let (_, part) = MODULES.iter().chain(norms).find(|(theirs, _)| *theirs == module)?;
        let turned = match (self.architecture, module) {
            ("llama" | "smollm3", "self_attn.q_proj") => Some(self.heads),
            ("llama" | "smollm3", "self_attn.k_proj") => Some(self.kv_heads),
            _ => None,
        };
        Some(GgufPlace { name: format!("blk.{layer}.{part}.{kind}"), turned, added })
    }
}

impl GgufPlace {
    /// Whether the file has the numbers as they are in transformers.
    pub(super) fn is_same(&self) -> bool {
        self.turned.is_none() && self.added == 0.0
    }

    /// The rows, each of `width` numbers, as the file has them.
    pub(super) fn rows(&self, data: &[f32], width: usize) -> Vec<f32> {
        let mut out: Vec<f32> = data.iter().map(|x| x + self.added).collect();
        let Some(heads) = self.turned else { return out };
        let head = data.len() / width / heads;
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let (first, within) = (row / head * head, row % head);
            let from = first + within / 2 + within % 2 * (head / 2);
            out.copy_from_slice(&data[from * width..][..width]);
        }
        out
    }
}

/// The architecture of a model, by its `model_type`.
fn architecture(base: &Base<'_>) -> Result<&'static str> {
    #[derive(serde::Deserialize)]
    struct ModelType {
        model_type: String,
    }
    let config = &base.checkpoint.files().config;
    let unreadable = |e| Error::with_source(ErrorKind::Model, "config.json has no model_type", e);
    let ModelType { model_type } = serde_json::from_str(config).map_err(unreadable)?;
    Ok(match model_type.as_str() {
        "llama" | "mistral" => "llama",
        "qwen2" => "qwen2",
        "qwen3" => "qwen3",
        "gemma3_text" => "gemma3",
        "phi3" => "phi3",
        "smollm3" => "smollm3",
        other => {
            let message =
                format!("there is no GGUF architecture for `{other}` models; export `merged`");
            return Err(Error::new(ErrorKind::Export, message));
        }
    })
}
