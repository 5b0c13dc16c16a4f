//! Questions about what a sentence tells: a part of it is left out, and asked for.
//!
//! "The filter costs 14 euros" is asked about as "How much the filter costs?". That is as plain as
//! many people write, and it has the words that a better question has too.

use super::casing::in_small_letters;
use super::lexicon::{AUXILIARIES, is_verb};
use crate::bake::support::{NUMBERS, content_words};

/// The fewest words that say something, in a part of a sentence that can be asked about by itself.
const FEWEST: usize = 2;

/// What a place or a time begins with.
const PLACES: &[&str] = &[
    "in", "on", "at", "behind", "above", "under", "near", "beside", "below", "inside", "outside",
    "between", "opposite",
];
const TIMES: &[&str] = &["until", "till", "before", "after", "from", "since", "within", "by"];

/// Words of which one makes a time of what would be a place.
const WHEN: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "spring",
    "summer",
    "autumn",
    "winter",
    "morning",
    "noon",
    "evening",
    "night",
    "day",
    "week",
    "month",
    "year",
    "hour",
    "time",
    "weekend",
];

/// What is counted, and how one asks for it.
const MONEY: &[&str] =
    &["euro", "eur", "€", "dollar", "usd", "$", "pound", "gbp", "£", "cent", "percent", "%"];
const DURATIONS: &[&str] = &["second", "minute", "hour", "day", "night", "week", "month", "year"];

/// A part of a sentence that can be asked for: where it is, and what asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    start: usize,
    end: usize,
    asks: &'static str,
}

/// All that can be asked about a sentence in this way, each as words without a mark at the end.
pub(super) fn clozes(sentence: &str) -> Vec<String> {
    let mut found = Vec::new();
    for clause in clauses(sentence) {
        for gap in gaps(&clause) {
            found.extend(asked(&clause, &gap));
        }
    }
    found
}

/// The parts of a sentence between commas and conjunctions, as far as they say something by
/// themselves. What is too short goes on with the next, but not a single word ("Yes: ...").
fn clauses(sentence: &str) -> Vec<Vec<String>> {
    let (mut clauses, mut clause) = (Vec::new(), Vec::<String>::new());
    for word in sentence.split_whitespace() {
        let is_joint = ["and", "but", "or", "so"].contains(&word);
        if is_joint && says_enough(&clause) {
            clauses.push(std::mem::take(&mut clause));
            continue;
        }
        clause.push(spoken(word));
        if word.ends_with([',', ';', ':']) {
            if says_enough(&clause) {
                clauses.push(std::mem::take(&mut clause));
            } else if clause.len() == 1 {
                clause.clear();
            }
        }
    }
    clauses.push(clause);
    for clause in &mut clauses {
        clause.retain(|word| !word.is_empty());
    }
    clauses.retain(|clause| says_enough(clause));
    clauses
}

fn says_enough(words: &[String]) -> bool {
    content_words(&words.join(" ")).len() > FEWEST
}

/// A word as it is written within a sentence, without marks around it but with a currency's sign;
/// nothing of where a link leads.
fn spoken(word: &str) -> String {
    let word = word.split_once("](").map_or(word, |(text, _)| text);
    if word.contains("://") {
        return String::new();
    }
    let edge = |c: char| !c.is_alphanumeric() && !"€$£%".contains(c);
    in_small_letters(word.trim_matches(edge))
}

/// The parts of a clause that can be asked for.
fn gaps(clause: &[String]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut at = 0;
    while at < clause.len() {
        let gap = number_at(clause, at).or_else(|| place_at(clause, at));
        at = gap.as_ref().map_or(at + 1, |gap| gap.end);
        gaps.extend(gap);
    }
    let last = clause.iter().rposition(|word| !content_words(word).is_empty());
    if let Some(last) = last.filter(|last| gaps.iter().all(|gap| gap.end <= *last)) {
        gaps.push(Gap { start: last, end: last + 1, asks: "what" });
    }
    gaps
}

/// A number with what it counts.
fn number_at(clause: &[String], at: usize) -> Option<Gap> {
    let word = |at: usize| clause.get(at).map_or("", String::as_str);
    if word(at) == "twice" || (word(at) == "once" && at > 0) {
        return Some(Gap { start: at, end: at + 1, asks: "how often" });
    }
    if ["every", "each"].contains(&word(at)) && (is_number(word(at + 1)) || is(word(at + 1), WHEN))
    {
        let end = at + 2 + usize::from(is(word(at + 2), DURATIONS));
        return Some(Gap { start: at, end: end.min(clause.len()), asks: "how often" });
    }
    if !is_number(word(at)) {
        return None;
    }
    let counted = word(at + 1);
    let gap = |end: usize, asks: &'static str| {
        let before = at.checked_sub(1).map_or("", word);
        let start =
            at - usize::from(["for", "to", "at", "up"].contains(&before) || is(before, TIMES));
        Some(Gap { start, end: end.min(clause.len()), asks })
    };
    if is(counted, MONEY) || is(word(at), MONEY) || word(at).contains(['€', '$', '£', '%']) {
        return gap(at + 1 + usize::from(is(counted, MONEY)), "how much");
    }
    if is(counted, DURATIONS) {
        return gap(at + 2, "how long");
    }
    match content_words(counted).is_empty() {
        true => gap(at + 1, "when"),
        false => gap(at + 1, "how many"),
    }
}

/// Whether a word is a number; "one" stands for a thing as often.
fn is_number(word: &str) -> bool {
    (NUMBERS.contains(&word) && word != "one") || word.contains(|c: char| c.is_ascii_digit())
}

/// A place or a time, up to the next one.
fn place_at(clause: &[String], at: usize) -> Option<Gap> {
    let word = &*clause[at];
    if ["if", "unless", "because", "when"].contains(&word) && at > 0 {
        let asks = if word == "because" { "why" } else { "when" };
        return Some(Gap { start: at, end: clause.len(), asks });
    }
    let (is_place, is_time) = (PLACES.contains(&word), TIMES.contains(&word));
    let ends = [PLACES, TIMES, AUXILIARIES, &["every", "each"]];
    let ends = |word: &String| ends.iter().any(|some| some.contains(&&**word)) || is_number(word);
    let rest = &clause[at + 1..];
    let length = rest.iter().position(ends);
    let end = at + 1 + length.unwrap_or(rest.len());
    let told = &clause[at + 1..end];
    if !(is_place || is_time) || content_words(&told.join(" ")).is_empty() {
        return None;
    }
    let when = is_time || told.iter().any(|word| is(word, WHEN));
    Some(Gap { start: at, end, asks: if when { "when" } else { "where" } })
}

/// Whether a word is one of some, or several of it.
fn is(word: &str, some: &[&str]) -> bool {
    some.contains(&word) || word.strip_suffix('s').is_some_and(|one| some.contains(&one))
}

/// The question for what is in a gap, if the rest says anything.
fn asked(clause: &[String], gap: &Gap) -> Option<String> {
    let (mut words, mut after) = (vec![gap.asks], gap.end);
    if gap.asks == "how many" {
        // "How many books are ...": what is counted follows at once.
        words.push(&clause[gap.end]);
        after += 1;
    }
    let mut rest: Vec<&str> = clause[..gap.start].iter().map(String::as_str).collect();
    rest.extend(clause[after..].iter().map(String::as_str));
    while rest.last().is_some_and(|word| ["a", "an", "the", "to"].contains(word)) {
        rest.pop();
    }
    if content_words(&rest.join(" ")).is_empty() {
        return None;
    }
    match rest.iter().position(|word| AUXILIARIES.contains(word)) {
        Some(verb) => words.push(rest.remove(verb)),
        None if is_verb(rest[0]) => words.extend(["do", "I"]),
        None => {}
    }
    words.append(&mut rest);
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_asked_for() {
        for (sentence, want) in [
            (
                "Rinse the filter under lukewarm water every two weeks.",
                "how often do I rinse the filter under lukewarm water",
            ),
            ("Adults pay 18 euros a year.", "how much adults pay a year"),
            (
                "Yes: the network is called Fennick-Guest, and it changes.",
                "what is the network called",
            ),
            (
                "The password is on the board above the copier.",
                "where is the password on the board",
            ),
            (
                "The reading room is open on Sundays from 13.",
                "when is the reading room open from 13",
            ),
            (
                "At most three books are lent to children.",
                "how many books are at most lent to children",
            ),
            (
                "Hand in the [form](https://example.org/form) within 3 days.",
                "how long hand in the form",
            ),
            ("Keep it for eight days on the shelf.", "how long do I keep it on the shelf"),
        ] {
            let asked = clozes(sentence);
            assert!(asked.iter().any(|asked| asked == want), "{sentence}: {asked:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_not_asked_about() {
        for sentence in ["", "No.", "It is so.", "18 euros", "| - | - |"] {
            assert_eq!(clozes(sentence), [""; 0], "{sentence}");
        }
    }
}
