//! What is read in order to be learned: documents, and files of questions.

pub mod dataset;
#[cfg(feature = "text")]
pub mod document;
#[cfg(feature = "text")]
pub(crate) mod folder;
pub mod jinja;
#[cfg(feature = "text")]
mod markdown;
#[cfg(feature = "text")]
pub mod outline;
#[cfg(feature = "text")]
pub mod section;
#[cfg(feature = "text")]
pub mod unwrap;

/// A text whose lines all end as on Unix.
pub fn with_unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
