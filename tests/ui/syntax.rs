//! Mistakes in the syntax: what follows a `;` or a brace is read as if nothing had happened.

use bake::bake;

bake! {
    bake Support {
        model tiny
        target keys from "docs/keys.md"
        target lamp from docs/keys.md { questions ["Where?" "When?"]; }
        student 'a';
        = 3;
        expect keys "Where is my key?" -> contains "Bob";
        lora rank 8;
        train { epochs; batch 8, clip 1.0 }
        target cats from "docs/keys.md", target dogs from "docs/keys.md";
        target cows { questions ["one" "two", "three", 4, "five"]; ask 10K; }
        layers 4..=6;
        wieght 1.0;
    }
    fn main() {}
}

fn main() {
    let _ = (SupportTarget::Keys, SupportTarget::Lamp);
}
