//! Any bytes as a file of questions, in each format, of expectations or of worked examples: a
//! question is never empty, and neither is an answer.

#![no_main]

use bake_spec::dataset::{self, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bake_fuzz::write("a", bytes);
    for format in [Format::Lines, Format::JsonLines, Format::Csv] {
        let path = bake_fuzz::folder().join("a");
        if let Ok(read) = dataset::read(&path, "a", format, "question", None) {
            assert!(read.questions.iter().all(|question| !question.trim().is_empty()));
        }
    }
    let path = bake_fuzz::folder().join("a");
    for (number, expect) in dataset::expectations(&path, "a").unwrap_or_default() {
        assert!(number > 0);
        assert!(expect.is_err() || expect.is_ok_and(|expect| !expect.question.trim().is_empty()));
    }
    for (number, example) in dataset::examples(&path, "a").unwrap_or_default() {
        assert!(number > 0);
        let said = |text: &str| !text.trim().is_empty();
        assert!(example.is_err() || example.is_ok_and(|example| example.texts().all(said)));
    }
});
