//! Settings in the lock: what was not at its default, in a form that people can read and compare.

use std::collections::BTreeMap;

use crate::hash::{Hash, Record};
use crate::settings::{Scope, find};

/// Names and values of settings that are not at their defaults.
pub type ReadableSettings = BTreeMap<String, String>;

/// A text of more letters is named by its hash and its length.
const LONGEST: usize = 60;

/// The most questions that are named each.
const MOST: usize = 200;

/// The settings of a record, as the lock has them.
pub(super) fn readable(record: &Record) -> ReadableSettings {
    let value = |(name, form): (&str, &str)| (name.to_owned(), readable_value(name, form));
    record.iter().map(value).collect()
}

fn readable_value(name: &str, form: &str) -> String {
    if ["questions", "expect"].contains(&name) {
        let questions: Vec<String> = serde_json::from_str(form).unwrap_or_default();
        return match questions.len() {
            count if count > MOST => {
                format!("{count} questions, {}", Hash::of(form.as_bytes()).short())
            }
            _ => {
                let hashes: Vec<String> =
                    questions.iter().map(|text| Hash::of(text.as_bytes()).short()).collect();
                hashes.join(" ")
            }
        };
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_().".contains(c);
    match form.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(word) if !word.is_empty() && word.len() <= LONGEST && word.chars().all(plain) => {
            word.to_owned()
        }
        _ if form.chars().count() <= LONGEST => form.to_owned(),
        _ => format!("{} letters, {}", form.chars().count(), Hash::of(form.as_bytes()).short()),
    }
}

/// What differs between two sets of settings, a sentence each.
pub(super) fn changes(before: &ReadableSettings, now: &ReadableSettings) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let value = |settings: &ReadableSettings, name: &str| {
        settings.get(name).cloned().or_else(|| unwritten(settings, name))
    };
    let makes = |settings: &ReadableSettings, name: &str| {
        value(settings, name).is_some_and(|count| count != "0")
    };
    // A version comes and goes with its generator: it has changed only where that was there and is.
    // How divergences are measured depends on which is minimised.
    let says_itself = |name: &str| match name.strip_suffix(".version") {
        Some("train.measured") => false,
        Some(generator) => makes(before, generator) && makes(now, generator),
        None => true,
    };
    let differs = names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name) && says_itself(name.as_str()));
    differs.map(|name| change(name, value(before, name), value(now, name))).collect()
}

/// How many questions a generator makes that leaves no trace in the settings: none, but that the
/// first locks had 100 of `ask` for targets.
fn unwritten(settings: &ReadableSettings, name: &str) -> Option<String> {
    let counted = ["outline", "ask", "persona", "rephrase", "unanswerable", "everyday", "general"];
    let asked = name == "ask" && !settings.contains_key("anchor");
    counted.contains(&name).then(|| if asked { "100" } else { "0" }.to_owned())
}

fn change(name: &str, before: Option<String>, now: Option<String>) -> String {
    let shown = match name {
        "expect" => "the questions of `expect`, which are held out".to_owned(),
        name => format!("`{name}`"),
    };
    if let Some(generator) = name.strip_suffix(".version") {
        return format!("bake has changed how it makes questions with `{generator}`");
    }
    if ["questions", "expect"].contains(&name) {
        return format!("{shown}: {}", questions(before.as_deref(), now.as_deref()));
    }
    match (value(name, before.as_deref()), value(name, now.as_deref())) {
        (Some(before), Some(now)) => format!("{shown} has changed from {before} to {now}"),
        _ => format!("{shown} has changed"),
    }
}

/// A value for people: none if it is too long to be shown.
fn value(name: &str, value: Option<&str>) -> Option<String> {
    let default = || {
        // A turn of a prompt.
        if name.starts_with("prompt.") || name.starts_with("student.") {
            return Some("none".to_owned());
        }
        let (scopes, name) = match name.split_once('.') {
            Some((scope, name)) => {
                (Scope::ALL.into_iter().filter(|s| s.word() == scope).collect(), name)
            }
            None => (vec![Scope::TargetBody, Scope::TargetHead, Scope::Bake], name),
        };
        match scopes.into_iter().find_map(|scope| find(scope, name))?.default {
            "" => Some("its default".to_owned()),
            default => Some(default.to_owned()),
        }
    };
    match value {
        None => default(),
        Some(value) if is_summary(value) => None,
        Some(value) => Some(as_written(name, value)),
    }
}

/// Whether this stands for a text that is too long to be kept: the count of its letters and a hash.
fn is_summary(value: &str) -> bool {
    value.split_once(" letters, ").is_some_and(|(count, hash)| {
        count.bytes().all(|b| b.is_ascii_digit()) && hash.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// A list as a declaration has it.
fn as_written(name: &str, value: &str) -> String {
    match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        Some(range) if name == "lora.layers" => range.replace(',', ".."),
        Some(words) if name == "lora.modules" => {
            format!("[{}]", words.replace('"', "").replace(',', ", "))
        }
        _ => value.to_owned(),
    }
}

fn questions(before: Option<&str>, now: Option<&str>) -> String {
    let split = |list: Option<&str>| -> Option<Vec<String>> {
        let list = list.unwrap_or_default();
        (!list.contains(',')).then(|| list.split_whitespace().map(str::to_owned).collect())
    };
    let (Some(mut removed), Some(now)) = (split(before), split(now)) else {
        return "some have changed".to_owned();
    };
    let mut added = 0;
    for question in now {
        match removed.iter().position(|other| *other == question) {
            Some(place) => drop(removed.remove(place)),
            None => added += 1,
        }
    }
    let were = |count: usize| if count == 1 { "was" } else { "were" };
    match (added, removed.len()) {
        (0, 0) => "they are in a different order".to_owned(),
        (added, 0) => format!("{added} {} added", were(added)),
        (0, removed) => format!("{removed} {} removed", were(removed)),
        (added, removed) => format!("{added} {} added, {removed} removed", were(added)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(before: Record, now: Record) -> String {
        changes(&readable(&before), &readable(&now)).join("; ")
    }

    #[test]
    fn a_change_is_reported_with_the_old_and_the_new_value() {
        let with = |rank: usize| Record::new().field("lora.rank", &rank);
        assert_eq!(said(Record::new(), with(8)), "`lora.rank` has changed from 32 to 8");
        assert_eq!(said(with(8), with(16)), "`lora.rank` has changed from 8 to 16");
        assert_eq!(said(with(8), Record::new()), "`lora.rank` has changed from 8 to 32");
        let schedule = Record::new().field("train.schedule", "cosine");
        assert_eq!(
            said(Record::new(), schedule),
            "`train.schedule` has changed from linear to cosine"
        );
        let rate = Record::new().field("train.lr", &1e-3);
        assert_eq!(said(Record::new(), rate), "`train.lr` has changed from its default to 0.001");
        let student = |text: &str| Record::new().field("student", text);
        assert_eq!(
            said(student("Be brief."), student("Be kind.")),
            "`student` has changed from \"Be brief.\" to \"Be kind.\""
        );
        assert_eq!(said(student("Hi"), student(&"long ".repeat(30))), "`student` has changed");
        assert_eq!(
            said(student("Hi"), student("Ten letters, please.")),
            "`student` has changed from Hi to \"Ten letters, please.\""
        );
        let asked = |text: &str| Record::new().field("prompt.user.1", text);
        assert_eq!(
            said(Record::new(), asked("Who?")),
            "`prompt.user.1` has changed from none to \"Who?\""
        );
        assert_eq!(
            said(asked("Who?"), asked("Where?")),
            "`prompt.user.1` has changed from \"Who?\" to \"Where?\""
        );
        let layers = |from: usize, to: usize| Record::new().field("lora.layers", &[from, to]);
        assert_eq!(said(layers(0, 2), layers(1, 2)), "`lora.layers` has changed from 0..2 to 1..2");
        let modules = |names: &[&str]| Record::new().field("lora.modules", names);
        assert_eq!(
            said(modules(&["q_proj", "v_proj"]), modules(&["q_proj"])),
            "`lora.modules` has changed from [q_proj, v_proj] to [q_proj]"
        );
        let people = |names: &[&str]| Record::new().field("persona.people", names);
        assert_eq!(
            said(people(&["a nurse"]), people(&["a clerk"])),
            "`persona.people` has changed from [\"a nurse\"] to [\"a clerk\"]"
        );
        assert_eq!(said(with(8), with(8)), "");
    }

    #[test]
    fn a_version_is_reported_only_where_its_generator_was_there_and_is() {
        let none = || Record::new();
        let asked = |count: u32| none().field("ask", &count);
        let ask = |count: u32| asked(count).field("ask.version", &2_u32);
        let outline =
            |version: u32| none().field("outline", "auto").unless(&1, "outline.version", &version);
        let on_policy = none().field("on_policy", &0.5).field("on_policy.version", &2_u32);
        for (before, now, want) in [
            (ask(40), asked(0), "`ask` has changed from 40 to 0"),
            (asked(0), ask(40), "`ask` has changed from 0 to 40"),
            (none(), outline(4), "`outline` has changed from 0 to auto"),
            (outline(4), none(), "`outline` has changed from auto to 0"),
            (none(), on_policy, "`on_policy` has changed from 0.0 to 0.5"),
            (outline(3), outline(4), "bake has changed how it makes questions"),
            // The first version leaves no trace, and nor do the 100 questions that it asked.
            (outline(1), outline(4), "bake has changed how it makes questions"),
            (asked(40), ask(40), "bake has changed how it makes questions"),
            (none(), none().field("ask.version", &2_u32), "bake has changed how it makes"),
        ] {
            let said = said(before, now);
            assert!(said.starts_with(want) && !said.contains(';'), "{want}: {said}");
        }
    }

    #[test]
    fn questions_are_counted() {
        let with = |list: &[&str]| Record::new().field("questions", list);
        for (before, now, want) in [
            (&["a", "b", "c"][..], &["a", "d", "e", "c"][..], "2 were added, 1 removed"),
            (&["a"], &["a", "b"], "1 was added"),
            (&["a", "b"], &["b"], "1 was removed"),
            (&["a", "b"], &["b", "a"], "they are in a different order"),
            (&["a", "a"], &["a"], "1 was removed"),
        ] {
            assert_eq!(said(with(before), with(now)), format!("`questions`: {want}"));
        }
        assert_eq!(said(Record::new(), with(&["a"])), "`questions`: 1 was added");
        let many: Vec<String> = (0..300).map(|i| format!("question {i}")).collect();
        let many = Record::new().field("questions", &many);
        assert_eq!(said(with(&["a"]), many), "`questions`: some have changed");
    }
}
