//! Templates that cannot be read, that use what no passage has, or that fail on a passage.

use bake::bake;

bake! {
    bake Support {
        template "What about {{ heading }";
        target keys from "docs/keys.md" { template "{{ headin }}?"; }
        target more from "docs/keys.md" prompt "Be brief." { template "{{ heading | shout }}?"; }
        target most from "docs/keys.md" prompt "Be kind." { template "{{ path[7] }}?"; }
        target less from "docs/keys.md" prompt "Be quiet." { template " "; }
    }
}

fn main() {}
