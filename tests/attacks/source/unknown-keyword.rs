bake::bake! { target a wieght 1.0 from "a.md"; }
