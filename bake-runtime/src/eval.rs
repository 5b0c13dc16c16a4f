//! Whether answers are what a recipe expects.

pub(crate) mod grade;
