//! From a model's files to named tensors.

#[cfg(feature = "tiny")]
pub(crate) mod embedded;
pub(crate) mod generation;
pub(crate) mod hf;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
