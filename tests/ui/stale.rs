//! What was baked from something else, and what was not baked, is reported at its declaration; here, the warnings are errors.

#![deny(deprecated)]

use bake::bake;

bake! {
    bake Fresh { target keys from "docs/keys.md"; }

    bake StaleDocument {
        target keys from "docs/keys.md";
        target lamp from "docs/lamp.md";
    }

    bake StaleTraining { target keys from "docs/keys.md"; train { epochs 3; } }

    bake NeverBaked { target keys from "docs/keys.md"; }
}

fn main() {}
