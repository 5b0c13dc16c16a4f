//! Where a model's tensors are in GGUF files of its architecture.

use bake_spec::Config;
use bake_spec::model::gguf::{Architecture, HeadCounts, Placed, RowOrder};

use crate::error::{Error, ErrorKind, Result};
use crate::export::Base;

/// The names and the order of rows of an architecture.
pub(super) struct GgufLayout {
    architecture: Architecture,
    heads: HeadCounts,
}

impl GgufLayout {
    pub(super) fn of(base: &Base<'_>, config: &Config) -> Result<Self> {
        let heads = HeadCounts { queries: config.heads(), keys: config.kv_heads() };
        Ok(Self { architecture: architecture(base)?, heads })
    }

    pub(super) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The place of a tensor with this name in transformers.
    pub(super) fn place(&self, name: &str) -> Result<Placed> {
        self.architecture.stored(name, self.heads).ok_or_else(|| {
            let message = format!("`{name}` has no place in a GGUF file; export `merged` instead");
            Error::new(ErrorKind::Export, message)
        })
    }
}

/// Rows of `width` numbers, in the order of transformers, as a file has them.
pub(super) fn as_in_file(data: &[f32], width: usize, rows: RowOrder) -> Vec<f32> {
    match rows {
        RowOrder::Same => data.to_vec(),
        RowOrder::PlusOne => data.iter().map(|x| x + 1.0).collect(),
        RowOrder::Neighbours { heads } => {
            let head = data.len() / width / heads;
            let mut out = vec![0.0; data.len()];
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let (first, within) = (row / head * head, row % head);
                let from = first + within / 2 + within % 2 * (head / 2);
                out.copy_from_slice(&data[from * width..][..width]);
            }
            out
        }
    }
}

/// The architecture of a model, by its `model_type`.
fn architecture(base: &Base<'_>) -> Result<Architecture> {
    #[derive(serde::Deserialize)]
    struct ModelType {
        model_type: String,
    }
    let files = base.checkpoint.files();
    let unreadable = |e| {
        let message = format!("{} has no model_type", files.name("config.json"));
        Error::with_source(ErrorKind::Model, message, e)
    };
    let ModelType { model_type } = serde_json::from_str(&files.config).map_err(unreadable)?;
    Architecture::of_model_type(&model_type).ok_or_else(|| {
        let message =
            format!("there is no GGUF architecture for `{model_type}` models; export `merged`");
        Error::new(ErrorKind::Export, message)
    })
}
