//! What the grammar knows and this version cannot do yet is an error of its own, never ignored.

use bake::bake;

bake! {
    bake Support {
        model hub "Qwen/Qwen3-0.6B" revision "main";
        embed release;
        anchor manners weight 0.5 { questions ["Hello"]; }
        target keys from "docs/keys.md" split sections {
            persona 40;
            dataset "questions.jsonl" { field "question"; take 10; }
            stop ["\n"];
            on_policy 0.5;
        }
        train { stop_at_kl 0.01; epochs 3; }
    }
}

fn main() {}
