bake::bake! { target a from "a.md"; lora { layers 4..2; } }
