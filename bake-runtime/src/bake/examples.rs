//! Worked examples: short passages of many kinds with questions and answers, which show a model how
//! to write questions and how to answer them from a passage.
//!
//! All of them are invented. Answers are short and in the passage's words, in several forms: a
//! word, a sentence, a list, an instruction. No example says how long, or in which form, the answer
//! to another question is.

/// A passage, as a teacher reads one, and questions about it with their answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Example {
    /// The headings above the passage, and its text.
    pub(crate) passage: &'static str,
    /// One of each kind, in the order of [`QuestionKind::ALL`].
    pub(crate) exchanges: &'static [Exchange],
}

/// A question and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) question: &'static str,
    pub(crate) answer: &'static str,
    pub(crate) kind: QuestionKind,
}

/// How somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QuestionKind {
    /// In a few words, as one types into a search field.
    Short,
    /// With what led to it, as one writes to somebody.
    Chatty,
    /// In other words than the passage's, from what somebody sees or wants.
    Indirect,
    /// For a number: how much, how many, how long.
    Number,
    /// For a reason.
    Why,
    /// For two facts at once.
    TwoFacts,
    /// For something that the passage, although it is about the same, does not say.
    Unanswerable,
}

impl QuestionKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Short,
        Self::Chatty,
        Self::Indirect,
        Self::Number,
        Self::Why,
        Self::TwoFacts,
        Self::Unanswerable,
    ];
}

impl Example {
    /// The exchange of a kind.
    pub(crate) fn exchange(&self, kind: QuestionKind) -> &'static Exchange {
        let found = self.exchanges.iter().find(|exchange| exchange.kind == kind);
        found.expect("an example has an exchange of each kind")
    }

    /// The question of a kind.
    pub(crate) fn question(&self, kind: QuestionKind) -> &'static str {
        self.exchange(kind).question
    }
}

/// An exchange of each kind, in their order.
const fn exchanges(all: [(&'static str, &'static str); 7]) -> [Exchange; 7] {
    let mut exchanges = [Exchange { question: "", answer: "", kind: QuestionKind::Short }; 7];
    let mut i = 0;
    while i < 7 {
        let (question, answer) = all[i];
        exchanges[i] = Exchange { question, answer, kind: QuestionKind::ALL[i] };
        i += 1;
    }
    exchanges
}

/// The built-in examples, each from another domain.
pub(crate) const EXAMPLES: [Example; 7] = [
    // A manual.
    Example {
        passage: "# Lumo 3 sewing machine\n\n## The thread keeps breaking\n\
            Switch the machine off and rethread it from the spool down. Turn the tension dial to \
            4; a higher tension tears thin thread. If it still breaks, replace the needle, which \
            wears out after about 8 hours of sewing.",
        exchanges: &exchanges([
            (
                "thread breaking",
                "Switch the machine off, rethread it from the spool down, and turn the tension \
                 dial to 4.",
            ),
            (
                "Hi, I'm hemming curtains and the thread snaps every few stitches. I rethreaded \
                 it twice already, what else can I try?",
                "Turn the tension dial to 4. If it still breaks, replace the needle.",
            ),
            (
                "My yarn tears as soon as I press the pedal.",
                "Rethread the machine from the spool down and turn the tension dial to 4.",
            ),
            ("How long does a needle last?", "About 8 hours of sewing."),
            (
                "Why should the tension not be higher than 4?",
                "Because a higher tension tears thin thread.",
            ),
            (
                "Which number do I set the tension to, and what do I replace if that is not \
                 enough?",
                "Set the tension dial to 4, and replace the needle if the thread still breaks.",
            ),
            (
                "Which brand of thread is best for the Lumo 3?",
                "The manual does not say which brand of thread is best.",
            ),
        ]),
    },
    // Frequently asked questions.
    Example {
        passage: "# Harbour Pool: questions and answers\n\n## Can I bring my children?\n\
            Yes. Children under 10 swim only with an adult, because the pool is 3.8 metres deep. \
            On Sundays until noon they swim free of charge. Arm bands can be borrowed at the desk.",
        exchanges: &exchanges([
            ("children allowed?", "Yes. Children under 10 swim only with an adult."),
            (
                "Hello! My daughter is seven and wants to come with two friends while I work \
                 next door. Is that all right?",
                "No. Children under 10 swim only with an adult.",
            ),
            ("Our little one cannot keep afloat yet.", "Arm bands can be borrowed at the desk."),
            ("How deep is the pool?", "3.8 metres."),
            ("Why can't a child go in alone?", "Because the pool is 3.8 metres deep."),
            (
                "When do kids get in for nothing, and where are arm bands?",
                "They swim free of charge on Sundays until noon, and arm bands can be borrowed at \
                 the desk.",
            ),
            ("Do you rent out towels?", "I don't have that information."),
        ]),
    },
    // A policy.
    Example {
        passage: "# Museum handbook\n\n## Lending objects\n\
            Requests for a loan are sent to the registrar at least 90 days before the exhibition. \
            Works on paper are lent for at most 3 months, since light fades them. The borrower \
            pays for transport and insurance. Objects from the founder's collection are never \
            lent.",
        exchanges: &exchanges([
            ("who pays transport", "The borrower pays for transport and insurance."),
            (
                "We'd love to show two of your etchings next spring and I was wondering whom we \
                 should write to, and whether there's a deadline.",
                "Requests are sent to the registrar at least 90 days before the exhibition.",
            ),
            (
                "Another gallery wants a vase that belonged to the founder. May they have it for \
                 a while?",
                "No, objects from the founder's collection are never lent.",
            ),
            ("For how many months can a drawing on paper be away?", "At most 3 months."),
            ("Why are works on paper lent for such a short time?", "Since light fades them."),
            (
                "Who receives a request, and who pays for insurance?",
                "The registrar receives it, and the borrower pays for insurance.",
            ),
            (
                "How much does the insurance of a painting cost?",
                "The handbook does not say how much insurance costs.",
            ),
        ]),
    },
    // A textbook.
    Example {
        passage: "# Plants through the year\n\n## Autumn leaves\n\
            A leaf is green because of chlorophyll, which it renews all summer. When days become \
            shorter than about 12 hours, the tree stops renewing it. The green fades within two \
            weeks, and yellow carotenes, which were there all along, become visible. Reds are \
            made anew from sugar trapped in the leaf.",
        exchanges: &exchanges([
            ("chlorophyll", "It is what makes a leaf green. The leaf renews it all summer."),
            (
                "I was walking with my son and he asked where the yellow suddenly comes from in \
                 October. What do I tell him?",
                "Yellow carotenes were there all along, and become visible when the green fades.",
            ),
            (
                "Is the scarlet of a maple hidden inside it in July as well?",
                "No, reds are made anew from sugar trapped in the leaf.",
            ),
            ("How quickly does the green fade?", "Within two weeks."),
            (
                "Why does a leaf lose its green?",
                "Because the tree stops renewing chlorophyll when days become shorter than about \
                 12 hours.",
            ),
            (
                "What makes leaves green and what makes them red?",
                "Chlorophyll makes them green; reds are made from sugar trapped in the leaf.",
            ),
            (
                "Which tree loses its leaves first?",
                "The text does not say which tree loses its leaves first.",
            ),
        ]),
    },
    // A changelog.
    Example {
        passage: "# Tern, a photo organiser\n\n## 4.2\n\
            - Importing is three times as fast.\n\
            - `tern tag --undo` takes back the last 50 changes.\n\
            - Albums are no longer stored as XML, which lost accents; older albums are converted \
            when they are opened.\n\
            - Requires 2 GB of memory.",
        exchanges: &exchanges([
            ("undo tags", "`tern tag --undo` takes back the last 50 changes."),
            (
                "ok so I just tagged a whole folder as \"holiday\" by mistake... please tell me \
                 there's a way back",
                "Yes. `tern tag --undo` takes back the last 50 changes.",
            ),
            (
                "Do I have to do something with the collections I made in version 3?",
                "No, older albums are converted when they are opened.",
            ),
            ("How much memory does 4.2 need?", "2 GB."),
            ("Why are albums not kept as XML any more?", "Because XML lost accents."),
            (
                "What happens to older albums and how much faster is importing?",
                "Older albums are converted when they are opened, and importing is three times as \
                 fast.",
            ),
            (
                "Does 4.2 run on a phone?",
                "There is no information about phones in the changes of 4.2.",
            ),
        ]),
    },
    // A recipe.
    Example {
        passage: "# Soups\n\n## Red lentil soup\n\
            Fry an onion and two cloves of garlic in oil, add 250 g of red lentils and a litre of \
            stock, and simmer for 20 minutes. Add the lemon juice last, as acid keeps lentils \
            hard. It keeps in the refrigerator for 3 days.",
        exchanges: &exchanges([
            ("lentil soup time", "Simmer it for 20 minutes."),
            (
                "I'm cooking for friends tonight and have never made the lentil soup. What goes \
                 into the pot first?",
                "First fry an onion and two cloves of garlic in oil.",
            ),
            (
                "There is half a pot left. Can we still eat it the day after tomorrow?",
                "Yes, it keeps in the refrigerator for 3 days.",
            ),
            ("How many grams of lentils do I need?", "250 g of red lentils."),
            ("Why does the lemon juice go in at the end?", "Because acid keeps lentils hard."),
            (
                "How much stock and how much garlic is in it?",
                "A litre of stock and two cloves of garlic.",
            ),
            ("How many calories does a bowl have?", "I do not know how many calories it has."),
        ]),
    },
    // A notice.
    Example {
        passage: "# Elm Court: notes for residents\n\n## Bicycles\n\
            Bicycles are kept in the cellar, behind the blue door; the code is on your lease. \
            Flats have two places each. From 1 November the ramp is closed because of ice, so use \
            the goods lift. Bicycles without a tag are removed every March.",
        exchanges: &exchanges([
            ("bike storage", "In the cellar, behind the blue door."),
            (
                "We have just moved in, and I would like to get our bikes out of the hall. I \
                 found the blue door but it is locked, how do I open it?",
                "The code is on your lease.",
            ),
            (
                "It is December and I cannot get my bicycle down the slope.",
                "Use the goods lift: the ramp is closed from 1 November because of ice.",
            ),
            ("How many places does a flat have?", "Two."),
            ("Why is the ramp closed in winter?", "Because of ice."),
            (
                "Where do I find the code, and when are bicycles without a tag removed?",
                "The code is on your lease, and bicycles without a tag are removed every March.",
            ),
            (
                "Can I charge an electric bicycle in the cellar?",
                "The notes do not say whether you can charge a bicycle there.",
            ),
        ]),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::eval::refusal::declines;
    use crate::eval::words::words;

    /// Words that an answer may take from anywhere.
    const JOINING: &[&str] = &[
        "a", "an", "and", "are", "as", "at", "because", "first", "for", "from", "have", "if", "in",
        "is", "it", "makes", "no", "not", "of", "on", "or", "since", "still", "that", "the",
        "them", "then", "there", "they", "to", "what", "when", "yes", "you", "your",
    ];

    #[test]
    fn every_example_has_a_question_of_each_kind_and_none_twice() {
        let mut seen = HashSet::new();
        for example in &EXAMPLES {
            let kinds: Vec<_> = example.exchanges.iter().map(|exchange| exchange.kind).collect();
            assert_eq!(kinds, QuestionKind::ALL);
            for kind in QuestionKind::ALL {
                let Exchange { question, answer, .. } = example.exchange(kind);
                assert!(seen.insert(question), "{question}");
                assert!(!answer.trim().is_empty(), "{question}");
            }
            assert!(words(example.passage).len() <= 75, "{}", example.passage);
        }
    }

    #[test]
    fn answers_are_in_the_words_of_the_passage_or_decline() {
        for example in &EXAMPLES {
            let passage = words(example.passage);
            for Exchange { question, answer, kind } in example.exchanges {
                let declined = *kind == QuestionKind::Unanswerable;
                assert_eq!(declines(answer), declined, "{question} {answer}");
                let question = words(question);
                let known = |word: &String| {
                    let in_question = question.contains(word) && word.parse::<f64>().is_err();
                    passage.contains(word) || in_question || JOINING.contains(&word.as_str())
                };
                let new: Vec<_> = words(answer).into_iter().filter(|word| !known(word)).collect();
                assert!(declined || new.is_empty(), "{new:?} in {answer}");
            }
        }
    }
}
