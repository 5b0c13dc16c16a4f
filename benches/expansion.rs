//! How long the macro takes for a bake of ten targets.
//!
//! ```text
//! cargo bench --bench expansion
//! cargo bench --bench expansion --profile dev
//! ```
//!
//! The first is with optimisation, the second as in a debug build of this workspace, whose own
//! crates are not optimised.
//!
//! The macro itself can only be called by the compiler, so its source is compiled into this program
//! too.

#[path = "../bake-macros/src/expand.rs"]
mod expand;

use std::path::Path;
use std::time::{Duration, Instant};

use proc_macro2::TokenStream;

const RUNS: usize = 200;

/// A document of so many lines of some forty bytes.
fn document(lines: usize, seed: usize) -> String {
    let line =
        |i: usize| format!("- Line {} of {seed}: ask Bob in room {}.\n", i, (i * 37 + seed) % 100);
    format!("# Document {seed}\n\n{}", (0..lines).map(line).collect::<String>())
}

/// The first run, which reads the tokenizer where one is needed, and the median of the others.
fn measure(root: &Path, source: &str) -> (Duration, Duration) {
    let once = || {
        let tokens: TokenStream = source.parse().expect("the source is Rust");
        let begin = Instant::now();
        let items = expand::expand(tokens, root, |_| None);
        let time = begin.elapsed();
        assert!(!items.to_string().contains("compile_error"), "{items}");
        time
    };
    let first = once();
    let mut times: Vec<Duration> = (0..RUNS).map(|_| once()).collect();
    times.sort();
    (first, times[RUNS / 2])
}

fn main() -> std::io::Result<()> {
    let root = tempfile::tempdir()?;
    println!("{:<44} {:>10} {:>10}", "ten targets, each with twenty questions", "first", "median");
    for (name, lines) in [
        ("documents that fit without being counted", 8),
        ("documents whose tokens are counted", 24),
    ] {
        let mut source =
            String::from("pub bake Support { model tiny; lora { rank 16; } train { epochs 4; }\n");
        for i in 0..10 {
            std::fs::write(root.path().join(format!("{i}.md")), document(lines, i))?;
            let questions: Vec<String> =
                (0..20).map(|q| format!("\"What is said in line {q} of {i}?\"")).collect();
            source += &format!(
                "target t{i} weight 1.0 from \"{i}.md\" {{ questions [{}]; ask 40; }}\n",
                questions.join(", ")
            );
        }
        source += "}";
        let (first, median) = measure(root.path(), &source);
        println!(
            "{name:<44} {:>7.2} ms {:>7.2} ms",
            first.as_secs_f64() * 1e3,
            median.as_secs_f64() * 1e3
        );
    }
    Ok(())
}
