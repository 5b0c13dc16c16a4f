bake::bake! { target a from "src"; }
