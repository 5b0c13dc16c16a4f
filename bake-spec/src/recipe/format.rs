//! How files of questions are written.

use std::path::Path;

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
