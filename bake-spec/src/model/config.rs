//! A model's architecture as data, layer by layer, read from the `config.json` of a Hugging Face
//! style folder.

mod family;
mod fields;
mod keys;
mod layer;
mod projection;
mod read;
mod rope;
pub(in crate::model) mod shape;
mod tensors;
#[cfg(test)]
mod tests;

use family::Family;
pub use layer::{Activation, Layer, Norm};
pub use projection::Projection;
pub use rope::{Rope, RopeScaling};
use shape::Shape;
pub use tensors::{EMBEDDING, HEAD, LAST_NORM, NamedShape, StoredRows};

use crate::error::{Error, ErrorKind};

/// The class of transformers for models of a `model_type`, as `architectures` of a `config.json`
/// names it; none if there is no such family.
pub fn class_of(model_type: &str) -> Option<&'static str> {
    Family::of(model_type).map(|family| family.class)
}

/// The shape of a decoder-only transformer.
///
/// It is always one that a model can have: whatever it is read from goes through the same checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Config(Shape);

impl Config {
    /// Parses a `config.json`; `name` is the file's name in messages.
    ///
    /// Reads the keys of transformers 5 (`rope_parameters`) and those of most published checkpoints
    /// (`rope_theta`, `rope_scaling`).
    ///
    /// # Errors
    /// When the text is not JSON, a key is missing or has a value that no model can have, the
    /// model is of a family that is not read, or a key asks for what models of its family do not
    /// compute.
    ///
    /// ```
    /// let config = bake_spec::Config::parse(
    ///     r#"{"model_type": "llama", "vocab_size": 4096, "hidden_size": 256,
    ///         "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 8}"#,
    ///     "config.json",
    /// )?;
    /// assert_eq!(config.head_dim(), 32);
    /// # Ok::<(), bake_spec::Error>(())
    /// ```
    pub fn parse(json: &str, name: &str) -> Result<Self, Error> {
        let value = serde_json::from_str(json).map_err(|e| {
            Error::with_source(ErrorKind::Model, format!("{name} is not valid JSON"), e)
        })?;
        let shape = read::shape(&value, name)?;
        Self::try_from(shape)
            .map_err(|what| Error::new(ErrorKind::Model, format!("{name} has {what}")))
    }

    /// Whether models of both compute the same from the same tensors: the same shape, and
    /// frequencies that are the same as far as f32 can tell. Where the head is, the tensors say.
    pub fn computes_like(&self, other: &Self) -> bool {
        let rest = |config: &Self| Shape { tied_head: true, ropes: Vec::new(), ..config.0.clone() };
        let frequencies = |config: &Self| -> Vec<f32> {
            let of = |rope: &Rope| rope.frequencies(config.head_dim()).collect::<Vec<f64>>();
            config.ropes().iter().flat_map(of).map(|frequency| frequency as f32).collect()
        };
        rest(self) == rest(other) && frequencies(self) == frequencies(other)
    }

    /// Entries of the embedding table, V.
    pub const fn vocab_size(&self) -> usize {
        self.0.vocab_size
    }

    /// Width of the residual stream, D.
    pub const fn hidden_size(&self) -> usize {
        self.0.hidden_size
    }

    /// Width of the feed-forward layer.
    pub const fn intermediate_size(&self) -> usize {
        self.0.intermediate_size
    }

    /// Number of blocks.
    pub fn layers(&self) -> usize {
        self.0.layers.len()
    }

    /// A block; there are as many as [`layers`](Self::layers).
    pub fn layer(&self, layer: usize) -> &Layer {
        &self.0.layers[layer]
    }

    /// Number of query heads.
    pub const fn heads(&self) -> usize {
        self.0.heads
    }

    /// Number of key and value heads; each serves `heads / kv_heads` query heads.
    pub const fn kv_heads(&self) -> usize {
        self.0.kv_heads
    }

    /// Width of a head, which is even.
    pub const fn head_dim(&self) -> usize {
        self.0.head_dim
    }

    /// The most positions that the model was made for, in tokens.
    pub const fn context(&self) -> usize {
        self.0.context
    }

    /// The ways in which positions turn queries and keys; each layer names one of them, or none.
    pub fn ropes(&self) -> &[Rope] {
        &self.0.ropes
    }

    /// Added to the mean square in the norms.
    pub const fn norm_eps(&self) -> f64 {
        self.0.norm_eps
    }

    /// Whether the checkpoint has the norms' weights as their distances from 1.
    pub const fn norms_from_one(&self) -> bool {
        self.0.norms_from_one
    }

    /// What embeddings are multiplied by: 1, or the square root of their width. transformers rounds
    /// it to the type of the embedding table.
    pub const fn embedding_scale(&self) -> f64 {
        self.0.embedding_scale
    }

    /// Whether the output head is the embedding table, unless the weights contain a separate head.
    pub const fn tied_head(&self) -> bool {
        self.0.tied_head
    }

    /// Width of the queries of one token: `heads * head_dim`.
    pub const fn query_size(&self) -> usize {
        self.0.heads * self.0.head_dim
    }

    /// Width of the keys, and of the values, of one token: `kv_heads * head_dim`.
    pub const fn kv_size(&self) -> usize {
        self.0.kv_heads * self.0.head_dim
    }

    /// The shape `[outputs, inputs]` of a projection's weight.
    pub const fn projection_shape(&self, projection: Projection) -> [usize; 2] {
        let (hidden, intermediate) = (self.0.hidden_size, self.0.intermediate_size);
        match projection {
            Projection::Query => [self.query_size(), hidden],
            Projection::Key | Projection::Value => [self.kv_size(), hidden],
            Projection::Output => [hidden, self.query_size()],
            Projection::Gate | Projection::Up => [intermediate, hidden],
            Projection::Down => [hidden, intermediate],
        }
    }
}
