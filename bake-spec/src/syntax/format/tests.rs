use super::*;
use crate::syntax::tokens::NESTING;
use proptest::{collection::vec, prelude::*, sample::select};

fn becomes(before: &str, after: &str) {
    assert_eq!(format(before).unwrap(), after);
    assert_eq!(format(after).unwrap(), after);
}

#[test]
fn items_stand_on_lines_lists_are_filled_and_comments_stay() {
    let before = r##"mod m { fn f() {
    ::bake::bake!{ // ours
#[cfg(any( a,b ))] pub  bake /* x */  Support{ target é     weight  - 1 from "é.md" prompt
    r#"A "role"."# { ask 7 { temperature 0.25 ; } }

        // A lamp.
target lamp { /* none */ questions ["one",
"two"]; }; expect r#fn "Where is the lamp that stood on the desk in the blue office?"
        =>  contains "in the cupboard"; questions [ // some
"Where is the key that opens the office?", "Who has it?", "Is it lost?",
    "Why is the door locked?", //or
            "Where is the lamp?", "Where did it go?",]
// the end
} } } }"##;
    let after = r##"mod m { fn f() {
    ::bake::bake!{ // ours
        #[cfg(any(a, b))]
        pub bake /* x */ Support {
            target é weight -1 from "é.md" prompt r#"A "role"."# { ask 7 { temperature 0.25; } }

            // A lamp.
            target lamp {
                /* none */ questions ["one", "two"];
            };
            expect r#fn "Where is the lamp that stood on the desk in the blue office?"
                => contains "in the cupboard";
            questions [ // some
                "Where is the key that opens the office?", "Who has it?", "Is it lost?",
                "Why is the door locked?", //or
                "Where is the lamp?", "Where did it go?",
            ]
            // the end
        }
    } } }"##;
    becomes(before, after);
    becomes("bake! { b [c,\nd,]; }", "bake! {\n    b [\n        c,\n        d,\n    ];\n}");
}

#[test]
fn the_turns_of_a_prompt_do_not_end_the_head_of_a_target() {
    let before = "bake! { student{user \"Hi\";assistant \"Hello.\"} prompt \"x\";
target a prompt{system \"y\";} weight 2{ask 3;} target b prompt {
system \"Answer from the list, and say no more than the list does, though it be wrong.\";
user from \"a.txt\"; assistant \"z\"; } from \"b.md\" student { system \"s\" } { ask 4; rollouts 2 }
student \"t\"; }";
    let after = "bake! {
    student { user \"Hi\"; assistant \"Hello.\" }
    prompt \"x\";
    target a prompt { system \"y\"; } weight 2 { ask 3; }
    target b prompt {
        system \"Answer from the list, and say no more than the list does, though it be wrong.\";
        user from \"a.txt\";
        assistant \"z\";
    } from \"b.md\" student { system \"s\" } { ask 4; rollouts 2 }
    student \"t\";
}";
    becomes(before, after);
}

#[test]
fn what_is_broken_is_formatted_line_by_line_and_all_else_stays() {
    let before = "bake! {\n\nmodel tiny\n/**d*/lora a: 8\n\n\n\n target x  /*c*/\nfrom x.md \
        =>;;+ a\n b\n\n}";
    becomes(
        before,
        "bake! {\n    model tiny\n    /**d*/\n    lora a: 8\n\n    target x /*c*/\n        \
         from x.md =>;;\n    + a b\n}",
    );
    let before = "\u{feff}#![é(\r\n)]\r\nbake! {\r\n crate=::a =\r\n crate; ///b \r\n\r\n\r\n \
        c 2 .. 4 \"\r\n\" ; // d\r\n}\r\n";
    let after = "\u{feff}#![é(\r\n)]\r\nbake! {\r\n    crate = ::a = crate;\r\n    ///b \
        \r\n\r\n    c 2..4 \"\r\n\"; // d\r\n}\r\n";
    becomes(before, after);
    let same = "#!/usr/bin/env '\nmacro_rules! m { () => { bake!{a ;} } } q!(bake!{a ;}) ; \
        bake!(a ;); a!=b";
    becomes(same, same);
    assert!(
        format("#!/usr/bin/env '\n\nbake! { \"")
            .is_err_and(|e| e.to_string().starts_with("line 3 "))
    );
}

/// Words of a declaration in any order, and anything between them that may be.
fn declaration() -> impl Strategy<Value = String> {
    let white = select(vec![
        " ",
        "\n",
        "\r\n\r\n\n",
        "\t",
        " // é ü \n",
        "\n// own\n",
        " /* a\n /* b */ */ ",
        "/*/ c *//**/",
        "\n/***/\n",
    ]);
    let words = "bake|target|lora|r#fn|'b'|\"é ü\"|\"a long string that is \
        wrapped\"|\"\n\"|2|-|..|::|=>|=|;|;|;|,|,|!|#[a]|/// b\n";
    let word = (select(words.split('|').collect::<Vec<_>>()), white.clone())
        .prop_map(|(word, white)| word.to_owned() + white);
    word.prop_recursive(5, 80, 12, move |inner| {
        let group = (select(vec!["{}", "{}", "[]", "()"]), white.clone(), vec(inner, 0..12));
        group.prop_map(|(pair, white, inner)| {
            format!("{}{white}{}{}{white}", &pair[..1], inner.concat(), &pair[1..])
        })
    })
}

proptest! {
    #[test]
    fn nothing_but_white_space_changes(
        body in declaration(),
        indent in "[ \t]{0,60}",
        strange in "[\\PC\\s(\\[{}/*#\"'\r\n]{0,20}",
    ) {
        let source = format!("fn f() {{\n{indent}bake! {{ {body} }} }} // end");
        let formatted = format(&source).unwrap();
        let [was, is] = [&source, &formatted].map(|text| lex(text, text.parse().unwrap()));
        let [_, _, _, _, _, word, _, declaration @ .., _] = &*was else { unreachable!() };
        let reprinted = reprinted(&source, word, declaration, "\n", WIDTH);
        prop_assert!(reprinted.is_some(), "it stayed as it was:\n{}", source);
        prop_assert!(was.iter().map(|piece| piece.text).eq(is.iter().map(|piece| piece.text)));
        prop_assert_eq!(format(&formatted).unwrap(), formatted);
        let _ = format(&format!("bake! {{ {strange} }} {strange}"));
    }
}

#[test]
fn brackets_that_are_nested_too_deeply_are_refused() {
    let nested = |depth: usize| {
        format!("fn main() {{\nbake! {{ {}{} }} }}", "{".repeat(depth), "}".repeat(depth))
    };
    let error = format(&nested(NESTING)).unwrap_err().to_string();
    assert!(error.starts_with("line 2: brackets are nested more than 200 deep"), "{error}");
    format(&nested(NESTING - 2)).unwrap();
}
