//! Datasets: files of questions, of what is expected of their answers, and of worked examples.

#[cfg(feature = "text")]
mod csv;
#[cfg(feature = "text")]
mod examples;
#[cfg(feature = "text")]
mod expectations;
#[cfg(feature = "text")]
mod read;

use std::path::Path;

#[cfg(feature = "text")]
pub use examples::{NumberedExample, examples};
#[cfg(feature = "text")]
pub use expectations::{NumberedLine, expectations};
#[cfg(feature = "text")]
pub use read::{Questions, read};

/// How a file of questions is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One question per line.
    Lines,
    /// One JSON object per line.
    JsonLines,
    /// Comma-separated values, with the names of the columns in the first line (RFC 4180).
    Csv,
}

impl Format {
    /// The format that the extension of a name stands for: `.jsonl`, `.ndjson` or `.csv`.
    pub fn of(path: &str) -> Option<Self> {
        match Path::new(path).extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}
