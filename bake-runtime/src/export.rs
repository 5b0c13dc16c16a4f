//! What was baked, for other programs: the adapter, or the model with the adapter in its weights.

mod folder;
mod gguf;
mod merge;
mod merged;
mod numbers;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bake_spec::recipe::Recipe;
use candle_core::Device;

use crate::adapter::Adapter;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::open_model;
use folder::NewFolder;

/// For which programs a bake is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// A folder with the model in safetensors, the adapter in its weights: transformers, vLLM.
    Merged,
    /// The same model in one GGUF file: llama.cpp and what is built on it.
    Gguf,
    /// The adapter as a GGUF file, beside the model's own: llama.cpp.
    GgufAdapter,
    /// The adapter as a folder: PEFT, transformers, vLLM.
    Peft,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportDtype {
    /// 32 bits.
    F32,
    /// 16 bits, as most GGUF files that are not quantised.
    F16,
    /// 16 bits with the range of 32.
    Bf16,
    /// Blocks of 32 numbers of 8 bits with a common scale; in GGUF files only.
    Q8_0,
}

impl ExportDtype {
    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
        }
    }
}

/// What is exported, and where to.
#[derive(Clone, Debug)]
pub struct Export {
    /// For which programs.
    pub format: ExportFormat,
    /// How the numbers of a model are stored; by default as they are in the base model. Where those
    /// are quantised, they are in bf16 in a merged folder, and in f16 in a GGUF file.
    pub dtype: Option<ExportDtype>,
    /// The folder to write. It appears as a whole, or not at all.
    pub folder: PathBuf,
    /// Whether an earlier export in this folder is replaced.
    pub replace: bool,
}

/// Exports the adapter in a folder, which was baked from this recipe. Returns the files that were
/// written, with their folder.
///
/// # Errors
/// When the model or the adapter cannot be read, when the format cannot contain them, and when the
/// folder contains something or cannot be written.
pub fn export(recipe: &Recipe, adapter: &Path, export: &Export) -> Result<Vec<PathBuf>> {
    let span = tracing::info_span!("export", bake = &*recipe.name, format = ?export.format);
    let _entered = span.enter();
    let folder = NewFolder::begin(&export.folder, export.replace)?;
    let (name, checkpoint) = open_model(recipe)?;
    let base = Base { name, checkpoint: &*checkpoint };
    let config = base.checkpoint.config()?;
    let adapter = Adapter::read(adapter, &config, &Device::Cpu)?;
    match export.format {
        ExportFormat::Peft => {
            refuse_dtype(export.dtype, "an adapter in PEFT's format")?;
            adapter.save_as_stored(&config, folder.path(), &base.name)?;
        }
        ExportFormat::Merged => merged::write(&base, &adapter, export.dtype, &folder)?,
        ExportFormat::Gguf => {
            gguf::write_model(&base, &adapter, export.dtype, &folder, &recipe.name)?;
        }
        ExportFormat::GgufAdapter => {
            refuse_dtype(export.dtype, "an adapter in a GGUF file")?;
            gguf::write_adapter(&base, &adapter, &folder, &recipe.name)?;
        }
    }
    folder.finish()
}

/// The model that an adapter belongs to.
struct Base<'a> {
    /// The name of its folder or file, or `tiny`.
    name: String,
    checkpoint: &'a dyn Checkpoint,
}

fn refuse_dtype(dtype: Option<ExportDtype>, what: &str) -> Result<()> {
    match dtype {
        None | Some(ExportDtype::F32) => Ok(()),
        Some(other) => {
            let message = format!("{what} is stored in f32, not in {}", other.name());
            Err(Error::new(ErrorKind::Export, message))
        }
    }
}
