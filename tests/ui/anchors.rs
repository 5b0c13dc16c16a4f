//! An anchor has questions and nothing else to learn.

use bake::bake;

bake! {
    bake Support {
        target keys from "docs/keys.md";
        anchor manners weight 0.5;
        anchor greetings from "docs/keys.md" { questions ["Hello"]; expect "Hello" => contains "Hello"; }
        anchor keys { questions ["Hello"]; }
    }
}

fn main() {}
