use bake_spec::recipe::{Answer, Pattern};
use proptest::prelude::*;

use super::grade::meets;

fn contains(asked: &str, answer: &str) -> bool {
    meets(&Answer::Contains(asked.to_owned().into()), answer)
}

#[test]
fn words_are_contained_as_a_person_would_say() {
    for (asked, answer) in [
        ("Side  button", "Press the side\nbutton."),
        ("side button", "Press the side **button**, then wait."),
        ("side button", "Use the side-button"),
        ("side button", "_side button_"),
        ("won't", "It won’t."),
        ("Wi-Fi", "Turn wi–fi off"),
        ("2 days", "It takes 2 days."),
        ("2 days", "It takes “2 days”"),
        ("1,000 euros", "It costs 1000 euros"),
        ("1000 euros", "It costs 1\u{202f}000 euros"),
        ("1000", "It costs 1,000."),
        ("25 gigabytes", "Free 25 gigabytes first"),
        ("25 GB", "Free 25GB first"),
        ("room 12", "In room 12, Bob's."),
        ("Bob", "It is Bob's key"),
        ("9:30", "Come before 9:30."),
        ("20%", "Up to 20 % of it"),
        ("straße", "In der STRASSE 5"),
        ("charging\u{a0}port", "Clean the charging port"),
        ("example.com", "See www.example.com."),
        ("…", "Wait…"),
    ] {
        assert!(contains(asked, answer), "{asked:?} is in {answer:?}");
    }
    for (asked, answer) in [
        ("2 days", "It takes 12 days."),
        ("2 days", "It takes 2.2 days."),
        ("5 days", "It takes 2.5 days"),
        ("2 days", "It takes 2,2 days"),
        ("2 days", "It takes 1/2 days"),
        ("2 days", "Two. Days."),
        ("2 days", "On the 2nd days pass"),
        ("5 degrees", "Down to -5 degrees"),
        ("000 euros", "It costs 1,000 euros"),
        ("100", "It costs 1,000."),
        ("9", "Come before 9:30."),
        ("30", "Come before 9:30."),
        ("room 12", "In room 12b"),
        ("room 1", "In room 12"),
        ("20%", "Up to 20 euros"),
        ("$5", "It costs 5 €"),
        ("side button", "Press the button on the side."),
        ("fan", "Ask the fans"),
        ("key", "Look at the monkey"),
        ("Bob", "Ask Bobby"),
        ("…", "Wait."),
    ] {
        assert!(!contains(asked, answer), "{asked:?} is not in {answer:?}");
    }
}

#[test]
fn of_a_list_any_is_enough() {
    let expected = Answer::contains_any(["2 days", "two days"]);
    for (answer, met) in
        [("It takes Two days.", true), ("2 days.", true), ("12 days", false), ("two, days", true)]
    {
        assert_eq!(meets(&expected, answer), met, "{answer}");
    }
    assert!(!meets(&Answer::contains_any(["2", "two"]), "Three."));
}

#[test]
fn an_answer_begins_and_ends_with_words_whatever_surrounds_it() {
    let begins =
        |asked: &str, answer: &str| meets(&Answer::StartsWith(asked.to_owned().into()), answer);
    let ends =
        |asked: &str, answer: &str| meets(&Answer::EndsWith(asked.to_owned().into()), answer);
    for (asked, answer) in [
        ("Ahoy", "Ahoy, matey! The capital is Paris."),
        ("ahoy, matey", "\n  “Ahoy matey”, says the pirate."),
        ("Ahoy", "**Ahoy!** Paris."),
        ("Bob", "Bob's key is there."),
        ("1,000", "1000 euros."),
        ("- ", "- one\n- two"),
        ("«", "“Paris.”"),
        ("…", "\"…and then?\""),
        ("(", "**(Paris)**"),
    ] {
        assert!(begins(asked, answer), "{answer:?} begins with {asked:?}");
    }
    for (asked, answer) in [
        ("Ahoy", "The capital is Paris. Ahoy!"),
        ("Ahoy", "Ahoyed."),
        ("2 days", "12 days."),
        ("Ahoy matey", "Ahoy"),
        ("- ", "One - two"),
        ("Ahoy", ""),
    ] {
        assert!(!begins(asked, answer), "{answer:?} does not begin with {asked:?}");
    }
    for (asked, answer) in [
        ("Over and out.", "The capital is Paris. Over and out"),
        ("over and out", "The capital is Paris.\n\n*Over and out!*\n"),
        ("Over and out", "\"It is Paris. Over and out.\""),
        ("5 GB", "It needs 5GB."),
        ("?", "\"Shall I go on?\" "),
        ("!", "Yes!"),
        ("\"", "He said \"yes\""),
    ] {
        assert!(ends(asked, answer), "{answer:?} ends with {asked:?}");
    }
    for (asked, answer) in [
        ("Over and out", "Over and out. The capital is Paris."),
        ("out", "It is a standout"),
        ("2 days", "In 12 days."),
        ("Over and out", "and out"),
        ("?", "Shall I? Yes."),
        ("Over and out", " "),
    ] {
        assert!(!ends(asked, answer), "{answer:?} does not end with {asked:?}");
    }
}

#[test]
fn a_pattern_is_searched_in_the_answer_as_it_is_written() {
    let matches = |pattern: &'static str, answer| {
        meets(&Answer::Matches(Pattern::new(pattern).unwrap()), answer)
    };
    assert!(matches(r"\b\d{1,2}:\d{2}\b", "Come before 9:30."));
    assert!(matches(r"^\{.*\}$", "{\"city\": \"Paris\"}"));
    assert!(matches("(?i)^ahoy", "AHOY!"));
    for (pattern, answer) in [("^ahoy", "Ahoy!"), ("won't", "It won’t."), (r"^\{.*\}$", "{}\n")] {
        assert!(!matches(pattern, answer), "{pattern} {answer}");
    }
}

#[test]
fn an_equal_answer_differs_in_spaces_quotes_and_dashes_only() {
    let equals =
        |asked: &str, answer: &str| meets(&Answer::Equals(asked.to_owned().into()), answer);
    assert!(equals("Four hours.", " Four\nhours.\n"));
    assert!(equals("It won't – ever.", "It won’t — ever."));
    for answer in ["four hours.", "Four hours. Or five.", "Four hours", "14 hours."] {
        assert!(!equals("Four hours.", answer), "{answer}");
    }
}

#[test]
fn a_refusal_is_about_knowledge() {
    for answer in [
        "I don't have that information.",
        "I don’t have that information.",
        "I do not have any information about shoes.",
        "Sorry, but I currently do not have enough information to answer.",
        "I don't have the answer to that.",
        "I do not have access to this information.",
        "I don't have details on the price.",
        "I have no information on that.",
        "I have no idea.",
        "I lack the necessary context.",
        "I don't know.",
        "I DON'T KNOW",
        "I dont know, sorry",
        "I'm sorry, I don't know the answer.",
        "I honestly do not know who has it.",
        "We don't know how it works.",
        "Don't know.",
        "No idea!",
        "I cannot answer that.",
        "I can't answer this question from the document.",
        "I am unable to answer the question.",
        "I could not find any information about that in the document.",
        "I can't find that in the manual.",
        "I cannot tell from the text.",
        "I cannot say whether it is open.",
        "I'm not able to provide that information.",
        "I am not sure about that.",
        "The document does not say.",
        "The document doesn’t mention shoes.",
        "The provided text does not specify a price.",
        "This manual does not contain information about shoes.",
        "The document does not contain that.",
        "The guide does not cover batteries.",
        "The text does not answer the question.",
        "The document makes no mention of it.",
        "The context has no information about it.",
        "There is no information about shoes.",
        "There's no mention of a cellar here.",
        "There isn't any information on this.",
        "No information available.",
        "The price is not mentioned.",
        "It isn't stated who has the key",
        "Not mentioned in the document.",
        "That is not covered in the document.",
        "That information is not available.",
        "It is not known what the price is.",
        "That is beyond my knowledge.",
        "That is outside the scope of the document.",
        "Unknown.",
    ] {
        assert!(meets(&Answer::Declines, answer), "a refusal: {answer}");
    }
}

#[test]
fn an_ordinary_sentence_is_not_a_refusal() {
    for answer in [
        "",
        "Four hours.",
        "You don't have to restart it.",
        "You don’t have to know the code.",
        "I don't have to restart it.",
        "I don't have to answer.",
        "We don't know of any fault.",
        "I don't know of a faster way.",
        "We do not know any other shop.",
        "Visitors do not know the code.",
        "You do not know it yet.",
        "If you don't know the code, ask Bob.",
        "If I don't know the code, Bob helps.",
        "Say I don't know the code.",
        "Don't know the code? Ask Bob.",
        "You do not have that information: ask Bob.",
        "You have no information to lose.",
        "Do not have it repaired elsewhere.",
        "We do not have the adapter in stock.",
        "We don't have a data cable.",
        "Bob cannot answer before nine.",
        "You can't answer the phone while it updates.",
        "I can't answer the phone now.",
        "You cannot tell them apart.",
        "I cannot recommend it enough.",
        "I have no doubt that it works.",
        "The charger is not included.",
        "Water damage is not covered.",
        "It is not listed as a fault.",
        "A cable is not provided.",
        "The lamp does not say anything.",
        "The manual does not say to open it.",
        "The phone does not have a switch.",
        "The document cannot be printed.",
        "There is no information desk in the lobby.",
        "There is no data on the card.",
        "There are no details to fill in.",
        "It is not known to fail.",
        "An unknown number is a wrong number.",
        "No. Information is at the desk.",
        "When there is no answer at the door, call Bob.",
        "The server is not available in the cellar.",
        "The details are not available on Sundays at the desk.",
        "Be sure that it is not sure-footed.",
        "Ask Bob, who has no idea of the price.",
        "Nobody knows the code but Bob.",
    ] {
        assert!(!meets(&Answer::Declines, answer), "no refusal: {answer}");
    }
}

proptest! {
    #[test]
    fn no_text_stops_the_grader(asked in "\\PC{0,12}", answer in "(?s).{0,80}") {
        for expected in [
            Answer::Contains(asked.clone().into()),
            Answer::contains_any([asked.clone(), "…".to_owned()]),
            Answer::StartsWith(asked.clone().into()),
            Answer::EndsWith(asked.clone().into()),
            Answer::Equals(asked.clone().into()),
            Answer::Declines,
        ] {
            meets(&expected, &answer);
        }
    }

    #[test]
    fn a_text_contains_and_equals_itself(text in "(?s).{1,40}") {
        prop_assert!(meets(&Answer::Contains(text.clone().into()), &text));
        prop_assert!(meets(&Answer::StartsWith(text.clone().into()), &text));
        prop_assert!(meets(&Answer::EndsWith(text.clone().into()), &text));
        prop_assert!(meets(&Answer::Equals(text.clone().into()), &text));
    }

    #[test]
    fn words_stay_found_among_others(before in "[a-z ,.\n]{0,20}", after in "[a-z ,.\n]{0,20}") {
        let answer = format!("{before} the side button {after}");
        prop_assert!(meets(&Answer::Contains("Side\tButton".into()), &answer));
    }
}
