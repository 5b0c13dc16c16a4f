bake::bake! { target a from "a.md"; lora { rank 2147483648; } }
