//! Any text as a chat template, rendered for a short conversation.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let _ = bake_runtime::fuzz::render(source);
});
