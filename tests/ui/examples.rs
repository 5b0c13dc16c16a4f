//! Worked examples are turns with their passages, or lines of a file.

use bake::bake;

bake! {
    bake Path { target keys from "docs/keys.md" { examples "docs/examples.jsonl"; } }
    bake Missing { target keys from "docs/keys.md" { examples from "docs/example.jsonl"; } }
    bake Line { target keys from "docs/keys.md" { examples from "docs/examples-wrong.jsonl"; } }
    bake NoAnswer { target keys from "docs/keys.md" { examples { user "Who?"; } } }
    bake Order {
        target keys from "docs/keys.md" { examples { user "Who?"; passage "Ask Bob."; } }
    }
    bake Behaviour {
        target tone prompt "Be kind." { examples { user "Who?"; assistant "Dear Bob."; } }
    }
}

fn main() {}
