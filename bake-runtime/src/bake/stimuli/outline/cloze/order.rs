//! The order of words in a question: "adults pay a year" is asked about as "do adults pay a year".

use crate::bake::stimuli::outline::lexicon::{ARTICLES, AUXILIARIES, PREPOSITIONS, is_verb};

/// Verbs that texts tell something with, beside those by which they most often tell somebody what
/// to do.
const TELLING: &str = "\
    allow become begin belong blow break brush burn come contain cost cover depend die drink drive \
    drop expect expire fall float flow fly form gain gather go grate grind hand happen hatch \
    hit hope include kill know last lay lead let lie listen live look loosen lose love mark mean \
    meet melt need occur offer own owe peel point produce reach reply require rest ring rise rub \
    scrape seem shake shine show shrink simmer sink sit sleep smell solve spend spread squeeze \
    stand stir stretch stuff swim taste tear tell thank think tie touch trim trust try vary \
    vote walk want watch weigh win wipe wish worry wring";

/// What begins a clause within a clause: its verb is not the one that is sought.
const WITHIN: &[&str] = &["that", "which", "who", "whose", "if", "when", "unless", "because"];

/// What else is followed by somebody who does something.
const CONJUNCTIONS: &[&str] =
    &["while", "before", "after", "until", "as", "than", "where", "what", "how", "so"];

/// Who does something.
pub(super) const PRONOUNS: &[&str] = &["it", "they", "you", "we", "he", "she", "i", "there"];

/// What precedes the verb by which a text tells somebody what to do.
const HOW: &[&str] = &["never", "always", "please", "then", "first", "gently", "carefully"];

/// Those of whom several are spoken of.
const SEVERAL: &[&str] = &["we", "you", "they", "i", "people", "children", "both", "all", "most"];

/// The verb of a clause, and what helps it in a question.
struct Verb {
    at: usize,
    helper: &'static str,
    /// As it stands beside its helper.
    base: String,
}

/// Words that tell something, as they are asked about after "what" or "when", by somebody whom the
/// text addresses as "you"; none where it is not known which of them is the verb.
pub(super) fn asked(words: &[&str]) -> Option<Vec<String>> {
    let words = &with_the_subject_first(words);
    let inside = |at: usize| {
        words[..at].iter().any(|word| WITHIN.contains(word) || CONJUNCTIONS.contains(word))
    };
    // "May" is a month after a preposition.
    let helps = |at: usize| {
        AUXILIARIES.contains(&words[at])
            && !(words[at] == "may" && PREPOSITIONS.contains(&words[at - 1]))
    };
    let auxiliary = (1..words.len()).find(|&at| helps(at) && !inside(at));
    let how = usize::from(words.first().is_some_and(|first| HOW.contains(first)));
    if words.get(how).is_some_and(|verb| tells(verb))
        && words.get(how + 1).is_none_or(|next| !AUXILIARIES.contains(next))
    {
        return Some([vec!["do".to_owned(), "I".to_owned()], spoken(words, false)].concat());
    }
    // "Orders are shipped", "visits cost": what begins these is not a verb.
    if auxiliary.is_none()
        && words.get(1).is_none_or(|next| !is_verb_form(next))
        && let Some((helper, base)) = words.first().and_then(|first| acts(first))
    {
        // What is spoken of was named before.
        let asked = vec![helper.to_owned(), "it".to_owned(), base];
        return Some([asked, spoken(&words[1..], false)].concat());
    }
    let verb = verb(words).filter(|verb| !inside(verb.at) && auxiliary.is_none());
    let (at, helper, base) = match (verb, auxiliary) {
        (Some(Verb { at, helper, base }), _) => (at, helper, Some(base)),
        (None, Some(at)) => match (words[at], words[at - 1]) {
            ("are", "you") => (at, "am", None),
            ("were", "you") => (at, "was", None),
            (helper, _) => (at, helper, None),
        },
        (None, None) => return None,
    };
    let mut asked = vec![helper.to_owned()];
    asked.extend(spoken(&words[..at], true));
    asked.extend(base);
    asked.extend(spoken(&words[at + 1..], false));
    Some(asked)
}

/// "In a cupboard it keeps" as "it keeps in a cupboard".
fn with_the_subject_first<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let begins = words.first().is_some_and(|first| PREPOSITIONS.contains(first));
    let subject = words.iter().position(|word| PRONOUNS.contains(word));
    let at = subject.filter(|&at| begins && at > 1).unwrap_or(0);
    [&words[at..], &words[..at]].concat()
}

/// The first word after a subject that is a verb.
fn verb(words: &[&str]) -> Option<Verb> {
    for at in 1..words.len() {
        let (before, word) = (words[at - 1], words[at]);
        let is_subject = SEVERAL.contains(&before) || PRONOUNS.contains(&before);
        if !is_subject && (ARTICLES.contains(&before) || PREPOSITIONS.contains(&before)) {
            continue;
        }
        let several = SEVERAL.contains(&before) || (before.ends_with('s') && before.len() > 3);
        let found = match several {
            true if tells(word) => Some(("do", word.to_owned())),
            true => base_of(word, "d").map(|base| ("did", base)),
            false => acts(word),
        };
        if let Some((helper, base)) = found {
            return Some(Verb { at, helper, base });
        }
    }
    None
}

/// What helps a verb that says what one does or did, and how it stands beside it.
fn acts(word: &str) -> Option<(&'static str, String)> {
    let does = base_of(word, "s").map(|base| ("does", base));
    does.or_else(|| base_of(word, "d").map(|base| ("did", base)))
}

/// Whether a word is one of the verbs, or a form of one.
pub(super) fn is_verb_form(word: &str) -> bool {
    tells(word) || acts(word).is_some()
}

fn tells(word: &str) -> bool {
    is_verb(word) || TELLING.split(' ').any(|verb| verb == word)
}

/// The verb of which a word is the form in "-s" or "-ed".
fn base_of(word: &str, ending: &str) -> Option<String> {
    let stem = word.strip_suffix(ending)?;
    let mut forms = vec![];
    if ending == "s" {
        forms.push(stem.to_owned());
    }
    if let Some(short) = stem.strip_suffix('e') {
        forms.extend([short.to_owned(), stem.to_owned()]);
        if let Some(stem) = short.strip_suffix('i') {
            forms.push(format!("{stem}y"));
        }
        let mut letters = short.chars().rev();
        if ending == "d"
            && let (Some(last), Some(other)) = (letters.next(), letters.next())
            && last == other
        {
            forms.push(short[..short.len() - last.len_utf8()].to_owned());
        }
    }
    forms.into_iter().find(|form| tells(form))
}

/// Words as the reader says them whom a text calls "you", before their verb or after it.
fn spoken(words: &[&str], before_verb: bool) -> Vec<String> {
    let mut said: Vec<String> = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| words[before]);
        let does = before_verb
            || before.is_some_and(|word| WITHIN.contains(&word) || CONJUNCTIONS.contains(&word));
        let is_i = said.last().is_some_and(|last| last == "I");
        let word = match *word {
            "you" if does => "I",
            "you" => "me",
            "we" | "us" => "you",
            "your" => "my",
            "our" => "your",
            "yourself" => "myself",
            "are" if is_i => "am",
            "were" if is_i => "was",
            word => word,
        };
        said.push(word.to_owned());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_asked_in_the_order_of_a_question() {
        for (told, want) in [
            ("adults pay a year", "do adults pay a year"),
            ("a new one costs", "does a new one cost"),
            ("an open jar lasts in the fridge", "does an open jar last in the fridge"),
            ("the network is called", "is the network called"),
            ("we keep it for you on the shelf", "do you keep it for me on the shelf"),
            ("you are allowed to bring your dog", "am I allowed to bring my dog"),
            ("rinse your filter under water", "do I rinse my filter under water"),
            ("the club planted along the road", "did the club plant along the road"),
            ("the shop stopped selling it", "did the shop stop selling it"),
            ("the lock on the door is changed", "is the lock on the door changed"),
            ("returns are accepted", "are returns accepted"),
            ("visits cost more", "do visits cost more"),
            ("rent is due", "is rent due"),
            ("the door locks are changed", "are the door locks changed"),
            ("in may the pool is closed", "is in may the pool closed"),
            ("keep it while you are away", "do I keep it while I am away"),
            ("in a dark cupboard it keeps", "does it keep in a dark cupboard"),
            ("costs more than before", "does it cost more than before"),
            ("never boil it in one pan", "do I never boil it in one pan"),
            ("heat it until it is done", "do I heat it until it is done"),
            ("we lend nothing while you owe us", "do you lend nothing while I owe you"),
        ] {
            let words: Vec<&str> = told.split(' ').collect();
            assert_eq!(asked(&words).map(|asked| asked.join(" ")).as_deref(), Some(want), "{told}");
        }
        assert_eq!(asked(&["quickly", "after", "rain"]), None);
    }

    #[test]
    fn verbs_are_known_by_their_forms() {
        assert!(TELLING.split(' ').all(|verb| !is_verb(verb)), "one is in both lists");
        for (word, ending, base) in [
            ("costs", "s", Some("cost")),
            ("washes", "s", Some("wash")),
            ("carries", "s", Some("carry")),
            ("opened", "d", Some("open")),
            ("stopped", "d", Some("stop")),
            ("baked", "d", Some("bake")),
            ("filters", "s", None),
            ("red", "d", None),
        ] {
            assert_eq!(base_of(word, ending).as_deref(), base, "{word}");
        }
    }
}
