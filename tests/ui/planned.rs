//! What the grammar knows but this version cannot do yet is a separate error, never ignored; its
//! values are checked all the same.

use bake::bake;

bake! {
    bake Support {
        model hub "Qwen/Qwen3-0.6B" revision "main";
        target keys from "docs/keys.md" student "Psst." {
            stop ["\n"];
        }
        train { epochs 3; }
    }
}

fn main() {}
