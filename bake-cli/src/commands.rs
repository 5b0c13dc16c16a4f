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

pub(crate) use bake::similar_command;

use std::process::ExitCode;

use anyhow::Result;

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
