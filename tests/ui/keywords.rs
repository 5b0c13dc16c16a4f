//! Words that are unknown, in the wrong place, or repeated: all in one compile, each with what to write instead.

use bake::bake;

bake! {
    pub bake Support {
        modle tiny;
        model tyni;
        target keys wieght 2.0 from "docs/keys.md";
        target lamp form "docs/keys.md" weight 1.0 weight 2.0 {
            qestions ["Where is my key?"];
            weight 3.0;
            expect "Where?" => contain "Bob";
        }
        rank 8;
        lora { rank 8; rank 16; alfa 8.0; }
        train { epochs 2; temprature 1.0; }
        student "a";
        student "b";
        model tiny;
        model tiny;
    }
}

fn main() {}
