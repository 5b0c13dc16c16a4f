//! The verbs.

mod bake;
mod chat;
mod checkpoint;
mod completions;
mod explain;
mod export;
mod figures;
mod fmt;
mod gc;
mod list;
mod model;
mod new;
mod plan;
mod share;
mod show;
mod status;
mod test;
mod vendor;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use bake_spec::diagnostics::similar;
use clap::CommandFactory as _;

use crate::args::{Cli, Command};

pub(crate) fn run(cli: &Cli) -> Result<ExitCode> {
    let common = &cli.common;
    match &cli.command {
        None => bake::run(&cli.bake, common),
        Some(Command::List(args)) => list::run(args, common),
        Some(Command::Status(args)) => status::run(args, common),
        Some(Command::Check(args)) => status::check(args, common),
        Some(Command::Plan(args)) => plan::run(args, common),
        Some(Command::Test(args)) => test::run(args, common),
        Some(Command::Show(args)) => show::run(args, common),
        Some(Command::Chat(args)) => chat::run(args, common),
        Some(Command::Explain(args)) => explain::run(args),
        Some(Command::Export(args)) => export::run(args, common),
        Some(Command::Fmt { check }) => fmt::run(*check, common),
        Some(Command::Model(verb)) => model::run(verb, common),
        Some(Command::New(args)) => new::run(args, common),
        Some(Command::Gc(args)) => gc::run(args, common),
        Some(Command::Vendor(args)) => vendor::run(&args.names, common),
        Some(Command::Push(args)) => share::push(args, common),
        Some(Command::Pull(args)) => share::pull(args, common),
        Some(Command::Completions { shell }) => Ok(completions::run(*shell)),
    }
}

/// The error for a name on the command line that nothing has: what was named, and what may be
/// meant.
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) String);

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

/// A command with a similar name, unless one has this name.
pub(crate) fn similar_command(name: &str) -> Option<String> {
    similar_of(&Cli::command(), name)
}

/// The same of the verbs of a command.
pub(crate) fn similar_verb(command: &str, name: &str) -> Option<String> {
    similar_of(Cli::command().find_subcommand(command)?, name)
}

fn similar_of(command: &clap::Command, name: &str) -> Option<String> {
    let verbs = || command.get_subcommands().map(clap::Command::get_name);
    if verbs().any(|verb| verb == name) {
        return None;
    }
    similar(name, verbs()).map(str::to_owned)
}

/// That a command does not print JSON, and which ones do; if none is named before `--json`, but one
/// of those after it, where `--json` belongs.
pub(crate) fn without_json(name: Option<&str>, words: &[OsString]) -> String {
    let cli = Cli::command();
    let prints =
        |command: &clap::Command| command.get_arguments().any(|arg| arg.get_id() == "json");
    let mut those = Vec::new();
    for command in cli.get_subcommands() {
        let verbs = command.get_subcommands().filter(|verb| prints(verb));
        those.extend(verbs.map(|verb| format!("{} {}", command.get_name(), verb.get_name())));
        if prints(command) {
            those.push(command.get_name().to_owned());
        }
    }
    // `model list` is one of those, and contains `list`.
    let after = |verb: &&String| {
        let verb: Vec<&str> = verb.split(' ').collect();
        words.windows(verb.len()).any(|words| words.iter().zip(&verb).all(|(a, b)| a == b))
    };
    let meant = those.iter().filter(after).max_by_key(|verb| verb.len());
    if let (None, Some(verb)) = (name, meant) {
        return format!("put `--json` after the command: `cargo bake {verb} --json`");
    }
    let command = name.map(|name| format!(" {name}")).unwrap_or_default();
    format!("`cargo bake{command}` does not take `--json`; these do: {}", those.join(", "))
}
