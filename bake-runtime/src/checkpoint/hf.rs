//! Weights out of safetensors: one file, several behind an index, or bytes in the program.

use std::fs::File;
use std::path::Path;

use bake_spec::Hash;
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata};

use crate::device::gpu::Gpu;
use crate::error::{Error, ErrorKind, Result};

/// The tensors of a checkpoint, read when they are asked for.
pub(crate) struct Weights {
    shards: Vec<Shard>,
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
    /// `model.safetensors.index.json` names.
    pub(crate) fn open_model(dir: &Path) -> Result<Self> {
        let paths = bake_spec::model::weight_files(dir)?;
        Ok(Self {
            shards: paths
                .iter()
                .map(|path| Shard::open(path, ErrorKind::Model))
                .collect::<Result<_>>()?,
        })
    }

    /// One safetensors file; errors are of the given kind.
    pub(crate) fn open(path: &Path, kind: ErrorKind) -> Result<Self> {
        Ok(Self { shards: vec![Shard::open(path, kind)?] })
    }

    /// A safetensors file inside the program; errors are of the given kind.
    pub(crate) fn embedded(bytes: &'static [u8], name: &str, kind: ErrorKind) -> Result<Self> {
        Ok(Self { shards: vec![Shard::new(Bytes::Static(bytes), name.to_owned(), kind)?] })
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.shards.iter().flat_map(|shard| shard.metadata.tensors().into_keys())
    }

    /// The shape of a tensor, where there is one.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shards
            .iter()
            .find_map(|shard| shard.metadata.info(name))
            .map(|info| info.shape.as_slice())
    }

    /// A matrix that products are made with, which must have this shape: in f32, but on a GPU in
    /// bf16 where the checkpoint is.
    pub(crate) fn matrix(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let (_, dtype, data) = self.find(name, shape)?;
        match dtype {
            Dtype::BF16 if Gpu::of_device(device).is_some() => {
                Ok(Tensor::from_raw_buffer(data, DType::BF16, shape, device)?)
            }
            _ => self.tensor(name, shape, device),
        }
    }

    /// A tensor in f32, which must have this shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let (file, dtype, data) = self.find(name, shape)?;
        let data = match dtype {
            Dtype::F32 => widen(data, f32::from_le_bytes),
            Dtype::F16 => widen(data, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => widen(data, |b| bf16::from_le_bytes(b).to_f32()),
            other => {
                let message = format!(
                    "{file}: tensor `{name}` holds {other:?}; bake reads f32, f16 and bf16"
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
        };
        Ok(Tensor::from_vec(data, shape, device)?)
    }

    /// The file, type and bytes of a tensor, which must have this shape.
    fn find(&self, name: &str, shape: &[usize]) -> Result<(&str, Dtype, &[u8])> {
        let Some((shard, info)) =
            self.shards.iter().find_map(|shard| Some((shard, shard.metadata.info(name)?)))
        else {
            let files = self.shards.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::new(
                ErrorKind::Model,
                format!(
                    "{files} has no tensor `{name}`; the checkpoint does not belong to its \
                     config.json"
                ),
            ));
        };
        if info.shape != shape {
            let message = format!(
                "{}: tensor `{name}` has shape {:?}, but the configuration asks for {shape:?}; the \
                 checkpoint does not belong to it",
                shard.name, info.shape
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        Ok((
            &shard.name,
            info.dtype,
            &shard.bytes[shard.data_start..][info.data_offsets.0..info.data_offsets.1],
        ))
    }

    /// The hash of all files.
    pub(crate) fn hashes(&self) -> Vec<Hash> {
        self.shards.iter().map(|shard| Hash::of(&shard.bytes)).collect()
    }
}

impl Shard {
    fn open(path: &Path, kind: ErrorKind) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path)
            .map_err(|e| Error::with_source(kind, format!("cannot read {name}"), e))?;
        // SAFETY: the bytes are only read, and checked where they are used; as every program that
        // maps weights, this one counts on no other process shortening the file while it is mapped.
        let bytes = unsafe { memmap2::Mmap::map(&file) }
            .map_err(|e| Error::with_source(kind, format!("cannot read {name}"), e))?;
        Self::new(Bytes::Mapped(bytes), name, kind)
    }

    fn new(bytes: Bytes, name: String, kind: ErrorKind) -> Result<Self> {
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
}

/// Elements of `N` bytes as f32.
fn widen<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    data.as_chunks::<N>().0.par_iter().with_min_len(1 << 14).map(|&bytes| read(bytes)).collect()
}
