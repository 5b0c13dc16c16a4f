//! What a declaration must have.

use bake::bake;

mod nothing {
    bake::bake! {}
}

bake! {
    pub bake Empty {}
    bake Nameless
    pub bake Support {
        target keys;
        target lamp weight 2.0 { prompt "A role"; }
        target
    }
    bake { target keys from "docs/keys.md"; }
}

fn main() {
    let _ = (Empty::load, Support::load);
}
