//! `cargo bake`: bakes what a package declares, and says what is stale.
//!
//! Declarations are found by reading the sources; nothing is compiled. All computation is done by
//! `bake-runtime`; this crate only talks to the user.

mod args;
mod commands;
mod json;
mod mistakes;
mod paths;
mod terminal;
mod trace;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

fn main() -> ExitCode {
    // Cargo calls `cargo-bake bake …`.
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "bake") {
        words.remove(1);
    }
    let cli = match args::Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(e) => return misunderstood(&e, &words),
    };
    cli.common.color.write_global();
    trace::start(cli.common.verbose);
    match commands::run(&cli) {
        Ok(code) => code,
        Err(error) => {
            if cli.json() {
                json::print_error(&error);
            } else {
                terminal::error(&error);
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Prints what is wrong with the command line, or the help that was asked for.
fn misunderstood(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let misspelt = misspelt(error, words);
    if error.use_stderr() && words.iter().any(|word| word == "--json") {
        json::print_usage_error(&misspelt.unwrap_or_else(|| error.to_string()));
        return ExitCode::from(2);
    }
    if let Some(misspelt) = misspelt {
        terminal::error(&anyhow::Error::msg(misspelt));
        return ExitCode::from(2);
    }
    // A closed pipe, as with `head`, is not an error.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// What is wrong where clap does not see it: for clap a word that is like the name of a command is
/// the name of a bake if its options follow, verbs of a command are not like others however short
/// they are, and `--json` may be a value.
fn misspelt(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let word = |i: usize| words.get(i)?.to_str();
    match error.kind() {
        ErrorKind::UnknownArgument if named(error, ContextKind::InvalidArg) == Some("--json") => {
            let command = word(1).filter(|word| !word.starts_with('-'));
            match command.and_then(commands::similar_command) {
                Some(verb) => Some(not_a_command(word(1)?, &verb)),
                None => Some(commands::without_json(command, words)),
            }
        }
        ErrorKind::UnknownArgument => {
            let command = word(1)?;
            commands::similar_command(command).map(|verb| not_a_command(command, &verb))
        }
        ErrorKind::InvalidSubcommand => {
            let (command, verb) = (word(1)?, named(error, ContextKind::InvalidSubcommand)?);
            let meant = commands::similar_verb(command, verb)?;
            Some(not_a_command(&format!("{command} {verb}"), &format!("{command} {meant}")))
        }
        _ => None,
    }
}

fn named(error: &clap::Error, what: ContextKind) -> Option<&str> {
    match error.get(what)? {
        ContextValue::String(name) => Some(name),
        _ => None,
    }
}

fn not_a_command(word: &str, meant: &str) -> String {
    format!("`{word}` is not a command; did you mean `cargo bake {meant}`?")
}

/// Cargo's own code for a failure, a shell's for a command that Ctrl-C ended, or that for a command
/// line that was not understood, such as one with a name that nothing has.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<commands::NotFound>() {
        return 2;
    }
    let kind = match (error.downcast_ref::<bake_runtime::Error>(), error.downcast_ref()) {
        (Some(of_engine), _) => Some(of_engine.kind()),
        (None, of_spec) => of_spec.map(bake_spec::Error::kind),
    };
    if kind == Some(bake_spec::ErrorKind::Interrupted) { 130 } else { 101 }
}
