//! Files outside the package need permission.

use bake::bake;

bake! {
    bake Support {
        target keys from "docs/../../bake/docs/keys.md" {
            dataset "../bake/docs/questions.csv";
        }
    }

    bake Permitted {
        documents anywhere;
        target keys from "../bake/docs/keys.md";
    }

    bake Nowhere {
        documents somewhere;
        target keys from "docs/keys.md";
    }
}

fn main() {}
