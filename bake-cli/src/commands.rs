//! The verbs.

mod bake;
mod chat;
mod explain;
mod fmt;
mod gc;
mod list;
mod new;
mod plan;
mod share;
mod show;
mod status;
mod vendor;

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::args::{Cli, Command};
use crate::terminal;

pub(crate) fn run(cli: &Cli) -> Result<ExitCode> {
    let common = &cli.common;
    let lists = matches!(
        cli.command,
        Some(
            Command::List
                | Command::Status(_)
                | Command::Check(_)
                | Command::Plan(_)
                | Command::Show(_)
                | Command::Explain { .. }
                | Command::Gc(_)
        )
    );
    if common.json && !lists {
        let message =
            "--json is for what lists something: list, status, check, plan, show, explain and gc";
        Cli::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit();
    }
    match &cli.command {
        None => bake::run(&cli.bake, common),
        Some(Command::List) => list::run(common),
        Some(Command::Status(args)) => status::run(&args.names, common),
        Some(Command::Check(args)) => status::check(&args.names, common),
        Some(Command::Plan(args)) => plan::run(&args.names, common),
        Some(Command::Show(args)) => show::run(args, common),
        Some(Command::Chat(args)) => chat::run(args, common),
        Some(Command::Explain { what }) => explain::run(what, common),
        Some(Command::Fmt { check }) => fmt::run(*check, common),
        Some(Command::New(args)) => new::run(args, common),
        Some(Command::Gc(args)) => gc::run(args, common),
        Some(Command::Vendor(args)) => vendor::run(&args.names, common),
        Some(Command::Push(args)) => share::push(args, common),
        Some(Command::Pull(args)) => share::pull(args, common),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "cargo-bake", &mut script);
            terminal::print(format_args!("{}", String::from_utf8_lossy(&script)));
            Ok(ExitCode::SUCCESS)
        }
    }
}
