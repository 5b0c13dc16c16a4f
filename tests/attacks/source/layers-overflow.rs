bake::bake! { target a from "a.md"; lora { layers 0..18446744073709551615; } }
