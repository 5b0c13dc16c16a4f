//! An anchor has questions and nothing else to learn.

use bake::bake;

bake! {
    bake Support {
        target keys from "docs/keys.md";
        anchor manners weight 0.5 { everyday 0; }
        anchor plain;
        anchor greetings from "docs/keys.md" { questions ["Hello"]; expect "Hello" => contains "Hello"; }
        anchor keys { questions ["Hello"]; }
    }
}

fn main() {}
