//! `cargo bake`: bakes what is stale.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use bake_runtime::{BakeOptions, Interrupt, Report, Silent, Verdict, bake_recipe};
use bake_spec::check::Gate;
use bake_spec::diagnostics::did_you_mean;
use bake_spec::lock::{AdapterPlace, Locked, State, VENDOR_DIR};
use bake_spec::model::Identity;
use bake_spec::recipe::Recipe;
use bake_spec::store::{folder_bytes, hash_folder};
use bake_spec::{Hash, Store};

use super::{NotFound, checkpoint, figures, similar_command, test, vendor};
use crate::args::{BakeArgs, Common};
use crate::terminal::{ShownProgress, bytes, error, next_step, noun, say, seconds, status};
use crate::workspace::{DeclaredBake, Models, Package, packages, select};

pub(crate) fn run(args: &BakeArgs, common: &Common) -> Result<ExitCode> {
    let mut packages = match packages(common) {
        Ok(packages) => packages,
        // A misspelt command is reported even without a package.
        Err(e) => return Err(args.names.iter().find_map(|name| misspelt(name)).unwrap_or(e)),
    };
    let declared = |name: &String| {
        packages.iter().any(|package| !package.select(std::slice::from_ref(name)).is_empty())
    };
    let unknown = args.names.iter().find(|name| !declared(name));
    if let Some(error) = unknown.and_then(|name| misspelt(name)) {
        return Err(error);
    }
    let selected = select(&packages, &args.names)?;
    if !args.target.is_empty() {
        return scratch(&selected, args, common);
    }
    let order = in_order(&selected)?;
    let mut models = Models::default();
    let (mut baked, mut below) = (0, 0);
    for (root, name) in &order {
        let found = packages.iter().find(|package| package.root == *root);
        let Some((package, found)) = found.and_then(|package| Some((package, package.find(name)?)))
        else {
            bail!("`{name}` is no longer declared; run `cargo bake` again");
        };
        match bake_if_stale(package, found, &mut models, args, common)? {
            Ending::Fresh => {}
            Ending::Baked => baked += 1,
            Ending::BelowGate => below += 1,
        }
        // What is on top of it is declared by what is in its folder now.
        if package.is_parent(name) {
            packages = self::packages(common)?;
        }
    }
    for package in &packages {
        forget_undeclared(package, common)?;
    }
    if baked > 0 && !common.quiet {
        next_step("commit bake.lock and build; try the model with `cargo bake chat`");
    }
    Ok(if below == 0 { ExitCode::SUCCESS } else { ExitCode::from(BELOW_GATE) })
}

/// The selected bakes, by the folders of their packages and their names: each after the one that it
/// is on top of.
fn in_order(selected: &[(&Package, DeclaredBake<'_>)]) -> Result<Vec<(PathBuf, String)>> {
    let mut order: Vec<(PathBuf, String)> = Vec::new();
    for (package, found) in selected {
        let mut line = vec![found.name().to_owned()];
        while let Some(parent) = package.parent(&line[line.len() - 1]) {
            if line.contains(&parent) {
                let (others, last) = line.split_at(line.len() - 1);
                bail!(
                    "the `parent`s of `{}` and `{}` form a cycle; remove the `parent` of one of \
                     them",
                    others.join("`, `"),
                    last[0]
                );
            }
            line.push(parent);
        }
        for name in line.into_iter().rev() {
            let is_selected =
                selected.iter().any(|(of, it)| of.root == package.root && it.name() == name);
            let one = (package.root.clone(), name);
            if is_selected && !order.contains(&one) {
                order.push(one);
            }
        }
    }
    Ok(order)
}

/// The exit code where something was baked that is below its gate.
const BELOW_GATE: u8 = 3;

/// What became of a bake.
enum Ending {
    /// It was up to date.
    Fresh,
    /// It was made, and the lock names it.
    Baked,
    /// It was made, but does not reach what its gate wants.
    BelowGate,
}

/// The error for a name that is like a command's.
fn misspelt(name: &str) -> Option<anyhow::Error> {
    let meant = similar_command(name)?;
    let message =
        format!("there is no command or bake `{name}`; did you mean `cargo bake {meant}`?");
    Some(NotFound(message).into())
}

/// Makes a bake unless it is up to date.
fn bake_if_stale(
    package: &Package,
    found: DeclaredBake<'_>,
    models: &mut Models,
    args: &BakeArgs,
    common: &Common,
) -> Result<Ending> {
    let name = found.name();
    if !common.locked()
        && let Some(AdapterPlace::Elsewhere { folder, .. }) = package.adapter_place(name)?
    {
        restore(package, name, &folder, common)?;
    }
    let state = package.state(found, models)?;
    if state.state == State::Fresh && !args.fresh {
        if !common.locked() {
            note_model(package, found)?;
        }
        if !common.quiet {
            status("Fresh", format_args!("{name} ({})", package.name));
            if let Some(lacking) = checkpoint::lacking(package, found) {
                status("", lacking);
            }
        }
        return if common.locked() {
            Ok(Ending::Fresh)
        } else {
            judge_again(package, found, args, common)
        };
    }
    if common.locked() {
        bail!(
            "{}; --locked forbids baking it, so run `cargo bake` without --locked",
            package.not_fresh(&state)
        );
    }
    if !common.quiet {
        let why = match state.state {
            State::Fresh => "--fresh".to_owned(),
            _ => state.summary(),
        };
        status("Baking", format_args!("{name} ({}): {why}", package.name));
    }
    let Some(locked) = bake(package, found, args, common)? else {
        return Ok(Ending::BelowGate);
    };
    // What is finished is recorded, whatever happens to the next, alongside what other processes
    // have recorded.
    package.update_lock(|lock| lock.insert(name, locked))?;
    Ok(Ending::Baked)
}

/// Judges a fresh bake by what is expected of it now, if that has changed.
fn judge_again(
    package: &Package,
    found: DeclaredBake<'_>,
    args: &BakeArgs,
    common: &Common,
) -> Result<Ending> {
    let (name, recipe) = (found.name(), &found.declared.recipe);
    let judged = judged_by(found);
    let locked = package.lock.bakes.get(name).filter(|locked| locked.judged != Some(judged));
    let adapter =
        locked.and_then(|locked| locked.find_adapter(&package.root, &Store::user().ok()?));
    let Some((locked, adapter)) = locked.zip(adapter) else { return Ok(Ending::Fresh) };
    let verdict = test::verdict(recipe, &adapter, common)?;
    if !verdict.expectations.is_empty() && !common.quiet {
        for line in test::after_bake(&verdict, None) {
            status("", line);
        }
    }
    let shortfalls = test::shortfalls(&verdict, found.declared.gate, locked);
    if !shortfalls.is_empty() && !args.accept {
        refuse(name, &shortfalls, "bake.lock still records it", &adapter);
        return Ok(Ending::BelowGate);
    }
    package.update_lock(|lock| {
        if let Some(locked) = lock.bakes.get_mut(name) {
            test::record(locked, &verdict, judged);
        }
    })?;
    Ok(Ending::Fresh)
}

fn judged_by(found: DeclaredBake<'_>) -> Hash {
    let Gate { expects, kl } = found.declared.gate;
    found.declared.recipe.judged_by(expects, kl)
}

/// Notes where the model of a fresh bake is now: one that is declared in another way, but has the
/// same bytes, is the same model, and builds compare what the lock says of it.
fn note_model(package: &Package, found: DeclaredBake<'_>) -> Result<()> {
    let source = &found.declared.recipe.model;
    let Some(now) = Identity::of(&package.root, source) else { return Ok(()) };
    let noted = |locked: &Locked| {
        locked.model.source == source.to_string() && now.matches(&locked.identity())
    };
    if package.lock.bakes.get(found.name()).is_none_or(noted) {
        return Ok(());
    }
    package.update_lock(|lock| {
        if let Some(locked) = lock.bakes.get_mut(found.name()) {
            locked.model.source = source.to_string();
            // Weights that are not on this machine tell nothing of those that were.
            if now.weights.is_some() || now.files != locked.model.files {
                locked.model.weights = now.weights;
            }
            locked.model.files = now.files;
        }
    })
}

/// Replaces a copy in the package that is not the adapter that the lock names.
fn restore(package: &Package, name: &str, adapter: &Path, common: &Common) -> Result<()> {
    vendor::refresh(package, name, adapter)?;
    if !common.quiet {
        status(
            "Restored",
            format_args!(
                "{VENDOR_DIR}/{name} ({}) from the store: it did not match bake.lock",
                package.name
            ),
        );
    }
    Ok(())
}

/// Removes what is no longer declared from the lock.
fn forget_undeclared(package: &Package, common: &Common) -> Result<()> {
    let declared = package.select(&[]);
    let is_declared = |name: &String| declared.iter().any(|found| found.name() == name);
    let gone: Vec<&str> =
        package.lock.bakes.keys().filter(|name| !is_declared(name)).map(String::as_str).collect();
    if gone.is_empty() {
        return Ok(());
    }
    if common.locked() {
        bail!(
            "bake.lock lists bakes that `{}` no longer declares, and --locked forbids changing it; \
             run `cargo bake` without --locked",
            package.name
        );
    }
    // Only what was there when the declarations were read: another process may have added more.
    package.update_lock(|lock| {
        lock.bakes.retain(|name, _| is_declared(name) || !package.lock.bakes.contains_key(name));
    })?;
    if !common.quiet {
        status("Removed", format_args!("{} from bake.lock: no longer declared", gone.join(", ")));
    }
    Ok(())
}

fn options(args: &BakeArgs, common: &Common) -> BakeOptions {
    let options = BakeOptions::new().device(common.device).interrupt(Interrupt::on_ctrl_c());
    let options = args.room.set(if args.fresh { options.fresh() } else { options });
    if common.quiet {
        options.progress(Silent)
    } else {
        options.progress(ShownProgress::new(common))
    }
}

/// Bakes one, and returns what the lock should record of it; nothing where it is below its gate.
fn bake(
    package: &Package,
    found: DeclaredBake<'_>,
    args: &BakeArgs,
    common: &Common,
) -> Result<Option<Locked>> {
    let recipe = &found.declared.recipe;
    let begin = Instant::now();
    let baked = bake_recipe(recipe, &options(args, common))?;
    let (hash, config) = baked.model;
    let identity = Identity::of(&package.root, &recipe.model);
    let Some(identity) = identity else {
        bail!("the model of `{}` was removed during the bake", recipe.name)
    };
    let mut locked = Locked::new(recipe, hash, &identity, &config);
    locked.adapter = hash_folder(&baked.adapter)?;
    locked.bytes = folder_bytes(&baked.adapter);
    figures::record(&mut locked, &baked.report);
    if !common.quiet {
        say_baked(recipe, &baked.report, locked.bytes, begin, baked.reused);
        say_targets(&baked.report, common);
    }
    let verdict = test::verdict(recipe, &baked.adapter, common)?;
    test::record(&mut locked, &verdict, judged_by(found));
    if !common.quiet {
        for line in test::after_bake(&verdict, Some(&baked.report)) {
            status("", line);
        }
    }
    let shortfalls = test::shortfalls(&verdict, found.declared.gate, &locked);
    let before = package.lock.bakes.get(found.name());
    // What was accepted once, and is made again elsewhere, is still accepted.
    let accepted =
        |before: &Locked| before.adapter == locked.adapter && before.judged == locked.judged;
    if !shortfalls.is_empty() && !args.accept && !before.is_some_and(accepted) {
        let kept = match before {
            Some(_) => "bake.lock still records the previous one",
            None => "it was not recorded in bake.lock",
        };
        refuse(&recipe.name, &shortfalls, kept, &baked.adapter);
        return Ok(None);
    }
    vendor::refresh(package, &recipe.name, &baked.adapter)?;
    Ok(Some(locked))
}

/// Says why a bake is not good enough, and what the lock names.
fn refuse(name: &str, shortfalls: &[String], kept: &str, adapter: &Path) {
    error(&anyhow!(
        "`{name}` missed its gate: {}; {kept} (its adapter is in {}); add `questions` phrased as \
         users would ask, try another model, or accept it anyway with `cargo bake --accept`",
        shortfalls.join(", and "),
        adapter.display()
    ));
}

/// Says how close the model came to its teacher.
fn say_baked(recipe: &Recipe, report: &Report, size: u64, begin: Instant, reused: bool) {
    let Report { kl_before, kl_after, .. } = report;
    let how = match reused {
        true => ": found in the store".to_owned(),
        false => format!(" in {}", seconds(begin.elapsed().as_secs_f64())),
    };
    status("Baked", format_args!("{}{how} (adapter: {})", recipe.name, bytes(size)));
    status(
        "",
        format_args!("KL to the teacher: {kl_after:.4} nats per token (before: {kl_before:.3})"),
    );
    if let Some(lowest) = report.held_out.get(report.best_epoch() - 1) {
        status(
            "",
            format_args!(
                "on held-out questions: {lowest:.4} after epoch {} of {} (this epoch was kept)",
                report.best_epoch(),
                report.epochs.len()
            ),
        );
    }
    for round in &report.rounds {
        status("", format_args!("further round: {round}"));
    }
    if !report.checkpoints.is_empty() {
        status("", format_args!("kept {}", checkpoint::line(report.checkpoints.len())));
    }
    if *kl_after > FAR {
        let trained_to_the_end = report.best_epoch() == recipe.train.epochs;
        let help = if trained_to_the_end {
            "more `epochs`, or more questions, would help"
        } else {
            "more questions would help"
        };
        status("", format_args!("a KL of more than {FAR} is high; {help}"));
    }
}

/// A divergence from the teacher, in nats per token, above which facts are likely to be missing.
const FAR: f64 = 0.1;

/// Says what each target was learned from, where more is to be said.
fn say_targets(report: &Report, common: &Common) {
    for target in report.targets.iter().filter(|_| common.verbose > 0) {
        let learned = target.answered.learned;
        status(
            "",
            format_args!(
                "{}: {} {}, {} {}; trained on {learned} {} ({} {}); the prompt has {} {}",
                target.name,
                target.stimuli,
                noun(target.stimuli, "stimulus", "stimuli"),
                target.rollouts,
                noun(target.rollouts, "rollout", "rollouts"),
                noun(learned, "answer", "answers"),
                target.tokens,
                noun(target.tokens, "token", "tokens"),
                target.prompt_tokens,
                noun(target.prompt_tokens, "token", "tokens"),
            ),
        );
    }
}

/// Bakes some targets of one declaration into a separate adapter, which no lock names.
fn scratch(
    selected: &[(&Package, DeclaredBake<'_>)],
    args: &BakeArgs,
    common: &Common,
) -> Result<ExitCode> {
    let has = |found: &DeclaredBake<'_>, name: &String| {
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
            match args.target.iter().find(|name| !known.contains(&name.as_str())) {
                Some(name) => {
                    let hint = did_you_mean(name, &known);
                    return Err(NotFound(format!("no bake has a target `{name}`; {hint}")).into());
                }
                None => bail!(
                    "no bake has all of the targets `{}`; name only targets of one bake",
                    args.target.join("`, `")
                ),
            }
        }
        _ => bail!(
            "several bakes have a target `{}`; name the bake too, as in `cargo bake NAME --target \
             …`",
            args.target.join("` and a target `")
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
            format_args!(
                "{} of {} (not recorded in bake.lock)",
                args.target.join(", "),
                found.name()
            ),
        );
    }
    let begin = Instant::now();
    let baked = bake_recipe(&recipe, &options(args, common))?;
    if !common.quiet {
        let size = folder_bytes(&baked.adapter);
        say_baked(&recipe, &baked.report, size, begin, baked.reused);
        say_targets(&baked.report, common);
        let unasked = Verdict { expectations: Vec::new() };
        for line in test::after_bake(&unasked, Some(&baked.report)) {
            status("", line);
        }
    }
    say!("{}", baked.adapter.display());
    Ok(ExitCode::SUCCESS)
}
