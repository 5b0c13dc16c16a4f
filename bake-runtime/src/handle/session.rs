//! Conversations of several turns, and answers that come piece by piece.

use rand_chacha::ChaCha8Rng;

use crate::checkpoint::generation::Repetition;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::Sequence;
use crate::handle::chat::Chat;
use crate::text::stream::TextStream;
use crate::text::template::{Message, Role};

/// What a [`Session`] does when the conversation has outgrown the model's context: when it leaves
/// no room for an answer of `max_tokens`, or of 256 tokens or a fifth of the context if that is
/// less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextPolicy {
    /// It returns an error. Nothing is forgotten unasked.
    #[default]
    Error,
    /// It forgets the oldest turns, as many as it takes. The prompt stays.
    DropOldest,
}

/// A conversation of several turns. What was read once is not read again.
///
/// ```
/// # extern crate bake_runtime as bake;
/// use bake::{Chat, Model};
///
/// let document = "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.";
/// let chat = Chat::new(Model::tiny()?, document);
/// let mut session = chat.session()?;
/// assert_eq!(session.chat("I lost my key")?, "Ask Bob in the blue office.");
/// assert_eq!(session.chat("My lamp does not work")?, "Call the shop.");
/// assert_eq!(session.messages().len(), 5);
/// # Ok::<(), bake::Error>(())
/// ```
pub struct Session {
    chat: Chat,
    policy: ContextPolicy,
    messages: Vec<Message<'static>>,
    /// How many messages at the beginning are never forgotten: the prompt.
    given: usize,
    dropped: Vec<Message<'static>>,
    sequence: Sequence,
    rng: ChaCha8Rng,
}

impl Session {
    pub(crate) fn new(
        chat: Chat,
        messages: Vec<Message<'static>>,
        given: usize,
        rng: ChaCha8Rng,
    ) -> Result<Self> {
        let sequence = Sequence::new(chat.model())?;
        let (policy, dropped) = (ContextPolicy::default(), Vec::new());
        Ok(Self { chat, policy, messages, given, dropped, sequence, rng })
    }

    /// The same with another policy for when the conversation has outgrown the context.
    #[must_use]
    pub fn with_policy(self, policy: ContextPolicy) -> Self {
        Self { policy, ..self }
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// When the conversation has outgrown the model's context and nothing may be forgotten, or
    /// the question alone does not fit; the question is then not part of the conversation.
    pub fn chat(&mut self, question: &str) -> Result<String> {
        let text: String = self.stream(question)?.collect::<Result<_>>()?;
        Ok(text.trim().to_owned())
    }

    /// The answer to a question, piece by piece as it is generated.
    ///
    /// Dropping the stream ends the generation. What was said so far is then part of the
    /// conversation; if nothing was said, the question is not part of it either.
    ///
    /// # Errors
    /// Those of [`chat`](Self::chat).
    pub fn stream(&mut self, question: &str) -> Result<AnswerStream<'_>> {
        AnswerStream::begin(SessionRef::Borrowed(self), question)
    }

    /// What was said and is remembered, with the prompt at the beginning if there is one.
    pub fn messages(&self) -> &[Message<'static>] {
        &self.messages
    }

    /// What was said and has been forgotten, oldest first.
    pub fn dropped(&self) -> &[Message<'static>] {
        &self.dropped
    }

    /// Reads the conversation up to the last question; returns the logits after it and the most
    /// tokens that the answer may have.
    fn read(&mut self) -> Result<(Vec<f32>, usize)> {
        let (prompt, forgotten) = self.fitting_prompt()?;
        let Self { chat, sequence, .. } = self;
        let logits = sequence.read(chat.model(), &prompt, chat.view())?;
        let limit = sequence.answer_limit(chat.model(), &chat.sampling())?;
        self.dropped.extend(self.messages.drain(self.given..self.given + forgotten));
        Ok((logits, limit))
    }

    /// The tokens of the conversation that leave room for an answer, and how many messages have to
    /// be forgotten for that.
    fn fitting_prompt(&self) -> Result<(Vec<u32>, usize)> {
        let (model, given) = (self.chat.model(), self.given);
        let context = model.config().context();
        let usual = 256.min(context / 5).max(1);
        let wanted = self.chat.sampling().max_tokens.map_or(usual, |tokens| tokens.min(usual));
        let mut forgotten = 0;
        loop {
            let (prompt, turns) = (&self.messages[..given], &self.messages[given + forgotten..]);
            let kept: Vec<_> = prompt.iter().chain(turns).map(Message::borrowed).collect();
            let prompt = model.encode(&kept)?;
            let room = context.saturating_sub(prompt.len());
            let next_turn = turns.iter().skip(1).position(|message| message.role == Role::User);
            match next_turn {
                _ if room >= wanted => return Ok((prompt, forgotten)),
                // The question alone: any room will do, and where there is none, the model reports
                // it.
                None => return Ok((prompt, forgotten)),
                Some(next) if self.policy == ContextPolicy::DropOldest => forgotten += 1 + next,
                Some(_) => {
                    let message = format!(
                        "the conversation has {} tokens, which leaves no room for an answer of \
                         {wanted} in the model's context of {context}; start another, or let this \
                         one forget its oldest turns with \
                         `session.with_policy(ContextPolicy::DropOldest)`",
                        prompt.len()
                    );
                    return Err(Error::new(ErrorKind::Context, message));
                }
            }
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("messages", &self.messages).finish_non_exhaustive()
    }
}

enum SessionRef<'a> {
    Owned(Box<Session>),
    Borrowed(&'a mut Session),
}

impl std::ops::Deref for SessionRef<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        match self {
            Self::Owned(session) => session,
            Self::Borrowed(session) => session,
        }
    }
}

impl std::ops::DerefMut for SessionRef<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        match self {
            Self::Owned(session) => session,
            Self::Borrowed(session) => session,
        }
    }
}

/// An answer that is being generated: an iterator over its pieces of text.
///
/// A piece is computed when it is asked for, so a stream that is dropped computes nothing more.
pub struct AnswerStream<'a> {
    session: SessionRef<'a>,
    next: Next,
    repetition: Repetition,
    left: usize,
    text: TextStream,
    said: String,
    tokens: usize,
    span: tracing::Span,
}

/// What the next token is chosen from.
enum Next {
    /// The logits after all tokens so far.
    Logits(Vec<f32>),
    /// Those after this token, which the model has not read yet: they may never be asked for.
    After(u32),
    /// Nothing: the model has ended the answer.
    Ended,
    /// Nothing: the answer has failed.
    Failed,
}

impl AnswerStream<'static> {
    /// The answer to a question in a separate conversation.
    pub(crate) fn owned(session: Session, question: &str) -> Result<Self> {
        Self::begin(SessionRef::Owned(Box::new(session)), question)
    }
}

impl<'a> AnswerStream<'a> {
    fn begin(mut session: SessionRef<'a>, question: &str) -> Result<Self> {
        let span = tracing::info_span!("answer");
        let entered = span.enter();
        session.messages.push(Message::new(Role::User, question.to_owned()));
        let read = session.read();
        drop(entered);
        match read {
            Ok((logits, left)) => Ok(Self {
                repetition: session.chat.model().generation().repetition(session.sequence.ids()),
                session,
                next: Next::Logits(logits),
                left,
                text: TextStream::default(),
                said: String::new(),
                tokens: 0,
                span,
            }),
            Err(e) => {
                session.messages.pop();
                Err(e)
            }
        }
    }

    /// Tokens generated so far.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Whether the answer has reached its greatest length before the model ended it.
    pub fn was_cut(&self) -> bool {
        self.left == 0 && matches!(self.next, Next::After(_))
    }

    /// The next piece of text, which is empty only at the end.
    fn piece(&mut self) -> Result<String> {
        let Session { chat, sequence, rng, .. } = &mut *self.session;
        while self.left > 0 {
            let mut logits = match std::mem::replace(&mut self.next, Next::Failed) {
                Next::Logits(logits) => logits,
                Next::After(token) => sequence.push(chat.model(), &[token], chat.view())?,
                end => {
                    self.next = end;
                    break;
                }
            };
            self.repetition.penalise(&mut logits);
            let token = chat.sampling().choose(&logits, rng)?;
            self.repetition.add(token);
            self.left -= 1;
            self.tokens += 1;
            if chat.model().generation().ends(token) {
                self.next = Next::Ended;
                break;
            }
            self.next = Next::After(token);
            let piece = self.text.push(token, chat.model().tokenizer())?;
            if !piece.is_empty() {
                return Ok(piece);
            }
        }
        self.text.finish(chat.model().tokenizer())
    }
}

impl Iterator for AnswerStream<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        let span = self.span.clone();
        let _entered = span.enter();
        match self.piece() {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => {
                self.said.push_str(&piece);
                Some(Ok(piece))
            }
            Err(e) => {
                self.next = Next::Failed;
                Some(Err(e))
            }
        }
    }
}

impl Drop for AnswerStream<'_> {
    fn drop(&mut self) {
        tracing::debug!(parent: &self.span, tokens = self.tokens, "answered");
        let said = std::mem::take(&mut self.said);
        if said.is_empty() && !matches!(self.next, Next::Ended) {
            // It was dropped, or failed, before anything was said.
            self.session.messages.pop();
        } else {
            self.session.messages.push(Message::new(Role::Assistant, said.trim().to_owned()));
        }
    }
}

#[cfg(all(test, feature = "tiny"))]
mod tests {
    use bake_spec::recipe::{Prompt, PromptFields, Turn};

    use super::*;
    use crate::generate::sample::Sampling;
    use crate::model::Model;

    const DOCUMENT: &str =
        "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop in town.";

    fn chat() -> Chat {
        let chat = Chat::new(Model::tiny().unwrap(), DOCUMENT);
        chat.with_sampling(Sampling::greedy().max_tokens(24))
    }

    fn long(i: usize) -> String {
        format!("I lost my key number {i}, {}", "and I looked for it, ".repeat(12))
    }

    #[test]
    fn a_conversation_that_outgrows_the_context_is_an_error() {
        let mut session = chat().session().unwrap();
        let error = (0..20).find_map(|i| session.chat(&long(i)).err()).expect("it outgrows");
        assert_eq!(error.kind(), ErrorKind::Context);
        assert!(error.to_string().contains("ContextPolicy::DropOldest"), "{error}");
        let messages = session.messages().to_vec();
        assert_eq!(messages.len() % 2, 1, "the question that failed is not part of it");
        assert!(session.dropped().is_empty());
        assert!(session.chat(&long(0)).is_err());
        assert_eq!(session.messages(), messages);

        // The same conversation continues where turns may be forgotten.
        let mut session = session.with_policy(ContextPolicy::DropOldest);
        session.chat(&long(99)).unwrap();
        assert!(!session.dropped().is_empty());
    }

    #[test]
    fn the_oldest_turns_are_forgotten_and_the_system_prompt_is_not() {
        let mut session = chat().session().unwrap().with_policy(ContextPolicy::DropOldest);
        let mut said = vec![session.messages()[0].clone()];
        for i in 0..12 {
            let answer = session.chat(&long(i)).unwrap();
            said.push(Message::new(Role::User, long(i)));
            said.push(Message::new(Role::Assistant, answer));
        }
        let dropped = session.dropped().len();
        assert!(dropped > 0 && dropped.is_multiple_of(2), "whole turns: {dropped}");
        assert_eq!(session.messages()[0], said[0]);
        assert_eq!(session.dropped(), &said[1..1 + dropped]);
        assert_eq!(session.messages()[1..], said[1 + dropped..]);
        // It answers as if only what is remembered had ever been said.
        let history = session.messages().to_vec();
        let mut fresh = chat().session_from(history).unwrap();
        assert_eq!(fresh.chat("And my lamp?").unwrap(), session.chat("And my lamp?").unwrap());
        // A question that does not fit by itself is still an error, and nothing is forgotten.
        let dropped = session.dropped().len();
        let before = session.messages().to_vec();
        assert!(session.chat(&"key ".repeat(2000)).is_err());
        assert_eq!((session.messages(), session.dropped().len()), (&before[..], dropped));
    }

    #[test]
    fn the_turns_of_a_prompt_are_part_of_it_and_are_not_forgotten() {
        let turn = |role, text: &'static str| Turn { role, text: text.into() };
        let turns = vec![turn(Role::User, "Who are you?"), turn(Role::Assistant, "The caretaker.")];
        for system in ["", DOCUMENT] {
            let fields = PromptFields { system: system.into(), turns: turns.clone().into() };
            let chat = Chat::new(Model::tiny().unwrap(), Prompt::new(fields).unwrap())
                .with_sampling(Sampling::greedy().max_tokens(24));
            let mut session = chat.session().unwrap().with_policy(ContextPolicy::DropOldest);
            let prompt = session.messages().to_vec();
            assert_eq!(prompt.len(), 2 + usize::from(!system.is_empty()));
            let first = session.chat("I lost my key").unwrap();
            assert_eq!(chat.chat("I lost my key").unwrap(), first);
            // A history has it at its beginning, or gets it.
            let history = session.messages().to_vec();
            for history in [history.clone(), history[prompt.len()..].to_vec()] {
                assert_eq!(
                    chat.session_from(history.clone()).unwrap().messages(),
                    session.messages()
                );
            }
            for i in 0..8 {
                session.chat(&long(i)).unwrap();
            }
            assert!(!session.dropped().is_empty());
            assert_eq!(session.messages()[..prompt.len()], prompt);
        }
    }

    #[test]
    fn a_conversation_begins_from_a_history() {
        let chat = chat();
        let mut whole = chat.session().unwrap();
        whole.chat("I lost my key").unwrap();
        let history = whole.messages().to_vec();
        let next = whole.chat("My lamp is broken").unwrap();
        // With a system message in it, and without.
        for history in [history.clone(), history[1..].to_vec()] {
            let mut session = chat.session_from(history).unwrap();
            assert_eq!(session.chat("My lamp is broken").unwrap(), next);
            assert_eq!(session.messages(), whole.messages());
        }
        let other = Message::new(Role::System, "## Lost key\nLook under the mat.");
        let mut session = chat.session_from([other]).unwrap();
        assert_eq!(session.chat("I lost my key").unwrap(), "Look under the mat.");
    }

    #[test]
    fn dropping_a_stream_ends_it() {
        let chat = chat();
        let mut session = chat.session().unwrap();
        drop(session.stream("I lost my key").unwrap());
        assert_eq!(session.messages().len(), 1, "nothing was said, and nothing is remembered");
        let mut stream = session.stream("I lost my key").unwrap();
        let first = stream.next().unwrap().unwrap();
        assert_eq!(stream.tokens(), 1, "what is not asked for is not computed");
        drop(stream);
        assert_eq!(session.messages()[2].content, first.trim());
        // The conversation continues as if that had been the answer.
        let answer = session.chat("My lamp is broken").unwrap();
        let mut again = chat.session_from(session.messages()[..3].to_vec()).unwrap();
        assert_eq!(again.chat("My lamp is broken").unwrap(), answer);
    }
}
