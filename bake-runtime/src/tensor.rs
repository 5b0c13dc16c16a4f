//! Numbers: products of matrices, and elementary functions in vector code.

pub(crate) mod elementary;
pub(crate) mod matrix;
