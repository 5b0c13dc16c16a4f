//! Which words of a document are written with a capital within a sentence.

use std::collections::HashSet;

/// A word in small letters, but "iPhone" and "USB" stay as they are.
pub(super) fn in_small_letters(word: &str) -> String {
    let named = word.chars().skip(1).any(char::is_uppercase);
    if named { word.to_owned() } else { word.to_lowercase() }
}

/// What a document shows of how its words are written.
pub(in crate::bake::stimuli) struct Casing {
    /// Words that are written in small letters somewhere.
    small: HashSet<String>,
    /// Words that are written with a capital within a sentence.
    names: HashSet<String>,
}

impl Casing {
    pub(in crate::bake::stimuli) fn of(document: &str) -> Self {
        let (mut small, mut names) = (HashSet::new(), HashSet::new());
        // Headings are often written with capitals throughout.
        for line in document.lines().filter(|line| !line.starts_with('#')) {
            let mut begins = true;
            for word in line.split_whitespace() {
                let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
                match bare.chars().next() {
                    Some(c) if c.is_lowercase() => drop(small.insert(bare.to_owned())),
                    Some(c) if c.is_uppercase() && !begins => {
                        names.insert(bare.to_owned());
                    }
                    _ => {}
                }
                begins = word.ends_with(['.', '!', '?', ':', '*', '|']) || bare.is_empty();
            }
        }
        Self { small, names }
    }

    /// A lead as it is written within a sentence: only names keep their capitals.
    pub(in crate::bake::stimuli) fn within_sentence(&self, lead: &str) -> String {
        let words: Vec<&str> = lead.split(' ').collect();
        let shouted = words.len() > 1 && !lead.contains(char::is_lowercase);
        let written = words.iter().enumerate().map(|(at, word)| {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            let bare = bare.strip_suffix("'s").unwrap_or(bare);
            let lower = bare.to_lowercase();
            // "iPhone", "USB" and "MP3" are names by themselves.
            let named = bare.chars().skip(1).any(|c| c.is_uppercase() || c.is_ascii_digit());
            let is_name = self.names.contains(bare) && !self.small.contains(&lower);
            let keeps = bare == "I" || bare.starts_with("I'") || (named && !shouted) || is_name;
            let first_or_known = at == 0 || shouted || self.small.contains(&lower);
            match keeps || !first_or_known {
                true => (*word).to_owned(),
                false => word.to_lowercase(),
            }
        });
        written.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_keep_their_capitals() {
        let casing = Casing::of(
            "# iPhone Support\nOpen Settings and charge the battery. Ask Bob, who knows \
             Bluetooth.\nThe life of a battery is long. Settings are in the menu.",
        );
        for (lead, want) in [
            ("Battery Life", "battery life"),
            ("My iPhone won't turn on", "my iPhone won't turn on"),
            ("Bluetooth pairing", "Bluetooth pairing"),
            ("Bob's Office", "Bob's Office"),
            ("USB ports", "USB ports"),
            ("BATTERY AND USB", "battery and usb"),
            ("I lost it", "I lost it"),
            ("Reset", "reset"),
            ("Use Lost Mode", "use Lost Mode"),
        ] {
            assert_eq!(casing.within_sentence(lead), want);
        }
    }
}
