//! From a model's files to named tensors.

#[cfg(feature = "tiny")]
pub(crate) mod embedded;
pub(crate) mod hf;
