//! `cargo bake explain`: a page about an error or a setting, or the list of pages.

use std::process::ExitCode;

use anyhow::{Result, bail};
use bake_spec::diagnostics::{Code, similar};
use bake_spec::settings::{ITEMS, SETTINGS};
use serde::Serialize;

use crate::args::Explain;
use crate::json;
use crate::terminal::{self, say};

#[derive(Serialize)]
struct Page {
    name: String,
    page: String,
}

#[derive(Serialize)]
struct Pages {
    errors: Vec<Entry>,
    settings: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    about: String,
}

pub(crate) fn run(args: &Explain) -> Result<ExitCode> {
    let as_json = args.json.json;
    let Some(what) = &args.what else {
        let pages = pages();
        if as_json {
            json::print(&pages)?;
        } else {
            list(&pages);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let page = page(what)?;
    if as_json {
        json::print(&Page { name: what.clone(), page })?;
    } else {
        terminal::print(format_args!("{page}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn page(what: &str) -> Result<String> {
    // `B7` and `b0007` are B0007.
    let number = what.strip_prefix(['B', 'b']).and_then(|digits| digits.parse::<u16>().ok());
    if let Some(number) = number {
        let codes: Vec<Code> = Code::all().collect();
        let code = codes.iter().find(|code| **code as u16 == number);
        return match (code, &codes[..]) {
            (Some(code), _) => Ok(code.page().to_owned()),
            (None, [first, .., last]) => {
                bail!("there is no error {what}; the codes are {first} to {last}")
            }
            _ => bail!("there is no error {what}"),
        };
    }
    let item = ITEMS.iter().find(|(name, ..)| *name == what);
    let settings: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| setting.name == what)
        .map(|setting| format!("{}\n", setting.page()))
        .collect();
    match (item, settings.is_empty()) {
        (Some((_, _, help)), _) => Ok(format!("{help}\n")),
        (None, false) => Ok(settings.join("\n")),
        (None, true) => match similar(what, names()) {
            Some(meant) => {
                bail!("there is no setting or error `{what}`; did you mean `{meant}`?")
            }
            None => {
                bail!("there is no setting or error `{what}`; `cargo bake explain` lists them all")
            }
        },
    }
}

/// The names of all settings, each once, in order.
fn names() -> Vec<&'static str> {
    let settings = SETTINGS.iter().map(|setting| setting.name);
    let mut names: Vec<&str> = settings.chain(ITEMS.iter().map(|(name, ..)| *name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn pages() -> Pages {
    let error = |code: Code| {
        let title = code.page().lines().next().unwrap_or_default();
        let about = title.split_once(": ").map_or(title, |(_, about)| about);
        Entry { name: code.to_string(), about: about.to_owned() }
    };
    let setting = |name: &str| {
        let item = ITEMS.iter().find(|(item, ..)| *item == name).map(|(.., help)| *help);
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        let about = item.or(setting.map(|setting| setting.help)).unwrap_or_default();
        Entry { name: name.to_owned(), about: about.to_owned() }
    };
    Pages {
        errors: Code::all().map(error).collect(),
        settings: names().into_iter().map(setting).collect(),
    }
}

fn list(pages: &Pages) {
    for (title, entries) in [("Errors", &pages.errors), ("Settings", &pages.settings)] {
        say!("{title}:");
        for Entry { name, about } in entries {
            say!("    {name:<16} {about}");
        }
    }
}
