//! The GGUF format, version 3: keys with values, a list of tensors, and their numbers.
//!
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::borrow::Cow;

use crate::error::Result;
use crate::export::folder::LargeFile;
use crate::export::{ExportDtype, numbers};

/// What tensors begin at a multiple of.
const ALIGNMENT: usize = 32;

/// A file's keys and tensors.
#[derive(Default)]
pub(super) struct NewGguf {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<TensorPlan>,
}

/// A tensor that a file will have.
pub(super) struct TensorPlan {
    pub(super) name: String,
    /// Rows first.
    pub(super) shape: Vec<usize>,
    pub(super) dtype: ExportDtype,
}

impl NewGguf {
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        push_text(&mut self.keys, value);
    }

    pub(super) fn u32(&mut self, key: &str, value: usize) {
        self.key(key, 4);
        self.keys.extend((value as u32).to_le_bytes());
    }

    pub(super) fn f32(&mut self, key: &str, value: f64) {
        self.key(key, 6);
        self.keys.extend((value as f32).to_le_bytes());
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.keys.push(value.into());
    }

    pub(super) fn texts<'a>(&mut self, key: &str, values: impl ExactSizeIterator<Item = &'a str>) {
        self.list(key, 8, values.len());
        values.for_each(|value| push_text(&mut self.keys, value));
    }

    pub(super) fn flags(&mut self, key: &str, values: impl ExactSizeIterator<Item = bool>) {
        self.list(key, 7, values.len());
        values.for_each(|value| self.keys.push(value.into()));
    }

    pub(super) fn f32s(&mut self, key: &str, values: impl ExactSizeIterator<Item = f32>) {
        self.list(key, 6, values.len());
        values.for_each(|value| self.keys.extend(value.to_le_bytes()));
    }

    pub(super) fn i32s(&mut self, key: &str, values: impl ExactSizeIterator<Item = i32>) {
        self.list(key, 5, values.len());
        values.for_each(|value| self.keys.extend(value.to_le_bytes()));
    }

    /// Adds a tensor.
    pub(super) fn tensor(&mut self, name: String, shape: Vec<usize>, dtype: ExportDtype) {
        self.tensors.push(TensorPlan { name, shape, dtype });
    }

    /// Everything before the tensors' numbers, and the size of the whole file.
    pub(super) fn header(&self) -> (Vec<u8>, u64) {
        let mut header = b"GGUF".to_vec();
        header.extend(3u32.to_le_bytes());
        header.extend((self.tensors.len() as u64).to_le_bytes());
        header.extend(self.key_count.to_le_bytes());
        header.extend(&self.keys);
        let mut at = 0;
        for TensorPlan { name, shape, dtype } in &self.tensors {
            push_text(&mut header, name);
            header.extend((shape.len() as u32).to_le_bytes());
            for &side in shape.iter().rev() {
                header.extend((side as u64).to_le_bytes());
            }
            header.extend(numbers::in_gguf(*dtype).number().to_le_bytes());
            header.extend((at as u64).to_le_bytes());
            at += numbers::size(shape, *dtype).next_multiple_of(ALIGNMENT);
        }
        header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
        let size = (header.len() + at) as u64;
        (header, size)
    }

    /// Writes the file; `data` gives each tensor's bytes, in the order in which they were added.
    pub(super) fn write<'a>(
        &self,
        out: &mut LargeFile,
        mut data: impl FnMut(&TensorPlan) -> Result<Cow<'a, [u8]>>,
    ) -> Result<()> {
        out.write(&self.header().0)?;
        for tensor in &self.tensors {
            let bytes = data(tensor)?;
            out.write(&bytes)?;
            let padding = bytes.len().next_multiple_of(ALIGNMENT) - bytes.len();
            out.write(&[0; ALIGNMENT][..padding])?;
        }
        Ok(())
    }

    fn key(&mut self, key: &str, kind: u32) {
        self.key_count += 1;
        push_text(&mut self.keys, key);
        self.keys.extend(kind.to_le_bytes());
    }

    fn list(&mut self, key: &str, kind: u32, length: usize) {
        self.key(key, 9);
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend((length as u64).to_le_bytes());
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// The number of a file whose matrices have this type.
pub(super) const fn file_type(dtype: ExportDtype) -> usize {
    match dtype {
        ExportDtype::F32 => 0,
        ExportDtype::F16 => 1,
        ExportDtype::Q8_0 => 7,
        ExportDtype::Bf16 => 32,
    }
}
