//! The list of tensors of a GGUF file.

use crate::error::{Error, ErrorKind};

/// A tensor of a GGUF file.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The name in the file, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// The type of its numbers.
    pub kind: TensorType,
    /// Rows first, as in `[outputs, inputs]`. The file has it the other way around.
    pub shape: Vec<usize>,
    /// Where it begins in the file.
    pub start: usize,
    /// How many bytes it has.
    pub bytes: usize,
}

/// The types of tensors that are read, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the format")]
#[allow(non_camel_case_types, reason = "the names of the format")]
pub enum TensorType {
    F32 = 0,
    F16 = 1,
    BF16 = 30,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
}

/// The types of the format, by their numbers. Those without a name are gone.
const NAMES: [&str; 40] = [
    "F32", "F16", "Q4_0", "Q4_1", "", "", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K",
    "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S",
    "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16", "", "", "", "TQ1_0", "TQ2_0", "",
    "", "", "MXFP4",
];

impl TensorType {
    const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// The type of a number, or its name where it is not read.
    pub(super) fn of(number: u32) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.number() == number).ok_or_else(|| {
            let name = NAMES.get(number as usize).filter(|name| !name.is_empty());
            name.map_or_else(|| format!("number {number}"), ToString::to_string)
        })
    }

    /// Its number in the format.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The numbers of a block, and its bytes.
    pub const fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4_K => (256, 144),
            Self::Q5_K => (256, 176),
            Self::Q6_K => (256, 210),
        }
    }
}

/// The most dimensions of a tensor.
pub(super) const DIMENSIONS: u32 = 4;

/// The bytes of a tensor with these dimensions, the shortest stride first. The error says what is
/// wrong.
pub(super) fn bytes(kind: TensorType, dimensions: &[u64]) -> Result<usize, String> {
    let (numbers, size) = kind.block();
    let row = dimensions.first().copied().unwrap_or(1);
    if dimensions.contains(&0) {
        return Err("is empty".into());
    }
    if !row.is_multiple_of(numbers as u64) {
        return Err(format!("has rows of {row} numbers, which are not whole blocks of {numbers}"));
    }
    let mut blocks = row / numbers as u64;
    for dimension in dimensions.iter().skip(1) {
        blocks = blocks.checked_mul(*dimension).ok_or("is larger than any file")?;
    }
    let bytes = blocks.checked_mul(size as u64).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.filter(|bytes| *bytes <= isize::MAX as usize).ok_or("is larger than any file".into())
}

/// Fails where two tensors have a name or bytes in common.
pub(super) fn check_apart(file: &str, tensors: &[TensorInfo]) -> Result<(), Error> {
    let error = |what: String| Err(Error::new(ErrorKind::Model, format!("{file} {what}")));
    let mut sorted: Vec<&TensorInfo> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(two) = sorted.windows(2).find(|two| two[0].name == two[1].name) {
        return error(format!("has two tensors `{}`; fetch it again", two[0].name));
    }
    sorted.sort_by_key(|tensor| tensor.start);
    let overlap = |two: &&[&TensorInfo]| two[0].start + two[0].bytes > two[1].start;
    if let Some(two) = sorted.windows(2).find(overlap) {
        return error(format!(
            "has the tensor `{}` inside the bytes of `{}`; fetch it again",
            two[1].name, two[0].name
        ));
    }
    Ok(())
}
