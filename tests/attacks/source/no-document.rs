bake::bake! { target a from "none.md"; }
