//! Pages about the words of a declaration: what `cargo bake explain` shows.

use super::{CHECKS, ITEMS, SETTINGS, Scope, Setting};
use crate::diagnostics::{called_here, one_of, very_similar};
use crate::model::named::NamedModel;

/// The page about a word, in Markdown: about a keyword with the settings in its braces, and about
/// every setting of which it is a value.
pub fn page(word: &str) -> Option<String> {
    let mut parts = about(word);
    parts.extend(inside(word).into_iter().map(contents));
    for owner in owners(word) {
        parts.push(format!("`{word}` is a value of `{owner}`."));
        parts.extend(about(owner));
    }
    (!parts.is_empty()).then(|| parts.join("\n\n") + "\n")
}

/// The names of all keywords, each once, in order.
pub fn names() -> Vec<&'static str> {
    let settings = SETTINGS.iter().map(|setting| setting.name);
    let mut names: Vec<&str> = settings.chain(ITEMS.iter().map(|(name, ..)| *name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What a keyword is, in a line. If it has several meanings: the first, and where it has others.
pub fn line(name: &str) -> String {
    if let Some((.., help)) = ITEMS.iter().find(|(item, ..)| *item == name) {
        return (*help).to_owned();
    }
    let all: Vec<&Setting> = settings(name).collect();
    match &all[..] {
        [] => String::new(),
        [only] => only.help.to_owned(),
        [first, others @ ..] => {
            let places: Vec<&str> =
                others.iter().flat_map(|it| it.scopes).map(|scope| scope.name()).collect();
            format!("{} (also in {})", first.help, places.join(", "))
        }
    }
}

/// The word that was probably meant by one without a page.
pub fn meant(word: &str) -> Option<&'static str> {
    let values = values().into_iter().map(|(value, _)| value);
    let known = names().into_iter().chain(values).chain(["bake"]);
    called_here(word).or_else(|| very_similar(word, known))
}

fn settings(name: &str) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.name == name)
}

/// The meanings of a keyword.
fn about(name: &str) -> Vec<String> {
    let more = match name {
        "bake" => Some("`bake NAME { … }`: what is baked into one adapter".to_owned()),
        "expect" => Some(format!("A check is {}.", one_of(&CHECKS))),
        _ => None,
    };
    let item = ITEMS.iter().find(|(item, ..)| *item == name).map(|(.., help)| (*help).to_owned());
    item.into_iter().chain(more).chain(settings(name).map(Setting::page)).collect()
}

/// The places in the braces of a keyword, or after its name.
fn inside(name: &str) -> Vec<Scope> {
    let mut scopes = match name {
        "bake" => vec![Scope::Bake],
        "target" => vec![Scope::TargetHead, Scope::TargetBody],
        "anchor" => vec![Scope::AnchorHead, Scope::AnchorBody],
        _ => settings(name).filter_map(|setting| setting.kind.scope()).collect(),
    };
    scopes.dedup();
    scopes
}

/// What may be written in a place.
fn contents(scope: Scope) -> String {
    let mut text = format!("In {}:\n", scope.name());
    for (_, _, help) in ITEMS.iter().filter(|(_, scopes, _)| scopes.contains(&scope)) {
        text += &format!("\n- {help}");
    }
    for Setting { name, kind, default, help, later, .. } in
        SETTINGS.iter().filter(|setting| setting.scopes.contains(&scope))
    {
        let default =
            if default.is_empty() { String::new() } else { format!("; default: `{default}`") };
        let later = later.map(|_| "; not supported yet").unwrap_or_default();
        text += &format!("\n- `{name}`: {help} ({kind}{default}{later})");
    }
    text
}

/// The keywords of which a word is a value, each once.
fn owners(word: &str) -> Vec<&'static str> {
    let of_word = values().into_iter().filter(|(value, _)| *value == word);
    let mut owners: Vec<&str> = of_word.map(|(_, owner)| owner).collect();
    owners.dedup();
    owners
}

/// All words that are values, each with its keyword.
fn values() -> Vec<(&'static str, &'static str)> {
    let of_settings = SETTINGS
        .iter()
        .flat_map(|setting| setting.kind.words().into_iter().map(|value| (value, setting.name)));
    let models = NamedModel::names().map(|value| (value, "model"));
    let checks = CHECKS.into_iter().map(|value| (value, "expect"));
    of_settings.chain(models).chain(checks).collect()
}
