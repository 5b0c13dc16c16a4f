//! A prompt is a string, a file, or a conversation in which user and assistant take turns.

use bake::bake;

bake! {
    bake Empty { target keys from "docs/keys.md" prompt {} }
    bake Unanswered { target keys prompt { system "Be brief."; user "Who?"; } { ask 3; } }
    bake Twice { target keys prompt { system "Be brief."; system "Be kind."; } }
    bake Last { target keys prompt { user "Who?"; assistant "Bob."; system "Be brief."; } }
    bake First { student { assistant "Hello."; } target keys from "docs/keys.md"; }
    bake Doubled { target keys prompt { user "Who?"; user "Where?"; assistant "Bob."; } }
    bake Unknown { target keys from "docs/keys.md" prompt { rules "Be brief."; } }
    bake Missing { target keys prompt from "docs/rules.md" from "docs/keys.md"; }
    bake Blank { target keys prompt { system from "docs/empty.md"; user " "; assistant "Bob."; } }
    bake Path { target keys prompt "docs/rules.txt" { ask 3; } }
    bake Clause { target keys prompt of "docs/keys.md"; }
}

fn main() {}
