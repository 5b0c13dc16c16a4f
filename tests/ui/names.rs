//! Names that appear twice, become the same name in Rust, are not valid in Rust, or do not exist.

use bake::bake;

bake! {
    bake Support {
        target keys from "docs/keys.md";
        target keys from "docs/keys.md";
        target air_pods from "docs/keys.md";
        target airPods from "docs/keys.md";
        target self from "docs/keys.md";
        expect kyes "Where is my key?" => contains "Bob";
        expect keys "Where is my key?" => contains "Bob";
    }
}

bake! {
    bake Twice { target keys from "docs/keys.md"; }
    bake Twice { target lamp from "docs/keys.md"; }
}

bake! {
    bak Slip { target keys from "docs/keys.md"; }
}

bake! {
    crate = ::bake;
    bake Mixed { target keys from "docs/keys.md"; }
}

fn main() {
    let _ = SupportTarget::AirPods;
}
