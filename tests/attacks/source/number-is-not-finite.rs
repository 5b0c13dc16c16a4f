bake::bake! { target a weight 1e999 from "a.md"; }
