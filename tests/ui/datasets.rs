//! Files of questions are read when the declaration is compiled, and mistakes are reported with the number of the line.

use bake::bake;

bake! {
    bake Missing { target keys from "docs/keys.md" { dataset "docs/question.csv"; } }
    bake NoField { target keys from "docs/keys.md" { dataset "docs/questions.jsonl" { field "ask"; } } }
    bake NoColumn { target keys from "docs/keys.md" { dataset "docs/questions.csv" { field "asked"; take 3; } } }
    bake Unknown { target keys from "docs/keys.md" { dataset "docs/keys.md"; } }
    bake NoLines { target keys from "docs/keys.md" { questions from "docs/empty.md"; } }
    bake NotFrom { target keys from "docs/keys.md" { questions of "docs/keys.md"; } }
    bake Never { target keys from "docs/keys.md" { dataset "docs/questions.csv" { take 0; } } }
}

fn main() {}
