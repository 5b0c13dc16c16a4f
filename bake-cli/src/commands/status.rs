//! `cargo bake status` and `cargo bake check`: which bakes are stale, and why.

use std::process::ExitCode;

use anyhow::Result;
use bake_spec::Store;
use bake_spec::lock::{BakeState, LockedDrift, LockedExpects, LockedRecall, State};
use serde::Serialize;

use super::checkpoint;
use super::figures::{self, PromptedBy};
use crate::args::{Common, ListArgs};
use crate::json;
use crate::terminal::{self, say};
use crate::workspace::{Models, packages, select};

#[derive(Serialize)]
struct BakeStatus {
    package: String,
    #[serde(flatten)]
    state: BakeState,
    /// Which expectations were met when last tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    expects: Option<LockedExpects>,
    /// How it answered what was held out of training.
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<LockedRecall>,
    /// How far it had moved on the questions of its anchors.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<LockedDrift>,
    /// How many numbered checkpoints it has.
    #[serde(skip_serializing_if = "is_zero")]
    checkpoints: usize,
    #[serde(skip)]
    prompted_by: PromptedBy,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn states(names: &[String], common: &Common) -> Result<Vec<BakeStatus>> {
    let (packages, mut models) = (packages(common)?, Models::default());
    let mut states = Vec::new();
    for (package, found) in select(&packages, names)? {
        let locked = package.lock.bakes.get(found.name());
        let adapter =
            locked.and_then(|locked| locked.find_adapter(&package.root, &Store::user().ok()?));
        states.push(BakeStatus {
            package: package.name.clone(),
            state: package.state(found, &mut models)?,
            expects: locked.and_then(|locked| locked.expects),
            recall: locked.and_then(|locked| locked.recall),
            drift: locked.and_then(|locked| locked.drift),
            checkpoints: adapter.map_or(Ok(0), |adapter| checkpoint::count(&adapter))?,
            prompted_by: locked.map(PromptedBy::targets_in).unwrap_or_default(),
        });
    }
    // What is still in the lock but no longer declared would be removed by `cargo bake`.
    for package in packages.iter().filter(|_| names.is_empty()) {
        let declared = package.select(&[]);
        for name in package
            .lock
            .bakes
            .keys()
            .filter(|name| !declared.iter().any(|found| found.name() == **name))
        {
            let why = vec!["it is no longer declared".to_owned()];
            let state =
                BakeState { name: name.clone(), state: State::Stale, why, targets: Vec::new() };
            let package = package.name.clone();
            states.push(BakeStatus {
                package,
                state,
                expects: None,
                recall: None,
                drift: None,
                checkpoints: 0,
                prompted_by: PromptedBy::default(),
            });
        }
    }
    Ok(states)
}

pub(crate) fn run(args: &ListArgs, common: &Common) -> Result<ExitCode> {
    let bakes = states(&args.names.names, common)?;
    if args.json.json {
        json::print_bakes(&bakes)?;
        return Ok(ExitCode::SUCCESS);
    }
    for bake in &bakes {
        say(bake);
    }
    if bakes.iter().any(|bake| bake.state.state != State::Fresh) && !common.quiet {
        terminal::next_step("run `cargo bake` to bake what is stale or missing");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(args: &ListArgs, common: &Common) -> Result<ExitCode> {
    let bakes = states(&args.names.names, common)?;
    let fresh = bakes.iter().all(|bake| bake.state.state == State::Fresh);
    if args.json.json {
        json::print_bakes(&bakes)?;
    } else if !common.quiet {
        for bake in
            bakes.iter().filter(|bake| common.verbose > 0 || bake.state.state != State::Fresh)
        {
            say(bake);
        }
    }
    if fresh {
        return Ok(ExitCode::SUCCESS);
    }
    if !common.quiet {
        terminal::next_step("run `cargo bake` and commit the result");
    }
    Ok(ExitCode::from(1))
}

fn say(bake: &BakeStatus) {
    let BakeStatus { package, state: bake, expects, recall, drift, checkpoints, prompted_by } =
        bake;
    let word = |state: State| match state {
        State::Fresh => terminal::rated("fresh", true),
        State::Stale => terminal::rated("stale", false),
        State::Missing => terminal::rated("missing", false),
    };
    let why =
        if bake.why.is_empty() { String::new() } else { format!(": {}", bake.why.join("; ")) };
    say!("{} ({package}) {}{why}", bake.name, word(bake.state));
    for target in &bake.targets {
        let own = if target.own.is_empty() { String::new() } else { format!(": {}", target.own) };
        say!("    {} {}{own}", target.name, word(target.state));
    }
    if let Some(expects) = expects {
        say!("    {}", in_words(expects, *prompted_by));
    }
    if let Some(recall) = recall {
        say!("    {}", figures::recall(*recall));
    }
    if let Some(drift) = drift {
        say!("    {}", figures::drift(*drift));
    }
    if *checkpoints > 0 {
        say!("    {}", checkpoint::line(*checkpoints));
    }
}

/// Which expectations were met, in one sentence.
fn in_words(expects: &LockedExpects, prompted_by: PromptedBy) -> String {
    let LockedExpects { asked, base, prompted, prompted_asked, baked, .. } = *expects;
    let of = |of: usize| if of == asked { String::new() } else { format!(" of {of}") };
    let mut words = format!(
        "expectations met when last tested: baked {baked} of {asked}, base {base}, {prompted_by} \
         {prompted}{}",
        of(prompted_asked.unwrap_or(asked))
    );
    let passage = expects.prompted_with_passage.zip(expects.prompted_with_passage_asked);
    if let Some((right, asked)) = passage.filter(|(_, asked)| *asked > 0) {
        words += &format!(", with the right passage {right}{}", of(asked));
    }
    words
}
