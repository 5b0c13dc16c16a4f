//! Worked examples: written, in a file or by the builder, and refused where they are not examples.

#[path = "shared/declared.rs"]
mod declared;

use bake_spec::Recipe;
use bake_spec::recipe::WorkedExample;
use declared::{declared, package, without_mistakes};

const FILE: &str = r#"{"passage": "The lamp is red.", "question": "Which colour?", "answer": "Red."}
{"question": "Hello?", "answer": "Hello."}
"#;

const WRITTEN: &str = r#"examples {
    passage "The lamp is red."; user "Which colour?"; assistant "Red.";
    user "Hello?"; assistant "Hello.";
}"#;

fn examples(passage: Option<&'static str>) -> [WorkedExample; 2] {
    let example = |passage: Option<&'static str>, question: &'static str, answer: &'static str| {
        WorkedExample {
            passage: passage.map(Into::into),
            question: question.into(),
            answer: answer.into(),
        }
    };
    [example(passage, "Which colour?", "Red."), example(None, "Hello?", "Hello.")]
}

#[test]
fn a_file_the_declaration_and_the_builder_say_the_same() {
    let dir = package();
    std::fs::write(dir.path().join("worked.jsonl"), FILE).unwrap();
    let of = |items: &str| {
        let source =
            format!("bake Bake {{ anchors none; target keys from \"keys.md\" {{ {items} }} }}");
        without_mistakes(dir.path(), &source)
    };
    let written = of(WRITTEN);
    assert_eq!(*written.targets[0].examples, examples(Some("The lamp is red.")));
    assert_eq!(of("examples from \"worked.jsonl\";"), written);
    let built = Recipe::builder().root(dir.path()).no_anchors();
    let by_builder = built.clone().target("keys", |target| {
        target.document("keys.md").examples(|examples| {
            let red = examples.passage("The lamp is red.").user("Which colour?").assistant("Red.");
            red.user("Hello?").assistant("Hello.")
        })
    });
    assert_eq!(by_builder.build().unwrap(), written);
    let from_file = built
        .clone()
        .target("keys", |target| target.document("keys.md").examples_from("worked.jsonl"));
    assert_eq!(from_file.build().unwrap(), written);
    // The passage can be in a file.
    let of_lamp = of("examples { passage from \"lamp.md\"; user \"Which colour?\"; assistant \
                      \"Red.\"; user \"Hello?\"; assistant \"Hello.\" }");
    assert_eq!(*of_lamp.targets[0].examples, examples(Some("Call the shop.")));
    let by_builder = built.target("keys", |target| {
        target.document("keys.md").examples(|examples| {
            let lamp = examples.passage_from("lamp.md").user("Which colour?").assistant("Red.");
            lamp.user("Hello?").assistant("Hello.")
        })
    });
    assert_eq!(by_builder.build().unwrap(), of_lamp);
}

#[test]
fn the_examples_of_a_bake_are_those_of_targets_that_have_a_document_and_none_of_their_own() {
    let dir = package();
    let source = format!(
        "bake A {{ {WRITTEN}
            target keys from \"keys.md\";
            target lamp from \"lamp.md\" {{ examples {{ user \"Who?\"; assistant \"Bob.\"; }} }}
            target tone prompt \"Be kind.\";
            anchor manners;
        }}"
    );
    let recipe = without_mistakes(dir.path(), &source);
    let counts: Vec<usize> = recipe.targets.iter().map(|target| target.examples.len()).collect();
    assert_eq!(counts, [2, 1, 0, 0]);
}

#[test]
fn examples_that_are_none_are_refused_where_they_are() {
    let dir = package();
    let said = |examples: &str| {
        let source =
            format!("bake A {{ target keys from \"keys.md\" {{ examples {examples}; }} }}");
        declared(dir.path(), &source).1
    };
    let asked = "user \"Who?\"; assistant \"Bob.\";";
    for (examples, what) in [
        (format!("{{ assistant \"Bob.\"; {asked} }}"), "there is no question before this; "),
        (format!("{{ user \"Who?\"; {asked} }}"), "the `user` turn before this is not answered; "),
        (
            format!("{{ user \"Who?\"; passage \"Bob.\"; {asked} }}"),
            "the `user` turn before this is not answered; ",
        ),
        (format!("{{ passage \"A\"; passage \"B\"; {asked} }}"), "a `passage` follows another; "),
        (format!("{{ {asked} passage \"A\"; }}"), "nothing is asked about the last passage; "),
        (format!("{{ {asked} user \"Who?\"; }}"), "the last example has no answer; "),
        ("{}".to_owned(), "`examples` has no turns; "),
        (
            "{ user \" \"; assistant \"Bob.\"; }".to_owned(),
            "the question of a worked example cannot be empty [B0004]",
        ),
        (
            "{ user \"Who?\"; assistant \"Bob\\0.\"; }".to_owned(),
            "the answer of a worked example cannot contain a NUL character; remove it [B0004]",
        ),
    ] {
        let said = said(&examples);
        let once = said.len() == 1 && said[0].matches(" [B").count() == 1;
        assert!(once && said[0].starts_with(what), "{examples}: {said:?}");
    }
    assert_eq!(
        said("\"worked.jsonl\""),
        ["expected `from`, found `\"worked.jsonl\"` [B0001]"],
        "a file is read from"
    );
    assert!(said("from \"worked.jsonl\"")[0].starts_with(
        "the file of examples `worked.jsonl` does not exist (paths are relative to the folder"
    ));
    let lines = format!("{FILE}\n{{\"question\": \"Who?\"}}\nnone\n");
    std::fs::write(dir.path().join("worked.jsonl"), lines).unwrap();
    assert_eq!(
        said("from \"worked.jsonl\""),
        [
            "`worked.jsonl`, line 4: missing field `answer` at column 20 [B0013]",
            "`worked.jsonl`, line 5: not a JSON object; write {\"passage\": \"…\", \"question\": \
             \"…\", \"answer\": \"…\"} [B0013]",
        ]
    );
    let (_, of_bake) = declared(
        dir.path(),
        "bake A { examples from \"worked.jsonl\"; target keys from \"keys.md\"; target lamp from \
         \"lamp.md\"; }",
    );
    assert_eq!(of_bake.len(), 2, "the file of the bake is read once: {of_bake:?}");
}

#[test]
fn examples_are_of_documents_and_need_room() {
    let dir = package();
    let said = |items: &str| declared(dir.path(), &format!("bake A {{ {items} }}")).1.concat();
    assert_eq!(
        said(&format!("target tone prompt \"Be kind.\" {{ {WRITTEN} }}")),
        "`examples` show how to answer from a document, but `tone` has none; write them as turns \
         of its `prompt` [B0004]"
    );
    let long = said(
        "target keys from \"keys.md\" {
            examples { passage from \"long.md\"; user \"Who?\"; assistant \"Bob.\"; }
        }",
    );
    assert!(
        long.starts_with("`keys.md` does not fit in the model's context: ")
            && long.ends_with(
                "; the worked examples are part of it, so fewer or shorter ones help too [B0011]"
            ),
        "{long}"
    );
}
