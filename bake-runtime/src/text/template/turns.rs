//! What a template makes of the turns of a conversation, found out by rendering some.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{ChatTemplate, Message, Role};

/// Which turns a template shows to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TurnsShown {
    pub(super) system: SystemTurn,
    /// Whether turns before the last question are left out.
    pub(super) hides_earlier_turns: bool,
}

/// What a template does with a system turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SystemTurn {
    /// It shows it, wherever it puts it.
    #[default]
    Shown,
    /// It raises an exception.
    Refused,
    /// It leaves it out.
    Hidden,
}

/// Words that no template writes by itself.
const RULE: &str = "Reply to the letter 8203";
const QUESTION: &str = "Where is the letter 4417";
const ANSWER: &str = "Here is the letter 5096";

impl TurnsShown {
    /// What a template does with a rule, an earlier question, and an answer. One that fails without
    /// them fails when it is used.
    pub(super) fn probed(template: &ChatTemplate) -> Self {
        let rendered =
            |messages: &[Message<'_>]| template.render_as_is(messages, true, BTreeMap::new()).ok();
        let question = Message::new(Role::User, "Why?");
        if rendered(std::slice::from_ref(&question)).is_none() {
            return Self::default();
        }
        let system = match rendered(&[Message::new(Role::System, RULE), question.clone()]) {
            None => SystemTurn::Refused,
            Some(text) if text.contains(RULE) => SystemTurn::Shown,
            Some(_) => SystemTurn::Hidden,
        };
        let earlier = [Message::new(Role::User, QUESTION), Message::new(Role::Assistant, ANSWER)];
        let text = rendered(&[&earlier[..], &[question]].concat());
        let hides_earlier_turns =
            text.is_some_and(|text| !text.contains(QUESTION) || !text.contains(ANSWER));
        Self { system, hides_earlier_turns }
    }
}

/// The conversation with its system turn at the beginning of the first user turn.
pub(super) fn without_system<'m, 'a>(messages: &'m [Message<'a>]) -> Cow<'m, [Message<'a>]> {
    match messages {
        [system, user, rest @ ..] if system.role == Role::System && user.role == Role::User => {
            let both = format!("{}\n\n{}", system.content, user.content);
            let mut messages = vec![Message::new(Role::User, both)];
            messages.extend_from_slice(rest);
            Cow::Owned(messages)
        }
        _ => Cow::Borrowed(messages),
    }
}
