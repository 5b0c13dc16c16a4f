//! `cargo bake`: bakes what is stale.

use std::process::ExitCode;

use anyhow::{Result, bail};
use bake_runtime::{BakeOptions, Interrupt, Report, Silent, bake_recipe};
use bake_spec::diagnostics::{did_you_mean, similar};
use bake_spec::lock::{Locked, State};
use bake_spec::model::Identity;
use bake_spec::store::{folder_bytes, hash_folder};
use clap::CommandFactory as _;

use super::vendor;
use crate::args::{Bake, Cli, Common};
use crate::terminal::{bytes, say, status};
use crate::workspace::{Found, Models, Package, packages, select};

pub(crate) fn run(args: &Bake, common: &Common) -> Result<ExitCode> {
    let packages = packages(common)?;
    let declared = |name: &String| {
        packages.iter().any(|package| !package.select(std::slice::from_ref(name)).is_empty())
    };
    if let Some(name) = args.names.iter().find(|name| !declared(name)) {
        let command = Cli::command();
        if let Some(verb) = similar(name, command.get_subcommands().map(|verb| verb.get_name())) {
            bail!("there is no command and no bake `{name}`; did you mean `cargo bake {verb}`?");
        }
    }
    let selected = select(&packages, &args.names)?;
    if !args.target.is_empty() {
        return scratch(&selected, args, common);
    }
    let mut models = Models::default();
    for package in &packages {
        let mut lock = package.lock.clone();
        for (_, found) in selected.iter().filter(|(of, _)| std::ptr::eq(*of, package)) {
            let state = package.state(*found, &mut models)?;
            if state.state == State::Fresh && !args.fresh {
                if !common.locked()
                    && let Some(adapter) = package.adapter(found.name())?
                {
                    vendor::refresh(package, found.name(), &adapter)?;
                }
                if !common.quiet {
                    status("Fresh", format_args!("{} ({})", found.name(), package.name));
                }
                continue;
            }
            if common.locked() {
                bail!(
                    "`{}` is not fresh ({}), and --locked forbids to bake it; run `cargo bake` \
                     without it",
                    found.name(),
                    state.summary()
                );
            }
            if !common.quiet {
                let why = if state.state == State::Fresh {
                    "--fresh".to_owned()
                } else {
                    state.summary()
                };
                status("Baking", format_args!("{} ({}): {why}", found.name(), package.name));
            }
            let locked = bake(package, *found, args, common)?;
            lock.insert(found.name(), locked);
            // What is finished is noted, whatever becomes of the next.
            package.write_lock(&lock)?;
        }
        let declared = package.select(&[]);
        lock.bakes.retain(|name, _| declared.iter().any(|found| found.name() == name));
        if common.locked() && lock != package.lock {
            bail!(
                "bake.lock holds what `{}` no longer declares, and --locked forbids to change it; \
                 run `cargo bake` without it",
                package.name
            );
        }
        if lock != package.lock {
            package.write_lock(&lock)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn options(args: &Bake, common: &Common) -> BakeOptions {
    let options = BakeOptions::new().device(common.device).interrupt(Interrupt::on_ctrl_c());
    let options = if args.fresh { options.fresh() } else { options };
    if common.quiet { options.progress(Silent) } else { options }
}

/// Bakes one, and says what the lock is to say of it.
fn bake(package: &Package, found: Found<'_>, args: &Bake, common: &Common) -> Result<Locked> {
    let recipe = &found.declared.recipe;
    let baked = bake_recipe(recipe, &options(args, common))?;
    let (hash, config) = baked.model;
    let identity = Identity::of(&package.root, &recipe.model);
    let Some(identity) = identity else {
        bail!("the model of `{}` was removed while it was baked", recipe.name)
    };
    let mut locked = Locked::new(recipe, hash, &identity, &config);
    locked.adapter = hash_folder(&baked.adapter)?;
    locked.bytes = folder_bytes(&baked.adapter);
    (locked.kl_before, locked.kl_after) = (baked.report.kl_before, baked.report.kl_after);
    for report in &baked.report.targets {
        if let Some(target) = locked.targets.get_mut(&report.name) {
            (target.prompt_tokens, target.question_tokens) =
                (report.prompt_tokens, report.stimulus_tokens);
            (target.questions, target.answers) = (report.stimuli, report.rollouts);
        }
    }
    vendor::refresh(package, &recipe.name, &baked.adapter)?;
    if !common.quiet {
        status("Baked", summary(&recipe.name, &baked.report, locked.bytes, baked.reused));
    }
    Ok(locked)
}

fn summary(
    name: &str,
    Report { kl_before, kl_after, .. }: &Report,
    size: u64,
    reused: bool,
) -> String {
    let found = if reused { ", found in the store" } else { "" };
    format!(
        "{name}: {kl_before:.3} nats a token from the teacher before, {kl_after:.4} after; \
         {}{found}",
        bytes(size)
    )
}

/// Bakes some targets of one declaration into an adapter of their own, which no lock knows.
fn scratch(selected: &[(&Package, Found<'_>)], args: &Bake, common: &Common) -> Result<ExitCode> {
    let has = |found: &Found<'_>, name: &String| {
        found.declared.recipe.targets.iter().any(|target| *target.name == **name)
    };
    let with_all: Vec<_> = selected
        .iter()
        .filter(|(_, found)| args.target.iter().all(|name| has(found, name)))
        .collect();
    let (_, found) = match with_all[..] {
        [one] => *one,
        [] => {
            let known: Vec<&str> = selected
                .iter()
                .flat_map(|(_, found)| found.declared.recipe.targets.iter())
                .map(|t| &*t.name)
                .collect();
            bail!(
                "no bake has the targets {}; {}",
                args.target.join(", "),
                did_you_mean(&args.target[0], &known)
            );
        }
        _ => bail!(
            "several bakes have the targets {}; name the bake too, as in `cargo bake NAME --target \
             …`",
            args.target.join(", ")
        ),
    };
    let whole = &found.declared.recipe;
    let wanted = |name: &str| args.target.iter().any(|target| target == name);
    let recipe = whole.with(|recipe| {
        recipe.targets.to_mut().retain(|target| wanted(&target.name));
        recipe.expects.to_mut().retain(|expect| expect.target.as_deref().is_none_or(wanted));
    })?;
    if !common.quiet {
        status(
            "Baking",
            format_args!("{} of {}, beside the lock", args.target.join(", "), found.name()),
        );
    }
    let baked = bake_recipe(&recipe, &options(args, common))?;
    if !common.quiet {
        status(
            "Baked",
            summary(found.name(), &baked.report, folder_bytes(&baked.adapter), baked.reused),
        );
    }
    say!("{}", baked.adapter.display());
    Ok(ExitCode::SUCCESS)
}
