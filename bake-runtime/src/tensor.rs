//! Numbers: slices from tensors, products of matrices, frozen weights, and elementary functions in
//! vector code.

pub(crate) mod elementary;
#[cfg(test)]
pub(crate) mod gradient_check;
#[cfg(feature = "train")]
pub(crate) mod in_place;
pub(crate) mod matrix;
pub(crate) mod slices;
pub(crate) mod weight;
