//! Files of expectations are read when the declaration is compiled, and mistakes are reported with the number of the line.

use bake::bake;

bake! {
    bake Missing { target keys from "docs/keys.md"; expect from "docs/expects.jsonl"; }
    bake Wrong { target keys from "docs/keys.md" { expect from "docs/expected-wrong.jsonl"; } }
    bake Names { target keys from "docs/keys.md"; expect from "docs/expected-wrong.jsonl"; }
    bake NoWords { target keys from "docs/keys.md"; expect "Who?" => contains []; expect "Why?" => contains ["a", " "]; }
    bake NoTarget { target keys from "docs/keys.md"; expect kyes from "docs/expected.jsonl"; }
}

fn main() {}
