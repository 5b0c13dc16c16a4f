bake::bake! { target a from "a.md"; train { epochs 18446744073709551615; batch 18446744073709551615; } }
