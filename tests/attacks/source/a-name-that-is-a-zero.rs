bake::bake! { target a from "a\0.md"; }
