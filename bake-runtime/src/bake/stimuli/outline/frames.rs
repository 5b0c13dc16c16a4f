//! Frames: sentences in which people ask about a lead, by its form.
//!
//! `{}` is the lead. What begins with `{}` and has nothing before it begins with a capital.

use super::form::LeadForm;

/// About a thing.
const TOPIC: &[&str] = &[
    "{}",
    "What about {}?",
    "Tell me about {}.",
    "What do I need to know about {}?",
    "What should I do about {}?",
    "Can you explain {} to me?",
    "I have a question about {}.",
    "What does it say about {}?",
    "anything on {}",
    "How does that work with {}?",
    "I need help with {}.",
    "Could you tell me more about {}?",
    "I'm looking for information on {}.",
    "What are the rules for {}?",
    "Give me the details of {}.",
    "{}, please",
    "what's the deal with {}",
    "What is there to know about {}?",
    "Who can tell me something about {}?",
    "I'd like to know more about {}.",
];

/// About what is wrong, or the case.
const CLAUSE: &[&str] = &[
    "{}",
    "{}. What can I do?",
    "{}, what should I do?",
    "What do I do if {}?",
    "What can I do when {}?",
    "Help, {}!",
    "{} - any ideas?",
    "I have a problem: {}.",
    "Since this morning {}. How do I fix it?",
    "How do I fix it when {}?",
    "It seems that {}. What now?",
    "{} and I don't know why.",
    "Can you help me? {}.",
    "What does it mean if {}?",
    "{} again, what helps?",
    "Somebody told me that {}. What happens now?",
    "what to do: {}",
    "What is the fix when {}?",
];

/// About what somebody wants to do.
const ACTION: &[&str] = &[
    "How do I {}?",
    "how to {}",
    "I want to {}.",
    "How can I {}?",
    "What is the best way to {}?",
    "Can you tell me how to {}?",
    "I'd like to {}, how does that work?",
    "What do I have to do to {}?",
    "I need to {}. What are the steps?",
    "Is there a way to {}?",
    "what do I need to {}",
    "I'm trying to {}, but I don't know how.",
    "What should I know before I {}?",
    "Explain how to {}.",
    "Who can help me {}?",
    "What happens when I {}?",
];

/// About what somebody does.
const DOING: &[&str] = &[
    "{}",
    "I need help with {}.",
    "Tell me about {}.",
    "How does {} work?",
    "What should I know about {}?",
    "What is the best way of {}?",
    "anything about {}",
    "Can you explain {}?",
    "I have a question about {}.",
    "what about {}",
    "What are the steps for {}?",
    "What do I have to mind when {}?",
];

/// About when something is.
const CONDITION: &[&str] = &[
    "What happens {}?",
    "What do I do {}?",
    "{}, what then?",
    "What should I do {}?",
    "{}?",
    "Tell me what to do {}.",
    "What is important {}?",
    "Do I have to do anything {}?",
    "{} ... what do I have to know?",
    "Can you tell me what happens {}?",
    "What is the right thing to do {}?",
    "what now, {}",
];

/// About what somebody wants to be allowed to do.
const WISH: &[&str] = &[
    "Can I {}?",
    "Am I allowed to {}?",
    "Is it OK to {}?",
    "Is it possible to {}?",
    "I want to {}, is that all right?",
    "May I {}?",
    "I'd like to {}. What do I have to know?",
    "What if I {}?",
    "Can someone {}?",
    "Does anything speak against it if I {}?",
    "possible to {}",
    "{}, yes or no?",
    "What are the rules if I {}?",
];

/// Around a question.
const QUESTION: &[&str] = &[
    "{}",
    "Can you tell me: {}",
    "Quick question: {}",
    "Sorry to bother you, but {}",
    "I was wondering: {}",
    "{} Thanks!",
    "I'd like to know: {}",
    "{} I could not find it.",
    "My friend asked me: {}",
    "So, {}",
    "One more thing: {}",
    "{} Please explain.",
];

/// About something that a lead's text tells, together with the lead, and the words in the text
/// that show that it tells it.
const FACTS: &[(&[&str], &str)] = &[
    (&["second", "minute", "hour", "day", "week", "month", "year"], "{}: how long does it take?"),
    (&["€", "$", "£", "eur", "euro", "dollar", "usd", "cent", "free"], "{}: what does it cost?"),
    (&["monday", "sunday", "saturday", "noon", "a.m.", "p.m.", "o'clock"], "{}: at what time?"),
    (&["contact", "call", "ask", "email", "office", "desk"], "{}: who do I turn to?"),
    (&["room", "floor", "desk", "menu", "settings", "shelf", "store"], "{}: where is that?"),
    (&["not", "never", "no", "only", "except"], "{}: is anything not allowed?"),
    (&["because", "since", "so"], "{}: why is that?"),
    (&["must", "required", "need", "have"], "{}: what do I need for it?"),
];

/// The frames of a form, and the words in their gaps.
pub(super) fn frames(form: &LeadForm) -> (&'static [&'static str], &str) {
    match form {
        LeadForm::Topic(words) => (TOPIC, words),
        LeadForm::Clause(words) => (CLAUSE, words),
        LeadForm::Action(words) => (ACTION, words),
        LeadForm::Doing(words) => (DOING, words),
        LeadForm::Condition(words) => (CONDITION, words),
        LeadForm::Wish(words) => (WISH, words),
        LeadForm::Question(words) => (QUESTION, words),
    }
}

/// The questions about a lead that its text shows to be answered, by its words in lower case.
pub(super) fn facts<'a>(words: &'a [String]) -> impl Iterator<Item = &'static str> + 'a {
    let tells = |shown: &&str| {
        let plural = format!("{shown}s");
        words.iter().any(|word| word == shown || *word == plural)
    };
    FACTS.iter().filter(move |(shown, _)| shown.iter().any(&tells)).map(|(_, frame)| *frame)
}

/// A frame with these words in its gap, as a sentence begins.
pub(super) fn fill(frame: &str, words: &str) -> String {
    let text = frame.replacen("{}", words, 1);
    let text = text.replace("??", "?").replace("?.", "?");
    match frame.starts_with("{}") || frame.starts_with(char::is_uppercase) {
        true => capitalised(&text),
        false => text,
    }
}

/// A text with a capital at its beginning, unless its first word has one already, as "iPhone" has.
pub(super) fn capitalised(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(c) if !first.chars().skip(1).any(char::is_uppercase) => {
            c.to_uppercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_at_least_a_dozen_frames() {
        for frames in [TOPIC, CLAUSE, ACTION, DOING, CONDITION, WISH, QUESTION] {
            assert!(frames.len() >= 12, "{frames:?}");
            for (i, frame) in frames.iter().enumerate() {
                assert_eq!(frame.matches("{}").count(), 1, "{frame}");
                assert!(!frames[..i].contains(frame), "{frame}");
            }
        }
    }

    #[test]
    fn frames_begin_as_sentences_do() {
        assert_eq!(fill("{}. What can I do?", "my lamp is off"), "My lamp is off. What can I do?");
        assert_eq!(fill("how to {}", "reset it"), "how to reset it");
        assert_eq!(fill("{}", "iPhone is off"), "iPhone is off");
        assert_eq!(fill("{}?", "can I swim?"), "Can I swim?");
    }

    #[test]
    fn facts_are_asked_for_where_the_text_tells_them() {
        let of = |text: &str| -> Vec<&str> {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            facts(&words).collect()
        };
        assert_eq!(of("wait 20 seconds"), ["{}: how long does it take?"]);
        assert_eq!(of("it is 5 €"), ["{}: what does it cost?"]);
        assert_eq!(of("it shines"), [""; 0]);
    }
}
