//! The architectures of GGUF files that are read, and where their tensors belong.

use super::metadata::Metadata;
use crate::error::{Error, ErrorKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    /// Llama and Mistral models.
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Phi3,
    SmolLm3,
}

/// Where a tensor belongs in a model of transformers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The name there, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// How its rows differ.
    pub rows: Rows,
}

/// How the rows of a tensor differ from those that transformers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Not at all.
    Same,
    /// Of each of so many heads, the two rows that are turned together are neighbours, and not half
    /// a head apart.
    Neighbours {
        /// The heads.
        heads: usize,
    },
    /// Each number is larger by 1.
    PlusOne,
}

/// Heads of queries, and of keys and values.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadCounts {
    pub(super) queries: usize,
    pub(super) keys: usize,
}

impl Architecture {
    const ALL: [Self; 6] =
        [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma3, Self::Phi3, Self::SmolLm3];

    pub(super) fn of(metadata: &Metadata) -> Result<Self, Error> {
        const KEY: &str = "general.architecture";
        let name = metadata.needed(KEY, metadata.text(KEY)?)?;
        Self::ALL.into_iter().find(|architecture| architecture.name() == name).ok_or_else(|| {
            let read = Self::ALL.map(|architecture| format!("`{}`", architecture.name()));
            let what = format!(
                "contains a `{name}` model; this version of bake reads {}",
                read.join(", ")
            );
            metadata.error(ErrorKind::Model, what)
        })
    }

    /// The name in GGUF files, with which the keys about the architecture begin.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
            Self::SmolLm3 => "smollm3",
        }
    }

    /// Where a tensor belongs; none if no model of this architecture has it.
    pub(super) fn place(self, name: &str, heads: HeadCounts) -> Option<Placed> {
        let same = |name: &str| Some(Placed { name: name.to_owned(), rows: Rows::Same });
        match name {
            "token_embd.weight" => return same("model.embed_tokens.weight"),
            "output.weight" => return same("lm_head.weight"),
            "output_norm.weight" => {
                return Some(Placed { name: "model.norm.weight".into(), rows: self.norm_rows() });
            }
            _ => {}
        }
        let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
        // Written as transformers writes it.
        let layer: usize = layer.parse().ok().filter(|n: &usize| n.to_string() == layer)?;
        let (part, kind) = rest.rsplit_once('.')?;
        if !matches!(kind, "weight" | "bias") {
            return None;
        }
        let (module, rows) = self.module(part, heads)?;
        Some(Placed { name: format!("model.layers.{layer}.{module}.{kind}"), rows })
    }

    /// The module of a block that a part of a name stands for.
    fn module(self, part: &str, heads: HeadCounts) -> Option<(&'static str, Rows)> {
        let turned = |heads| match self {
            Self::Llama | Self::SmolLm3 => Rows::Neighbours { heads },
            _ => Rows::Same,
        };
        let (norm, gemma, phi) = (self.norm_rows(), self == Self::Gemma3, self == Self::Phi3);
        Some(match part {
            "attn_norm" => ("input_layernorm", norm),
            "ffn_norm" if gemma => ("pre_feedforward_layernorm", norm),
            "ffn_norm" => ("post_attention_layernorm", norm),
            "post_attention_norm" if gemma => ("post_attention_layernorm", norm),
            "post_ffw_norm" if gemma => ("post_feedforward_layernorm", norm),
            "attn_q_norm" => ("self_attn.q_norm", norm),
            "attn_k_norm" => ("self_attn.k_norm", norm),
            "attn_qkv" if phi => ("self_attn.qkv_proj", Rows::Same),
            "attn_q" => ("self_attn.q_proj", turned(heads.queries)),
            "attn_k" => ("self_attn.k_proj", turned(heads.keys)),
            "attn_v" => ("self_attn.v_proj", Rows::Same),
            "attn_output" => ("self_attn.o_proj", Rows::Same),
            "ffn_up" if phi => ("mlp.gate_up_proj", Rows::Same),
            "ffn_gate" => ("mlp.gate_proj", Rows::Same),
            "ffn_up" => ("mlp.up_proj", Rows::Same),
            "ffn_down" => ("mlp.down_proj", Rows::Same),
            _ => return None,
        })
    }

    /// Gemma multiplies by 1 more than a norm's weight, and its files contain the sum.
    const fn norm_rows(self) -> Rows {
        match self {
            Self::Gemma3 => Rows::PlusOne,
            _ => Rows::Same,
        }
    }
}
