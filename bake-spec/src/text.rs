//! What is read to be learned: documents, and files of questions.

pub mod dataset;
pub mod document;
