//! Expectations that are written in files: read as if they stood in the declaration, and refused
//! with the number of the line.

use std::path::Path;

use bake_spec::check::{Declared, DeclaringPackage, check};
use bake_spec::diagnostics::Code;
use bake_spec::recipe::{Answer, Expect};
use bake_spec::{Hash, Recipe};

/// A package with two documents, and this file of expectations.
fn package(expected: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in
        [("keys.md", "Ask Bob."), ("lamp.md", "Call the shop."), ("expected.jsonl", expected)]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// What a declaration is, and what is said about it.
fn declared(root: &Path, items: &str) -> (Declared, Vec<(Code, String)>) {
    let (bakes, mut diagnostics) = bake_spec::syntax::parse::parse(items.parse().unwrap());
    let mut declared = check(bakes, DeclaringPackage { root, lock: None }, &mut diagnostics);
    (declared.remove(0), diagnostics.into_iter().map(|said| (said.code, said.message)).collect())
}

/// The recipe of a declaration about which nothing is said.
fn recipe(root: &Path, items: &str) -> Recipe {
    let (declared, said) = declared(root, items);
    assert_eq!(said, [], "{items}");
    declared.recipe
}

const TARGETS: &str = "target keys from \"keys.md\"; target lamp from \"lamp.md\";";

#[test]
fn a_file_says_what_the_declaration_could_say() {
    let dir = package(
        "{\"question\": \"Is it lost?\", \"target\": \"keys\", \"contains\": [\"Bob\", \"Rob\"]}\n\
         {\"question\": \"Who are you?\", \"declines\": true}\n",
    );
    let root = dir.path();
    let of_file = recipe(root, &format!("{TARGETS} expect from \"expected.jsonl\";"));
    let written = recipe(
        root,
        &format!(
            "{TARGETS} expect keys \"Is it lost?\" => contains [\"Bob\", \"Rob\"];
             expect \"Who are you?\" => declines;"
        ),
    );
    assert_eq!(of_file, written);
    let model = Hash::of(b"a model");
    assert_eq!(of_file.hash(&model), written.hash(&model), "where it is written changes nothing");
    assert_eq!(of_file.judged_by(None, None), written.judged_by(None, None));
    assert_eq!(of_file.held_out().collect::<Vec<_>>(), ["Is it lost?", "Who are you?"]);
}

#[test]
fn a_builder_makes_and_refuses_what_the_macro_does() {
    let dir = package("{\"question\": \"Is it dark?\", \"contains\": \"shop\"}");
    let root = dir.path();
    let builder = || {
        Recipe::builder()
            .root(root)
            .target("keys", |target| target.document("keys.md"))
            .target("lamp", |target| target.document("lamp.md"))
    };
    let built = builder()
        .expect(None, "How long?", Answer::contains_any(["2 days", "two days"]))
        .expect_from(Some("lamp"), "expected.jsonl");
    let items = format!(
        "{TARGETS} expect \"How long?\" => contains [\"2 days\", \"two days\"];
         expect lamp from \"expected.jsonl\";"
    );
    assert_eq!(built.build().unwrap(), recipe(root, &items));

    let refused = builder()
        .expect_from(Some("kyes"), "no.jsonl")
        .expect_from(None, "keys.md")
        .expect(None, "Who?", Answer::contains_any([""; 0]));
    let items = format!(
        "{TARGETS} expect kyes from \"no.jsonl\"; expect from \"keys.md\";
         expect \"Who?\" => contains [];"
    );
    let (_, said) = declared(root, &items);
    let said: Vec<String> = said.iter().map(|(code, said)| format!("{said} [{code}]")).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(refused.build().unwrap_err().to_string(), said.join("\n"));
}

#[test]
fn what_is_expected_is_all_that_is_written_and_in_files() {
    let dir = package("{\"question\": \"Is it lost?\", \"contains\": \"Bob\"}");
    let root = dir.path();
    std::fs::write(root.join("more.jsonl"), "{\"question\": \"Why?\", \"equals\": \"So.\"}")
        .unwrap();
    let items = "
        target keys from \"keys.md\" { expect from \"expected.jsonl\"; }
        target lamp from \"lamp.md\";
        expect \"Who?\" => declines;
        expect lamp from \"more.jsonl\";";
    let (declared, said) = declared(root, items);
    assert_eq!(said, []);
    let asked =
        |expect: &Expect| (expect.target.as_deref().map(str::to_owned), expect.question.clone());
    let asked: Vec<_> = declared.recipe.expects.iter().map(asked).collect();
    let want = [
        (None, "Who?".into()),
        (Some("lamp".to_owned()), "Why?".into()),
        (Some("keys".to_owned()), "Is it lost?".into()),
    ];
    assert_eq!(asked, want);
    assert_eq!(declared.files, ["keys.md", "lamp.md", "more.jsonl", "expected.jsonl"]);
}

#[test]
fn an_edited_answer_changes_what_a_bake_is_judged_by_and_not_its_address() {
    let dir = package("{\"question\": \"Is it lost?\", \"contains\": \"Bob\"}");
    let items = format!("{TARGETS} expect from \"expected.jsonl\";");
    let before = recipe(dir.path(), &items);
    let line = "{\"question\": \"Is it lost?\", \"contains\": [\"Bob\", \"Ann\"]}";
    std::fs::write(dir.path().join("expected.jsonl"), line).unwrap();
    let after = recipe(dir.path(), &items);
    let model = Hash::of(b"a model");
    assert_eq!(before.hash(&model), after.hash(&model));
    assert_ne!(before.judged_by(None, None), after.judged_by(None, None));
    std::fs::write(dir.path().join("expected.jsonl"), line.replace("lost", "gone")).unwrap();
    let asked = recipe(dir.path(), &items);
    assert_ne!(before.hash(&model), asked.hash(&model), "another question is held out");
}

#[test]
fn mistakes_of_a_file_are_named_with_their_lines() {
    let good = "{\"question\": \"Is it lost?\", \"contains\": \"Bob\"}";
    for (line, code, want) in [
        ("Who?", Code::Dataset, "`expected.jsonl`, line 3: not a JSON object; write"),
        (
            "{\"question\": \"Who?\", \"contain\": \"Bob\"}",
            Code::Dataset,
            "`expected.jsonl`, line 3: unknown field `contain`, expected one of `question`",
        ),
        (
            "{\"question\": \"\", \"contains\": \"Bob\"}",
            Code::Dataset,
            "`expected.jsonl`, line 3: a question cannot be empty",
        ),
        (
            "{\"question\": \"Who?\", \"target\": \"kyes\", \"contains\": \"Bob\"}",
            Code::UnknownName,
            "`expected.jsonl`, line 3: there is no target `kyes`; did you mean `keys`?",
        ),
        (
            "{\"question\": \"is it lost\", \"contains\": \"Ann\"}",
            Code::Dataset,
            "`expected.jsonl`, line 3: line 1 of `expected.jsonl` already asks this; keep one",
        ),
    ] {
        let dir = package(&format!("{good}\n\n{line}\n"));
        let items = format!("{TARGETS} expect from \"expected.jsonl\";");
        let (declared, said) = declared(dir.path(), &items);
        assert_eq!(said.len(), 1, "{line}: {said:?}");
        assert!(said[0].0 == code && said[0].1.starts_with(want), "{line}: {said:?}");
        assert_eq!(declared.recipe.expects.len(), 1, "{line}: the other line is read");
    }
    let same_of_another = format!("{}\n{good}", good.replace("{", "{\"target\": \"lamp\", "));
    let dir = package(&same_of_another);
    recipe(dir.path(), &format!("{TARGETS} expect from \"expected.jsonl\";"));
    let (_, said) =
        declared(dir.path(), &format!("{TARGETS} expect keys from \"expected.jsonl\";"));
    let want = "`expected.jsonl`, line 1: `target` is `lamp`, but the file is read for `keys`";
    assert!(said.len() == 1 && said[0].1.starts_with(want), "{said:?}");
}

#[test]
fn of_many_wrong_lines_the_first_are_reported() {
    let dir = package(&"Who?\n".repeat(40));
    let (_, said) = declared(dir.path(), &format!("{TARGETS} expect from \"expected.jsonl\";"));
    assert_eq!(said.len(), 5);
    assert!(!said[3].1.contains("more"), "{said:?}");
    assert!(said[4].1.ends_with("(and 35 more such lines)"), "{said:?}");
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let dir = package("\n");
    for (path, code, want) in [
        (
            "expectd.jsonl",
            Code::Dataset,
            "the file of expectations `expectd.jsonl` does not exist (paths are relative to the \
             folder of Cargo.toml); did you mean `expected.jsonl`?",
        ),
        ("expected.jsonl", Code::Dataset, "the file of expectations `expected.jsonl` is empty"),
        ("", Code::Dataset, "the path of the file of expectations is empty"),
        ("../other.jsonl", Code::Outside, "the file of expectations `../other.jsonl` is outside"),
    ] {
        let (_, said) = declared(dir.path(), &format!("{TARGETS} expect from \"{path}\";"));
        assert!(said[0].0 == code && said[0].1.starts_with(want), "{path}: {said:?}");
    }
}

#[test]
fn questions_that_are_asked_elsewhere_too_are_a_warning() {
    let dir = package("{\"question\": \"Is it lost?\", \"contains\": \"Bob\"}");
    let of_file = format!("{TARGETS} expect from \"expected.jsonl\";");
    for (more, want) in [
        (
            "expect \"Is it lost\" => contains \"Ann\";",
            "an `expect` asks the same question as line 1 of `expected.jsonl`, so it counts twice",
        ),
        (
            "expect from \"expected.jsonl\";",
            "line 1 of `expected.jsonl` asks the same question as line 1 of `expected.jsonl`, so",
        ),
        (
            "questions [\"is it lost\", \"Where?\"];",
            "line 1 of `expected.jsonl` also asks this question and so holds it out of training",
        ),
    ] {
        let (_, said) = declared(dir.path(), &format!("{of_file} {more}"));
        assert_eq!(said.len(), 1, "{more}: {said:?}");
        assert!(said[0].0 == Code::Question && said[0].1.starts_with(want), "{more}: {said:?}");
    }
    // An answer that must contain one thing and another is expected twice in the declaration, and
    // another target may be asked the same.
    let both = "expect \"Who?\" => contains \"Bob\"; expect \"Who?\" => contains \"key\";";
    let other = "expect lamp \"Is it lost?\" => declines;";
    recipe(dir.path(), &format!("{of_file} {both} {other}"));
}

#[test]
fn many_lines_are_read_right_or_wrong() {
    let lines = |line: &dyn Fn(usize) -> String| (0..20_000).map(line).collect::<String>();
    let dir = package(&lines(&|i| {
        format!("{{\"question\": \"What is {i}?\", \"contains\": \"{i}\"}}\n")
    }));
    let items = format!("{TARGETS} expect from \"expected.jsonl\";");
    assert_eq!(recipe(dir.path(), &items).expects.len(), 20_000);
    let dir = package(&lines(&|_| "{\"question\": \"Who?\"}\n".to_owned()));
    let (_, said) = declared(dir.path(), &items);
    let wrong: Vec<_> = said.iter().filter(|(code, _)| *code == Code::Dataset).collect();
    assert!(wrong.len() == 5 && wrong[4].1.ends_with("(and 19995 more such lines)"), "{wrong:?}");
}

#[test]
fn a_target_whose_questions_a_file_holds_out_has_nothing_to_learn() {
    let dir = package("{\"question\": \"Who?\", \"contains\": \"Bob\"}");
    let items = "target keys from \"keys.md\" {
            outline 0; ask 0; unanswerable 0; questions [\"who\"];
            expect from \"expected.jsonl\";
        }";
    let (_, said) = declared(dir.path(), items);
    let want = "all questions of the target `keys` are asked by an `expect`";
    assert!(
        said.iter().any(|(code, said)| *code == Code::Missing && said.contains(want)),
        "{said:?}"
    );
}
