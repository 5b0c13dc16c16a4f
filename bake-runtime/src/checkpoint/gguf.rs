//! A model in one GGUF file, mapped into memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use bake_spec::model::Files;
use bake_spec::model::gguf::{self, RowOrder, TensorInfo, TensorType};
use bake_spec::{Config, Hash, file};
use candle_core::Device;
use candle_core::quantized::GgmlDType;

use super::Checkpoint;
use super::stored::{Stored, StoredDtype};
use crate::error::{Error, ErrorKind, Result};

/// A GGUF file behind the names and the order of transformers.
pub(crate) struct GgufFile {
    /// Its path, for messages.
    path: String,
    config: Config,
    files: Files,
    bytes: memmap2::Mmap,
    /// By the names that transformers has.
    tensors: BTreeMap<String, (TensorInfo, RowOrder)>,
}

impl GgufFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let header = gguf::read_header(path)?;
        let bytes = map(path)?;
        let mut tensors = BTreeMap::new();
        for (tensor, placed) in header.tensors().iter().zip(header.places()?) {
            if let Some(placed) = placed {
                tensors.insert(placed.name, (tensor.clone(), placed.rows));
            }
        }
        Ok(Self {
            path: header.file().to_owned(),
            config: header.config()?,
            files: header.files()?,
            bytes,
            tensors,
        })
    }

    /// The bytes of a tensor. The header was checked against the file, which may have become
    /// shorter since.
    fn data(&self, tensor: &TensorInfo) -> Result<&[u8]> {
        let bytes = self.bytes.get(tensor.start..).and_then(|rest| rest.get(..tensor.bytes));
        bytes.ok_or_else(|| self.error(&format!("has changed at its tensor `{}`", tensor.name)))
    }

    fn error(&self, what: &str) -> Error {
        Error::new(ErrorKind::Model, format!("{} {what}", self.path))
    }
}

impl Checkpoint for GgufFile {
    fn config(&self) -> Result<Config> {
        Ok(self.config.clone())
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn stored(&self, name: &str) -> Result<Option<Stored<'_>>> {
        let Some((tensor, rows)) = self.tensors.get(name) else { return Ok(None) };
        let stored = Stored {
            file: &self.path,
            dtype: dtype(tensor.kind),
            shape: tensor.shape.clone(),
            data: self.data(tensor)?.into(),
        };
        match rows {
            RowOrder::Same => Ok(Some(stored)),
            RowOrder::Neighbours { heads } => match halves(&stored, *heads) {
                Some(data) => Ok(Some(Stored { data, ..stored })),
                None => Err(self.error(&format!(
                    "has {} rows in its tensor `{}`, which {heads} heads cannot share evenly",
                    tensor.shape[0], tensor.name
                ))),
            },
            RowOrder::PlusOne => Ok(Some(minus_one(stored)?)),
        }
    }

    fn missing(&self, name: &str) -> Error {
        self.error(&format!("has no tensor for `{name}`; use a file with a whole model"))
    }

    fn hash(&self) -> Hash {
        gguf::model_hash(Hash::of(&self.bytes))
    }
}

fn map(path: &Path) -> Result<memmap2::Mmap> {
    let unreadable =
        |e| Error::with_source(ErrorKind::Model, format!("cannot read {}", path.display()), e);
    let file = file::open(path).map_err(unreadable)?;
    // SAFETY: the bytes are only read, and checked where they are used; like every program that
    // maps weights, this one relies on no other process truncating the file while it is mapped.
    unsafe { memmap2::Mmap::map(&file) }.map_err(unreadable)
}

fn dtype(kind: TensorType) -> StoredDtype {
    StoredDtype::Blocks(match kind {
        TensorType::F32 => return StoredDtype::F32,
        TensorType::F16 => return StoredDtype::F16,
        TensorType::BF16 => return StoredDtype::BF16,
        TensorType::Q4_0 => GgmlDType::Q4_0,
        TensorType::Q4_1 => GgmlDType::Q4_1,
        TensorType::Q5_0 => GgmlDType::Q5_0,
        TensorType::Q5_1 => GgmlDType::Q5_1,
        TensorType::Q8_0 => GgmlDType::Q8_0,
        TensorType::Q4_K => GgmlDType::Q4K,
        TensorType::Q5_K => GgmlDType::Q5K,
        TensorType::Q6_K => GgmlDType::Q6K,
    })
}

/// The rows of heads whose turned pairs are neighbours, with the pairs half a head apart: whole
/// rows, so that blocks stay as they are. None if the heads have no halves.
fn halves<'a>(stored: &Stored<'_>, heads: usize) -> Option<Cow<'a, [u8]>> {
    let rows = *stored.shape.first()?;
    let half = rows.is_multiple_of(2 * heads).then(|| rows / (2 * heads))?;
    let size = stored.data.len() / rows;
    let mut data = Vec::with_capacity(stored.data.len());
    for row in 0..rows {
        let (head, in_head) = (row / (2 * half), row % (2 * half));
        let (side, pair) = (in_head / half, in_head % half);
        let from = head * 2 * half + 2 * pair + side;
        data.extend_from_slice(&stored.data[from * size..][..size]);
    }
    Some(data.into())
}

/// The same numbers less 1, in f32.
fn minus_one(stored: Stored<'_>) -> Result<Stored<'_>> {
    let numbers = stored.tensor(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let data: Vec<u8> = numbers.iter().flat_map(|number| (number - 1.0).to_le_bytes()).collect();
    Ok(Stored { dtype: StoredDtype::F32, data: data.into(), ..stored })
}

#[cfg(test)]
mod tests;
