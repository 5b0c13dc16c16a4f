//! Any text as a declaration: parsing, checking, printing and formatting never panic; what is
//! printed is read back without mistakes if there were none; formatting twice changes nothing.

#![no_main]

use std::str::FromStr as _;
use std::sync::Once;

use bake_spec::check::{DeclaringPackage, check};
use bake_spec::syntax::parse::parse;
use bake_spec::syntax::print::print;
use libfuzzer_sys::fuzz_target;
use proc_macro2::TokenStream;

static FILES: Once = Once::new();

fuzz_target!(|text: &str| {
    FILES.call_once(|| {
        bake_fuzz::write("a.md", b"# A\n\nAsk Bob.");
        bake_fuzz::write("a.csv", b"question\nWhere?");
    });
    let Ok(tokens) = TokenStream::from_str(text) else { return };
    let (bakes, mut diagnostics) = parse(tokens);
    if diagnostics.is_empty() {
        let (again, mistakes) = parse(print(&bakes));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(print(&again).to_string(), print(&bakes).to_string());
    }
    let package = DeclaringPackage { root: bake_fuzz::folder(), lock: None };
    check(bakes, package, &mut diagnostics);

    let source = format!("bake! {{ {text} }}");
    if let Ok(formatted) = bake_spec::format(&source) {
        assert_eq!(bake_spec::format(&formatted).expect("it is Rust still"), formatted);
    }
});
