//! Datasets: files of questions, of what is expected of their answers, and of worked examples.

mod csv;
mod examples;
mod expectations;
mod read;

pub use crate::recipe::Format;
pub use examples::{NumberedExample, examples};
pub use expectations::{NumberedLine, expectations};
pub use read::{Questions, read};
