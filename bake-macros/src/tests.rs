//! What the macro generates when it fails itself.

use std::cell::Cell;
use std::path::Path;

use crate::expand::expand;

#[test]
fn generated_code_names_documents_and_has_none_of_their_text() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(package.join("tests/docs/keys.md")).unwrap();
    let source = "target keys from \"tests/docs/keys.md\"; target tone prompt \"Be kind.\";";
    let items = expand(source.parse().unwrap(), package, |_| None).to_string();
    assert!(items.contains("tests/docs/keys.md") && items.contains("Be kind."), "{items}");
    assert!(!items.contains("compile_error"), "{items}");
    for line in text.lines().map(|line| line.trim_start_matches(['#', ' '])) {
        assert!(line.is_empty() || !items.contains(line), "{line}: {items}");
    }
}

#[test]
fn a_macro_that_fails_still_gives_the_items_and_asks_to_report_it() {
    for (source, names) in [
        (
            "pub(crate) bake Office { target front_desk from \"a.md\"; anchor calm; } bake Shop {}",
            &["pub (crate) struct Office", "enum OfficeTarget", "FrontDesk", "struct Shop"][..],
        ),
        ("target keys from \"keys.md\"; 7 7 7", &["struct Bake", "enum BakeTarget", "Keys"]),
    ] {
        let failed = Cell::new(false);
        let fail_once = |_: &str| {
            assert!(failed.replace(true), "the lamp is out");
            None
        };
        let items = expand(source.parse().unwrap(), Path::new("."), fail_once).to_string();
        syn::parse_str::<syn::File>(&items).unwrap();
        assert!(items.contains("the lamp is out; this is a bug in bake, please"), "{items}");
        for name in names {
            assert!(items.contains(name), "{name}: {items}");
        }
        assert!(!items.contains("Calm") && items.contains("fn load"), "{items}");
    }
}

#[test]
fn a_macro_that_fails_again_and_again_still_asks_to_report_it() {
    let fail = |_: &str| panic!("the lamp is out");
    let source = "target keys from \"keys.md\";";
    let items = expand(source.parse().unwrap(), Path::new("."), fail).to_string();
    syn::parse_str::<syn::File>(&items).unwrap();
    assert!(items.contains("compile_error") && items.contains("the lamp is out"), "{items}");
}
