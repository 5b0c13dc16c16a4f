//! Any bytes as a document: its sections are parts of it, in order.

#![no_main]

use bake_spec::text::document;
use bake_spec::text::section::sections;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bake_fuzz::write("a.md", bytes);
    let Ok(text) = document::read(&bake_fuzz::folder().join("a.md"), "a.md") else { return };
    let sections = sections(&text);
    assert!(!sections.is_empty());
    let mut end = 0;
    for section in &sections {
        let range = section.range();
        assert!(end <= range.start && range.start < range.end, "{end} {range:?}");
        assert!(text.get(range.clone()).is_some_and(|body| !body.trim().is_empty()));
        assert!(!section.passage().trim().is_empty());
        end = range.end;
    }
});
