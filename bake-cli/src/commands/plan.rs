//! `cargo bake plan`: what baking will take, and what exists already.

use std::process::ExitCode;

use anyhow::Result;
use bake_runtime::{BakeOptions, Kept, Plan, PlannedSeconds, TargetPlan, plan};
use bake_spec::lock::State;
use serde::Serialize;

use crate::args::{Common, PlanArgs};
use crate::json;
use crate::terminal::{bytes, noun, say, seconds, status};
use crate::workspace::{Models, packages, select};

#[derive(Serialize)]
struct PlannedBake {
    name: String,
    state: State,
    #[serde(flatten)]
    plan: Plan,
}

pub(crate) fn run(args: &PlanArgs, common: &Common) -> Result<ExitCode> {
    let (packages, mut models) = (packages(common)?, Models::default());
    let mut bakes = Vec::new();
    let options = args.room.set(BakeOptions::new().device(common.device));
    for (package, found) in select(&packages, &args.bakes.names.names)? {
        let state = package.state(found, &mut models)?.state;
        // Answers are tried out, and a long document has many questions.
        if !args.bakes.json.json && !common.quiet {
            status("Planning", found.name());
        }
        let plan = plan(&found.declared.recipe, &options)?;
        // An adapter that is only in the package need not be made either.
        let plan = if state == State::Fresh { plan.with_adapter() } else { plan };
        bakes.push(PlannedBake { name: found.name().to_owned(), state, plan });
    }
    if args.bakes.json.json {
        json::print_bakes(&bakes)?;
        return Ok(ExitCode::SUCCESS);
    }
    for PlannedBake { name, state, plan } in &bakes {
        if plan.adapter_kept {
            say!(
                "{name} ({})",
                match state {
                    State::Fresh => "fresh: nothing to do",
                    _ => "the adapter is in the store and will be reused",
                }
            );
            plan.targets.iter().for_each(say_made);
            continue;
        }
        say!("{name}");
        plan.targets.iter().for_each(say_target);
        say_seconds(&plan.seconds);
        say!(
            "    at most {} steps on an adapter with {} parameters; estimated {} and {} of memory \
             (limit for activations: {})",
            plan.steps,
            plan.adapter_parameters,
            seconds(plan.seconds.sum()),
            plan.memory(),
            bytes(plan.activation_bytes),
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn say_seconds(planned: &PlannedSeconds) {
    let PlannedSeconds { probes, stimuli, rollouts, states, training, held_out } = *planned;
    say!(
        "    estimated time for what is missing: probes {}, stimuli {}, rollouts {}, teacher \
         states {}; training {}; held-out questions {}",
        seconds(probes),
        seconds(stimuli),
        seconds(rollouts),
        seconds(states),
        seconds(training),
        seconds(held_out),
    );
}

/// Says what the adapter of a target was made from.
fn say_made(target: &TargetPlan) {
    let TargetPlan { name, prompt_tokens, written, made, .. } = target;
    say!(
        "    {name:<20} {prompt_tokens:>5} prompt tokens, {:>5} stimuli ({written} written, \
         {made} generated)",
        written + made,
    );
}

fn say_target(target: &TargetPlan) {
    let TargetPlan { name, prompt_tokens, written, made, max_tokens, .. } = target;
    let (stimuli, rollouts) = (written + made, target.rollouts.kept + target.rollouts.to_make);
    say!(
        "    {name:<20} {prompt_tokens:>5} {}, {stimuli:>5} {} ({written} written, {made} \
         generated), {rollouts:>5} {} of at most {max_tokens} {}",
        noun(*prompt_tokens, "prompt token", "prompt tokens"),
        noun(stimuli, "stimulus", "stimuli"),
        noun(rollouts, "rollout", "rollouts"),
        noun(*max_tokens, "token", "tokens"),
    );
    let count = |Kept { kept, to_make }: Kept| format!("{kept} ready, {to_make} to make");
    say!(
        "    {:<20} stimuli {}; rollouts {}; teacher states {}",
        "",
        count(target.stimuli),
        count(target.rollouts),
        count(target.states),
    );
}
