//! Weights from safetensors: one file, several with an index, or bytes in the program.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use bake_spec::model::POINTER;
use bake_spec::{Hash, file};
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::stored::{Stored, StoredDtype};
use crate::error::{Error, ErrorKind, Result};

/// The tensors of a checkpoint, read when they are asked for.
pub(crate) struct Weights {
    shards: Vec<Shard>,
    /// The file of each tensor, where an index names it.
    index: Option<BTreeMap<String, String>>,
}

struct Shard {
    name: String,
    bytes: Bytes,
    metadata: Metadata,
    data_start: usize,
}

enum Bytes {
    Static(&'static [u8]),
    Mapped(memmap2::Mmap),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

impl Weights {
    /// The checkpoint of a model's folder: `model.safetensors`, or the files that
    /// `model.safetensors.index.json` names. `index` is what it says.
    pub(crate) fn open_model(dir: &Path, index: Option<&BTreeMap<String, String>>) -> Result<Self> {
        let mut shards = Vec::new();
        for path in bake_spec::model::weight_files(dir)? {
            shards.push(Shard::open(&path, ErrorKind::Model)?);
        }
        Ok(Self { shards, index: index.cloned() })
    }

    /// One safetensors file; errors are of the given kind.
    pub(crate) fn open(path: &Path, kind: ErrorKind) -> Result<Self> {
        Ok(Self { shards: vec![Shard::open(path, kind)?], index: None })
    }

    /// A safetensors file inside the program; errors are of the given kind.
    pub(crate) fn embedded(bytes: &'static [u8], name: &str, kind: ErrorKind) -> Result<Self> {
        let shard = Shard::new(Bytes::Static(bytes), name.to_owned(), kind)?;
        Ok(Self { shards: vec![shard], index: None })
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let all = self.shards.iter().flat_map(|shard| shard.metadata.tensors().into_keys());
        all.filter(|name| self.index.as_ref().is_none_or(|index| index.contains_key(name)))
    }

    /// The shape of a tensor, where there is one.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.place(name).map(|(_, info)| info.shape.as_slice())
    }

    /// The file of a tensor, and where it is in that file: the one that the index names, where
    /// there is an index.
    fn place(&self, name: &str) -> Option<(&Shard, &TensorInfo)> {
        let wanted = match &self.index {
            Some(index) => Some(index.get(name)?),
            None => None,
        };
        let is_wanted = |shard: &&Shard| wanted.is_none_or(|file| shard.is_called(file));
        let mut shards = self.shards.iter().filter(is_wanted);
        shards.find_map(|shard| Some((shard, shard.metadata.info(name)?)))
    }

    /// A tensor as it is stored; none if there is no such tensor.
    pub(crate) fn stored(&self, name: &str) -> Result<Option<Stored<'_>>> {
        let Some((shard, info)) = self.place(name) else { return Ok(None) };
        let dtype = match info.dtype {
            Dtype::F32 => StoredDtype::F32,
            Dtype::F16 => StoredDtype::F16,
            Dtype::BF16 => StoredDtype::BF16,
            other => {
                let message = format!(
                    "{}: tensor `{name}` is in {other:?}; bake reads f32, f16 and bf16",
                    shard.name
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
        };
        let (shape, data) = (info.shape.clone(), Cow::Borrowed(shard.data(info)));
        Ok(Some(Stored { file: &shard.name, dtype, shape, data }))
    }

    /// A tensor in f32, which must have this shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let stored = self.stored(name)?.ok_or_else(|| self.missing(name))?;
        stored.check_shape(name, shape)?;
        stored.tensor(device)
    }

    /// What to say of a tensor that is not there.
    pub(crate) fn missing(&self, name: &str) -> Error {
        let file = self.index.as_ref().and_then(|index| index.get(name));
        let files = self.shards.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
        let message = match file {
            Some(file) => format!(
                "model.safetensors.index.json names {file} for the tensor `{name}`, but it is not \
                 in that file; fetch the whole checkpoint again"
            ),
            None => {
                format!("{files} has no tensor `{name}`; the weights do not match its config.json")
            }
        };
        Error::new(ErrorKind::Model, message)
    }

    /// The hash of all files.
    pub(crate) fn hashes(&self) -> Vec<Hash> {
        self.shards.iter().map(|shard| Hash::of(&shard.bytes)).collect()
    }
}

impl Shard {
    fn open(path: &Path, kind: ErrorKind) -> Result<Self> {
        let name = path.display().to_string();
        let file = file::open(path)
            .map_err(|e| Error::with_source(kind, format!("cannot read {name}"), e))?;
        // SAFETY: the bytes are only read, and checked where they are used; like every program that
        // maps weights, this one relies on no other process truncating the file while it is mapped.
        let bytes = unsafe { memmap2::Mmap::map(&file) }
            .map_err(|e| Error::with_source(kind, format!("cannot read {name}"), e))?;
        Self::new(Bytes::Mapped(bytes), name, kind)
    }

    fn new(bytes: Bytes, name: String, kind: ErrorKind) -> Result<Self> {
        if bake_spec::model::is_pointer(&bytes) {
            return Err(Error::new(kind, format!("{name} {POINTER}")));
        }
        // Checks that the header is whole, and that every tensor lies inside the file and has the
        // size that its shape says.
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| {
            Error::with_source(
                kind,
                format!("{name} is not a whole safetensors file; fetch it again"),
                e,
            )
        })?;
        Ok(Self { name, bytes, metadata, data_start: header + 8 })
    }

    /// The bytes of a tensor, which reading the header has checked to be there.
    fn data(&self, info: &TensorInfo) -> &[u8] {
        &self.bytes[self.data_start..][info.data_offsets.0..info.data_offsets.1]
    }

    fn is_called(&self, file: &str) -> bool {
        Path::new(&self.name).file_name().is_some_and(|name| name == file)
    }
}
