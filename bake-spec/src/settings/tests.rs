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
