//! Questions about what a sentence tells: a part of it is left out, and asked for.
//!
//! "The filter costs 14 euros" is asked about as "How much does the filter cost?".

mod order;
mod tables;

use super::casing::in_small_letters;
use super::lexicon::{ARTICLES, AUXILIARIES, PREPOSITIONS};
use crate::bake::support::{NUMBERS, content_words};
use order::PRONOUNS;
use tables::{
    DURATIONS, HALVES_OF_DAY, MEASURES, MONEY, MONTHS, NO_PLACES, PLACES, TIMES, WEEKDAYS, WHEN,
};

/// The fewest words that say something, in a part of a sentence that can be asked about by itself.
const FEWEST: usize = 2;

/// A part of a sentence that can be asked for: where it is, and with which words one asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    start: usize,
    end: usize,
    asks: Vec<String>,
}

impl Gap {
    fn new<S: AsRef<str>>(start: usize, end: usize, asks: impl IntoIterator<Item = S>) -> Self {
        let asks = asks.into_iter().map(|words| words.as_ref().to_owned()).collect();
        Self { start, end, asks }
    }
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
/// themselves. What is too short goes on with the next, but not a single word ("Yes: ..."), and
/// what leads to the next ("For two, ...") follows it.
fn clauses(sentence: &str) -> Vec<Vec<String>> {
    let (mut clauses, mut clause, mut led) = (Vec::new(), Vec::<String>::new(), Vec::new());
    for word in sentence.split_whitespace() {
        let is_joint = ["and", "but", "or", "so"].contains(&word);
        if is_joint && (clause.is_empty() || says_enough(&clause)) {
            clause.append(&mut led);
            clauses.push(std::mem::take(&mut clause));
            continue;
        }
        clause.push(spoken(word));
        if word.ends_with([',', ';', ':']) {
            if says_enough(&clause) {
                clause.append(&mut led);
                clauses.push(std::mem::take(&mut clause));
            } else if PREPOSITIONS.contains(&&*clause[0]) && led.is_empty() {
                led = std::mem::take(&mut clause);
            } else if clause.len() == 1 {
                clause.clear();
            }
        }
    }
    clause.append(&mut led);
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
    // What a sentence ends with is asked for where that is a thing, not how it is.
    let last = clause.iter().rposition(|word| !content_words(word).is_empty());
    let leads = |before: &str| {
        [ARTICLES, PREPOSITIONS, AUXILIARIES].iter().any(|some| some.contains(&before))
            || order::is_verb_form(before)
    };
    if let Some(last) = last.filter(|&last| last > 0 && leads(&clause[last - 1]))
        && gaps.iter().all(|gap| gap.end <= last)
    {
        gaps.push(Gap::new(last, last + 1, ["what"]));
    }
    gaps
}

/// A number with what it counts.
fn number_at(clause: &[String], at: usize) -> Option<Gap> {
    let word = |at: usize| clause.get(at).map_or("", String::as_str);
    if word(at) == "twice" || (word(at) == "once" && at > 0) {
        return Some(Gap::new(at, at + 1, ["how often", "how many times"]));
    }
    let is_time = |word: &str| [DURATIONS, WHEN, WEEKDAYS, MONTHS].iter().any(|all| is(word, all));
    if ["every", "each"].contains(&word(at)) && (is_number(word(at + 1)) || is_time(word(at + 1))) {
        let end = at + 2 + usize::from(is(word(at + 2), DURATIONS));
        return Some(Gap::new(at, end.min(clause.len()), ["how often"]));
    }
    if !is_number(word(at)) {
        return None;
    }
    let (counted, before) = (word(at + 1), at.checked_sub(1).map_or("", word));
    let is_year = ["in", "since"].contains(&before) && word(at).len() == 4;
    let led = is_year || ["for", "to", "at", "up"].contains(&before) || is(before, TIMES);
    let start = at - usize::from(led);
    let counts = !content_words(counted).is_empty() && !ends_noun(counted);
    if is(before, DURATIONS) && !counts {
        // "On day seven".
        let led = at > 1 && PREPOSITIONS.contains(&word(at - 2));
        return Some(Gap::new(at - 1 - usize::from(led), at + 1, ["when"]));
    }
    if HALVES_OF_DAY.contains(&counted) {
        return Some(Gap::new(start, at + 2, ["when", "at what time"]));
    }
    let units = format!("how many {}", several(counted));
    let measured = match clause.get(at + 2..).unwrap_or_default() {
        [of, rest @ ..] if of == "of" && is(counted, MEASURES) => {
            let end = rest.iter().position(|word| ends_noun(word)).unwrap_or(rest.len());
            rest[..end].to_vec()
        }
        _ => Vec::new(),
    };
    if !measured.is_empty() {
        let (end, measured) = (at + 3 + measured.len(), measured.join(" "));
        let asks = [format!("how much {measured}"), format!("{units} of {measured}")];
        return Some(Gap::new(start, end, asks));
    }
    let of_money = |word: &str| is(word, MONEY) || word.contains(['€', '$', '£', '%']);
    if of_money(word(at)) {
        return Some(Gap::new(start, at + 1, ["how much"]));
    }
    if of_money(counted) || is(counted, MEASURES) {
        let by_unit = counted.chars().all(char::is_alphabetic).then_some(units);
        return Some(Gap::new(start, at + 2, ["how much".to_owned()].into_iter().chain(by_unit)));
    }
    if is(counted, DURATIONS) {
        let lasting = match before {
            "for" => vec!["how long".to_owned(), format!("for {units}"), units],
            "after" | "within" => vec![format!("{before} {units}"), "when".to_owned()],
            _ => vec!["how long".to_owned(), units],
        };
        return Some(Gap::new(start, at + 2, lasting));
    }
    if counts {
        return Some(Gap::new(start, at + 2, [format!("how many {counted}")]));
    }
    let asks = if is_year {
        ["when", "in which year"]
    } else if before == "at" || is(before, TIMES) || is(before, WEEKDAYS) {
        ["when", "at what time"]
    } else {
        ["how many", "what number"]
    };
    Some(Gap::new(start, at + 1, asks))
}

/// A unit as it is counted.
fn several(unit: &str) -> String {
    match unit {
        "foot" => "feet".to_owned(),
        "inch" => "inches".to_owned(),
        "percent" | "kg" | "ml" | "km" | "cm" | "mm" => unit.to_owned(),
        _ if unit.ends_with('s') => unit.to_owned(),
        _ => format!("{unit}s"),
    }
}

/// Whether a word ends a noun with what precedes it.
fn ends_noun(word: &str) -> bool {
    const OTHERS: &[&str] = &[
        "every", "each", "for", "to", "with", "and", "or", "if", "when", "unless", "because",
        "while", "that", "which", "who",
    ];
    let ends = [PLACES, TIMES, AUXILIARIES, PRONOUNS, OTHERS];
    ends.iter().any(|some| some.contains(&word)) || is_number(word)
}

/// Whether a word is a number; "one" stands for a thing as often.
fn is_number(word: &str) -> bool {
    (NUMBERS.contains(&word) && word != "one") || word.contains(|c: char| c.is_ascii_digit())
}

/// A place or a time, up to the next one.
fn place_at(clause: &[String], at: usize) -> Option<Gap> {
    let word = &*clause[at];
    if ["if", "unless", "because", "when"].contains(&word) && at > 0 {
        let asks =
            if word == "because" { ["why", "for what reason"] } else { ["when", "in what case"] };
        return Some(Gap::new(at, clause.len(), asks));
    }
    let (is_place, is_time) = (PLACES.contains(&word), TIMES.contains(&word));
    let rest = &clause[at + 1..];
    let ends = |at: usize| {
        let (word, told) = (&*rest[at], &rest[..at]);
        // "On Mondays the museum ...": what follows an article is another thing.
        let tells = !content_words(&told.join(" ")).is_empty() || told == ["may"];
        let is_other = ARTICLES.contains(&word) && tells;
        is_other || (ends_noun(word) && !(at == 0 && word == "may"))
    };
    let mut length = (0..rest.len()).find(|&at| ends(at)).unwrap_or(rest.len());
    let word_at = |at: usize| rest.get(at).map_or("", String::as_str);
    let counted = [DURATIONS, MONEY, MEASURES].iter().any(|all| is(word_at(length + 1), all));
    let names = |place: usize| !NO_PLACES.contains(&word_at(place));
    let is_numbered = length > 0 && names(length - 1) && is_number(word_at(length)) && !counted;
    // "In room 12".
    length += usize::from(is_numbered);
    let end = at + 1 + length;
    let told = &clause[at + 1..end];
    let content = content_words(&told.join(" "));
    if !(is_place || is_time) || (content.is_empty() && word_at(0) != "may") {
        return None;
    }
    // "On the second floor" is not a time.
    let tells = |times: &[&str]| told.iter().any(|word| word != "second" && is(word, times));
    let asks = if tells(MONTHS) {
        vec!["when".to_owned(), format!("{word} which month")]
    } else if tells(WEEKDAYS) {
        vec!["when".to_owned(), format!("{word} which day")]
    } else if is_time || tells(WHEN) || tells(DURATIONS) {
        vec!["when".to_owned()]
    } else {
        // A place is named by what it is only where there are several: "on the second floor".
        let place = &told[told.len() - 1 - usize::from(is_numbered)];
        let is_one_of_several = content.len() > 1 && !NO_PLACES.contains(&&**place);
        let which = is_one_of_several.then(|| format!("{word} which {place}"));
        std::iter::once("where".to_owned()).chain(which).collect()
    };
    Some(Gap::new(at, end, asks))
}

/// Whether a word is one of some, or several of it.
fn is(word: &str, some: &[&str]) -> bool {
    some.contains(&word) || word.strip_suffix('s').is_some_and(|one| some.contains(&one))
}

/// The questions for what is in a gap, if the rest says anything.
fn asked(clause: &[String], gap: &Gap) -> Vec<String> {
    let rest = clause[..gap.start].iter().chain(&clause[gap.end..]);
    let mut rest: Vec<&str> = rest.map(String::as_str).collect();
    while rest.last().is_some_and(|word| ["a", "an", "the", "to"].contains(word)) {
        rest.pop();
    }
    let says = |asks: &&String| content_words(&format!("{asks} {}", rest.join(" "))).len() > 1;
    if content_words(&rest.join(" ")).is_empty() && !gap.asks.iter().all(|asks| says(&asks)) {
        return Vec::new();
    }
    if rest.first().is_some_and(|first| AUXILIARIES.contains(first)) {
        // What it is about is in the gap too.
        return Vec::new();
    }
    let rest = match order::asked(&rest) {
        Some(rest) => rest.join(" "),
        // A quantity by itself, such as an item of a list, is what is needed.
        None if rest.is_empty() => "do I need".to_owned(),
        None if gap.asks == ["what"] => return Vec::new(),
        None => rest.join(" "),
    };
    gap.asks.iter().map(|asks| format!("{asks} {rest}")).collect()
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
            ("Adults pay 18 euros a year.", "how much do adults pay a year"),
            ("Adults pay 18 euros a year.", "how many euros do adults pay a year"),
            (
                "Yes: the network is called Fennick-Guest, and it changes.",
                "what is the network called",
            ),
            (
                "The password is on the board above the copier.",
                "where is the password on the board",
            ),
            ("You may eat on the second floor.", "on which floor may I eat"),
            ("The big copier is in room 12.", "in which room is the big copier"),
            ("The office is open from 9 until 17.", "at what time is the office open until 17"),
            ("The library is open until 6 pm.", "at what time is the library open"),
            ("On Mondays the museum is closed.", "on which day is the museum closed"),
            ("In May the big pool is closed.", "in which month is the big pool closed"),
            ("Put the key in the box when you leave.", "in what case do I put the key in the box"),
            ("Add 2 pounds of flour to it.", "how many pounds of flour do I add to it"),
            (
                "The reading room is open on Sundays from 13.",
                "on which day is the reading room open from 13",
            ),
            (
                "At most three books are lent to children.",
                "how many books are at most lent to children",
            ),
            (
                "Hand in the [form](https://example.org/form) within 3 days.",
                "within how many days do I hand in the form",
            ),
            (
                "We keep it for eight days on the shelf.",
                "for how many days do you keep it on the shelf",
            ),
            ("1.3 kilograms of Seville oranges, unwaxed", "how much seville oranges do I need"),
            ("Add 200 grams of sugar to the pan.", "how many grams of sugar do I add to the pan"),
            (
                "For Easter, add 12 threads of saffron.",
                "how many threads do I add of saffron for easter",
            ),
            ("It was built in 1911 by hand.", "in which year was it built by hand"),
            ("The room costs 80 €, as it did.", "how much does the room cost"),
        ] {
            let asked = clozes(sentence);
            assert!(asked.iter().any(|asked| asked == want), "{sentence}: {asked:?}");
        }
    }

    #[test]
    fn no_question_has_what_it_asks_for() {
        for (sentence, leaks) in [
            ("The main museum is in Berlin.", "berlin"),
            ("The room costs 80 €, as it did.", "€"),
            ("The big copier is in room 12.", "12"),
            ("Add 2 cups of it to the bowl.", "  "),
        ] {
            let asked = clozes(sentence);
            assert!(!asked.is_empty(), "{sentence}");
            assert!(asked.iter().all(|asked| !asked.contains(leaks)), "{sentence}: {asked:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_not_asked_about() {
        for sentence in ["", "No.", "It is so.", "18 euros", "| - | - |"] {
            assert_eq!(clozes(sentence), [""; 0], "{sentence}");
        }
    }
}
