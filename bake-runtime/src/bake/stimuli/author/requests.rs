//! What the model reads before it writes a question.

use bake_spec::recipe::{Ask, GeneratorKind, Persona, Prompt, PromptFields, Role, Text, Turn};

use crate::bake::examples::{EXAMPLES, QuestionKind};
use crate::bake::inputs::Passage;
use crate::error::Result;
use crate::model::Model;
use crate::text::template::Message;

/// The requests to the model, used in rotation, where the passage is in its system turn.
const REQUESTS: [&str; 3] = [
    "Ask a question about this document.",
    "Write a question that this document answers.",
    "Write one question a user could ask about this document.",
];

/// The same where there is no document: for anchors, and for targets that are only a prompt.
const REQUESTS_WITHOUT_DOCUMENT: [&str; 3] = [
    "Ask a question that a user could ask you.",
    "Write a question that you can answer.",
    "Write one question a user could begin a conversation with.",
];

/// The same after worked examples.
const REQUEST: &str = "Write one question that this text answers.";

/// Worked examples before a request.
const EXAMPLES_SHOWN: usize = 4;

/// The kinds of questions that are asked for, in rotation; all examples of a request are of its
/// kind.
const KINDS: [QuestionKind; 6] = [
    QuestionKind::Indirect,
    QuestionKind::Number,
    QuestionKind::Chatty,
    QuestionKind::Short,
    QuestionKind::Why,
    QuestionKind::TwoFacts,
];

/// Who asks, where the declaration does not say.
const PEOPLE: [&str; 24] = [
    "a child",
    "an impatient customer",
    "a very polite old lady",
    "somebody who has never heard of this before",
    "an expert who wants the exact numbers",
    "a teenager who writes as in a chat",
    "somebody whose English is poor",
    "an angry neighbour",
    "a journalist",
    "a worried parent",
    "somebody on the phone who has no time",
    "a lawyer",
    "a teacher who prepares a lesson",
    "a tourist",
    "somebody who has tried everything already",
    "a new colleague on the first day",
    "somebody who is not sure what it is called",
    "a salesman",
    "somebody who tells a long story first",
    "a student before an exam",
    "somebody who disagrees",
    "an engineer",
    "a friend who asks for a favour",
    "somebody who only types key words",
];

/// A generator by which the model writes questions.
#[derive(Clone, Copy)]
pub(in crate::bake::stimuli) enum Writing<'a> {
    /// Questions of many kinds.
    Ask(&'a Ask),
    /// Questions of people of many kinds.
    Persona(&'a Persona),
}

impl Writing<'_> {
    pub(in crate::bake::stimuli) fn kind(self) -> GeneratorKind {
        match self {
            Self::Ask(_) => GeneratorKind::Ask,
            Self::Persona(_) => GeneratorKind::Persona,
        }
    }

    pub(super) fn temperature(self) -> f64 {
        match self {
            Self::Ask(ask) => ask.temperature,
            Self::Persona(persona) => persona.temperature,
        }
    }

    /// Whether the declaration has a request of its own, before which no examples are shown.
    pub(super) fn is_plain(self) -> bool {
        matches!(self, Self::Ask(ask) if ask.template.is_some())
    }

    /// How many different conversations there are about a passage.
    fn rotation(self) -> usize {
        match self {
            Self::Ask(_) => KINDS.len(),
            Self::Persona(persona) => {
                if persona.people.is_empty() {
                    PEOPLE.len()
                } else {
                    persona.people.len()
                }
            }
        }
    }

    /// Who asks in a sample.
    fn person(self, sample: usize) -> Option<String> {
        let Self::Persona(persona) = self else { return None };
        let people: Vec<&str> = match persona.people.is_empty() {
            true => PEOPLE.to_vec(),
            false => persona.people.iter().map(|who: &Text| &**who).collect(),
        };
        Some(people[sample % people.len()].to_owned())
    }
}

/// What the model reads: a prompt, and the request.
pub(super) struct WritingRequest {
    pub(super) prompt: Prompt,
    pub(super) request: String,
}

impl WritingRequest {
    pub(super) fn encode(&self, model: &Model) -> Result<Vec<u32>> {
        model.encode(&Message::question(&self.prompt, &self.request))
    }
}

/// How a model is asked for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestForm {
    /// With the passage in the system turn.
    Plain,
    /// With the passage in the user's turn, after worked examples.
    Examples,
}

impl RequestForm {
    /// What the model reads before one sample of a passage.
    pub(super) fn conversation(
        self,
        writing: Writing<'_>,
        passage: &Passage,
        sample: usize,
    ) -> WritingRequest {
        match self {
            Self::Plain => plain(writing, passage, sample),
            Self::Examples => after_examples(writing, passage, sample),
        }
    }

    /// All different conversations about a passage.
    pub(super) fn all(self, writing: Writing<'_>, passage: &Passage) -> Vec<WritingRequest> {
        let samples = 0..writing.rotation();
        samples.map(|sample| self.conversation(writing, passage, sample)).collect()
    }
}

fn plain(writing: Writing<'_>, passage: &Passage, sample: usize) -> WritingRequest {
    let has_document = passage.span.is_some();
    let requests = if has_document { &REQUESTS } else { &REQUESTS_WITHOUT_DOCUMENT };
    let request = match (writing, writing.person(sample)) {
        (Writing::Ask(ask), _) if ask.template.is_some() => {
            ask.template.as_deref().unwrap_or_default().to_owned()
        }
        (_, Some(person)) => format!("Write one question that {person} would ask you."),
        _ => requests[sample % requests.len()].to_owned(),
    };
    WritingRequest { prompt: passage.prompt.clone(), request }
}

fn after_examples(writing: Writing<'_>, passage: &Passage, sample: usize) -> WritingRequest {
    let kind = KINDS[sample % KINDS.len()];
    let mut turns = Vec::with_capacity(2 * EXAMPLES_SHOWN);
    for shown in 0..EXAMPLES_SHOWN {
        let example = &EXAMPLES[(sample / KINDS.len() + shown) % EXAMPLES.len()];
        // People are of all kinds, so the questions before theirs are too.
        let (kind, request) = match writing.person(sample + shown + 1) {
            Some(person) => (KINDS[(sample + shown) % KINDS.len()], of_person(&person)),
            None => (kind, REQUEST.to_owned()),
        };
        let question = example.question(kind);
        turns.push(turn(Role::User, format!("{}\n\n{request}", example.passage)));
        turns.push(turn(Role::Assistant, question.to_owned()));
    }
    let request = writing.person(sample).map_or_else(|| REQUEST.to_owned(), |who| of_person(&who));
    let prompt = Prompt::new(PromptFields { system: "".into(), turns: turns.into() })
        .expect("pairs of turns that are not empty make a prompt");
    WritingRequest { prompt, request: format!("{}\n\n{request}", passage.text) }
}

fn of_person(person: &str) -> String {
    format!("Write one question about this text as {person} would ask it.")
}

fn turn(role: Role, text: String) -> Turn {
    Turn { role, text: text.into() }
}

#[cfg(test)]
mod tests {
    use bake_spec::recipe::PersonaFields;

    use super::*;

    fn passage() -> Passage {
        let text = "# Mac\n\n## Slow\nRestart it.".to_owned();
        Passage { span: Some(0..9), prompt: text.clone().into(), text, ..Passage::default() }
    }

    #[test]
    fn a_model_is_shown_questions_of_the_kind_that_it_is_to_write() {
        let ask = Ask::default();
        let all = RequestForm::Examples.all(Writing::Ask(&ask), &passage());
        assert_eq!(all.len(), KINDS.len());
        for (conversation, kind) in all.iter().zip(KINDS) {
            let WritingRequest { prompt, request } = conversation;
            assert!(request.starts_with("# Mac") && request.ends_with(REQUEST));
            assert_eq!(prompt.turns.len(), 2 * EXAMPLES_SHOWN);
            let written = prompt.turns.iter().filter(|turn| turn.role == Role::Assistant);
            for turn in written {
                let of_kind =
                    |example: &crate::bake::examples::Example| example.question(kind) == turn.text;
                assert!(EXAMPLES.iter().any(of_kind), "{kind:?}: {}", turn.text);
            }
        }
        // Later samples see other examples.
        let later = RequestForm::Examples.conversation(Writing::Ask(&ask), &passage(), KINDS.len());
        assert_ne!(later.prompt, all[0].prompt);
    }

    #[test]
    fn people_are_those_of_the_declaration_or_of_the_table() {
        let people = |people: Vec<Text>| {
            let fields = PersonaFields { people: people.into(), ..PersonaFields::DEFAULT };
            Persona::new(fields).unwrap()
        };
        let (own, standard) = (people(vec!["a clerk".into()]), people(Vec::new()));
        for style in [RequestForm::Plain, RequestForm::Examples] {
            let all = style.all(Writing::Persona(&own), &passage());
            assert!(all.len() == 1 && all[0].request.contains("a clerk"), "{}", all[0].request);
            assert_eq!(style.all(Writing::Persona(&standard), &passage()).len(), PEOPLE.len());
        }
    }

    #[test]
    fn a_request_of_the_declaration_stays_as_it_is() {
        let ask = Ask::default().with(|ask| ask.template = Some("Ask one.".into())).unwrap();
        let conversation = RequestForm::Plain.conversation(Writing::Ask(&ask), &passage(), 4);
        assert_eq!((&*conversation.request, conversation.prompt), ("Ask one.", passage().prompt));
        assert!(Writing::Ask(&ask).is_plain());
    }
}
