//! The settings of a declaration: one table, from which grammar, checks, defaults and documentation
//! come.

mod items;
mod kind;
#[cfg(feature = "syntax")]
pub mod pages;
mod scope;
mod table;
#[cfg(test)]
mod tests;

use crate::text::same;
pub use items::{CHECKS, ITEMS};
pub use kind::{Kind, Range};
pub use scope::Scope;
pub use table::SETTINGS;

/// A setting: a keyword and its value.
#[derive(Debug)]
pub struct Setting {
    /// The keyword.
    pub name: &'static str,
    /// Where it is allowed.
    pub scopes: &'static [Scope],
    /// What its value may be.
    pub kind: Kind,
    /// The value if it is not written, in the grammar's own form; empty if there is none.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// For a setting that the engine does not have yet: what to do meanwhile.
    pub later: Option<&'static str>,
}

/// A setting is one entry of the table.
impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.scopes) == (other.name, other.scopes)
    }
}

/// The setting that is known to be in the table under this name, in a place.
///
/// # Panics
/// When it is not there.
pub(crate) const fn entry(scope: Scope, name: &str) -> &'static Setting {
    let mut i = 0;
    while i < SETTINGS.len() {
        let Setting { name: this, scopes, .. } = &SETTINGS[i];
        let mut j = 0;
        while j < scopes.len() {
            if scopes[j] as u8 == scope as u8 && same(this, name) {
                return &SETTINGS[i];
            }
            j += 1;
        }
        i += 1;
    }
    panic!("the table of settings has no such entry")
}

/// The setting of this name in a place.
pub fn find(scope: Scope, name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.name == name && s.scopes.contains(&scope))
}

/// Every keyword that is allowed in a place.
pub fn keywords(scope: Scope) -> impl Iterator<Item = &'static str> {
    let settings = SETTINGS.iter().filter(move |s| s.scopes.contains(&scope)).map(|s| s.name);
    ITEMS
        .iter()
        .filter(move |(_, scopes, _)| scopes.contains(&scope))
        .map(|(name, ..)| *name)
        .chain(settings)
}

/// The table for people, in Markdown.
pub fn markdown() -> String {
    let mut table =
        String::from("| setting | in | value | default | what it does |\n|---|---|---|---|---|\n");
    for Setting { name, scopes, kind, default, help, later } in SETTINGS {
        let places: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let later = later.map(|_| " (not supported yet)").unwrap_or_default();
        table +=
            &format!("| `{name}` | {} | {kind} | {default} | {help}{later} |\n", places.join(", "));
    }
    table
}

impl Setting {
    /// What an editor shows of it, and `cargo bake explain`.
    pub fn page(&self) -> String {
        let Self { name, scopes, kind, default, help, later } = self;
        let places = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ");
        let default =
            if default.is_empty() { String::new() } else { format!(" Default: `{default}`.") };
        let later = later
            .map(|meanwhile| format!(" Not supported yet; meanwhile, {meanwhile}."))
            .unwrap_or_default();
        let mut help = help.to_string();
        help[..1].make_ascii_uppercase();
        format!("{help}.\n\n`{name}`, in {places}: {kind}.{default}{later}")
    }
}

/// A line of a comment, broken where rustfmt breaks it.
fn comment(prefix: &str, line: &str) -> String {
    let (mut text, mut columns) = (String::from(prefix.trim_end()), prefix.len() - 1);
    for (i, word) in line.split(' ').enumerate() {
        let letters = word.chars().count();
        if i > 0 && columns + 1 + letters > 100 {
            text += "\n";
            text += prefix.trim_end();
            columns = prefix.len() - 1;
        }
        if letters > 0 {
            text += " ";
            text += word;
            columns += 1 + letters;
        }
    }
    text + "\n"
}

/// The table as the items that an editor finds for the keywords of a declaration.
pub fn rust() -> String {
    let mut text = comment(
        "//! ",
        "What an editor shows of the keywords of a declaration. Written from the table in \
         `bake-spec/src/settings/table.rs`.",
    );
    text += "#![allow(non_upper_case_globals, reason = \"these are the keywords themselves\")]\n";
    for scope in Scope::ALL {
        text += &format!("\n/// Settings of {}.\npub mod {} {{\n", scope.name(), scope.word());
        for setting in SETTINGS.iter().filter(|setting| setting.scopes.contains(&scope)) {
            for line in setting.page().lines() {
                text += &comment("    /// ", line);
            }
            text += &format!("    pub const {}: () = ();\n", setting.name);
        }
        text += "}\n";
    }
    text
}
