//! Talking to a model: single questions, streams of tokens, conversations.

use std::sync::Arc;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::adapter::Adapter;
use crate::error::Result;
use crate::generate::Sequence;
use crate::generate::sample::Sampling;
use crate::model::Model;
use crate::model::block::WeightView;
use crate::text::template::{Message, Role};
use crate::text::tokenizer::TextStream;

/// A model that is ready to be asked: its weights, the adapter viewed on top of them if there is
/// one, and its system prompt.
///
/// It answers greedily unless [`with_sampling`](Self::with_sampling) says otherwise, so the same
/// question gets the same answer. Cloning is cheap, and threads can share one.
///
/// ```
/// use bake_runtime::{Chat, Model};
///
/// let chat = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
/// assert_eq!(chat.chat("I lost my key")?, "Ask Bob in the blue office.");
/// # Ok::<(), bake_runtime::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chat {
    model: Model,
    adapter: Option<Arc<Adapter>>,
    system: Arc<str>,
    sampling: Sampling,
}

impl Chat {
    /// A model with a system prompt; an empty one is no system message at all.
    pub fn new(model: Model, system: impl Into<Arc<str>>) -> Self {
        Self { model, adapter: None, system: system.into(), sampling: Sampling::greedy() }
    }

    /// The same with an adapter viewed on top of the weights, in the place of any other.
    ///
    /// # Errors
    /// When the adapter is for a model of another shape.
    pub fn with_adapter(&self, adapter: Arc<Adapter>) -> Result<Self> {
        adapter.check_fits(self.model.config())?;
        Ok(self.clone().viewing(adapter))
    }

    /// The same with an adapter that is known to fit.
    pub(crate) fn viewing(self, adapter: Arc<Adapter>) -> Self {
        Self { adapter: Some(adapter), ..self }
    }

    /// The same with another way to choose tokens.
    ///
    /// ```
    /// # use bake_runtime::{Chat, Model, Sampling};
    /// # let chat = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
    /// let warm = chat.with_sampling(Sampling::temperature(0.7, 42).top_p(0.95).max_tokens(100));
    /// assert!(!warm.chat("I lost my key")?.is_empty());
    /// # Ok::<(), bake_runtime::Error>(())
    /// ```
    pub fn with_sampling(&self, sampling: Sampling) -> Self {
        Self { sampling, ..self.clone() }
    }

    /// The system prompt.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The answer to a question, without any memory of questions before.
    ///
    /// # Errors
    /// When the question does not fit the model's context.
    pub fn chat(&self, question: &str) -> Result<String> {
        let text: String = self.stream(question)?.collect::<Result<_>>()?;
        Ok(text.trim().to_owned())
    }

    /// The answer to a question, piece by piece as it is generated.
    ///
    /// ```
    /// # use bake_runtime::{Chat, Model};
    /// # let chat = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
    /// for piece in chat.stream("I lost my key")? {
    ///     print!("{}", piece?);
    /// }
    /// # Ok::<(), bake_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the question does not fit the model's context.
    pub fn stream(&self, question: &str) -> Result<AnswerStream<'static>> {
        let session = Box::new(self.session()?);
        AnswerStream::begin(SessionRef::Owned(session), question)
    }

    /// A conversation of several turns, which remembers what was said.
    ///
    /// # Errors
    /// When there is no memory for the conversation's cache.
    pub fn session(&self) -> Result<Session> {
        let mut messages = Vec::new();
        if !self.system.is_empty() {
            messages.push(Message::new(Role::System, self.system.to_string()));
        }
        Ok(Session { chat: self.clone(), messages, sequence: Sequence::new(&self.model)? })
    }

    /// Tokens that the model reads before it answers a question: the system prompt, the question,
    /// and what the chat template puts around them.
    ///
    /// # Errors
    /// When the chat template refuses the question.
    pub fn prompt_tokens(&self, question: &str) -> Result<usize> {
        Ok(self.prompt(question)?.len())
    }

    pub(crate) fn prompt(&self, question: &str) -> Result<Vec<u32>> {
        self.model.encode(&Message::question(&self.system, question))
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    pub(crate) fn view(&self) -> WeightView<'_> {
        WeightView { adapter: self.adapter.as_deref(), dropout: None }
    }
}

/// A conversation of several turns. What was read once is not read again.
///
/// ```
/// use bake_runtime::{Chat, Model};
///
/// let chat = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.");
/// let mut session = chat.session()?;
/// assert_eq!(session.chat("I lost my key")?, "Ask Bob in the blue office.");
/// assert_eq!(session.chat("My lamp does not work")?, "Call the shop.");
/// assert_eq!(session.messages().len(), 5);
/// # Ok::<(), bake_runtime::Error>(())
/// ```
pub struct Session {
    chat: Chat,
    messages: Vec<Message<'static>>,
    sequence: Sequence,
}

impl Session {
    /// The answer to a question.
    ///
    /// # Errors
    /// When the conversation no longer fits the model's context; the question is then not part of
    /// it.
    pub fn chat(&mut self, question: &str) -> Result<String> {
        let text: String = self.stream(question)?.collect::<Result<_>>()?;
        Ok(text.trim().to_owned())
    }

    /// The answer to a question, piece by piece as it is generated. An answer that is not read to
    /// its end counts as said so far.
    ///
    /// # Errors
    /// When the conversation no longer fits the model's context; the question is then not part of
    /// it.
    pub fn stream(&mut self, question: &str) -> Result<AnswerStream<'_>> {
        AnswerStream::begin(SessionRef::Borrowed(self), question)
    }

    /// What was said.
    pub fn messages(&self) -> &[Message<'static>] {
        &self.messages
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
pub struct AnswerStream<'a> {
    session: SessionRef<'a>,
    next: Next,
    rng: ChaCha8Rng,
    left: usize,
    text: TextStream,
    said: String,
    tokens: usize,
}

/// What the next token is chosen from.
enum Next {
    /// The logits after all tokens so far.
    Logits(Vec<f32>),
    /// Those after this token, which the model has not read yet: nobody waits for what may never be
    /// asked for.
    After(u32),
    /// Nothing: the answer has ended.
    Ended,
}

impl<'a> AnswerStream<'a> {
    fn begin(mut session: SessionRef<'a>, question: &str) -> Result<Self> {
        session.messages.push(Message::new(Role::User, question.to_owned()));
        match Self::read(&mut session) {
            Ok((logits, left)) => {
                let rng = ChaCha8Rng::seed_from_u64(session.chat.sampling.seed);
                Ok(Self {
                    session,
                    next: Next::Logits(logits),
                    rng,
                    left,
                    text: TextStream::default(),
                    said: String::new(),
                    tokens: 0,
                })
            }
            Err(e) => {
                session.messages.pop();
                Err(e)
            }
        }
    }

    fn read(session: &mut Session) -> Result<(Vec<f32>, usize)> {
        let Session { chat, messages, sequence } = session;
        let prompt = chat.model.encode(messages)?;
        let logits = sequence.read(&chat.model, &prompt, chat.view())?;
        Ok((logits, sequence.answer_limit(&chat.model, &chat.sampling)?))
    }

    /// Tokens generated so far.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The next piece of text, which is empty only at the end.
    fn piece(&mut self) -> Result<String> {
        let Session { chat, sequence, .. } = &mut *self.session;
        while self.left > 0 {
            let logits = match std::mem::replace(&mut self.next, Next::Ended) {
                Next::Logits(logits) => logits,
                Next::After(token) => sequence.push(&chat.model, &[token], chat.view())?,
                Next::Ended => break,
            };
            let token = chat.sampling.choose(&logits, &mut self.rng)?;
            self.left -= 1;
            self.tokens += 1;
            if chat.model.ends(token) {
                break;
            }
            self.next = Next::After(token);
            let piece = self.text.push(token, chat.model.tokenizer())?;
            if !piece.is_empty() {
                return Ok(piece);
            }
        }
        self.text.finish(chat.model.tokenizer())
    }
}

impl Iterator for AnswerStream<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        match self.piece() {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => {
                self.said.push_str(&piece);
                Some(Ok(piece))
            }
            Err(e) => {
                self.next = Next::Ended;
                Some(Err(e))
            }
        }
    }
}

impl Drop for AnswerStream<'_> {
    fn drop(&mut self) {
        let said = std::mem::take(&mut self.said);
        self.session.messages.push(Message::new(Role::Assistant, said.trim().to_owned()));
    }
}
