//! Base, prompted and baked model side by side.

use std::marker::PhantomData;
use std::sync::Arc;

use bake_spec::{Declaration, TargetName as _};

use crate::adapter::Adapter;
#[cfg(feature = "train")]
use crate::bake::verdict::Verdict;
use crate::error::Result;
use crate::eval::evaluator::Evaluator;
use crate::eval::grade::Graded;
use crate::eval::question::{Question, Rung};
use crate::handle::chat::Chat;
use crate::inputs::{longest_answer, teacher_prompt};
use crate::model::Model;
use crate::progress::{Interrupt, Silent};

/// Base, prompted and baked model on one set of weights, to compare them.
pub struct Switchable<D> {
    model: Model,
    adapter: Arc<Adapter>,
    declaration: PhantomData<fn() -> D>,
}

impl<D: Declaration> Switchable<D> {
    pub(crate) fn new(model: Model, adapter: Arc<Adapter>) -> Self {
        Self { model, adapter, declaration: PhantomData }
    }

    /// The base model, with the student prompt of the declaration.
    pub fn base(&self) -> Chat {
        let tokens = longest_answer(D::RECIPE, &self.model);
        Chat::new(self.model.clone(), D::RECIPE.student.clone()).with_declared_tokens(tokens)
    }

    /// The base model with a target's document in its prompt: the teacher.
    ///
    /// # Errors
    /// When the document cannot be read or has changed.
    pub fn prompted(&self, target: D::Target) -> Result<Chat> {
        let target = &D::RECIPE.targets[target.index()];
        let tokens = target.rollout.max_tokens(self.model.config().context());
        let chat = Chat::new(self.model.clone(), teacher_prompt(D::RECIPE, target)?);
        Ok(chat.with_declared_tokens(Some(tokens)))
    }

    /// The baked model.
    pub fn baked(&self) -> Chat {
        self.base().viewing(self.adapter.clone())
    }

    /// Asks all three every question that the declaration has expectations for.
    ///
    /// An expectation without a target has no prompted model.
    ///
    /// # Errors
    /// When a document cannot be read or has changed, or a question does not fit the context.
    pub fn evaluate(&self) -> Result<Vec<Outcome<D>>> {
        let recipe = D::RECIPE;
        let questions: Vec<Question> =
            recipe.expects.iter().map(|expect| Question::of_expect(recipe, expect)).collect();
        let evaluator = Evaluator::new(recipe, self.model.clone()).baked(self.adapter.clone());
        let rungs = [Rung::Base, Rung::Prompted, Rung::Baked];
        let attempts = evaluator.evaluate(&rungs, &questions, &Silent, &Interrupt::new())?;
        let mut outcomes = Vec::new();
        for ((expect, question), attempts) in recipe.expects.iter().zip(&questions).zip(attempts) {
            let mut answers = Vec::new();
            for attempt in attempts {
                answers.push(attempt.with_room(&self.model)?);
            }
            let [base, prompted, baked] =
                <[Option<Graded>; 3]>::try_from(answers).expect("an attempt for each rung");
            let (Some(base), Some(baked)) = (base, baked) else { continue };
            let target = question.target;
            let target = D::Target::ALL.iter().copied().find(|t| Some(t.index()) == target);
            outcomes.push(Outcome { question: &expect.question, target, base, prompted, baked });
        }
        Ok(outcomes)
    }

    /// What `cargo bake` says of the bake's expectations: which of them the base model meets, the
    /// prompted one, the one with only the right passage in its prompt, and the baked one.
    ///
    /// # Errors
    /// When a document cannot be read or has changed.
    #[cfg(feature = "train")]
    pub fn verdict(&self) -> Result<Verdict> {
        let (model, adapter) = (self.model.clone(), self.adapter.clone());
        Verdict::of(D::RECIPE, model, adapter, &Silent, &Interrupt::new())
    }
}

impl<D> Clone for Switchable<D> {
    fn clone(&self) -> Self {
        Self { model: self.model.clone(), adapter: self.adapter.clone(), declaration: PhantomData }
    }
}

impl<D> std::fmt::Debug for Switchable<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switchable").field("model", &self.model).finish_non_exhaustive()
    }
}

/// The answers of the base, prompted and baked model to one expectation.
pub struct Outcome<D: Declaration> {
    /// The question.
    pub question: &'static str,
    /// The target whose document contains the answer.
    pub target: Option<D::Target>,
    /// The base model's answer.
    pub base: Graded,
    /// The prompted model's answer, where there is a target.
    pub prompted: Option<Graded>,
    /// The baked model's answer.
    pub baked: Graded,
}

impl<D: Declaration> std::fmt::Debug for Outcome<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { question, target, base, prompted, baked } = self;
        let mut debug = f.debug_struct("Outcome");
        debug.field("question", question).field("target", target);
        debug.field("base", base).field("prompted", prompted).field("baked", baked).finish()
    }
}
