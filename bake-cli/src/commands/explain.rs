//! `cargo bake explain`: a page about an error or a setting, or the list of pages.

use std::process::ExitCode;

use anyhow::Result;
use bake_spec::diagnostics::Code;
use bake_spec::settings::pages;
use serde::Serialize;

use super::NotFound;
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
    let page = page(what).map_err(NotFound)?;
    if as_json {
        json::print(&Page { name: what.clone(), page })?;
    } else {
        terminal::print(format_args!("{page}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The page about a code or a word, or why there is none.
fn page(what: &str) -> Result<String, String> {
    // `7`, `B7`, `b0007` and `E0007` are B0007.
    let digits = what.strip_prefix(['B', 'b', 'E', 'e']).unwrap_or(what);
    if let Ok(number) = digits.parse::<u16>() {
        let codes: Vec<Code> = Code::all().collect();
        let code = codes.iter().find(|code| **code as u16 == number);
        return match (code, &codes[..]) {
            (Some(code), _) => Ok(code.page().to_owned()),
            (None, [first, .., last]) => {
                Err(format!("there is no error {what}; the codes are {first} to {last}"))
            }
            _ => Err(format!("there is no error {what}")),
        };
    }
    pages::page(what).ok_or_else(|| {
        let hint = match pages::meant(what) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`cargo bake explain` lists them all".to_owned(),
        };
        format!("there is no setting or error `{what}`; {hint}")
    })
}

fn pages() -> Pages {
    let error = |code: Code| {
        let title = code.page().lines().next().unwrap_or_default();
        let about = title.split_once(": ").map_or(title, |(_, about)| about);
        Entry { name: code.to_string(), about: about.to_owned() }
    };
    let setting = |name: &str| Entry { name: name.to_owned(), about: pages::line(name) };
    Pages {
        errors: Code::all().map(error).collect(),
        settings: pages::names().into_iter().map(setting).collect(),
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
