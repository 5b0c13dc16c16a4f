//! Worked examples: short passages of many kinds with questions about them, which show a model how
//! to write questions. All of them are invented.

/// A passage, as a teacher reads one, and questions about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Example {
    /// The headings above the passage, and its text.
    pub(crate) passage: &'static str,
    /// One of each kind, in the order of [`QuestionKind`].
    questions: [&'static str; 6],
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
}

impl Example {
    /// The question of a kind.
    pub(crate) fn question(&self, kind: QuestionKind) -> &'static str {
        self.questions[kind as usize]
    }
}

/// The built-in examples, each from another domain.
pub(crate) const EXAMPLES: [Example; 7] = [
    // A manual.
    Example {
        passage: "# Lumo 3 sewing machine\n\n## The thread keeps breaking\n\
            Switch the machine off and rethread it from the spool down. Turn the tension dial to \
            4; a higher tension tears thin thread. If it still breaks, replace the needle, which \
            wears out after about 8 hours of sewing.",
        questions: [
            "thread breaking",
            "Hi, I'm hemming curtains and the thread snaps every few stitches. I rethreaded \
             it twice already, what else can I try?",
            "My yarn tears as soon as I press the pedal.",
            "How long does a needle last?",
            "Why should the tension not be higher than 4?",
            "Which number do I set the tension to, and what do I replace if that is not \
             enough?",
        ],
    },
    // Frequently asked questions.
    Example {
        passage: "# Harbour Pool: questions and answers\n\n## Can I bring my children?\n\
            Yes. Children under 10 swim only with an adult, because the pool is 3.8 metres deep. \
            On Sundays until noon they swim free of charge. Arm bands can be borrowed at the desk.",
        questions: [
            "children allowed?",
            "Hello! My daughter is seven and wants to come with two friends while I work \
             next door. Is that all right?",
            "Our little one cannot keep afloat yet.",
            "How deep is the pool?",
            "Why can't a child go in alone?",
            "When do kids get in for nothing, and where are arm bands?",
        ],
    },
    // A policy.
    Example {
        passage: "# Museum handbook\n\n## Lending objects\n\
            Requests for a loan are sent to the registrar at least 90 days before the exhibition. \
            Works on paper are lent for at most 3 months, since light fades them. The borrower \
            pays for transport and insurance. Objects from the founder's collection are never \
            lent.",
        questions: [
            "who pays transport",
            "We'd love to show two of your etchings next spring and I was wondering whom we \
             should write to, and whether there's a deadline.",
            "Another gallery wants a vase that belonged to the founder. May they have it for \
             a while?",
            "For how many months can a drawing on paper be away?",
            "Why are works on paper lent for such a short time?",
            "Who receives a request, and who pays for insurance?",
        ],
    },
    // A textbook.
    Example {
        passage: "# Plants through the year\n\n## Autumn leaves\n\
            A leaf is green because of chlorophyll, which it renews all summer. When days become \
            shorter than about 12 hours, the tree stops renewing it. The green fades within two \
            weeks, and yellow carotenes, which were there all along, become visible. Reds are \
            made anew from sugar trapped in the leaf.",
        questions: [
            "chlorophyll",
            "I was walking with my son and he asked where the yellow suddenly comes from in \
             October. What do I tell him?",
            "Is the scarlet of a maple hidden inside it in July as well?",
            "How quickly does the green fade?",
            "Why does a leaf lose its green?",
            "What makes leaves green and what makes them red?",
        ],
    },
    // A changelog.
    Example {
        passage: "# Tern, a photo organiser\n\n## 4.2\n\
            - Importing is three times as fast.\n\
            - `tern tag --undo` takes back the last 50 changes.\n\
            - Albums are no longer stored as XML, which lost accents; older albums are converted \
            when they are opened.\n\
            - Requires 2 GB of memory.",
        questions: [
            "undo tags",
            "ok so I just tagged a whole folder as \"holiday\" by mistake... please tell me \
             there's a way back",
            "Do I have to do something with the collections I made in version 3?",
            "How much memory does 4.2 need?",
            "Why are albums not kept as XML any more?",
            "What happens to older albums and how much faster is importing?",
        ],
    },
    // A recipe.
    Example {
        passage: "# Soups\n\n## Red lentil soup\n\
            Fry an onion and two cloves of garlic in oil, add 250 g of red lentils and a litre of \
            stock, and simmer for 20 minutes. Add the lemon juice last, as acid keeps lentils \
            hard. It keeps in the refrigerator for 3 days.",
        questions: [
            "lentil soup time",
            "I'm cooking for friends tonight and have never made the lentil soup. What goes \
             into the pot first?",
            "There is half a pot left. Can we still eat it the day after tomorrow?",
            "How many grams of lentils do I need?",
            "Why does the lemon juice go in at the end?",
            "How much stock and how much garlic is in it?",
        ],
    },
    // A notice.
    Example {
        passage: "# Elm Court: notes for residents\n\n## Bicycles\n\
            Bicycles are kept in the cellar, behind the blue door; the code is on your lease. \
            Flats have two places each. From 1 November the ramp is closed because of ice, so use \
            the goods lift. Bicycles without a tag are removed every March.",
        questions: [
            "bike storage",
            "We have just moved in, and I would like to get our bikes out of the hall. I \
             found the blue door but it is locked, how do I open it?",
            "It is December and I cannot get my bicycle down the slope.",
            "How many places does a flat have?",
            "Why is the ramp closed in winter?",
            "Where do I find the code, and when are bicycles without a tag removed?",
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::eval::words::words;

    #[test]
    fn no_question_is_asked_twice_and_passages_are_short() {
        let mut seen = HashSet::new();
        for example in &EXAMPLES {
            for question in example.questions {
                assert!(seen.insert(question) && !words(question).is_empty(), "{question}");
            }
            assert!(words(example.passage).len() <= 75, "{}", example.passage);
        }
    }
}
