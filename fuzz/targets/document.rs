//! Any bytes as a document: its sections hold its words, and nothing else.

#![no_main]

use bake_spec::text::document;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bake_fuzz::write("a.md", bytes);
    if let Ok(text) = document::read(&bake_fuzz::folder().join("a.md"), "a.md") {
        assert!(!document::sections(&text).is_empty());
    }
});
