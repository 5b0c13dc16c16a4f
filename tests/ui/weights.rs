//! Weights that are not a share of anything.

use bake::bake;

bake! {
    target zero weight 0 from "docs/keys.md";
    target minus weight -1.0 from "docs/keys.md";
    target infinite weight 1e999 from "docs/keys.md";
    target word weight heavy from "docs/keys.md";
    target text weight "1.0" from "docs/keys.md";
}

fn main() {}
