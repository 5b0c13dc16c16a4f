//! `cargo bake`: bakes what a package declares, and tells what is stale.
//!
//! Declarations are found by reading the sources; nothing is compiled. All that is computed is
//! computed by `bake-runtime`; here are only the words.

mod args;
mod commands;
mod terminal;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Cargo calls `cargo-bake bake …`.
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "bake") {
        words.remove(1);
    }
    let cli = args::Cli::parse_from(words);
    cli.common.color.write_global();
    match commands::run(&cli) {
        Ok(code) => code,
        Err(error) => {
            terminal::error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Cargo's own code for a failure, or a shell's for what Ctrl-C has ended.
fn exit_code(error: &anyhow::Error) -> u8 {
    let interrupted = error
        .downcast_ref::<bake_runtime::Error>()
        .is_some_and(bake_runtime::Error::is_interrupted);
    if interrupted { 130 } else { 101 }
}
