//! Talking to a model: single questions, several at once, and the beginning of a conversation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::adapter::Adapter;
use crate::error::Result;
use crate::generate::sample::Sampling;
use crate::generate::{Request, complete};
use crate::handle::session::{AnswerStream, Session};
use crate::inputs::longest_answer;
use crate::model::Model;
use crate::model::block::WeightView;
use crate::text::template::{Message, Role};
use bake_spec::recipe::{Prompt, Recipe};

/// A model that is ready to be asked: its weights, the adapter viewed on top of them if there is
/// one, and its prompt.
///
/// It answers greedily unless [`with_sampling`](Self::with_sampling) says otherwise, so the same
/// question gets the same answer. Cloning is cheap, and threads can share one. Every call computes
/// on the calling thread until the answer is there: in an async program, call it from
/// `spawn_blocking`.
///
/// ```
/// # extern crate bake_runtime as bake;
/// use bake::{Chat, Model};
///
/// let chat = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
/// assert_eq!(chat.chat("I lost my key")?, "Ask Bob in the blue office.");
/// # Ok::<(), bake::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chat {
    model: Model,
    adapter: Option<Arc<Adapter>>,
    prompt: Arc<Prompt>,
    sampling: Sampling,
    /// The most tokens of an answer where the sampling does not say: those of the declaration.
    declared_tokens: Option<usize>,
    /// Questions and conversations so far: the number of the next random stream. Clones count
    /// together, so that they do not repeat each other.
    asked: Arc<AtomicU64>,
}

impl Chat {
    /// A model with a prompt: a system prompt, or one of several turns. An empty one means that
    /// the model reads nothing before the question.
    pub fn new(model: Model, prompt: impl Into<Prompt>) -> Self {
        Self {
            model,
            adapter: None,
            prompt: Arc::new(prompt.into()),
            sampling: Sampling::greedy(),
            declared_tokens: None,
            asked: Arc::default(),
        }
    }

    /// What a recipe was baked into: a model with its adapter folded into the weights, the student
    /// prompt, and answers as long as the recipe allows. Where weights are not in f32, the adapter
    /// is viewed on top of them instead: folding it in would round it, or widen them.
    ///
    /// ```no_run
    /// # extern crate bake_runtime as bake;
    /// # fn answer(recipe: bake_spec::Recipe) -> Result<(), bake::Error> {
    /// use bake::{Adapter, BakeOptions, Chat, Model, bake_recipe};
    ///
    /// let baked = bake_recipe(&recipe, &BakeOptions::new())?;
    /// let model = Model::tiny()?;
    /// let chat = Chat::baked(&recipe, &model, Adapter::load(&baked.adapter, &model)?)?;
    /// println!("{}", chat.chat("I lost my key")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the adapter is for a model of another shape.
    pub fn baked(recipe: &Recipe, model: &Model, adapter: Adapter) -> Result<Self> {
        let student = recipe.student.clone();
        let chat = match model.decoder().in_f32() {
            true => Self::new(model.folded(&adapter)?, student),
            false => Self::new(model.clone(), student).with_adapter(Arc::new(adapter))?,
        };
        Ok(chat.with_declared_tokens(longest_answer(recipe, model)))
    }

    /// The same with an adapter viewed on top of the weights, in place of any other.
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

    /// The same with answers of at most this many tokens where the sampling does not say.
    pub(crate) fn with_declared_tokens(self, tokens: Option<usize>) -> Self {
        Self { declared_tokens: tokens, ..self }
    }

    /// The same with another way to choose tokens.
    ///
    /// With a temperature, each question that is asked, and each conversation, draws from the next
    /// random stream of the seed: the same question gets different answers, and the same calls in
    /// the same order get the same answers again from the same seed. The streams are counted from
    /// here on, across all clones. A conversation has one stream for all its turns.
    ///
    /// The length of an answer is the sampling's, else that of the declaration (`max_tokens`), else
    /// whatever the model's context has room for.
    ///
    /// ```
    /// # use bake_runtime::{Chat, Model, Sampling};
    /// # let chat = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
    /// let sampling = Sampling::temperature(3.0, 42)?.max_tokens(8);
    /// let warm = chat.with_sampling(sampling.clone());
    /// let answers = [warm.chat("I lost my key")?, warm.chat("I lost my key")?];
    /// assert_ne!(answers[0], answers[1]);
    ///
    /// let again = chat.with_sampling(sampling);
    /// assert_eq!(answers, [again.chat("I lost my key")?, again.chat("I lost my key")?]);
    /// # Ok::<(), bake_runtime::Error>(())
    /// ```
    pub fn with_sampling(&self, sampling: Sampling) -> Self {
        Self { sampling, asked: Arc::default(), ..self.clone() }
    }

    /// The system prompt.
    pub fn system(&self) -> &str {
        &self.prompt.system
    }

    /// The answer to a question, without any memory of earlier questions.
    ///
    /// # Errors
    /// When the question does not fit the model's context.
    pub fn chat(&self, question: &str) -> Result<String> {
        let text: String = self.stream(question)?.collect::<Result<_>>()?;
        Ok(text.trim().to_owned())
    }

    /// The answers to several questions, each without any memory of the others. They are generated
    /// together, which takes less time than one after another, and are those that
    /// [`chat`](Self::chat) would give in this order.
    ///
    /// ```
    /// # use bake_runtime::{Chat, Model};
    /// # let chat = Chat::new(
    /// #     Model::tiny()?,
    /// #     "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.",
    /// # );
    /// let answers = chat.chat_all(&["I lost my key", "My lamp does not work"])?;
    /// assert_eq!(answers, ["Ask Bob in the blue office.", "Call the shop."]);
    /// # Ok::<(), bake_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a question does not fit the model's context.
    pub fn chat_all<Q: AsRef<str>>(&self, questions: &[Q]) -> Result<Vec<String>> {
        let prompts: Vec<Vec<u32>> = questions
            .iter()
            .map(|question| self.prompt(question.as_ref()))
            .collect::<Result<_>>()?;
        let span = tracing::info_span!("answers", questions = questions.len());
        let _entered = span.enter();
        let sampling = self.sampling();
        let first = self.asked.fetch_add(prompts.len() as u64, Ordering::Relaxed);
        let requests = prompts
            .iter()
            .zip(first..)
            .map(|(prompt, number)| Request { prompt, rng: sampling.stream(number) })
            .collect();
        let answers = complete(&self.model, requests, &sampling, self.view(), |_| Ok(()))?;
        answers.iter().map(|answer| Ok(self.model.decode(&answer.ids)?.trim().to_owned())).collect()
    }

    /// The answer to a question, piece by piece as it is generated. Dropping the stream ends the
    /// generation.
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
        AnswerStream::owned(self.session()?, question)
    }

    /// A conversation of several turns, which remembers what was said.
    ///
    /// # Errors
    /// When there is not enough memory for the conversation's cache.
    pub fn session(&self) -> Result<Session> {
        self.session_from([])
    }

    /// A conversation that continues an earlier one, as [`Session::messages`] returned it or as a
    /// program has kept it. Unless it begins with this model's prompt, that is put before it; a
    /// system message at its beginning replaces the prompt.
    ///
    /// ```
    /// # extern crate bake_runtime as bake;
    /// use bake::{Chat, Message, Model, Role};
    ///
    /// # let chat = Chat::new(Model::tiny()?, "## Lost key\nAsk Bob in the blue office.");
    /// let history = [
    ///     Message::new(Role::User, "Hello"),
    ///     Message::new(Role::Assistant, "What can I do for you?"),
    /// ];
    /// let mut session = chat.session_from(history)?;
    /// assert_eq!(session.chat("I lost my key")?, "Ask Bob in the blue office.");
    /// # Ok::<(), bake::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is not enough memory for the conversation's cache.
    pub fn session_from(
        &self,
        history: impl IntoIterator<Item = Message<'static>>,
    ) -> Result<Session> {
        let mut messages: Vec<_> = history.into_iter().collect();
        let prompt: Vec<_> = Message::of_prompt(&self.prompt)
            .into_iter()
            .map(|m| Message::written(m.role, m.content.into_owned()))
            .collect();
        let systems = messages.iter().take_while(|message| message.role == Role::System).count();
        let length = prompt.len();
        let given = if messages.starts_with(&prompt) {
            // The declaration wrote these, and not the model.
            messages.splice(..length, prompt);
            length.max(systems)
        } else if systems > 0 {
            systems
        } else {
            messages.splice(..0, prompt);
            length
        };
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        Session::new(self.clone(), messages, given, self.sampling.stream(number))
    }

    /// Tokens that the model reads before it answers a question: the prompt, the question,
    /// and what the chat template puts around them.
    ///
    /// # Errors
    /// When the chat template refuses the question.
    pub fn prompt_tokens(&self, question: &str) -> Result<usize> {
        Ok(self.prompt(question)?.len())
    }

    pub(crate) fn prompt(&self, question: &str) -> Result<Vec<u32>> {
        self.model.encode(&Message::question(&self.prompt, question))
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// How tokens are chosen, with the declaration's length where the sampling has none.
    pub(crate) fn sampling(&self) -> Sampling {
        let max_tokens = self.sampling.max_tokens.or(self.declared_tokens);
        Sampling { max_tokens, ..self.sampling.clone() }
    }

    pub(crate) fn view(&self) -> WeightView<'_> {
        self.model.view(self.adapter.as_deref())
    }
}

#[cfg(all(test, feature = "tiny"))]
mod tests {
    use super::*;

    const DOCUMENT: &str =
        "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop in town.";

    fn chat() -> Chat {
        Chat::new(Model::tiny().unwrap(), DOCUMENT)
    }

    fn warm(chat: &Chat) -> Chat {
        chat.with_sampling(Sampling::temperature(3.0, 42).unwrap().max_tokens(6))
    }

    #[test]
    fn drawn_answers_differ_and_come_again_from_the_seed() {
        let chat = chat();
        let ask = |chat: &Chat| [(); 3].map(|()| chat.chat("I lost my key").unwrap());
        let first = ask(&warm(&chat));
        assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");
        assert_eq!(ask(&warm(&chat)), first);
        // Clones count together, so that none of them repeats another.
        let warm = warm(&chat);
        let clones = [(); 3].map(|()| warm.clone().chat("I lost my key").unwrap());
        assert_eq!(clones, first);
    }

    #[test]
    fn the_turns_of_a_sampled_conversation_differ_and_come_again() {
        let chat = chat();
        let turns = |chat: &Chat| {
            let mut session = chat.session().unwrap();
            [(); 2].map(|()| session.chat("I lost my key").unwrap())
        };
        let both = warm(&chat);
        let (first, second) = (turns(&both), turns(&both));
        assert!(first[0] != first[1] && first != second, "{first:?} {second:?}");
        let again = warm(&chat);
        assert_eq!((turns(&again), turns(&again)), (first, second));
    }

    #[test]
    fn answers_together_are_those_one_by_one() {
        let chat = chat();
        let questions = ["I lost my key", "My lamp is broken", "I lost my key", "A shoe?"];
        for chat in [chat.clone(), warm(&chat)] {
            let together = chat.with_sampling(chat.sampling.clone()).chat_all(&questions).unwrap();
            let alone = questions.map(|question| chat.chat(question).unwrap());
            assert_eq!(together, alone);
        }
        assert!(chat.chat_all::<&str>(&[]).unwrap().is_empty());
        let error = chat.chat_all(&["Hello", &"key ".repeat(2000)]).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Context);
    }

    #[test]
    fn the_declared_length_holds_unless_the_sampling_says_another() {
        let short = chat().with_declared_tokens(Some(2));
        let tokens = |chat: &Chat| {
            let mut stream = chat.stream("I lost my key").unwrap();
            stream.by_ref().for_each(|piece| drop(piece.unwrap()));
            (stream.tokens(), stream.was_cut())
        };
        assert_eq!(tokens(&short), (2, true));
        assert_eq!(
            short.chat_all(&["I lost my key"]).unwrap(),
            [short.chat("I lost my key").unwrap()]
        );
        let mut session = short.session().unwrap();
        session.chat("I lost my key").unwrap();
        assert_eq!(session.messages()[2].content, short.chat("I lost my key").unwrap());
        let longer = short.with_sampling(Sampling::greedy().max_tokens(3));
        assert_eq!(tokens(&longer), (3, true));
        let none = short.with_sampling(Sampling::greedy().max_tokens(0));
        assert_eq!(none.chat("I lost my key").unwrap(), "");
        assert_eq!(none.chat_all(&["I lost my key"]).unwrap(), [""]);
        let whole = short.with_sampling(Sampling::greedy().max_tokens(usize::MAX));
        assert!(tokens(&whole).0 > 5 && !tokens(&whole).1);
        assert_eq!(whole.chat("I lost my key").unwrap(), "Ask Bob in the blue office.");
    }
}
