//! Words of English by what they do in a sentence.

/// What begins questions, with what follows it or by itself.
pub(super) const QUESTION_WORDS: &[&str] =
    &["what", "which", "who", "whose", "how", "why", "where", "when"];

/// What begins questions and follows their first word.
pub(super) const AUXILIARIES: &[&str] = &[
    "is", "are", "was", "were", "do", "does", "did", "can", "could", "should", "would", "will",
    "may", "must", "has", "have", "am",
];

/// What begins conditions.
pub(super) const CONDITIONS: &[&str] =
    &["if", "when", "before", "after", "while", "once", "unless", "until", "whenever"];

/// What begins the object of a verb.
pub(super) const ARTICLES: &[&str] = &[
    "a", "an", "the", "your", "my", "our", "its", "it", "this", "that", "these", "those", "their",
    "his", "her", "all", "any", "another", "new", "old", "more", "us", "me", "you", "them",
];

/// What follows verbs too.
pub(super) const PREPOSITIONS: &[&str] = &[
    "to", "in", "into", "from", "for", "with", "without", "up", "on", "off", "out", "at", "by",
    "over", "through", "back", "down", "about", "as",
];

/// Verbs that say something of a subject.
pub(super) const FINITE: &[&str] = &[
    "is",
    "are",
    "was",
    "were",
    "has",
    "have",
    "had",
    "does",
    "do",
    "did",
    "will",
    "can",
    "cannot",
    "can't",
    "won't",
    "keeps",
    "makes",
    "shows",
    "says",
    "turns",
    "stops",
    "stopped",
    "feels",
    "smells",
    "drains",
    "leaks",
    "gets",
    "got",
    "goes",
    "went",
    "looks",
    "sounds",
    "runs",
    "takes",
    "needs",
    "comes",
    "came",
    "fails",
    "failed",
    "lost",
    "broke",
    "fell",
    "freezes",
    "crashes",
    "blinks",
    "flashes",
    "disappears",
    "disappeared",
    "arrived",
    "forgot",
    "must",
    "should",
    "may",
];

/// Verbs by which texts tell somebody what to do.
const VERBS: &str = "\
    accept access activate add adjust appeal apply arrange ask assemble attach avoid back bake \
    boil book borrow bring build buy call cancel carry catch change charge check choose claim \
    clean clear close collect combine compare complete configure confirm connect contact control \
    convert cook copy create cut deal delete deliver descale disable disconnect dispose download \
    drain dry edit eject empty enable end enter exchange export extend feed file fill find \
    finish fit fix follow freeze get give grow handle hang heat help hold import improve \
    increase insert inspect install invite join keep launch learn leave lend lift limit load \
    lock log lower maintain make manage measure mix mount move open order pack pair park paste \
    pay pick place plan plant plug post pour prepare press prevent print protect prune pull \
    purchase push put raise read rebook receive recharge record recover recycle reduce refill \
    refund register reheat remove rename renew rent repair replace report request reserve reset \
    restart restore return rinse roll run save schedule search select sell send serve set share \
    ship shut sign soak sort speak start stay stop store submit subscribe swap switch take talk \
    test tighten track train transfer transport travel treat turn uninstall unlock unpack \
    unsubscribe update upgrade upload use verify view visit wait warm wash water wear withdraw \
    work wrap write";

/// Verbs that are as often nouns before another: "return policy".
const NOUN_TOO: &str = "\
    access appeal back book call change charge check claim contact control cook copy cut deal \
    drain end exchange export feed file fit freeze heat help hold import launch lift limit load \
    lock log measure mix mount move open order pack pair park paste pay pick place plan plant \
    plug post press print purchase push record refund rent repair report request reserve reset \
    restart return roll run save schedule search set share ship shut sign start stay stop store \
    swap switch test track train transfer transport travel treat turn update upgrade use view \
    visit wait wash water wear work wrap";

/// Whether a word in lower case is one of the verbs.
pub(in crate::bake::stimuli) fn is_verb(word: &str) -> bool {
    VERBS.split(' ').any(|verb| verb == word)
}

/// Whether a verb is as often a noun before another.
pub(super) fn is_noun_too(verb: &str) -> bool {
    NOUN_TOO.split(' ').any(|noun| noun == verb)
}

/// The verb of which a word is the form in "-ing": "charge" of "charging".
pub(super) fn base_of(word: &str) -> Option<&'static str> {
    let stem = word.strip_suffix("ing")?;
    let mut letters = stem.chars().rev();
    let doubled = letters.next().filter(|last| letters.next() == Some(*last));
    let single = &stem[..stem.len() - doubled.map_or(0, char::len_utf8)];
    let forms = [stem.to_owned(), format!("{stem}e"), single.to_owned()];
    forms.iter().find_map(|form| VERBS.split(' ').find(|verb| verb == form))
}

/// Whether most sentences of a text are in English, by the words that every English text has.
pub(in crate::bake) fn is_english(text: &str) -> bool {
    const EVERYWHERE: &[&str] = &[
        "the", "a", "an", "of", "to", "and", "in", "is", "it", "for", "on", "with", "that", "this",
        "or", "be", "are", "not", "at", "by", "from", "you", "your", "if", "as", "can", "my", "i",
    ];
    let (mut words, mut common) = (0, 0);
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        words += 1;
        common += usize::from(EVERYWHERE.contains(&word.to_lowercase().as_str()));
    }
    // A text without sentences, such as a list of names, can be asked about in any language.
    words < 30 || 8 * common >= words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_have_their_forms() {
        assert!(NOUN_TOO.split(' ').all(is_verb), "{NOUN_TOO}");
        for (word, base) in [
            ("charging", Some("charge")),
            ("resetting", Some("reset")),
            ("installing", Some("install")),
            ("filling", Some("fill")),
            ("paying", Some("pay")),
            ("morning", None),
            ("ing", None),
            ("charge", None),
        ] {
            assert_eq!(base_of(word), base, "{word}");
        }
    }

    #[test]
    fn a_language_is_known_by_its_smallest_words() {
        let english = "Press the side button of the phone for 20 seconds until it is warm and the \
            logo of the maker appears on the screen. If that is not enough, ask in the store.";
        let german = "Drücken Sie die Seitentaste des Telefons 20 Sekunden lang, bis es warm ist \
            und das Logo des Herstellers auf dem Bildschirm erscheint. Reicht das nicht, fragen \
            Sie im Laden nach Hilfe bei der Reparatur.";
        assert!(is_english(english) && !is_english(german) && is_english("Bob, Ann"));
    }
}
