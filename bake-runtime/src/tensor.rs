//! Numbers: slices from tensors, products of matrices, and elementary functions in vector code.

pub(crate) mod elementary;
#[cfg(test)]
pub(crate) mod gradient_check;
pub(crate) mod matrix;
pub(crate) mod slices;
