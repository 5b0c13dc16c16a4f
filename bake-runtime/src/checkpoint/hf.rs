//! Weights from safetensors: one file, several with an index, or bytes in the program.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use bake_spec::model::POINTER;
use bake_spec::{Config, Hash, Projection};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::device::gpu::Gpu;
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

    /// Whether two tensors are the same, to the bit.
    pub(crate) fn same(&self, a: &str, b: &str) -> bool {
        let read = |name: &str| {
            let (shard, info) = self.place(name)?;
            Some((&info.shape, info.dtype, shard.data(info)))
        };
        read(a).is_some_and(|a| read(b) == Some(a))
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

    /// Fails where the checkpoint has a part of a decoder that the configuration does not ask for,
    /// such as a bias or a further block, which would silently be ignored.
    pub(crate) fn check_all_used(&self, config: &Config) -> Result<()> {
        let used = |name: &str| match name.strip_prefix("model.") {
            None | Some("embed_tokens.weight" | "norm.weight") => true,
            Some(rest) => is_used(rest, config),
        };
        let Some(name) = self.names().find(|name| !used(name)) else { return Ok(()) };
        let file = self.place(&name).map_or("the checkpoint", |(shard, _)| &shard.name);
        let message = format!(
            "{file} has a tensor `{name}`, which a model of its config.json does not have; the \
             checkpoint does not belong to it, or is of a family that bake does not read"
        );
        Err(Error::new(ErrorKind::Model, message))
    }

    /// A matrix for products, which must have this shape: in f32, but on a GPU in
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
                    "{file}: tensor `{name}` is in {other:?}; bake reads f32, f16 and bf16"
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
        };
        Ok(Tensor::from_vec(data, shape, device)?)
    }

    /// The file, type and bytes of a tensor, which must have this shape.
    fn find(&self, name: &str, shape: &[usize]) -> Result<(&str, Dtype, &[u8])> {
        let Some((shard, info)) = self.place(name) else {
            if let Some(file) = self.index.as_ref().and_then(|index| index.get(name)) {
                let message = format!(
                    "model.safetensors.index.json names {file} for the tensor `{name}`, but it is \
                     not in that file; fetch the whole checkpoint again"
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
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
        Ok((&shard.name, info.dtype, shard.data(info)))
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

/// Whether a tensor of a block, such as `layers.0.mlp.up_proj.weight`, is one that is read.
fn is_used(name: &str, config: &Config) -> bool {
    let Some((layer, rest)) = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    // Old checkpoints contain the frequencies of the positions, which the configuration determines
    // too.
    if rest == "self_attn.rotary_emb.inv_freq" {
        return true;
    }
    let known = |projection: &Projection| {
        let name = rest.strip_prefix(projection.module()).and_then(|rest| rest.strip_prefix('.'));
        match name.and_then(|rest| rest.strip_prefix(projection.name())) {
            Some(".weight") => true,
            Some(".bias") => config.has_bias(*projection),
            _ => false,
        }
    };
    layer.parse::<usize>().is_ok_and(|layer| layer < config.layers())
        && (matches!(rest, "input_layernorm.weight" | "post_attention_layernorm.weight")
            || Projection::ALL.iter().any(known))
}

/// Elements of `N` bytes as f32.
fn widen<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    data.as_chunks::<N>().0.par_iter().with_min_len(1 << 14).map(|&bytes| read(bytes)).collect()
}
