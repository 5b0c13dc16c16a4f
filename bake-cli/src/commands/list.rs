//! `cargo bake list`: what is declared.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::args::{Common, Json};
use crate::json;
use crate::terminal::say;
use crate::workspace::{declared_packages, select};

#[derive(Serialize)]
struct ListedBake {
    name: String,
    package: String,
    file: String,
    /// The `#[cfg(…)]` under which it is compiled at all.
    conditions: Vec<String>,
    model: String,
    targets: Vec<ListedTarget>,
}

#[derive(Serialize)]
struct ListedTarget {
    name: String,
    anchor: bool,
    document: Option<String>,
    share: f64,
}

pub(crate) fn run(args: &Json, common: &Common) -> Result<ExitCode> {
    let packages = declared_packages(common)?;
    let mut bakes = Vec::new();
    for (package, found) in select(&packages, &[])? {
        let recipe = &found.declared.recipe;
        let target = |(target, share): (&bake_spec::recipe::Target, f64)| ListedTarget {
            name: target.name.to_string(),
            anchor: target.anchor,
            document: target.document.as_ref().map(|document| document.path.to_string()),
            share,
        };
        bakes.push(ListedBake {
            name: recipe.name.to_string(),
            package: package.name.clone(),
            file: found.file.display().to_string(),
            conditions: found.declared.conditions(),
            model: recipe.model.to_string(),
            targets: recipe.targets.iter().zip(recipe.shares()).map(target).collect(),
        });
    }
    if args.json {
        json::print_bakes(&bakes)?;
        return Ok(ExitCode::SUCCESS);
    }
    for bake in bakes {
        let ListedBake { name, package, file, conditions, model, .. } = &bake;
        let under = match conditions[..] {
            [] => String::new(),
            _ => format!(", only under {}", conditions.join(" ")),
        };
        say!("{name} ({package}, {file}), model {model}{under}");
        for ListedTarget { name, anchor, document, share } in bake.targets {
            let what = document.unwrap_or_else(|| {
                if anchor { "an anchor".to_owned() } else { "a prompt".to_owned() }
            });
            say!("    {name:<20} {:>5.1} %  {what}", 100.0 * share);
        }
    }
    Ok(ExitCode::SUCCESS)
}
