//! `cargo bake explain`: a page about an error or a setting.

use std::process::ExitCode;

use anyhow::{Result, bail};
use bake_spec::diagnostics::{Code, did_you_mean};
use bake_spec::settings::{ITEMS, SETTINGS};
use serde::Serialize;

use crate::args::Common;
use crate::terminal;

#[derive(Serialize)]
struct Page {
    name: String,
    page: String,
}

pub(crate) fn run(what: &str, common: &Common) -> Result<ExitCode> {
    // `B7` and `b0007` are B0007.
    let number = what.strip_prefix(['B', 'b']).and_then(|digits| digits.parse::<u16>().ok());
    let code = Code::all().find(|code| Some(*code as u16) == number);
    let settings = || SETTINGS.iter().filter(|setting| setting.name == what);
    let item = ITEMS.iter().find(|(name, ..)| *name == what);
    let page = match (code, item) {
        (Some(code), _) => code.page().to_owned(),
        (None, Some((_, _, help))) => format!("{help}\n"),
        (None, None) if settings().next().is_some() => {
            settings().map(|setting| format!("{}\n", setting.page())).collect::<Vec<_>>().join("\n")
        }
        (None, None) => {
            let codes: Vec<String> = Code::all().map(|code| code.to_string()).collect();
            let mut known: Vec<&str> = SETTINGS
                .iter()
                .map(|setting| setting.name)
                .chain(ITEMS.iter().map(|(name, ..)| *name))
                .collect();
            known.sort_unstable();
            known.dedup();
            match (number.is_some(), codes.first(), codes.last()) {
                (true, Some(first), Some(last)) => {
                    bail!("there is no error {what}; the codes are {first} to {last}")
                }
                _ => bail!(
                    "there is no setting and no error `{what}`; {}",
                    did_you_mean(what, &known)
                ),
            }
        }
    };
    if common.json {
        terminal::json(&Page { name: what.to_owned(), page })?;
    } else {
        terminal::print(format_args!("{page}"));
    }
    Ok(ExitCode::SUCCESS)
}
