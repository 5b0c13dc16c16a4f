//! A passage of the document, the longest question and an answer must fit the model's context, in
//! its own tokens.

use bake::bake;

bake! {
    bake Support {
        target long from "docs/long.md" { questions ["Where is my key, and who has it now?"]; }
        target answer from "docs/keys.md" { max_tokens 640; }
        target whole from "docs/long.md" { context document; }
        target fits from "docs/keys.md" prompt "Answer in one sentence." { max_tokens 300; }
    }
}

fn main() {}
