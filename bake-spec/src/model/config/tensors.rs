//! Where a checkpoint has the weights of a model: the names of its tensors, in the style of Hugging
//! Face.

use std::ops::Range;

use super::{Config, Norm, Projection};

/// The embedding table.
pub const EMBEDDING: &str = "model.embed_tokens.weight";
/// The output head, where it is not the embedding table.
pub const HEAD: &str = "lm_head.weight";
/// The weight of the last norm.
pub const LAST_NORM: &str = "model.norm.weight";

/// Where a checkpoint has a projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRows {
    /// The tensors' name without `.weight` or `.bias`.
    pub module: String,
    /// The projection's rows of them.
    pub rows: Range<usize>,
    /// All of their rows: more, where one tensor contains several projections.
    pub of: usize,
}

/// The name and shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedShape {
    /// Such as `model.norm.weight`.
    pub name: String,
    /// Rows before columns.
    pub shape: Vec<usize>,
}

impl Config {
    /// Where a checkpoint of this model has a projection of a block.
    pub fn stored_rows(&self, layer: usize, projection: Projection) -> StoredRows {
        let rows = |p: Projection| self.projection_shape(p)[0];
        let module = |name: &str| format!("model.layers.{layer}.{}.{name}", projection.module());
        match self.0.fused.iter().find(|fused| fused.parts.contains(&projection)) {
            Some(fused) => {
                let before = fused.parts.iter().take_while(|part| **part != projection);
                let start = before.map(|&part| rows(part)).sum();
                StoredRows {
                    module: module(fused.name),
                    rows: start..start + rows(projection),
                    of: fused.parts.iter().map(|&part| rows(part)).sum(),
                }
            }
            None => StoredRows {
                module: module(projection.name()),
                rows: 0..rows(projection),
                of: rows(projection),
            },
        }
    }

    /// The tensor of a block's norm, where the block has it.
    pub fn norm_tensor(&self, layer: usize, norm: Norm) -> Option<NamedShape> {
        let block = self.layer(layer);
        if !block.has_norm(norm) {
            return None;
        }
        let after = block.has_norm(Norm::AfterMlp);
        let (name, width) = match norm {
            Norm::BeforeAttention => ("input_layernorm", self.hidden_size()),
            Norm::BeforeMlp if after => ("pre_feedforward_layernorm", self.hidden_size()),
            // Where nothing is normed after the attention, this norm has that one's name.
            Norm::AfterAttention | Norm::BeforeMlp => {
                ("post_attention_layernorm", self.hidden_size())
            }
            Norm::AfterMlp => ("post_feedforward_layernorm", self.hidden_size()),
            Norm::Query => ("self_attn.q_norm", self.head_dim()),
            Norm::Key => ("self_attn.k_norm", self.head_dim()),
        };
        Some(NamedShape { name: format!("model.layers.{layer}.{name}.weight"), shape: vec![width] })
    }

    /// All tensors that a checkpoint of this model has, of which the head may be missing where it
    /// is the embedding table.
    pub fn tensors(&self) -> Vec<NamedShape> {
        let [vocabulary, hidden] = [self.vocab_size(), self.hidden_size()];
        let mut tensors: Vec<NamedShape> = Vec::new();
        let mut add = |name: String, shape: Vec<usize>| {
            if tensors.last().is_none_or(|last| last.name != name) {
                tensors.push(NamedShape { name, shape });
            }
        };
        for layer in 0..self.layers() {
            for norm in Norm::ALL.into_iter().filter_map(|norm| self.norm_tensor(layer, norm)) {
                add(norm.name, norm.shape);
            }
            // Projections that share a tensor follow each other.
            for projection in Projection::ALL {
                let stored = self.stored_rows(layer, projection);
                let inputs = self.projection_shape(projection)[1];
                add(format!("{}.weight", stored.module), vec![stored.of, inputs]);
            }
            let biased = |p: &Projection| self.layer(layer).has_bias(*p);
            for projection in Projection::ALL.into_iter().filter(biased) {
                let stored = self.stored_rows(layer, projection);
                add(format!("{}.bias", stored.module), vec![stored.of]);
            }
        }
        add(EMBEDDING.to_owned(), vec![vocabulary, hidden]);
        add(LAST_NORM.to_owned(), vec![hidden]);
        add(HEAD.to_owned(), vec![vocabulary, hidden]);
        tensors
    }
}
