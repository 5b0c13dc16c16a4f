//! A bake takes the memory that its plan says.

mod allocator;

use bake::{BakeOptions, Declaration as _, Silent, Store};

bake::bake! {
    bake Measured {
        target lamp from "tests/docs/lamp.md" {
            questions [
                "Where is the lamp?", "Which lamp?", "What is it?", "Who has the lamp?",
                "Is there a lamp?", "Tell me about the lamp", "What of the lamp?", "Why?",
            ];
            ask 0;
        }
        train { epochs 2; }
    }
}

#[test]
fn a_bake_takes_the_memory_that_its_plan_says() {
    let folder = tempfile::tempdir().unwrap();
    let options = BakeOptions::new().store(Store::new(folder.path())).progress(Silent);
    let planned = bake::plan(Measured::RECIPE, &options).unwrap().memory_bytes as usize;
    allocator::reset();
    let before = allocator::in_use();
    Measured::bake_with(&options).unwrap();
    let taken = allocator::peak() - before;
    let megabytes = |bytes: usize| bytes >> 20;
    assert!(
        taken <= planned + planned / 4 && planned <= 3 * taken,
        "planned {} MB, took {} MB",
        megabytes(planned),
        megabytes(taken)
    );
}
