bake::bake! { model "none"; target a from "a.md"; }
