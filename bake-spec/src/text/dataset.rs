//! Datasets: files of questions.

#[cfg(feature = "text")]
mod csv;
#[cfg(feature = "text")]
mod read;

use std::path::Path;

use serde::Serialize;

use crate::recipe::Text;
#[cfg(feature = "text")]
pub use read::{Questions, read};

/// Some questions of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dataset {
    /// The path, relative to the package.
    #[serde(skip)]
    pub path: Text,
    /// The hash of the file's text.
    pub hash: Text,
    /// How the file is written.
    pub format: Format,
    /// The field, or the column, that holds the question.
    pub field: Text,
    /// Only so many, from the first.
    pub take: Option<usize>,
}

/// How a file of questions is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Format {
    /// A question a line.
    Lines,
    /// A JSON object a line.
    JsonLines,
    /// Comma-separated values, with the names of the columns in the first line (RFC 4180).
    Csv,
}

impl Format {
    /// The format that the ending of a name stands for: `.jsonl`, `.ndjson` or `.csv`.
    pub fn of(path: &str) -> Option<Self> {
        match Path::new(path).extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}
