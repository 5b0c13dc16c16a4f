bake::bake! { bake A { target a from "a.md"; target a from "a.md"; } }
