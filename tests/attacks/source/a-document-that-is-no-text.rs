bake::bake! { target a from "latin-1.md"; }
