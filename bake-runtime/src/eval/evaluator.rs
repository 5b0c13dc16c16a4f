//! Asking the models of a recipe, so that they can be compared.

use std::sync::Arc;

use bake_spec::recipe::{Prompt, Recipe};

use crate::adapter::Adapter;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::grade::Graded;
use crate::eval::question::{Attempt, Question, Rung};
use crate::generate::sample::Sampling;
use crate::generate::{Request, complete};
use crate::inputs::{longest_answer, read_document};
use crate::model::Model;
use crate::progress::{Interrupt, Monitor, Progress, Stage};
use crate::text::template::Message;

/// Asks the base, the prompted and the baked model of a recipe, on one set of weights.
///
/// It answers greedily, many questions at once, so the same questions get the same answers.
///
/// ```
/// # mod bake { pub use bake_runtime::*; pub use bake_spec::{Recipe, recipe}; }
/// use bake::recipe::Answer;
/// use bake::{Evaluator, Interrupt, Model, Question, Recipe, Rung, Silent};
///
/// let office = "## Lost key\nAsk Bob in the blue office.";
/// let recipe = Recipe::builder().target("office", |target| target.prompt(office)).build()?;
/// let question = Question {
///     text: "I lost my key".into(),
///     answers: vec![Answer::Contains("Bob".into())],
///     target: Some(0),
///     passage: None,
/// };
/// let evaluator = Evaluator::new(&recipe, Model::tiny()?);
/// let rungs = [Rung::Base, Rung::Prompted];
/// let attempts = evaluator.evaluate(&rungs, &[question], &Silent, &Interrupt::new())?;
/// assert_eq!([attempts[0][0].is_right(), attempts[0][1].is_right()], [false, true]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Evaluator<'a> {
    recipe: &'a Recipe,
    model: Model,
    adapter: Option<Arc<Adapter>>,
    /// What is asked, as it follows the name of a rung.
    what: &'static str,
    /// The most tokens of an answer, where it is fewer than the recipe allows.
    max_tokens: Option<usize>,
}

impl<'a> Evaluator<'a> {
    /// The base model of a recipe, which has not been baked into yet.
    pub fn new(recipe: &'a Recipe, model: Model) -> Self {
        Self { recipe, model, adapter: None, what: "", max_tokens: None }
    }

    /// The same with what was baked.
    ///
    /// # Errors
    /// When the adapter is for a model of another shape.
    pub fn with_adapter(self, adapter: Arc<Adapter>) -> Result<Self> {
        adapter.check_fits(self.model.config())?;
        Ok(self.baked(adapter))
    }

    /// The same with an adapter that is known to fit.
    pub(crate) fn baked(self, adapter: Arc<Adapter>) -> Self {
        Self { adapter: Some(adapter), ..self }
    }

    /// The same for questions that were held out of training, whose answers are no longer than
    /// this.
    #[cfg(feature = "train")]
    pub(crate) fn on_held_out(self, max_tokens: usize) -> Self {
        Self { what: ", held-out questions", max_tokens: Some(max_tokens), ..self }
    }

    /// What becomes of each question on each of these rungs, in their orders.
    ///
    /// # Errors
    /// When a document cannot be read or has changed, the chat template refuses a question, a
    /// question names a target that is not there, or the work is interrupted.
    pub fn evaluate(
        &self,
        rungs: &[Rung],
        questions: &[Question],
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Vec<Vec<Attempt>>> {
        self.check(questions)?;
        let monitor = Monitor { progress, interrupt };
        let mut attempts = vec![vec![Attempt::NotAsked; rungs.len()]; questions.len()];
        for (place, &rung) in rungs.iter().enumerate() {
            for batch in self.batches(rung, questions)? {
                for (number, attempt) in self.ask(rung, &batch, questions, monitor)? {
                    attempts[number][place] = attempt;
                }
            }
        }
        Ok(attempts)
    }

    fn check(&self, questions: &[Question]) -> Result<()> {
        let targets = self.recipe.targets.len();
        match questions.iter().find(|question| question.target.is_some_and(|t| t >= targets)) {
            None => Ok(()),
            Some(Question { text, target, .. }) => {
                let number = target.unwrap_or_default();
                let message = format!(
                    "the question {text:?} is about target {number}, but there are {targets}, \
                     counted from 0"
                );
                Err(Error::new(ErrorKind::Recipe, message))
            }
        }
    }

    /// The questions that can be asked on a rung, with what the model reads before each. A batch
    /// has answers of one length.
    fn batches(&self, rung: Rung, questions: &[Question]) -> Result<Vec<QuestionBatch<'_>>> {
        let all = 0..questions.len();
        if rung == Rung::Base || (rung == Rung::Baked && self.adapter.is_some()) {
            let prompt = Arc::new(self.recipe.student.clone());
            let max_tokens = longest_answer(self.recipe, &self.model);
            let asked = all.map(|number| (number, prompt.clone())).collect();
            return Ok(vec![QuestionBatch { target: "", max_tokens, asked }]);
        }
        let mut batches = Vec::new();
        for (at, target) in self.recipe.targets.iter().enumerate() {
            let about: Vec<usize> =
                all.clone().filter(|&number| questions[number].target == Some(at)).collect();
            let asked = match rung {
                Rung::Prompted if !about.is_empty() => {
                    let document = read_document(self.recipe, target)?;
                    let prompt = Arc::new(target.teacher_prompt(document.as_deref()));
                    about.into_iter().map(|number| (number, prompt.clone())).collect()
                }
                Rung::PromptedWithPassage => {
                    let mut asked = Vec::new();
                    for number in about {
                        if let Some(passage) = &questions[number].passage {
                            asked.push((number, Arc::new(target.teacher_prompt(Some(passage)))));
                        }
                    }
                    asked
                }
                _ => Vec::new(),
            };
            let max_tokens = Some(target.rollout.max_tokens(self.model.config().context()));
            batches.push(QuestionBatch { target: &target.name, max_tokens, asked });
        }
        Ok(batches)
    }

    /// Asks a batch, and grades the answers.
    fn ask(
        &self,
        rung: Rung,
        batch: &QuestionBatch<'_>,
        questions: &[Question],
        monitor: Monitor<'_>,
    ) -> Result<Vec<(usize, Attempt)>> {
        let Encoded { mut attempts, prompts } = self.encode(batch, questions)?;
        if prompts.is_empty() {
            return Ok(attempts);
        }
        let max_tokens = match (batch.max_tokens, self.max_tokens) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let sampling = Sampling { max_tokens, ..Sampling::greedy() };
        let mut requests = Vec::with_capacity(prompts.len());
        for (_, prompt) in &prompts {
            requests.push(Request { prompt, rng: sampling.stream(0) });
        }
        let adapter = self.adapter.as_deref().filter(|_| rung == Rung::Baked);
        let view = self.model.view(adapter);
        let name = &format!("{}{}", rung.stage(), self.what);
        let stage = Stage { name, target: batch.target, total: prompts.len(), unit: "questions" };
        let completions = monitor.stage(stage, |ticker| {
            complete(&self.model, requests, &sampling, view, |ended| ticker.advance(ended, ""))
        })?;
        for ((number, prompt), completion) in prompts.iter().zip(completions) {
            let answer = self.model.decode(&completion.ids)?.trim().to_owned();
            let graded = Graded {
                right: questions[*number].is_met_by(&answer),
                answer,
                prompt_tokens: prompt.len(),
                ended: completion.ended,
            };
            attempts.push((*number, Attempt::Answered(graded)));
        }
        Ok(attempts)
    }

    /// The prompts of a batch as tokens, and what becomes of those that are too long.
    fn encode(&self, batch: &QuestionBatch<'_>, questions: &[Question]) -> Result<Encoded> {
        let context = self.model.config().context();
        let mut encoded = Encoded { attempts: Vec::new(), prompts: Vec::new() };
        // A prompt that is too long by itself is not tokenized again with each question.
        let mut hopeless: Option<(&Arc<Prompt>, usize)> = None;
        for (number, prompt) in &batch.asked {
            if let Some((_, tokens)) = hopeless.filter(|(long, _)| Arc::ptr_eq(long, prompt)) {
                encoded.attempts.push((*number, Attempt::TooLong { tokens }));
                continue;
            }
            let question = &questions[*number].text;
            let ids = self.model.encode(&Message::question(prompt, question))?;
            if ids.len() < context {
                encoded.prompts.push((*number, ids));
                continue;
            }
            encoded.attempts.push((*number, Attempt::TooLong { tokens: ids.len() }));
            let alone = self.model.encode(&Message::question(prompt, ""))?.len();
            if alone >= context {
                hopeless = Some((prompt, alone));
            }
        }
        Ok(encoded)
    }
}

/// Questions that are asked together, by their numbers, with what the model reads before each.
struct QuestionBatch<'a> {
    /// The name of the target that they are about; empty where they are about all.
    target: &'a str,
    max_tokens: Option<usize>,
    asked: Vec<(usize, Arc<Prompt>)>,
}

/// A batch as the model reads it, by the numbers of the questions.
struct Encoded {
    attempts: Vec<(usize, Attempt)>,
    prompts: Vec<(usize, Vec<u32>)>,
}
