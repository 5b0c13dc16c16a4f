//! Values that a setting cannot have.

use bake::bake;

bake! {
    bake Numbers {
        target keys from "docs/keys.md" {
            questions [];
            questions ["Where?", " ", 3];
            ask 1.5;
            rollouts 0;
            max_tokens 0;
            temperature -0.5;
            top_p 1.5;
            expect "" => contains "";
        }
        target lamp from "docs/keys.md" { ask 0; outline 0; unanswerable 0; }
        target room from "docs/keys.md" { context chapter; }
        target tone prompt "Be kind." { context passage; }
        lora { rank 0; alpha 0.0; dropout 1.0; modules [q_proj, k_porj, q_proj]; layers 4..2; }
        train {
            epochs 99999999999999999999;
            schedule liner;
            divergence jsd(1.0);
            lr 0;
            warmup 2;
            clip "1";
        }
    }
}

bake! {
    bake Words {
        target keys from "docs/keys.md";
        lora { modules some; layers 4; }
        train { divergence kl; }
    }
}

bake! {
    bake Beta {
        target keys from "docs/keys.md";
        train { divergence jsd; }
    }
}

bake! {
    bake NoBeta {
        target keys from "docs/keys.md";
        train { divergence forward_kl(0.5); }
    }
}

bake! {
    bake Models {
        model "docs";
        target keys from "";
        target lamp from "docs/keys.md" { ask -1; rollouts 2banana; max_tokens -1; seed -1; }
    }
}

bake! {
    bake TooLarge {
        ask 0; outline 0; unanswerable 0;
        target keys from "docs/keys.md" { questions ["Where is it?"]; expect "where is it" => contains "Bob"; }
        lora { rank 300; layers 4..9; }
    }
}

bake! {
    bake Ranges {
        target keys from "docs/keys.md";
        lora { layers 2..=4; }
    }
}

fn main() {}
