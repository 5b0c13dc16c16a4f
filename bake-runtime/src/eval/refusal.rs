//! How a model says that it does not know: an explicit list of forms, in English.
//!
//! A form is a row of words. `a|b` is either word, `a?` may be left out, `a*` may appear up to six
//! times, `!a` must not follow, and `/` is where a clause begins or ends. Words in capitals are
//! [sets](SETS) of phrases. Contractions are read in full: "don't" as "do not".
//!
//! A form is about knowledge, so that an ordinary sentence with some of its words does not match:
//! "I do not have that information" is a refusal, "you do not have to restart it" is not.

use crate::eval::words::{Token, tokens};

/// The forms by which a model declines.
const FORMS: [&str; 35] = [
    // The model says it of itself.
    "WHO ADVERB* do not ADVERB* know KNOWN",
    "WHO do not know of OF_KIND* FACTS AFTER",
    "/ do not know /",
    "WHO ADVERB* do not ADVERB* have OF_KIND* INFORMATION AFTER",
    "WHO ADVERB* do not ADVERB* have access to OF_KIND* INFORMATION AFTER",
    "WHO ADVERB* have no OF_KIND* INFORMATION|idea AFTER",
    "WHO lack OF_KIND* INFORMATION AFTER",
    "/ no idea /",
    "WHO ADVERB* UNABLE answer /|it|that|this|your|questions|because|based|from|without|with|as",
    "WHO ADVERB* UNABLE answer the|any question|questions",
    "WHO ADVERB* UNABLE say|tell|determine|confirm you? /|for|from|based|WH",
    "WHO ADVERB* UNABLE give|provide|offer|find|see you? OF_KIND* INFORMATION AFTER",
    "WHO ADVERB* UNABLE find|see anything|mention|it|that|this about|on|of|in",
    "WHO ADVERB* UNABLE find|see any mention",
    "WHO ADVERB* UNABLE help you? with that|this question|one? /",
    "WHO am|are ADVERB* not sure|certain /|about|WH",
    "WHO have not been given|told|taught OF_KIND* INFORMATION|that|this|it|anything /|about|on",
    // It says so of what it has read.
    "THE OF_KIND* SOURCE do|does|did not say|specify|state|indicate|tell !to",
    "THE OF_KIND* SOURCE do|does|did not mention|cover|discuss|explain|describe|address",
    "THE OF_KIND* SOURCE do|does|did not MAKE_KNOWN OF_KIND* \
     INFORMATION|it|anything /|about|on|for",
    "THE OF_KIND* SOURCE do|does|did not MAKE_KNOWN it|this|that /",
    "THE OF_KIND* SOURCE do|does|did not answer /|it|that|this|the|your",
    "THE OF_KIND* SOURCE has|have no OF_KIND* INFORMATION|mention NOTED",
    "THE OF_KIND* SOURCE make|makes|made no mention",
    "there is|are|was|were no OF_KIND* FACTS|mention|indication NOTED",
    "there is|are|was|were not any|enough OF_KIND* FACTS|mention NOTED",
    "/ no OF_KIND* information|info|mention NOTED",
    // It says it of the fact.
    "is|are|was|were not ADVERB* mentioned|specified|stated|documented|discussed",
    "/ not mentioned|specified|stated",
    "is|are|was|were not HELD in|by THE OF_KIND* SOURCE",
    "information is|was not available|provided|included|given|there|present|contained|known",
    "it is not known|clear /|WH",
    "outside|beyond of? my|the scope|limits|range? of? my|the? knowledge|information|document",
    "/ unknown /",
    "/ not known /",
];

/// The sets of phrases that the forms name.
const SETS: [(&str, &str); 14] = [
    ("WHO", "i|we"),
    ("ADVERB", "actually|currently|explicitly|honestly|just|really|simply|specifically|still|yet"),
    (
        "KNOWN",
        "/|WH|about|the|your|its|their|that|this|it|yet|for|enough|because|and|but|or|as|\
         exactly|anything",
    ),
    ("WH", "what|how|which|who|whose|where|when|why|whether|if"),
    (
        "UNABLE",
        "can not|could not|am unable to|are unable to|am not able to|are not able to|\
         was not able to|was unable to",
    ),
    ("INFORMATION", "FACTS|data|knowledge|context|facts"),
    ("FACTS", "information|info|details|answer|answers"),
    (
        "OF_KIND",
        "THE|a|about|an|any|additional|clear|complete|correct|definite|definitive|detailed|\
         enough|exact|full|further|given|kind|more|necessary|of|other|particular|provided|\
         relevant|reliable|single|sort|specific|such|sufficient|useful",
    ),
    ("THE", "the|this|that|these|those|my|our|your"),
    ("AFTER", "NOTED|to|and|but|or|so|because|needed|required|necessary|with|WH"),
    (
        "NOTED",
        "/|about|as|at|available|concerning|for|from|given|here|in|of|on|provided|regarding|\
         that|which|yet",
    ),
    (
        "SOURCE",
        "article|articles|context|description|document|documents|documentation|excerpt|guide|\
         guides|handbook|information|instructions|manual|manuals|material|materials|notes|\
         page|pages|passage|passages|section|sections|source|sources|text|texts",
    ),
    ("MAKE_KNOWN", "contain|give|have|include|offer|provide|list"),
    // Said of a guarantee or a box, and not of a text, these are not a refusal.
    (
        "HELD",
        "addressed|answered|available|contained|covered|described|found|given|included|\
         listed|provided",
    ),
];

/// Words that make what follows a condition or a quotation.
const NOT_SAID: [&str; 12] = [
    "if", "when", "whenever", "unless", "until", "once", "say", "says", "saying", "said", "though",
    "type",
];

/// Whether a text says that its writer does not know.
pub(crate) fn declines(answer: &str) -> bool {
    let words = spelled_out(answer);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    (0..words.len()).any(|at| {
        !is_conditional(&words, at) && FORMS.iter().any(|form| begins(form, &words[at..]))
    })
}

/// The words of a text with contractions written out, and `/` at the ends of its clauses.
fn spelled_out(text: &str) -> Vec<String> {
    let mut words = vec!["/".to_owned()];
    for token in tokens(text) {
        let Token::Word(word) = token else {
            words.push("/".to_owned());
            continue;
        };
        let (word, rest) = match &*word {
            "can't" | "cannot" | "cant" => ("can", "not"),
            "won't" => ("will", "not"),
            "dont" => ("do", "not"),
            "doesnt" => ("does", "not"),
            "i'm" => ("i", "am"),
            "i've" => ("i", "have"),
            "we've" => ("we", "have"),
            "we're" => ("we", "are"),
            "there's" => ("there", "is"),
            "it's" => ("it", "is"),
            "that's" => ("that", "is"),
            word => word.strip_suffix("n't").map_or((word, ""), |word| (word, "not")),
        };
        words.extend([word, rest].iter().filter(|word| !word.is_empty()).map(|w| w.to_string()));
    }
    words.push("/".to_owned());
    words
}

/// Whether the words at a place are a condition or a quotation: by the word before it, or by the
/// first of its clause.
fn is_conditional(words: &[&str], at: usize) -> bool {
    let clause = words[..at].iter().rposition(|word| *word == "/").map_or(0, |end| end + 1);
    let before = [at.checked_sub(1), (clause < at).then_some(clause)];
    before.into_iter().flatten().any(|place| NOT_SAID.contains(&words[place]))
}

/// Whether words begin with a form.
fn begins(form: &str, words: &[&str]) -> bool {
    let (element, rest) = form.split_once(' ').unwrap_or((form, ""));
    let goes_on = |length: usize| begins(rest, &words[length..]);
    if element.is_empty() {
        true
    } else if let Some(element) = element.strip_prefix('!') {
        lengths(element, words).is_empty() && goes_on(0)
    } else if let Some(element) = element.strip_suffix('?') {
        goes_on(0) || lengths(element, words).into_iter().any(goes_on)
    } else if let Some(element) = element.strip_suffix('*') {
        let mut ends = vec![0];
        for _ in 0..6 {
            let from = ends.len();
            let last = ends[from - 1];
            ends.extend(lengths(element, &words[last..]).into_iter().map(|n| last + n));
            if ends.len() == from {
                break;
            }
        }
        ends.into_iter().any(goes_on)
    } else {
        lengths(element, words).into_iter().any(goes_on)
    }
}

/// The numbers of words of the alternatives that these words begin with.
fn lengths(alternatives: &str, words: &[&str]) -> Vec<usize> {
    let mut lengths = Vec::new();
    for alternative in alternatives.split('|') {
        if let Some((_, phrases)) = SETS.iter().find(|(name, _)| *name == alternative) {
            lengths.extend(self::lengths(phrases, words));
            continue;
        }
        let phrase: Vec<&str> = alternative.split(' ').collect();
        if words.starts_with(&phrase) {
            lengths.push(phrase.len());
        }
    }
    lengths
}
