//! What a lead is in grammar, in English: that decides how people ask about it.

use super::lexicon::{
    ARTICLES, AUXILIARIES, CONDITIONS, FINITE, PREPOSITIONS, QUESTION_WORDS, base_of, is_noun_too,
    is_verb,
};

/// What the words of a lead are, and those that its frames repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bake::stimuli) enum LeadForm {
    /// A thing: "battery life".
    Topic(String),
    /// What is wrong, or what is the case: "my phone won't turn on".
    Clause(String),
    /// What somebody does: "reset the router", of "Resetting the router" and "How to reset the
    /// router" too.
    Action(String),
    /// What somebody does, of which only this form is known: "zeroing the scale".
    Doing(String),
    /// When something is: "if the lamp is broken".
    Condition(String),
    /// What somebody wants to be allowed to do: "swim with it".
    Wish(String),
    /// A question, with its mark.
    Question(String),
}

/// The words that a question begins with, and what the rest of it is.
type Beginning = (&'static str, fn(String) -> LeadForm);

const BEGINNINGS: &[Beginning] = &[
    ("how do i ", LeadForm::Action),
    ("how can i ", LeadForm::Action),
    ("how should i ", LeadForm::Action),
    ("how do you ", LeadForm::Action),
    ("how to ", LeadForm::Action),
    ("what is the best way to ", LeadForm::Action),
    ("can i ", LeadForm::Wish),
    ("may i ", LeadForm::Wish),
    ("could i ", LeadForm::Wish),
    ("is it possible to ", LeadForm::Wish),
    ("am i allowed to ", LeadForm::Wish),
    ("do i have to ", LeadForm::Wish),
    ("do i need to ", LeadForm::Wish),
    ("what happens if ", LeadForm::Clause),
    ("what should i do if ", LeadForm::Clause),
    ("what do i do if ", LeadForm::Clause),
    ("what is ", LeadForm::Topic),
    ("what are ", LeadForm::Topic),
    ("what about ", LeadForm::Topic),
    ("where is ", LeadForm::Topic),
    ("where are ", LeadForm::Topic),
    ("where do i find ", LeadForm::Topic),
];

impl LeadForm {
    /// The form of a lead, whose words are in lower case where they can be.
    pub(in crate::bake::stimuli) fn of(lead: &str) -> Self {
        let lead = lead.trim_end_matches(['.', '!', ':']);
        let words: Vec<String> =
            lead.split(' ').map(|word| word.trim_matches([',', '"']).to_lowercase()).collect();
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let rest = |from: usize| lead.split(' ').skip(from).collect::<Vec<_>>().join(" ");
        let (first, second) = (word(0), word(1));
        if first == "how" && second == "to" && words.len() > 2 {
            return Self::Action(users(&rest(2)));
        }
        let asks = QUESTION_WORDS.contains(&first) || AUXILIARIES.contains(&first);
        if lead.ends_with('?') || (asks && words.len() > 2 && is_question(first, second)) {
            return Self::Question(format!("{}?", lead.trim_end_matches(['?', ' '])));
        }
        if CONDITIONS.contains(&first) && words.len() > 2 {
            return Self::Condition(users(lead));
        }
        if words.len() > 1 {
            if let Some(base) = base_of(first).filter(|_| begins_object(second)) {
                return Self::Action(users(&format!("{base} {}", rest(1))));
            }
            if first.len() > 5 && first.ends_with("ing") && begins_object(second) {
                return Self::Doing(users(lead));
            }
            if is_verb(first) && (begins_object(second) || !is_noun_too(first)) {
                return Self::Action(users(lead));
            }
        }
        let verb = words.iter().position(|word| is_finite(word));
        if verb.is_some_and(|verb| (1..=5).contains(&verb)) || ["i", "we"].contains(&first) {
            return Self::Clause(lead.to_owned());
        }
        Self::Topic(lead.to_owned())
    }
}

/// What can be wrong with a thing, and what its owner did then.
const STATES: &[(&str, Option<&str>)] = &[
    ("blocked", None),
    ("broken", Some("broke")),
    ("cracked", Some("cracked")),
    ("damaged", Some("damaged")),
    ("dead", None),
    ("dirty", None),
    ("dropped", Some("dropped")),
    ("empty", None),
    ("expired", None),
    ("faulty", None),
    ("flat", None),
    ("forgotten", Some("forgot")),
    ("frozen", None),
    ("jammed", None),
    ("late", None),
    ("leaking", None),
    ("locked", None),
    ("loose", None),
    ("lost", Some("lost")),
    ("loud", None),
    ("missing", None),
    ("noisy", None),
    ("overheated", None),
    ("scratched", Some("scratched")),
    ("slow", None),
    ("spilled", Some("spilled")),
    ("stolen", None),
    ("stuck", None),
    ("torn", Some("tore")),
    ("wet", None),
    ("wrong", None),
];

impl LeadForm {
    /// What else a form can be asked as: what a question is about, or what happened to a thing
    /// whose state is named: of "lost key", "my key is lost" and "I lost my key".
    pub(super) fn behind(&self) -> Vec<Self> {
        match self {
            Self::Question(question) => {
                asked_about(question.trim_end_matches('?')).into_iter().collect()
            }
            Self::Topic(topic) => happened(topic),
            _ => Vec::new(),
        }
    }
}

fn asked_about(question: &str) -> Option<LeadForm> {
    let of = |beginning: &str| {
        let start = question.get(..beginning.len())?;
        start.eq_ignore_ascii_case(beginning).then(|| question[beginning.len()..].to_owned())
    };
    BEGINNINGS.iter().find_map(|(beginning, form)| Some(form(of(beginning)?)))
}

fn happened(topic: &str) -> Vec<LeadForm> {
    let Some((state, thing)) = topic.split_once(' ') else { return Vec::new() };
    let named = |(known, _): &&(&str, _)| state.eq_ignore_ascii_case(known);
    let Some((state, did)) = STATES.iter().find(named) else { return Vec::new() };
    // "Lost and found" names no thing.
    if thing.split(' ').any(|word| matches!(word, "and" | "or")) || begins_object(thing) {
        return Vec::new();
    }
    let is = LeadForm::Clause(format!("my {thing} is {state}"));
    let did = did.map(|did| LeadForm::Clause(format!("I {did} my {thing}")));
    [Some(is), did].into_iter().flatten().collect()
}

/// Whether words that can begin a question do: "what is covered", but not "what we do".
fn is_question(first: &str, second: &str) -> bool {
    match first {
        "what" | "which" | "who" | "whose" | "how" => true,
        _ => AUXILIARIES.contains(&second) || AUXILIARIES.contains(&first),
    }
}

fn begins_object(word: &str) -> bool {
    ARTICLES.contains(&word) || PREPOSITIONS.contains(&word)
}

fn is_finite(word: &str) -> bool {
    FINITE.contains(&word) || word.ends_with("n't") || word.ends_with("n’t")
}

/// What the text says to its reader, as the reader says it: "your" is "my".
fn users(text: &str) -> String {
    let said = |word: &str| match word.to_lowercase().as_str() {
        "your" => "my".to_owned(),
        "yours" => "mine".to_owned(),
        "yourself" => "myself".to_owned(),
        "you" => "I".to_owned(),
        "you're" | "you’re" => "I'm".to_owned(),
        _ => word.to_owned(),
    };
    text.split(' ').map(said).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_have_the_form_in_which_they_are_written() {
        let topic = |words: &str| LeadForm::Topic(words.to_owned());
        let clause = |words: &str| LeadForm::Clause(words.to_owned());
        let action = |words: &str| LeadForm::Action(words.to_owned());
        for (lead, want) in [
            ("battery life", topic("battery life")),
            ("return policy", topic("return policy")),
            ("shipping costs", topic("shipping costs")),
            ("the fee", topic("the fee")),
            ("my iPhone won't turn on", clause("my iPhone won't turn on")),
            ("the screen is cracked", clause("the screen is cracked")),
            ("I forgot my password", clause("I forgot my password")),
            ("lamp does not shine", clause("lamp does not shine")),
            ("reset the router", action("reset the router")),
            ("resetting your router", action("reset my router")),
            ("charging the phone", action("charge the phone")),
            ("install updates", action("install updates")),
            ("how to return a parcel", action("return a parcel")),
            ("return a parcel", action("return a parcel")),
            ("zooping the scale", LeadForm::Doing("zooping the scale".into())),
            ("if you lose the key", LeadForm::Condition("if I lose the key".into())),
            ("what is covered", LeadForm::Question("what is covered?".into())),
            ("can I swim with it?", LeadForm::Question("can I swim with it?".into())),
            ("when is it open", LeadForm::Question("when is it open?".into())),
            ("when it rains a lot", LeadForm::Condition("when it rains a lot".into())),
        ] {
            assert_eq!(LeadForm::of(lead), want, "{lead}");
        }
    }

    #[test]
    fn a_question_is_about_something_and_a_state_has_happened() {
        let clause = |words: &str| LeadForm::Clause(words.to_owned());
        for (question, want) in [
            ("How do I reset it?", vec![LeadForm::Action("reset it".into())]),
            ("can I swim with it?", vec![LeadForm::Wish("swim with it".into())]),
            ("What is the fee?", vec![LeadForm::Topic("the fee".into())]),
            ("Who pays?", vec![]),
            ("lost key", vec![clause("my key is lost"), clause("I lost my key")]),
            ("frozen screen", vec![clause("my screen is frozen")]),
            ("lost and found", vec![]),
            ("late", vec![]),
        ] {
            assert_eq!(LeadForm::of(question).behind(), want, "{question}");
        }
        assert_eq!(LeadForm::of("the fee").behind(), []);
    }
}
