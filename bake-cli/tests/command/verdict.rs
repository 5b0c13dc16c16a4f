//! What a bake says of itself, and what becomes of one that is not good enough.

use super::*;

/// The package with these expectations and this gate.
fn package(expects: &str) -> Package {
    let package = Package::new();
    package
        .write("src/main.rs", &MAIN.replace("bake Office {", &format!("bake Office {{{expects}")));
    package
}

const ASKED: &str = r#"
        gate { expects 0.0; }
        expect keys "My key is lost" => contains "Bob";
        expect lamp "The lamp is broken" => contains "shop";"#;

const IMPOSSIBLE: &str = r#"
        gate { expects 1.0; }
        expect keys "My key is lost" => contains "submarine";"#;

#[test]
fn a_bake_says_which_expectations_it_meets() {
    let package = package(ASKED);
    let output = package.run(&[]);
    assert!(output.status.success(), "{}", said(&output));
    let ends = said(&output);
    assert!(ends.contains("expectations met: baked ") && ends.contains(" of 2, base 0"), "{ends}");
    let columns = |text: &str| {
        let head = ["base", "prompted", "with", "passage", "baked"];
        let row = |name: &str| text.lines().any(|line| line.trim_start().starts_with(name));
        text.lines().any(|line| line.split_whitespace().eq(head))
            && ["keys: expected", "lamp: expected", "expected  "].into_iter().all(row)
    };
    assert!(columns(&ends), "{ends}");
    let lock = package.read("bake.lock");
    assert!(lock.contains("[bake.expects]\nasked = 2\nbase = 0\n"), "{lock}");
    let expects = &package.status()["bakes"][0]["expects"];
    assert_eq!((&expects["asked"], &expects["base"]), (&2.into(), &0.into()));
    assert_eq!(expects["prompted_with_passage_asked"], 2);
    let states = package.ok(&["status"]);
    assert!(states.contains("expectations met when last tested: baked "), "{states}");
    assert!(states.contains(", prompted with the document "), "{states}");
    assert!(states.contains(", with the right passage "), "{states}");
    let tested = said(&package.run(&["test"]));
    assert!(columns(&tested), "{tested}");
}

#[test]
fn what_was_held_out_and_what_should_stay_are_part_of_the_verdict() {
    let package = Package::new();
    let main = MAIN
        .replace("outline 0; unanswerable 0;", "unanswerable 0; outline 8; gate { expects 0.0; }")
        .replace("epochs 2; ", "epochs 2; held_out 0.5; ")
        .replace("target lamp", "anchor manners { questions [\"Hello\"]; } target lamp");
    package.write("src/main.rs", &main);
    let ends = said(&package.run(&["--accept"]));
    let row = |text: &str, name: &str| -> Option<Vec<String>> {
        let rest = text.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
        Some(
            rest.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .map(Into::into)
                .collect(),
        )
    };
    let all = row(&ends, "held out  ").unwrap();
    assert!(all.len() == 4 && all.iter().all(|cell| cell.contains(" of ")), "{ends}");
    assert!(row(&ends, "keys: held out").is_some() && row(&ends, "lamp: held out").is_some());
    assert!(ends.contains("of 1 answers unchanged word for word"), "{ends}");
    let bake = &package.status()["bakes"][0];
    let (recall, drift) = (&bake["recall"], &bake["drift"]);
    assert_eq!(recall["asked"], recall["prompted_with_passage_asked"]);
    assert_eq!((&drift["asked"], drift["kl"].is_f64()), (&1.into(), true), "{drift}");
    for text in [package.ok(&["status"]), said(&package.run(&["test"]))] {
        assert!(text.contains("drift from the base model on the anchors: "), "{text}");
        assert!(text.contains("held-out questions answered as the teacher does: "), "{text}");
    }
    assert_eq!(row(&said(&package.run(&["test"])), "held out"), Some(all));
    json::check("test", &String::from_utf8(package.run(&["test", "--json"]).stdout).unwrap());
    json::check("status", &package.ok(&["status", "--json"]));
}

#[test]
fn a_behaviour_is_not_said_to_have_a_document() {
    let package = Package::new();
    package.write(
        "src/main.rs",
        "bake::bake! { bake Polite {
            lora { rank 4; alpha 8; } train { epochs 1; teacher anyway; } gate { expects 0.0; }
            target polite prompt \"End every answer with: Over and out.\" {
                questions [\"Hello\", \"Who are you?\"]; general 0; max_tokens 24;
            }
            expect polite \"Tell me a joke\" => ends_with \"Over and out.\";
        } }",
    );
    let ends = said(&package.run(&[]));
    for text in [ends, package.ok(&["status"]), package.ok(&["test"])] {
        assert!(text.contains("expectations met") && !text.contains("document"), "{text}");
    }
    let status = package.ok(&["status"]);
    assert!(status.contains(", prompted ") && !status.contains("passage"), "{status}");
    json::check("test", &package.ok(&["test", "--json"]));
}

#[test]
fn what_is_below_its_gate_is_not_locked_unless_it_is_accepted() {
    let package = package(IMPOSSIBLE);
    package.fails(&[], 3, "`Office` missed its gate");
    assert!(!package.root().join("bake.lock").exists());
    package.fails(&["test"], 101, "run `cargo bake`");
    // It was kept, so nothing is made again.
    let accepted = said(&package.run(&["--accept"]));
    assert!(accepted.contains("found in the store") && accepted.contains("missed:"), "{accepted}");
    assert_eq!(package.states(), ["fresh"; 3]);
    package.fails(&["test"], 1, "`gate` requires 100 %");
    // A lower bar changes nothing that was baked.
    let lower = package.read("src/main.rs").replace("expects 1.0", "expects 0.0");
    package.write("src/main.rs", &lower);
    assert_eq!(package.states(), ["fresh"; 3]);
    package.ok(&["test"]);
}

#[test]
fn what_was_accepted_is_accepted_where_it_is_made_again() {
    let package = package(IMPOSSIBLE);
    package.ok(&["--accept"]);
    std::fs::remove_dir_all(package.store()).unwrap();
    std::fs::remove_dir_all(package.root().join("bakes")).unwrap_or_default();
    assert_eq!(package.states(), ["missing"; 3]);
    package.ok(&[]);
    assert_eq!(package.states(), ["fresh"; 3]);
}

#[test]
fn a_fresh_bake_is_judged_again_when_something_else_is_expected() {
    let package = package(ASKED);
    package.ok(&[]);
    let expect = |from: &str, to: &str| {
        let changed = package.read("src/main.rs").replace(from, to);
        package.write("src/main.rs", &changed);
    };
    let lock = package.read("bake.lock");
    assert!(!said(&package.run(&[])).contains("expectations"), "it was judged by these");
    expect("contains \"shop\"", "contains \"submarine\"");
    assert_eq!(package.states(), ["fresh"; 3]);
    assert!(said(&package.run(&[])).contains("expectations met: baked "));
    assert_ne!(package.read("bake.lock"), lock, "it says by what it was judged");
    expect("expects 0.0", "expects 1.0");
    package.fails(&[], 3, "bake.lock still records it");
    package.fails(&[], 3, "`gate` requires 100 %");
    package.ok(&["--accept"]);
    package.ok(&[]);
}

#[test]
fn a_fresh_bake_is_judged_again_when_a_file_expects_something_else() {
    let package = package("expect keys from \"expected.jsonl\"; gate { expects 0.0; }");
    let expect = |words: &str| {
        let line = format!("{{\"question\": \"My key is lost\", \"contains\": \"{words}\"}}\n");
        package.write("expected.jsonl", &line);
    };
    expect("Bob");
    package.ok(&[]);
    assert!(!said(&package.run(&[])).contains("expectation"), "it was judged by these");
    expect("submarine");
    assert_eq!(package.states(), ["fresh"; 3]);
    assert!(said(&package.run(&[])).contains("baked 0 of 1"));
    package.write("expected.jsonl", "My key is lost\n");
    package.fails(&["status"], 101, "`expected.jsonl`, line 1: not a JSON object");
}

#[test]
fn a_gate_can_limit_the_divergence() {
    let package = package("gate { kl 0.000001; }");
    package.fails(&[], 3, "nats per token, but `gate` allows at most 0.000001");
    assert!(package.ok(&["--accept", "-q"]).is_empty());
    package.fails(&["test"], 1, "has no `expect`s");
    package.fails(&["test"], 1, "allows at most 0.000001");
}
