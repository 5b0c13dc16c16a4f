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

/// Where a word means what others say for it: "the fix" is not what is sorted out, and whoever lost
/// a key has not gone it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Everywhere.
    Any,
    /// As a verb: not after a word of [`BEFORE_NOUNS`] or a preposition.
    Verb,
    /// As a noun: after a word of [`BEFORE_NOUNS`].
    Noun,
    /// As what something is: after a word of [`BEFORE_STATES`].
    State,
}

/// Words after which there is a noun.
const BEFORE_NOUNS: &[&str] = &[
    "a", "an", "any", "each", "every", "her", "his", "its", "my", "no", "our", "some", "that",
    "the", "their", "this", "your",
];

/// Words after which there is a noun or an `-ing` form, but no other form of a verb.
const PREPOSITIONS: &[&str] =
    &["about", "after", "at", "before", "by", "for", "from", "in", "of", "on", "with", "without"];

/// Words after which it is said how something is.
const BEFORE_STATES: &[&str] = &[
    "am", "are", "be", "been", "being", "feels", "got", "i'm", "is", "it's", "looks", "seems",
    "that's", "was", "went", "were",
];

/// Words, where they mean what others say for them, and what that is.
const OTHER_WORDS: &[(&str, Use, &[&str])] = &[
    ("accept", Use::Any, &["take"]),
    ("access", Use::Verb, &["get into", "reach"]),
    ("allowed", Use::Any, &["permitted", "OK"]),
    ("arrive", Use::Any, &["come"]),
    ("battery", Use::Any, &["charge"]),
    ("begin", Use::Any, &["start"]),
    ("broken", Use::State, &["damaged", "not working"]),
    ("buy", Use::Any, &["purchase", "get"]),
    ("cancel", Use::Any, &["call off", "stop", "end"]),
    ("change", Use::Verb, &["alter", "switch"]),
    ("charge", Use::Verb, &["power up", "load"]),
    ("check", Use::Verb, &["look at", "inspect"]),
    ("choose", Use::Any, &["pick", "select"]),
    ("clean", Use::Verb, &["wash", "wipe"]),
    ("connect", Use::Any, &["link", "hook up", "pair"]),
    ("contact", Use::Verb, &["reach", "get hold of"]),
    ("cracked", Use::Any, &["broken", "shattered"]),
    ("delete", Use::Any, &["remove", "erase"]),
    ("delivery", Use::Any, &["shipping"]),
    ("dirty", Use::Any, &["filthy"]),
    ("drains", Use::Any, &["uses up", "empties"]),
    ("empty", Use::Verb, &["clear out"]),
    ("error", Use::Any, &["fault", "problem"]),
    ("exchange", Use::Any, &["swap"]),
    ("fee", Use::Any, &["charge", "price"]),
    ("fees", Use::Any, &["charges", "prices"]),
    ("find", Use::Verb, &["locate", "see"]),
    ("fix", Use::Verb, &["repair", "sort out"]),
    ("forgot", Use::Any, &["don't remember"]),
    ("frozen", Use::State, &["stuck", "hanging"]),
    ("hot", Use::Any, &["warm"]),
    ("install", Use::Verb, &["set up", "put in"]),
    ("issue", Use::Any, &["problem"]),
    ("late", Use::Any, &["delayed"]),
    ("loud", Use::Any, &["noisy"]),
    ("lost", Use::State, &["missing", "gone"]),
    ("make", Use::Any, &["create"]),
    ("move", Use::Any, &["shift"]),
    ("noise", Use::Any, &["sound"]),
    ("password", Use::Any, &["login", "PIN"]),
    ("pay", Use::Any, &["settle"]),
    ("payment", Use::Any, &["paying"]),
    ("phone", Use::Any, &["mobile", "handset"]),
    ("picture", Use::Any, &["photo", "image"]),
    ("problem", Use::Any, &["trouble", "issue"]),
    ("refund", Use::Any, &["money back"]),
    ("remove", Use::Any, &["take out", "get rid of"]),
    ("repair", Use::Any, &["fix", "mend"]),
    ("replace", Use::Any, &["change", "swap"]),
    ("reset", Use::Verb, &["restart", "set back"]),
    ("return", Use::Verb, &["send back", "give back"]),
    ("room", Use::Any, &["space"]),
    ("screen", Use::Any, &["display"]),
    ("send", Use::Any, &["mail"]),
    ("shipping", Use::Any, &["delivery"]),
    ("slow", Use::Any, &["sluggish"]),
    ("smell", Use::Noun, &["odour"]),
    ("start", Use::Verb, &["begin", "turn on"]),
    ("stop", Use::Verb, &["end", "quit"]),
    ("storage", Use::Any, &["space", "memory"]),
    ("store", Use::Verb, &["keep"]),
    ("stuck", Use::State, &["jammed"]),
    ("turn on", Use::Any, &["start", "switch on"]),
    ("turn off", Use::Any, &["shut down", "switch off"]),
    ("update", Use::Any, &["upgrade"]),
    ("use", Use::Verb, &["operate", "work with"]),
    ("won't", Use::Any, &["doesn't", "will not", "refuses to"]),
    ("can't", Use::Any, &["cannot", "am not able to"]),
    ("doesn't", Use::Any, &["does not", "won't"]),
    ("isn't", Use::Any, &["is not"]),
    ("warranty", Use::Any, &["guarantee"]),
    ("wrong", Use::State, &["not right", "off"]),
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
    for (word, used, others) in OTHER_WORDS {
        if let Some(at) = find_word(text, word, *used) {
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

/// Where a word or words in lower case are in a text, between other words, and used like this.
fn find_word(text: &str, word: &str, used: Use) -> Option<usize> {
    let inside = |c: char| c.is_alphanumeric() || c == '\'' || c == '-';
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        !text[..at].ends_with(inside)
            && !text[at + word.len()..].starts_with(inside)
            && used.is_after(text[..at].split_whitespace().next_back().unwrap_or_default())
    })
}

impl Use {
    /// Whether a word is used so after this one.
    fn is_after(self, before: &str) -> bool {
        let before = before.to_lowercase();
        let one_of = |words: &[&str]| words.contains(&before.as_str());
        match self {
            Self::Any => true,
            Self::Verb => !one_of(BEFORE_NOUNS) && !one_of(PREPOSITIONS),
            Self::Noun => one_of(BEFORE_NOUNS),
            Self::State => one_of(BEFORE_STATES),
        }
    }
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
    fn words_are_replaced_where_they_mean_what_is_put_in() {
        for kept in [
            "I lost my key",
            "Where is the fix?",
            "Is it free of charge?",
            "What about the wrong size?",
            "Does it smell?",
        ] {
            for seed in 0..5 {
                assert_eq!(Variation::OtherWords.of(kept, &mut rng(seed)), kept);
            }
        }
        for (text, others) in [
            ("My key is lost", &["My key is missing", "My key is gone"][..]),
            (
                "How can I fix the lamp?",
                &["How can I repair the lamp?", "How can I sort out the lamp?"],
            ),
            (
                "How do I charge the lamp?",
                &["How do I power up the lamp?", "How do I load the lamp?"],
            ),
            ("What about the smell?", &["What about the odour?"]),
        ] {
            for seed in 0..5 {
                let reworded = Variation::OtherWords.of(text, &mut rng(seed));
                assert!(others.contains(&reworded.as_str()), "{reworded}");
            }
        }
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
