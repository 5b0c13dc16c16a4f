//! What can be baked but is probably not meant is a warning; here, the warnings are errors.

#![deny(deprecated)]

use bake::bake;

bake! {
    bake Support {
        target keys from "docs/keys.md" {
            questions ["Where is my key?", "where is my key", "Who has it?"];
            expect "Who has it?" => contains "Bob";
        }
        target again from "docs/keys.md";
        target meant from "docs/keys.md" prompt "Be brief.";
    }
}

fn main() {}
