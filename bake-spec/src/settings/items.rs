//! Keywords that are more than a setting.

use super::Scope::{self, Bake, TargetBody};

/// What an answer can be checked for by an `expect`.
pub const CHECKS: [&str; 6] =
    ["contains", "starts_with", "ends_with", "matches", "equals", "declines"];

/// Keywords that are more than a setting, where they are allowed, and what they declare.
pub const ITEMS: &[(&str, &[Scope], &str)] = &[
    ("crate", &[Bake], "`crate = ::path;`: the path of the `bake` library, if it was renamed"),
    (
        "model",
        &[Bake],
        "`model tiny;`, `model smollm2;` (downloaded by `cargo bake model get`) or `model \
         \"path\";`, a folder or a GGUF file: the base model",
    ),
    (
        "target",
        &[Bake],
        "`target NAME weight 1.0 from \"doc.md\" prompt \"…\" { … }`: a document, a prompt, or \
         both, to bake in",
    ),
    (
        "anchor",
        &[Bake],
        "`anchor NAME weight 1.0 { … }`: questions whose answers must stay as they are",
    ),
    (
        "expect",
        &[Bake, TargetBody],
        "`expect NAME \"question\" => contains \"words\";` or `expect from \"expected.jsonl\";`: \
         what the baked model must answer",
    ),
];
