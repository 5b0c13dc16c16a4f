//! Any bytes as a file of questions, in each format: a question is never empty.

#![no_main]

use bake_spec::text::dataset::{self, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bake_fuzz::write("a", bytes);
    for format in [Format::Lines, Format::JsonLines, Format::Csv] {
        let path = bake_fuzz::folder().join("a");
        if let Ok(read) = dataset::read(&path, "a", format, "question", None) {
            assert!(read.questions.iter().all(|question| !question.trim().is_empty()));
        }
    }
});
