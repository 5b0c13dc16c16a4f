//! Layouts: where a teacher's prompt has the text that answers a question, and what precedes it.
//!
//! Models differ in how they read best: the one in the library knows only documents in the system
//! turn; small models of others overlook what is there, and answer from a text in the user's own
//! turn once they have seen how.

use bake_spec::KeyHasher;
use bake_spec::recipe::{Prompt, PromptFields, Role, Target, TeacherContext, Turn, WorkedExample};
use serde::{Deserialize, Serialize};

use super::examples::{EXAMPLES, QuestionKind};
use crate::error::Result;
use crate::model::Model;
use crate::text::template::Message;

/// How a text and a question about it become a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The text in the system turn, after the words of the prompt.
    System,
    /// The same, but of a passage only the sentences that the question is about.
    SystemExcerpt,
    /// The text in the system turn, and then the worked examples of the declaration.
    SystemExamples,
    /// The same, but of a passage only the sentences that the question is about.
    SystemExamplesExcerpt,
    /// The text in the user's turn, before the question.
    User,
    /// The same after worked examples: questions about other texts, and their answers.
    Examples,
    /// The same, but of a passage only the sentences that the question is about.
    ExamplesExcerpt,
}

impl Layout {
    /// Those that a target can have, that which takes least room first; of equally good ones the
    /// first is chosen. Worked examples that are declared are in all of them.
    pub(super) fn of(target: &Target) -> &'static [Self] {
        const OWN: &[Layout] = &[
            Layout::SystemExamples,
            Layout::SystemExamplesExcerpt,
            Layout::Examples,
            Layout::ExamplesExcerpt,
        ];
        const BUILT_IN: &[Layout] = &[
            Layout::System,
            Layout::SystemExcerpt,
            Layout::User,
            Layout::Examples,
            Layout::ExamplesExcerpt,
        ];
        match (target.examples.is_empty(), target.prompt.turns.is_empty()) {
            (false, _) => OWN,
            (true, true) => BUILT_IN,
            // Whoever declares turns shows the model what it needs to see.
            (true, false) => &[Layout::System, Layout::SystemExcerpt, Layout::User],
        }
    }

    /// Whether the text is in the system turn.
    fn is_in_system(self) -> bool {
        matches!(
            self,
            Self::System | Self::SystemExcerpt | Self::SystemExamples | Self::SystemExamplesExcerpt
        )
    }

    /// Whether only the sentences of a passage are read that the question is about.
    pub(super) fn is_excerpt(self) -> bool {
        matches!(self, Self::SystemExcerpt | Self::SystemExamplesExcerpt | Self::ExamplesExcerpt)
    }

    /// Whether worked examples precede the question.
    pub(super) fn has_examples(self) -> bool {
        !matches!(self, Self::System | Self::SystemExcerpt | Self::User)
    }
}

impl Layout {
    /// For people: what is read of this context, and where.
    pub fn read(self, context: Option<TeacherContext>) -> String {
        let what = match context {
            _ if self.is_excerpt() => "an excerpt",
            None | Some(TeacherContext::Passage) => "the passage",
            Some(TeacherContext::Document) => "the document",
            Some(TeacherContext::Retrieved) => "the retrieved passages",
        };
        let place = match self {
            Self::System | Self::SystemExcerpt => "in the system turn",
            Self::SystemExamples | Self::SystemExamplesExcerpt => {
                "in the system turn before worked examples"
            }
            Self::User => "in the user turn",
            Self::Examples | Self::ExamplesExcerpt => "in the user turn after worked examples",
        };
        format!("{what} {place}")
    }
}

/// For people: what is read, and where.
impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.read(None))
    }
}

/// A question about a text, and its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worked<'a> {
    pub(super) text: Option<&'a str>,
    pub(super) question: &'a str,
    pub(super) answer: &'a str,
}

/// The built-in examples that a teacher is shown, and which question of each: as different as the
/// questions that it will be asked.
const SHOWN: [(usize, QuestionKind); 3] =
    [(0, QuestionKind::Chatty), (2, QuestionKind::Short), (1, QuestionKind::Indirect)];

/// The examples of answers of a target: those that are declared, or else the built-in ones.
pub(super) fn worked(target: &Target) -> Vec<Worked<'_>> {
    if target.examples.is_empty() {
        return built_in();
    }
    let mut worked = Vec::with_capacity(target.examples.len());
    for WorkedExample { passage, question, answer } in target.examples.iter() {
        worked.push(Worked { text: passage.as_deref(), question, answer });
    }
    worked
}

/// The built-in examples of answers.
fn built_in() -> Vec<Worked<'static>> {
    let mut shown = Vec::new();
    for (number, kind) in SHOWN {
        let example = &EXAMPLES[number];
        let exchange = example.exchange(kind);
        shown.push(Worked {
            text: Some(example.passage),
            question: exchange.question,
            answer: exchange.answer,
        });
    }
    shown
}

/// What a teacher reads: a prompt, and what the user says then.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conversation {
    pub(super) prompt: Prompt,
    pub(super) question: String,
}

impl Conversation {
    /// A question without any text that answers it.
    pub(super) fn plain(prompt: &Prompt, question: &str) -> Self {
        Self { prompt: prompt.clone(), question: question.to_owned() }
    }

    pub(super) fn messages(&self) -> Vec<Message<'_>> {
        Message::question(&self.prompt, &self.question)
    }

    pub(super) fn encode(&self, model: &Model) -> Result<Vec<u32>> {
        model.encode(&self.messages())
    }

    /// An address with what is read in it.
    pub(super) fn address(&self, key: KeyHasher) -> KeyHasher {
        key.field("prompt", &self.prompt).field("stimulus", &*self.question)
    }

    pub(super) fn bytes(&self) -> usize {
        self.prompt.bytes() + self.question.len()
    }
}

impl Layout {
    /// The question with the text before it.
    pub(super) fn conversation(
        self,
        prompt: &Prompt,
        text: &str,
        question: &str,
        examples: &[Worked<'_>],
    ) -> Conversation {
        let mut turns = Vec::new();
        for Worked { text, question, answer } in examples.iter().filter(|_| self.has_examples()) {
            let asked = match text {
                Some(text) => in_one_turn(text, question),
                None => (*question).to_owned(),
            };
            turns.extend(exchange(&asked, answer));
        }
        let (prompt, question) = self.placed(prompt, text, question);
        Conversation { prompt: preceded(&prompt, turns), question }
    }

    /// A question with a text that answers it before it, which has been answered once already.
    pub(super) fn told(
        self,
        prompt: &Prompt,
        text: &str,
        question: &str,
        answer: &str,
    ) -> Conversation {
        let (prompt, question) = self.placed(prompt, text, question);
        let turns = exchange(&question, answer).to_vec();
        Conversation { prompt: preceded(&prompt, turns), question }
    }

    /// The prompt and the question, one of them with the text.
    fn placed(self, prompt: &Prompt, text: &str, question: &str) -> (Prompt, String) {
        match self.is_in_system() {
            true => (prompt.followed_by(text), question.to_owned()),
            false => (prompt.clone(), in_one_turn(text, question)),
        }
    }
}

/// A text and a question about it, as one says both.
fn in_one_turn(text: &str, question: &str) -> String {
    format!("{text}\n\nQuestion: {question}")
}

fn exchange(question: &str, answer: &str) -> [Turn; 2] {
    [(Role::User, question), (Role::Assistant, answer)]
        .map(|(role, text)| Turn { role, text: text.to_owned().into() })
}

/// The prompt with turns before its own.
fn preceded(prompt: &Prompt, mut turns: Vec<Turn>) -> Prompt {
    turns.extend_from_slice(&prompt.turns);
    Prompt::new(PromptFields { system: prompt.system.clone(), turns: turns.into() })
        .expect("pairs of turns that are not empty make a prompt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(conversation: &Conversation) -> Vec<(Role, String)> {
        let messages = conversation.messages();
        messages.iter().map(|message| (message.role, message.content.to_string())).collect()
    }

    #[test]
    fn a_layout_says_where_the_text_is_and_what_precedes_it() {
        let prompt = Prompt::from("Be brief.");
        let worked = [Worked { text: Some("# A\nB"), question: "A?", answer: "B." }];
        let of = |layout: Layout| said(&layout.conversation(&prompt, "# C\nD", "C?", &worked));
        assert_eq!(
            of(Layout::System),
            [(Role::System, "Be brief.\n\n# C\nD".to_owned()), (Role::User, "C?".to_owned())]
        );
        let asked = (Role::User, "# C\nD\n\nQuestion: C?".to_owned());
        let system = (Role::System, "Be brief.".to_owned());
        assert_eq!(of(Layout::User), [system.clone(), asked.clone()]);
        assert_eq!(
            of(Layout::Examples),
            [
                system,
                (Role::User, "# A\nB\n\nQuestion: A?".to_owned()),
                (Role::Assistant, "B.".to_owned()),
                asked
            ]
        );
    }

    #[test]
    fn what_is_told_has_been_answered_before() {
        let prompt = Prompt::from("Be brief.");
        let of = |layout: Layout| said(&layout.told(&prompt, "## C?\nD", "C?", "D"));
        let (asked, answer) = ((Role::User, "C?".to_owned()), (Role::Assistant, "D".to_owned()));
        let system = (Role::System, "Be brief.\n\n## C?\nD".to_owned());
        assert_eq!(of(Layout::System), [system, asked.clone(), answer.clone(), asked]);
        let asked = (Role::User, "## C?\nD\n\nQuestion: C?".to_owned());
        let system = (Role::System, "Be brief.".to_owned());
        assert_eq!(of(Layout::Examples), [system, asked.clone(), answer, asked]);
    }

    #[test]
    fn what_is_read_is_the_address() {
        let prompt = Prompt::from("Be brief.");
        let key = |layout: Layout, text: &str, question: &str| {
            let conversation = layout.conversation(&prompt, text, question, &built_in());
            conversation.address(KeyHasher::new("test", 1)).finish()
        };
        let mut keys: Vec<_> = [Layout::System, Layout::User, Layout::Examples]
            .map(|layout| key(layout, "A", "B?"))
            .to_vec();
        keys.extend([key(Layout::User, "A", "C?"), key(Layout::User, "D", "B?")]);
        for (number, one) in keys.iter().enumerate() {
            assert!(!keys[..number].contains(one), "{number}");
        }
    }
}
