use super::*;

#[test]
fn a_keyword_has_one_meaning_in_each_place() {
    for (i, a) in SETTINGS.iter().enumerate() {
        for b in &SETTINGS[..i] {
            assert!(
                a.name != b.name || a.scopes.iter().all(|scope| !b.scopes.contains(scope)),
                "{}",
                a.name
            );
        }
    }
}

/// Files that contain the table; with `BAKE_WRITE_SETTINGS=1` they are rewritten.
#[test]
fn files_written_from_the_table_are_up_to_date() {
    let path = |name: &str| format!("{}/../src/{name}", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path("declaration.md")).unwrap();
    let text = &page[..page.find("| setting | in |").unwrap()];
    for (name, want) in
        [("declaration.md", format!("{text}{}", markdown())), ("settings.rs", rust())]
    {
        if std::env::var_os("BAKE_WRITE_SETTINGS").is_some() {
            std::fs::write(path(name), &want).unwrap();
        }
        let there = std::fs::read_to_string(path(name)).unwrap();
        assert!(
            there == want,
            "src/{name} is out of date; run this test with BAKE_WRITE_SETTINGS=1 to write it"
        );
    }
}

#[test]
fn every_word_of_a_declaration_has_a_page() {
    for (word, parts) in [
        ("rank", &["The LoRA rank.\n\n`rank`, in `lora`: a whole number"][..]),
        // What is in the braces follows, with the words that a setting may be.
        ("lora", &["The adapter.", "In `lora`:\n", "- `rank`: the LoRA rank", "; default: `32`)"]),
        ("train", &["In `train`:\n", "- `schedule`: how the learning rate falls (`constant`, `"]),
        ("gate", &["In `gate`:\n", "- `kl`: ", "- `expects`: "]),
        ("ask", &["In `ask`:\n", "- `template`: "]),
        ("target", &["`target NAME", "In a target:\n", "- `from`: ", "In a target's braces:\n"]),
        ("target", &["- `expect NAME", "- `stop`: stop strings (`[\"…\", …]`, or `f"]),
        ("bake", &["`bake NAME { … }`", "In a bake:\n", "- `target NAME", "- `lora`: the adapter"]),
        ("expect", &["`expect NAME", "`contains`, `starts_with`", "`equals` or `declines`"]),
        // A value has the page of its keyword, and all if it is also a keyword.
        ("cosine", &["`cosine` is a value of `schedule`.", "`schedule`, in `train`: `constant`"]),
        ("anywhere", &["`anywhere` is a value of `documents`.", "`documents`, in a bake"]),
        ("jsd", &["`jsd` is a value of `divergence`.", "`divergence`, in `train`"]),
        ("q_proj", &["`q_proj` is a value of `modules`."]),
        ("declines", &["`declines` is a value of `expect`.", "`expect NAME"]),
        ("tiny", &["`tiny` is a value of `model`.", "`model tiny;`"]),
        ("smollm2", &["`smollm2` is a value of `model`."]),
        ("everyday", &["`everyday`, in a target's braces", "`everyday` is a value of `anchors`."]),
    ] {
        let page = pages::page(word).unwrap_or_else(|| panic!("{word} has no page"));
        for part in parts {
            assert!(page.contains(part), "{word}: {part} is not in {page}");
        }
        assert!(page.ends_with('\n') && !page.ends_with("\n\n"), "{word}: {page:?}");
    }
    for name in pages::names() {
        assert!(pages::page(name).is_some() && !pages::line(name).is_empty(), "{name}");
    }
    assert!(!pages::page("rank").unwrap().contains("In `"), "it has no braces");
    assert_eq!(pages::page("zzzzzz"), None);
}

#[test]
fn other_meanings_of_a_keyword_are_listed() {
    let line = pages::line("temperature");
    let others = "(also in `persona`, `rephrase`, a bake, a target's braces, an anchor's braces, \
                  `train`)";
    assert!(line.ends_with(others), "{line}");
    assert_eq!(pages::line("rank"), "the LoRA rank");
}

#[test]
fn a_word_without_a_page_is_compared_with_all_that_have_one() {
    for (word, want) in [
        ("rnk", Some("rank")),
        ("rnak", Some("rank")),
        ("temprature", Some("temperature")),
        ("cosin", Some("cosine")),
        ("learning_rate", Some("lr")),
        ("max_grad_norm", Some("clip")),
        ("patent", Some("parent")),
        ("online", None),
        ("tinny", Some("tiny")),
        ("bak", Some("bake")),
        ("zzzzzz", None),
    ] {
        assert_eq!(pages::meant(word), want, "{word}");
    }
}

#[test]
fn defaults_are_in_their_ranges() {
    for setting in SETTINGS.iter().filter(|s| !s.default.is_empty()) {
        match setting.kind {
            Kind::Count { min, max } => {
                assert!((min..=max).contains(&setting.default.parse().unwrap()), "{}", setting.name)
            }
            Kind::Counted { max, .. } => {
                assert!(setting.default.parse::<u64>().unwrap() <= max, "{}", setting.name)
            }
            Kind::Number(range) => {
                assert!(range.contains(setting.default.parse().unwrap()), "{}", setting.name)
            }
            Kind::Word(words) => assert!(words.contains(&setting.default), "{}", setting.name),
            _ => {}
        }
    }
}

#[test]
fn ranges_do_not_contain_infinity() {
    for range in [Range::positive(), Range::up_to(100.0), Range::below_one()] {
        assert!(
            !range.contains(f64::INFINITY) && !range.contains(f64::NAN) && !range.contains(-1.0)
        );
    }
    assert!(
        !Range::positive().contains(0.0)
            && Range::up_to(1.0).contains(0.0)
            && !Range::below_one().contains(1.0)
    );
}
