bake::bake! { target a from "a.md" { ask 99999999999999999999999; } }
