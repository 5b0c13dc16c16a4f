bake::bake! { target a from "a.md" { questions from "none.csv"; } }
