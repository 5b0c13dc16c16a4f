//! Everyday variation: the same question as different people write it.

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

/// What people say before a question, and after it.
const GREETINGS: &[&str] = &["Hi,", "Hello!", "Hey,", "Good morning,", "Excuse me,", "Hi there,"];
const THANKS: &[&str] = &["Thanks!", "Thank you.", "Please help.", "Any idea?", "It's urgent."];

/// Small words that are left out by those who write in a hurry.
const LEFT_OUT: &[&str] = &[
    "a", "an", "the", "my", "do", "does", "i", "is", "are", "to", "it", "please", "can", "you",
    "me", "of", "should", "for",
];

/// Words and what others say for them.
const OTHER_WORDS: &[(&str, &[&str])] = &[
    ("accept", &["take"]),
    ("access", &["get into", "reach"]),
    ("allowed", &["permitted", "OK"]),
    ("arrive", &["come"]),
    ("battery", &["charge"]),
    ("begin", &["start"]),
    ("broken", &["damaged", "not working"]),
    ("buy", &["purchase", "get"]),
    ("cancel", &["call off", "stop", "end"]),
    ("change", &["alter", "switch"]),
    ("charge", &["power up", "load"]),
    ("check", &["look at", "inspect"]),
    ("choose", &["pick", "select"]),
    ("clean", &["wash", "wipe"]),
    ("connect", &["link", "hook up", "pair"]),
    ("contact", &["reach", "get hold of"]),
    ("cracked", &["broken", "shattered"]),
    ("delete", &["remove", "erase"]),
    ("delivery", &["shipping"]),
    ("dirty", &["filthy"]),
    ("drains", &["uses up", "empties"]),
    ("empty", &["clear out"]),
    ("error", &["fault", "problem"]),
    ("exchange", &["swap"]),
    ("fee", &["charge", "price"]),
    ("fees", &["charges", "prices"]),
    ("find", &["locate", "see"]),
    ("fix", &["repair", "sort out"]),
    ("forgot", &["don't remember"]),
    ("frozen", &["stuck", "hanging"]),
    ("hot", &["warm"]),
    ("install", &["set up", "put in"]),
    ("issue", &["problem"]),
    ("late", &["delayed"]),
    ("loud", &["noisy"]),
    ("lost", &["missing", "gone"]),
    ("make", &["create"]),
    ("move", &["shift"]),
    ("noise", &["sound"]),
    ("password", &["login", "PIN"]),
    ("pay", &["settle"]),
    ("payment", &["paying"]),
    ("phone", &["mobile", "handset"]),
    ("picture", &["photo", "image"]),
    ("problem", &["trouble", "issue"]),
    ("refund", &["money back"]),
    ("remove", &["take out", "get rid of"]),
    ("repair", &["fix", "mend"]),
    ("replace", &["change", "swap"]),
    ("reset", &["restart", "set back"]),
    ("return", &["send back", "give back"]),
    ("room", &["space"]),
    ("screen", &["display"]),
    ("send", &["mail"]),
    ("shipping", &["delivery"]),
    ("slow", &["sluggish"]),
    ("smell", &["odour"]),
    ("start", &["begin", "turn on"]),
    ("stop", &["end", "quit"]),
    ("storage", &["space", "memory"]),
    ("store", &["keep"]),
    ("stuck", &["jammed"]),
    ("turn on", &["start", "switch on"]),
    ("turn off", &["shut down", "switch off"]),
    ("update", &["upgrade"]),
    ("use", &["operate", "work with"]),
    ("won't", &["doesn't", "will not", "refuses to"]),
    ("can't", &["cannot", "am not able to"]),
    ("doesn't", &["does not", "won't"]),
    ("isn't", &["is not"]),
    ("warranty", &["guarantee"]),
    ("wrong", &["not right", "off"]),
];

/// How a question is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variation {
    /// As it is.
    None,
    /// Without capitals, and without a mark at the end.
    Terse,
    /// Without small words too.
    Telegram,
    /// With a greeting before it, or thanks after it.
    Chatty,
    /// With a typing error.
    Typo,
    /// With other words.
    OtherWords,
}

/// How often each variation is chosen, in that order.
const SHARES: &[(Variation, f64)] = &[
    (Variation::None, 0.32),
    (Variation::OtherWords, 0.24),
    (Variation::Terse, 0.16),
    (Variation::Chatty, 0.12),
    (Variation::Telegram, 0.08),
    (Variation::Typo, 0.08),
];

impl Variation {
    pub(super) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut left: f64 = rng.random();
        for (variation, share) in SHARES {
            left -= share;
            if left < 0.0 {
                return *variation;
            }
        }
        Self::None
    }

    /// The text so written.
    pub(super) fn of(self, text: &str, rng: &mut ChaCha8Rng) -> String {
        match self {
            Self::None => text.to_owned(),
            Self::Terse => terse(text),
            Self::Telegram => telegram(&terse(text)),
            Self::Chatty => chatty(text, rng),
            Self::Typo => mistyped(text, rng),
            Self::OtherWords => reworded(text, rng),
        }
    }
}

fn terse(text: &str) -> String {
    text.to_lowercase().trim_end_matches(['.', '?', '!']).to_owned()
}

fn telegram(text: &str) -> String {
    let kept: Vec<&str> = text.split(' ').filter(|word| !LEFT_OUT.contains(word)).collect();
    if kept.len() < 2 { text.to_owned() } else { kept.join(" ") }
}

fn chatty(text: &str, rng: &mut ChaCha8Rng) -> String {
    if rng.random_bool(0.6) {
        let greeting = GREETINGS.choose(rng).unwrap_or(&"Hi,");
        let begins = match greeting.ends_with(',') {
            true => uncapitalised(text),
            false => text.to_owned(),
        };
        return format!("{greeting} {begins}");
    }
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{text}{end} {}", THANKS.choose(rng).unwrap_or(&"Thanks!"))
}

/// A text with a small letter at its beginning, if its first word is one that is written so within
/// a sentence.
fn uncapitalised(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    let plain = [
        "What", "How", "Can", "Is", "Tell", "Who", "Where", "Could", "Give", "Explain", "My",
        "The", "It", "So", "Am", "May", "Does", "There",
    ];
    if plain.contains(&first) { text[..1].to_lowercase() + &text[1..] } else { text.to_owned() }
}

/// A text in which one longer word lacks a letter, has one twice, or has two exchanged.
fn mistyped(text: &str, rng: &mut ChaCha8Rng) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let long: Vec<usize> = (0..words.len())
        .filter(|&at| words[at].chars().count() >= 5 && words[at].chars().all(char::is_alphabetic))
        .collect();
    let Some(&at) = long.choose(rng) else { return text.to_owned() };
    let mut letters: Vec<char> = words[at].chars().collect();
    // The first letter is seldom wrong.
    let place = rng.random_range(1..letters.len() - 1);
    match rng.random_range(0..3) {
        0 => drop(letters.remove(place)),
        1 => letters.insert(place, letters[place]),
        _ => letters.swap(place, place + 1),
    }
    words[at] = letters.into_iter().collect();
    words.join(" ")
}

/// A text with another word for each that has one; without one, as it is. Words that were put in
/// stay as they are.
fn reworded(text: &str, rng: &mut ChaCha8Rng) -> String {
    let mut places = Vec::new();
    for (word, others) in OTHER_WORDS {
        if let Some(at) = find_word(text, word) {
            places.push((at, word.len(), others.choose(rng).unwrap_or(word)));
        }
    }
    places.sort_unstable_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let mut text = text.to_owned();
    for (at, length, other) in places {
        text.replace_range(at..at + length, other);
    }
    text
}

/// Where a word or words in lower case are in a text, between other words.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let inside = |c: char| c.is_alphanumeric() || c == '\'' || c == '-';
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|&at| !text[..at].ends_with(inside) && !text[at + word.len()..].starts_with(inside))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn a_question_is_written_in_many_ways() {
        let text = "How do I replace the battery of my lamp?";
        assert_eq!(
            Variation::Terse.of(text, &mut rng(1)),
            "how do i replace the battery of my lamp"
        );
        assert_eq!(Variation::Telegram.of(text, &mut rng(1)), "how replace battery lamp");
        let others = Variation::OtherWords.of(text, &mut rng(1));
        assert!(!others.contains("replace") && others.contains("charge of my lamp"), "{others}");
        for seed in 0..20 {
            let typed = Variation::Typo.of(text, &mut rng(seed));
            assert!(typed != text && typed.len().abs_diff(text.len()) <= 1, "{typed}");
            let chatty = Variation::Chatty.of(text, &mut rng(seed));
            assert!(chatty.len() > text.len() && chatty.contains("ow do I replace"), "{chatty}");
        }
        // There is nothing to change.
        for seed in 0..5 {
            assert_eq!(Variation::Typo.of("Why me?", &mut rng(seed)), "Why me?");
        }
        assert_eq!(Variation::Telegram.of("Do it?", &mut rng(1)), "do it");
        assert_eq!(Variation::OtherWords.of("Coasts?", &mut rng(1)), "Coasts?");
    }

    #[test]
    fn all_variations_come_up() {
        let mut rng = rng(7);
        let drawn: Vec<Variation> = (0..500).map(|_| Variation::draw(&mut rng)).collect();
        for (variation, share) in SHARES {
            let count = drawn.iter().filter(|other| *other == variation).count() as f64;
            assert!((count / 500.0 - share).abs() < 0.08, "{variation:?}: {count}");
        }
        assert!((SHARES.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
