//! The architectures of GGUF files that are read and written: the names of their tensors, and how
//! these differ from those of transformers.

use super::metadata::Metadata;
use crate::error::{Error, ErrorKind};

/// A kind of models of GGUF files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the format")]
pub enum Architecture {
    /// Llama and Mistral models.
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Phi3,
    SmolLm3,
}

/// A tensor under the name that the other side has for it: a GGUF file, or transformers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The name there, such as `model.layers.0.self_attn.q_proj.weight` in transformers.
    pub name: String,
    /// How the rows of the file differ.
    pub rows: RowOrder,
}

/// How the rows of a tensor in a GGUF file differ from those that transformers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
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
pub struct HeadCounts {
    /// Those of queries.
    pub queries: usize,
    /// Those of keys, and of values.
    pub keys: usize,
}

/// The `model_type` of each architecture in transformers. Of several, files are read as the first.
const MODEL_TYPES: [(&str, Architecture); 7] = [
    ("llama", Architecture::Llama),
    ("mistral", Architecture::Llama),
    ("qwen2", Architecture::Qwen2),
    ("qwen3", Architecture::Qwen3),
    ("gemma3_text", Architecture::Gemma3),
    ("phi3", Architecture::Phi3),
    ("smollm3", Architecture::SmolLm3),
];

/// A name in GGUF files, and the one in transformers.
type Names = (&'static str, &'static str);

/// Modules outside of blocks.
const WHOLE: [Names; 3] =
    [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// Modules of blocks of all architectures.
const COMMON: [Names; 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The norm between attention and feed-forward layer, where there is one.
const FFN_NORM: Names = ("ffn_norm", "post_attention_layernorm");
const FFN_UP: Names = ("ffn_up", "mlp.up_proj");

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

    /// The architecture of models with this `model_type` in transformers.
    pub fn of_model_type(model_type: &str) -> Option<Self> {
        MODEL_TYPES.iter().find(|(theirs, _)| *theirs == model_type).map(|(_, own)| *own)
    }

    /// The first `model_type` of the architecture in transformers.
    pub(super) fn model_type(self) -> &'static str {
        let own = MODEL_TYPES.iter().find(|(_, architecture)| *architecture == self);
        own.map_or("", |(model_type, _)| model_type)
    }

    /// The name in GGUF files, with which the keys about the architecture begin.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
            Self::SmolLm3 => "smollm3",
        }
    }

    /// Modules of blocks that other architectures do not have, or have under other names.
    const fn own(self) -> &'static [Names] {
        match self {
            Self::Gemma3 => &[
                ("post_attention_norm", "post_attention_layernorm"),
                ("ffn_norm", "pre_feedforward_layernorm"),
                ("post_ffw_norm", "post_feedforward_layernorm"),
                FFN_UP,
            ],
            Self::Phi3 => {
                &[FFN_NORM, ("attn_qkv", "self_attn.qkv_proj"), ("ffn_up", "mlp.gate_up_proj")]
            }
            _ => &[FFN_NORM, FFN_UP],
        }
    }

    /// The tensor of transformers that a file has under this name; none if no model of this
    /// architecture has it.
    pub(super) fn place(self, name: &str, heads: HeadCounts) -> Option<Placed> {
        self.renamed(name, heads, ("blk.", "model.layers."), |names| names)
    }

    /// The name in files of the tensor that transformers has under this one; none if files have
    /// none for it.
    pub fn stored(self, name: &str, heads: HeadCounts) -> Option<Placed> {
        let swapped = |(own, theirs): Names| (theirs, own);
        self.renamed(name, heads, ("model.layers.", "blk."), swapped)
    }

    /// Translates a name; `order` puts that of the side it is from first.
    fn renamed(
        self,
        name: &str,
        heads: HeadCounts,
        (from, to): Names,
        order: impl Fn(Names) -> Names,
    ) -> Option<Placed> {
        let (module, kind) = name.rsplit_once('.')?;
        if !matches!(kind, "weight" | "bias") {
            return None;
        }
        let find = |tables: &[&[Names]], wanted: &str| {
            let all = tables.iter().copied().flatten();
            all.copied().find(|names| order(*names).0 == wanted)
        };
        let Some(rest) = module.strip_prefix(from) else {
            if kind != "weight" {
                return None;
            }
            let names = find(&[&WHOLE], module)?;
            let rows = self.rows(names.1, heads);
            return Some(Placed { name: format!("{}.{kind}", order(names).1), rows });
        };
        let (layer, module) = rest.split_once('.')?;
        // Written as both sides write it.
        let layer: usize = layer.parse().ok().filter(|n: &usize| n.to_string() == layer)?;
        let names = find(&[self.own(), &COMMON], module)?;
        let rows = self.rows(names.1, heads);
        Some(Placed { name: format!("{to}{layer}.{}.{kind}", order(names).1), rows })
    }

    /// How files have the rows of a module, by its name in transformers.
    fn rows(self, module: &str, heads: HeadCounts) -> RowOrder {
        let turned = matches!(self, Self::Llama | Self::SmolLm3);
        match module {
            "self_attn.q_proj" if turned => RowOrder::Neighbours { heads: heads.queries },
            "self_attn.k_proj" if turned => RowOrder::Neighbours { heads: heads.keys },
            // Gemma multiplies by 1 more than a norm's weight, and its files contain the sum.
            _ if self == Self::Gemma3 && module.ends_with("norm") => RowOrder::PlusOne,
            _ => RowOrder::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_there_and_back_is_the_same() {
        let heads = HeadCounts { queries: 4, keys: 2 };
        for architecture in Architecture::ALL {
            assert_eq!(Architecture::of_model_type(architecture.model_type()), Some(architecture));
            let blocks = architecture.own().iter().chain(&COMMON);
            let blocks = blocks.map(|(name, _)| format!("blk.12.{name}.weight"));
            let whole = WHOLE.iter().map(|(name, _)| format!("{name}.weight"));
            for name in blocks.chain(whole) {
                let there = architecture.place(&name, heads).unwrap();
                let back = architecture.stored(&there.name, heads).unwrap();
                assert_eq!((&back.name, back.rows), (&name, there.rows), "{architecture:?}");
            }
            for none in ["blk.0.attn_sinks.weight", "blk.01.attn_q.weight", "output.bias"] {
                assert_eq!(architecture.place(none, heads), None);
            }
        }
        let stored = |architecture: Architecture, module: &str| {
            let name = format!("model.layers.0.{module}.weight");
            architecture.stored(&name, heads).map(|placed| (placed.name, placed.rows))
        };
        let named = |part: &str, rows| Some((format!("blk.0.{part}.weight"), rows));
        let (llama, gemma) = (Architecture::Llama, Architecture::Gemma3);
        assert_eq!(
            stored(llama, "self_attn.k_proj"),
            named("attn_k", RowOrder::Neighbours { heads: 2 })
        );
        assert_eq!(stored(llama, "post_attention_layernorm"), named("ffn_norm", RowOrder::Same));
        assert_eq!(
            stored(gemma, "post_attention_layernorm"),
            named("post_attention_norm", RowOrder::PlusOne)
        );
        assert_eq!(stored(Architecture::Phi3, "mlp.up_proj"), None);
        assert_eq!(stored(Architecture::Phi3, "mlp.gate_up_proj"), named("ffn_up", RowOrder::Same));
    }
}
