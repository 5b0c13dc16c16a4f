//! What is written as in other tools or with a part missing: the message says how it is written here.

use bake::bake;

bake! {
    bake Support {
        document "docs/keys.md";
        model "llama";
        anchors "none";
        top-p 0.9;
        target "keys" from "docs/keys.md";
        target lamp "docs/lamp.md" { questions ["Where?"; "When?"]; }
        target from "docs/lamp.md";
        lora { r 8; target_modules ["q_proj"]; layers 3; }
        train { learning_rate 1e-4; optimizer adamw; epochs "3"; schedule 3; batch-size 8; }
        expect keys "Where is my key?" contains "Bob";
    }
    bake "Office" { target keys from "docs/keys.md"; expect kyes "Who?" => "declines"; }
}

fn main() {
    let _ = (SupportTarget::Keys, SupportTarget::Lamp, OfficeTarget::Keys);
}
