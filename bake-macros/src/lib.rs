//! The macro `bake!`.
