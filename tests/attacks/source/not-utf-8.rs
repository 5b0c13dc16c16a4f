bake::bake! { target a from "ÿ"; }
