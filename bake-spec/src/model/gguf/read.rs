//! The bytes of a header, none of which is trusted: no length is believed that the file cannot
//! contain, so that reading takes no more memory than a multiple of the header.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::metadata::{Metadata, MetadataValue};
use super::tensor::{self, DIMENSIONS, TensorInfo, TensorType};
use super::{Header, ROPE_FACTORS};
use crate::error::{Error, ErrorKind};
use crate::file;
use crate::hash::Hash;
use crate::model::{POINTER, check_regular, is_pointer};

const MAGIC: &[u8; 4] = b"GGUF";
/// What tensors begin at a multiple of, unless `general.alignment` says otherwise.
const ALIGNMENT: u64 = 32;
/// The longest name of a key or a tensor, in bytes: that of the format for keys.
const LONGEST_NAME: u64 = (1 << 16) - 1;
/// The longest text, in bytes: far more than a chat template or a token.
const LONGEST_TEXT: u64 = 64 << 20;
/// The most numbers in the tensor of rotary frequencies.
const MOST_FACTORS: usize = 1 << 16;

pub(super) fn header(path: &Path) -> Result<Header, Error> {
    let name = path.display().to_string();
    let unreadable = |e| Error::io(ErrorKind::Model, format!("cannot read {name}"), e);
    check_regular(path)?;
    let file = file::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut reader = HeaderReader { file: BufReader::new(file), name, at: 0, size };
    reader.header()
}

/// Where a file has been read to.
struct HeaderReader {
    file: BufReader<File>,
    name: String,
    at: u64,
    size: u64,
}

impl HeaderReader {
    fn header(&mut self) -> Result<Header, Error> {
        self.start()?;
        let (tensor_count, key_count) = (self.u64()?, self.u64()?);
        // A name of no bytes, a type, and a value of one byte.
        self.check_count(key_count, 8 + 4 + 1, "keys")?;
        let mut values = BTreeMap::new();
        for _ in 0..key_count {
            let key = self.text(LONGEST_NAME, "the name of a key")?;
            let kind = self.u32()?;
            let value = self.value(kind, &key)?;
            if values.insert(key.clone(), value).is_some() {
                return Err(self.error(format!("has the key `{key}` twice; fetch it again")));
            }
        }
        let metadata = Metadata::new(self.name.clone(), values);
        let alignment = alignment(&metadata)?;
        // A name of no bytes, one dimension, a type and a place.
        self.check_count(tensor_count, 8 + 4 + 8 + 4 + 8, "tensors")?;
        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            tensors.push(self.tensor(alignment)?);
        }
        let length = self.at;
        self.place(&mut tensors, length.next_multiple_of(alignment))?;
        tensor::check_apart(&self.name, &tensors)?;
        let rope_factors = self.rope_factors(&tensors)?;
        let identity = self.identity(length)?;
        Ok(Header { metadata, tensors, rope_factors, identity, size: self.size })
    }

    /// The magic and the version.
    fn start(&mut self) -> Result<(), Error> {
        let error = |e| Error::io(ErrorKind::Model, format!("cannot read {}", self.name), e);
        if is_pointer(self.file.fill_buf().map_err(error)?) {
            return Err(self.error(POINTER));
        }
        if self.bytes::<4>().ok().as_ref() != Some(MAGIC) {
            return Err(self.error("is not a GGUF file"));
        }
        match self.u32()? {
            2 | 3 => Ok(()),
            // The same numbers, read from the other end.
            version if version.swap_bytes() < 1 << 16 && version >= 1 << 16 => Err(self.error(
                "is a GGUF file for big-endian machines; fetch the one for little-endian \
                 machines",
            )),
            version => Err(self.error(format!(
                "has GGUF version {version}; bake reads versions 2 and 3, so convert the model \
                 again"
            ))),
        }
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<MetadataValue, Error> {
        Ok(match kind {
            7 => MetadataValue::Flag(self.flag(key)?),
            6 => MetadataValue::Float(shortest(f32::from_le_bytes(self.bytes()?))),
            12 => MetadataValue::Float(f64::from_le_bytes(self.bytes()?)),
            8 => MetadataValue::Text(self.text(LONGEST_TEXT, &format!("`{key}`"))?),
            9 => self.array(key)?,
            10 => MetadataValue::Integer(self.u64()?.into()),
            other => match self.integer(other)? {
                Some(n) => MetadataValue::Integer(n.into()),
                None => {
                    let what = format!("has `{key}` of the invalid type {other}");
                    return Err(self.error(what));
                }
            },
        })
    }

    fn array(&mut self, key: &str) -> Result<MetadataValue, Error> {
        let (kind, count) = (self.u32()?, self.u64()?);
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => {
                let what = format!("has `{key}`, a list of lists, which bake does not read");
                return Err(self.error(what));
            }
            other => {
                let what = format!("has `{key}`, a list of the invalid type {other}");
                return Err(self.error(what));
            }
        };
        self.check_count(count, size, &format!("entries of `{key}`"))?;
        let what = format!("an entry of `{key}`");
        Ok(match kind {
            8 => {
                let text = |_| self.text(LONGEST_TEXT, &what);
                MetadataValue::Texts((0..count).map(text).collect::<Result<_, _>>()?)
            }
            7 => {
                MetadataValue::Flags((0..count).map(|_| self.flag(key)).collect::<Result<_, _>>()?)
            }
            6 => {
                let float = |_| Ok(f32::from_le_bytes(self.bytes()?).into());
                MetadataValue::Floats((0..count).map(float).collect::<Result<_, Error>>()?)
            }
            12 => {
                let float = |_| Ok(f64::from_le_bytes(self.bytes()?));
                MetadataValue::Floats((0..count).map(float).collect::<Result<_, Error>>()?)
            }
            _ => {
                let mut all = Vec::new();
                for _ in 0..count {
                    let n = match kind {
                        10 => i64::try_from(self.u64()?).ok(),
                        _ => self.integer(kind)?,
                    };
                    let too_large = || self.error(format!("has a number in `{key}` over 2^63"));
                    all.push(n.ok_or_else(too_large)?);
                }
                MetadataValue::Integers(all)
            }
        })
    }

    /// An integer of a type that fits 64 bits with a sign; none if the type is another.
    fn integer(&mut self, kind: u32) -> Result<Option<i64>, Error> {
        Ok(Some(match kind {
            0 => u8::from_le_bytes(self.bytes()?).into(),
            1 => i8::from_le_bytes(self.bytes()?).into(),
            2 => u16::from_le_bytes(self.bytes()?).into(),
            3 => i16::from_le_bytes(self.bytes()?).into(),
            4 => self.u32()?.into(),
            5 => i32::from_le_bytes(self.bytes()?).into(),
            11 => i64::from_le_bytes(self.bytes()?),
            _ => return Ok(None),
        }))
    }

    fn flag(&mut self, key: &str) -> Result<bool, Error> {
        match self.bytes::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => {
                Err(self.error(format!("has `{key}` {other}, which is neither true nor false")))
            }
        }
    }

    fn tensor(&mut self, alignment: u64) -> Result<TensorInfo, Error> {
        let name = self.text(LONGEST_NAME, "the name of a tensor")?;
        let error = |reader: &Self, what: &str| {
            reader.error(format!("has a tensor `{name}` that {what}; fetch it again"))
        };
        let count = self.u32()?;
        if !(1..=DIMENSIONS).contains(&count) {
            return Err(error(self, &format!("has {count} dimensions")));
        }
        let dimensions = (0..count).map(|_| self.u64()).collect::<Result<Vec<u64>, Error>>()?;
        let kind = TensorType::of(self.u32()?).map_err(|kind| {
            self.error(format!(
                "has a tensor `{name}` of type {kind}; bake reads F32, F16, BF16, Q4_0, Q4_1, \
                 Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K"
            ))
        })?;
        let offset = self.u64()?;
        if !offset.is_multiple_of(alignment) {
            return Err(error(self, &format!("begins at {offset}, not a multiple of {alignment}")));
        }
        let bytes = tensor::bytes(kind, &dimensions).map_err(|what| error(self, &what))?;
        let start = usize::try_from(offset)
            .map_err(|_| error(self, "begins beyond the end of any file"))?;
        // Sizes that fit the file fit the address space too.
        let shape = dimensions.iter().rev().map(|n| *n as usize).collect();
        Ok(TensorInfo { name, kind, shape, start, bytes })
    }

    /// Makes the places of tensors count from the beginning of the file, and checks that they are
    /// in it.
    fn place(&self, tensors: &mut [TensorInfo], data: u64) -> Result<(), Error> {
        for tensor in tensors {
            let start = (tensor.start as u64).checked_add(data);
            let end = start.and_then(|start| start.checked_add(tensor.bytes as u64));
            let (Some(start), Some(end)) = (start, end) else {
                let what = format!("has no room for its tensor `{}`; fetch it again", tensor.name);
                return Err(self.error(what));
            };
            if end > self.size {
                return Err(self.error(format!(
                    "has {} bytes, but its tensor `{}` ends at {end}; fetch it again",
                    self.size, tensor.name
                )));
            }
            tensor.start = start as usize;
        }
        Ok(())
    }

    fn rope_factors(&mut self, tensors: &[TensorInfo]) -> Result<Option<Vec<f32>>, Error> {
        let Some(tensor) = tensors.iter().find(|tensor| tensor.name == ROPE_FACTORS) else {
            return Ok(None);
        };
        if tensor.kind != TensorType::F32 || tensor.bytes > MOST_FACTORS * size_of::<f32>() {
            return Err(self
                .error(format!("has a tensor `{ROPE_FACTORS}` that is not a few numbers in F32")));
        }
        self.seek(tensor.start as u64)?;
        let factors = (0..tensor.bytes / size_of::<f32>())
            .map(|_| Ok(f32::from_le_bytes(self.bytes()?)))
            .collect::<Result<_, Error>>()?;
        Ok(Some(factors))
    }

    /// The hash of the header.
    fn identity(&mut self, length: u64) -> Result<Hash, Error> {
        self.seek(0)?;
        let mut header = Vec::new();
        let read = self.file.by_ref().take(length).read_to_end(&mut header);
        read.map_err(|e| Error::io(ErrorKind::Model, format!("cannot read {}", self.name), e))?;
        Ok(Hash::of(&header))
    }

    fn seek(&mut self, to: u64) -> Result<(), Error> {
        self.file
            .seek(SeekFrom::Start(to))
            .map_err(|e| Error::io(ErrorKind::Model, format!("cannot read {}", self.name), e))?;
        self.at = to;
        Ok(())
    }

    /// A text in UTF-8; `what` it is, for messages.
    fn text(&mut self, longest: u64, what: &str) -> Result<String, Error> {
        let length = self.u64()?;
        if length > longest || length > self.size - self.at {
            let message = format!("says that {what} has {length} bytes; fetch it again");
            return Err(self.error(message));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes)
            .map_err(|_| self.error(format!("has {what} that is not UTF-8; fetch it again")))
    }

    /// Fails where so many things of at least so many bytes do not fit the rest of the file.
    fn check_count(&self, count: u64, size: u64, what: &str) -> Result<(), Error> {
        if count <= (self.size - self.at) / size {
            return Ok(());
        }
        Err(self
            .error(format!("says that it has {count} {what}, but is too short; fetch it again")))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        if bytes.len() as u64 > self.size.saturating_sub(self.at) {
            return Err(self.error("ends in the middle of its header; fetch it again"));
        }
        self.file
            .read_exact(bytes)
            .map_err(|e| Error::io(ErrorKind::Model, format!("cannot read {}", self.name), e))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Model, format!("{} {what}", self.name))
    }
}

/// The shortest number that rounds to this one: what was written before it was rounded.
fn shortest(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::NAN)
}

fn alignment(metadata: &Metadata) -> Result<u64, Error> {
    const KEY: &str = "general.alignment";
    let alignment = metadata.count(KEY)?.map_or(ALIGNMENT, |n| n as u64);
    if alignment.is_power_of_two() && alignment <= 1 << 30 {
        return Ok(alignment);
    }
    let what = format!("has `{KEY}` {alignment}; expected a power of two; fetch it again");
    Err(metadata.error(ErrorKind::Model, what))
}
