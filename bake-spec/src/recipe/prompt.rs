//! Prompts: what a model reads before it is asked.

use serde::Serialize;

use super::parts::{is_blank, items, part, str};
use super::{List, Mistake, Text};
use crate::hash::{Encode, Record};
use crate::text::{join_paragraphs, same};

part! {
    /// What a model reads before a question: a system prompt, and earlier turns.
    ///
    /// ```
    /// # extern crate bake_spec as bake;
    /// use bake::recipe::Prompt;
    ///
    /// let prompt = Prompt::from("Be brief.");
    /// assert_eq!((&*prompt.system, prompt.turns.len()), ("Be brief.", 0));
    /// assert!(Prompt::from("").is_empty());
    /// ```
    #[derive(Default)]
    Prompt of PromptFields
}

/// The fields of a [`Prompt`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptFields {
    /// The system turn; if it is empty, there is none.
    pub system: Text,
    /// Turns between the system turn and the question: a user's and the assistant's alternately,
    /// beginning with a user's.
    pub turns: List<Turn>,
}

/// A part of a conversation that a recipe contains.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What they say.
    pub text: Text,
}

/// Who speaks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who sets the rules.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name in declarations and chat templates.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Checks who speaks in turn `number` after the system turn, counted from 0.
pub(crate) const fn check_turn(number: usize, role: Role) -> Result<(), Mistake<'static>> {
    match (number % 2, role) {
        (0, Role::User) | (1, Role::Assistant) => Ok(()),
        _ => Err(Mistake::OutOfTurn { first: number == 0, role }),
    }
}

impl PromptFields {
    const fn check(&self) -> Result<(), Mistake<'_>> {
        let turns = items(&self.turns);
        let mut i = 0;
        while i < turns.len() {
            if let Err(mistake) = check_turn(i, turns[i].role) {
                return Err(mistake);
            }
            if is_blank(str(&turns[i].text)) {
                return Err(Mistake::Blank("a turn of a prompt"));
            }
            i += 1;
        }
        if turns.len() % 2 == 1 { Err(Mistake::Unanswered) } else { Ok(()) }
    }

    /// Whether it says the same as another, in constant functions.
    pub(super) const fn is(&self, other: &Self) -> bool {
        let (turns, others) = (items(&self.turns), items(&other.turns));
        let mut i = 0;
        while i < turns.len() && i < others.len() {
            // In each the same speaks in the same turn.
            if !same(str(&turns[i].text), str(&others[i].text)) {
                return false;
            }
            i += 1;
        }
        turns.len() == others.len() && same(str(&self.system), str(&other.system))
    }
}

impl Prompt {
    /// Whether a model reads nothing before the question.
    pub fn is_empty(&self) -> bool {
        self.system.is_empty() && self.turns.is_empty()
    }

    /// The bytes of all turns.
    pub fn bytes(&self) -> usize {
        self.texts().map(str::len).sum()
    }

    /// What all turns say, the system turn first.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.system).chain(self.turns.iter().map(|turn| &*turn.text))
    }

    /// The same with this text after the system prompt, with an empty line between them.
    #[must_use]
    pub fn followed_by(&self, text: &str) -> Self {
        let system = join_paragraphs([&self.system, text]).into();
        Self(PromptFields { system, turns: self.turns.clone() })
    }

    /// The same with the words and turns of another prompt after its own.
    #[must_use]
    #[cfg(feature = "syntax")]
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut both = self.followed_by(&other.system);
        both.0.turns.to_mut().extend_from_slice(&other.turns);
        both
    }

    /// What it says, under names that begin with `name`.
    pub(super) fn record(&self, name: &str) -> Record {
        let mut record = Record::new().unless(&"", name, &&*self.system);
        for (i, Turn { role, text }) in self.turns.iter().enumerate() {
            record = record.field(&format!("{name}.{}.{}", role.name(), i / 2 + 1), text);
        }
        record
    }
}

impl From<&str> for Prompt {
    fn from(system: &str) -> Self {
        system.to_owned().into()
    }
}

impl From<String> for Prompt {
    fn from(system: String) -> Self {
        Self(PromptFields { system: system.into(), turns: List::Borrowed(&[]) })
    }
}

/// A prompt without turns has the form of its system prompt.
impl Encode for Prompt {
    fn encode(&self, out: &mut String) {
        match self.turns.is_empty() {
            true => self.system.encode(out),
            false => {
                Record::new().field("system", &self.system).field("turns", &*self.turns).encode(out)
            }
        }
    }
}

impl Encode for Turn {
    fn encode(&self, out: &mut String) {
        (self.role.name(), &self.text).encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: Role, text: &'static str) -> Turn {
        Turn { role, text: text.into() }
    }

    fn prompt(system: &'static str, turns: &[Turn]) -> Result<Prompt, crate::error::Error> {
        Prompt::new(PromptFields { system: system.into(), turns: turns.to_vec().into() })
    }

    #[test]
    fn user_and_assistant_take_turns() {
        use Role::{Assistant, System, User};
        let (ask, answer) = (turn(User, "Who?"), turn(Assistant, "Bob."));
        prompt("", &[ask.clone(), answer.clone(), ask.clone(), answer.clone()]).unwrap();
        for (turns, want) in [
            (vec![answer.clone()], "the first turn after `system` must be the user's"),
            (vec![ask.clone(), ask.clone()], "a `user` turn follows another"),
            (vec![ask.clone(), answer.clone(), answer.clone()], "an `assistant` turn follows"),
            (vec![ask.clone(), turn(System, "x")], "`system` must be the first turn"),
            (vec![ask.clone()], "ends with a `user` turn"),
            (vec![ask.clone(), turn(Assistant, " \n")], "a turn of a prompt cannot be empty"),
        ] {
            let error = prompt("", &turns).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn prompts_are_the_same_word_for_word() {
        let turns =
            |answer: &'static str| [turn(Role::User, "Who?"), turn(Role::Assistant, answer)];
        let all = ["", "Be brief."].into_iter().flat_map(|system| {
            [&[][..], &turns("Bob."), &turns("Ann.")].map(|turns| prompt(system, turns).unwrap())
        });
        let all: Vec<Prompt> = all.collect();
        for one in &all {
            for other in &all {
                assert_eq!(one.fields().is(other.fields()), one == other, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_prompt_without_turns_is_hashed_as_its_system_prompt() {
        let (ask, answer) = (turn(Role::User, "Who?"), turn(Role::Assistant, "Bob."));
        let plain = prompt("Be brief.", &[]).unwrap();
        assert_eq!(plain.encoded(), r#""Be brief.""#);
        let turns = prompt("Be brief.", &[ask, answer]).unwrap();
        let want = r#"{"system":"Be brief.","turns":[["user","Who?"],["assistant","Bob."]]}"#;
        assert_eq!(turns.encoded(), want);
        assert_eq!(
            turns.record("prompt").encoded(),
            r#"{"prompt":"Be brief.","prompt.assistant.1":"Bob.","prompt.user.1":"Who?"}"#
        );
        assert_eq!(turns.followed_by("Mind.").system, "Be brief.\n\nMind.");
    }
}
