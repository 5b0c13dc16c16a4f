//! `cargo bake show`: what a bake was made from, and how its training went.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bake_runtime::{
    BakeOptions, Dropped, Report, RolloutProduct, Stimulus, StimulusProducts, TargetProducts,
};
use bake_spec::file;
use serde::Serialize;

use crate::args::{Common, Show, Shown};
use crate::json;
use crate::terminal::{self, Harmless, noun, say};
use crate::workspace::{DeclaredBake, Package, packages, select};

#[derive(Serialize)]
struct ShownBake<T> {
    name: String,
    #[serde(flatten)]
    shown: T,
}

#[derive(Serialize)]
struct Products {
    targets: Vec<TargetProducts>,
}

pub(crate) fn run(args: &Show, common: &Common) -> Result<ExitCode> {
    let packages = packages(common)?;
    let selected = select(&packages, &args.names.names)?;
    match args.what {
        Shown::Metrics => metrics(&selected, args.json.json)?,
        Shown::Stimuli | Shown::Rollouts => {
            products(&selected, matches!(args.what, Shown::Rollouts), args.json.json, common)?
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn products(
    selected: &[(&Package, DeclaredBake<'_>)],
    with_rollouts: bool,
    as_json: bool,
    common: &Common,
) -> Result<()> {
    let options = BakeOptions::new().device(common.device);
    let mut bakes = Vec::new();
    for (_, found) in selected {
        let mut targets = bake_runtime::products(&found.declared.recipe, &options)?;
        if !with_rollouts {
            for stimulus in targets.iter_mut().flat_map(|target| &mut target.stimuli) {
                (stimulus.rollouts, stimulus.own) = (None, None);
            }
        }
        bakes.push(ShownBake { name: found.name().to_owned(), shown: Products { targets } });
    }
    if as_json {
        return json::print_bakes(&bakes);
    }
    for ShownBake { name, shown } in &bakes {
        for target in &shown.targets {
            show_target(name, target, with_rollouts);
        }
    }
    Ok(())
}

fn show_target(bake: &str, target: &TargetProducts, with_rollouts: bool) {
    let TargetProducts { target: name, stimuli, dropped, complete, generators } = target;
    let count = stimuli.len();
    say!("{bake}, {name}: {count} {}", noun(count, "stimulus", "stimuli"));
    for report in generators {
        for line in [report.shortfall(), report.dropped()].into_iter().flatten() {
            say!("    {line}");
        }
    }
    for StimulusProducts { stimulus, rollouts, own } in stimuli {
        say!("    {}  {}", origin(stimulus), Harmless(&stimulus.text));
        for RolloutProduct { text, left_out } in rollouts.iter().flatten() {
            let why = left_out.map(|why| format!("[{why}] ")).unwrap_or_default();
            let text = text.trim().replace('\n', "\n        ");
            say!("        {why}{}", Harmless(&text));
        }
        if let Some(own) = own {
            say!("        [instead] {}", Harmless(own.trim()));
        }
    }
    for Dropped { stimulus, why } in dropped {
        say!("    {}  {} - dropped: {why}", origin(stimulus), Harmless(&stimulus.text));
    }
    let lacks_rollouts = with_rollouts && stimuli.iter().any(|s| s.rollouts.is_none());
    if !complete || lacks_rollouts {
        say!(
            "    the rest is not in this store; run `cargo bake`, or `cargo bake --fresh` if it is \
             already baked"
        );
    }
}

/// What made a stimulus, and the bytes of the document that it was made from.
fn origin(stimulus: &Stimulus) -> String {
    let place = stimulus.passage.as_ref();
    let place = place.map_or_else(String::new, |span| format!("{}..{}", span.start, span.end));
    format!("{:<12} {place:<12}", stimulus.generator.name())
}

fn metrics(selected: &[(&Package, DeclaredBake<'_>)], as_json: bool) -> Result<()> {
    let mut bakes = Vec::new();
    for (package, found) in selected {
        let path = package.adapter(found.name())?.join("bake.json");
        let text = file::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let report: Report = serde_json::from_str(&text)
            .with_context(|| format!("{} is not the report of a bake", path.display()))?;
        bakes.push(ShownBake { name: found.name().to_owned(), shown: report });
    }
    if as_json {
        return json::print_bakes(&bakes);
    }
    for ShownBake { name, shown: report } in &bakes {
        say!(
            "{name}, KL to the teacher: {:.4} nats per token (before: {:.3})",
            report.kl_after,
            report.kl_before
        );
        for target in &report.targets {
            let learned = target.answered.learned;
            say!(
                "    {:<20} {:>5} {}, {:>5} {}; trained on {learned} {} of {:.1} tokens",
                target.name,
                target.stimuli,
                noun(target.stimuli, "stimulus", "stimuli"),
                target.rollouts,
                noun(target.rollouts, "rollout", "rollouts"),
                noun(learned, "answer", "answers"),
                target.tokens as f64 / learned.max(1) as f64,
            );
            if let Some(left_out) = target.answered.left_out() {
                say!("    {:<20} dropped rollouts: {left_out}", "");
            }
            if let Some(probes) = &target.probes {
                say!("    {:<20} {probes}", "");
            }
            for report in &target.generators {
                let made = format!("{} by `{}`", report.made, report.generator);
                let said = [Some(made), report.shortfall(), report.dropped()];
                say!(
                    "    {:<20} {}",
                    "",
                    said.into_iter().flatten().collect::<Vec<_>>().join("; ")
                );
            }
        }
        terminal::print(format_args!("{}", curve(&report.epochs)));
        if !report.held_out.is_empty() {
            say!(
                "on held-out questions, after each epoch (epoch {} was kept):",
                report.best_epoch()
            );
            terminal::print(format_args!("{}", curve(&report.held_out)));
        }
        if !report.checkpoints.is_empty() {
            say!("checkpoints (try one with `cargo bake chat --checkpoint NUMBER`):");
        }
        for kept in &report.checkpoints {
            let is_last = (kept.round, kept.epoch) == report.end();
            say!("    {:>4}  {kept}{}", kept.number, if is_last { "; the adapter" } else { "" });
        }
    }
    Ok(())
}

/// The lines of a chart, and the most columns.
const HEIGHT: usize = 8;
const WIDTH: usize = 64;

/// The mean loss of each epoch as a chart whose scale is logarithmic.
fn curve(epochs: &[f64]) -> String {
    let finite = || epochs.iter().copied().filter(|loss| loss.is_finite() && *loss > 0.0);
    let (Some(high), Some(low)) = (finite().reduce(f64::max), finite().reduce(f64::min)) else {
        return String::new();
    };
    let per_column = epochs.len().div_ceil(WIDTH);
    let columns: Vec<f64> = epochs
        .chunks(per_column)
        .map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64)
        .collect();
    let span = (high / low).ln().max(1e-9);
    // In eighths of a line; the lowest value gets one.
    let eighths = |loss: f64| {
        1 + ((loss.max(low) / low).ln() / span * (8 * HEIGHT - 1) as f64).round() as usize
    };
    let mut chart = String::new();
    for line in (0..HEIGHT).rev() {
        let label = match line {
            _ if line == HEIGHT - 1 => format!("{high:>10.4} "),
            0 => format!("{low:>10.4} "),
            _ => " ".repeat(11),
        };
        let bar = |loss: &f64| {
            [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
                [eighths(*loss).saturating_sub(8 * line).min(8)]
        };
        chart += &format!("{label}│{}\n", columns.iter().map(bar).collect::<String>());
    }
    chart + &format!("{:>11}└{} epoch {}\n", "", "─".repeat(columns.len()), epochs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_from_the_top_to_the_bottom() {
        let chart = curve(&[8.0, 4.0, 2.0, 1.0]);
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(lines.len(), HEIGHT + 1);
        assert_eq!(lines[0], "    8.0000 │█   ");
        assert_eq!(lines[HEIGHT - 1], "    1.0000 │███▁");
        assert_eq!(curve(&[]), "");
        assert_eq!(curve(&[0.0, f64::NAN]), "");
        assert!(curve(&vec![1.0; 1000]).lines().all(|line| line.chars().count() < 100));
    }
}
