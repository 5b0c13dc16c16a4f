bake::bake! { target a from "a.md" { rollouts "two"; } }
