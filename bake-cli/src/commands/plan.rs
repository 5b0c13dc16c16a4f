//! `cargo bake plan`: what baking will take.

use std::process::ExitCode;

use anyhow::Result;
use bake_runtime::{Plan, plan};
use serde::Serialize;

use crate::args::Common;
use crate::terminal::{self, say, seconds};
use crate::workspace::{Models, packages, select};

#[derive(Serialize)]
struct Bake {
    name: String,
    state: bake_spec::lock::State,
    #[serde(flatten)]
    plan: Plan,
}

pub(crate) fn run(names: &[String], common: &Common) -> Result<ExitCode> {
    let (packages, mut models) = (packages(common)?, Models::default());
    let mut bakes = Vec::new();
    for (package, found) in select(&packages, names)? {
        let state = package.state(found, &mut models)?.state;
        bakes.push(Bake {
            name: found.name().to_owned(),
            state,
            plan: plan(&found.declared.recipe, common.device)?,
        });
    }
    if common.json {
        terminal::json_of_bakes(&bakes)?;
        return Ok(ExitCode::SUCCESS);
    }
    for Bake { name, state, plan } in &bakes {
        let fresh = *state == bake_spec::lock::State::Fresh;
        say!("{name}{}", if fresh { " (fresh: there is nothing to do)" } else { "" });
        for target in &plan.targets {
            say!(
                "    {:<20} {:>5} prompt tokens, {:>5} questions ({} written, {} asked), {:>5} \
                 answers of at most {} tokens",
                target.name,
                target.prompt_tokens,
                target.written + target.asked,
                target.written,
                target.asked,
                target.answers,
                target.max_tokens,
            );
        }
        let [questions, answers, states, training] = plan.seconds;
        say!(
            "    questions {}, answers {}, teacher states {}, training {}",
            seconds(questions),
            seconds(answers),
            seconds(states),
            seconds(training)
        );
        say!(
            "    {} steps of an adapter of {} numbers; about {} and {} of memory",
            plan.steps,
            plan.adapter_parameters,
            seconds(plan.duration().as_secs_f64()),
            plan.memory(),
        );
    }
    Ok(ExitCode::SUCCESS)
}
