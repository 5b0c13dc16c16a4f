//! The stages of a bake, each of whose products is kept in the store.

use bake_spec::recipe::{Recipe, Target, normalised_question};
use bake_spec::{Hash, KeyHasher, Store};
use candle_core::{DType, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TargetReport;
use crate::adapter::{Adapter, initial};
use crate::device::Device;
use crate::error::Result;
use crate::model::Model;
use crate::model::chat::Message;
use crate::model::generate::Completion;
use crate::progress::{Interrupt, Monitor, Silent};
use crate::rollout::check_room;
use crate::source::{Source, load_model};
use crate::train::{Example, Exchange, Lessons, hidden_states};
use crate::{rollout, stimuli};

/// Everything that the stages of one bake share.
pub(super) struct Kitchen<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) model: &'a Model,
    pub(super) store: &'a Store,
    pub(super) fresh: bool,
    pub(super) monitor: Monitor<'a>,
}

/// What a stage made, and the hash of its content.
struct Product<T> {
    value: T,
    hash: Hash,
}

impl Kitchen<'_> {
    /// Says whatever does not fit before any work is done. Returns the adapter that training begins
    /// with.
    pub(super) fn check(&self, sources: &[Source]) -> Result<Adapter> {
        for (target, Source { prompt, questions, .. }) in self.recipe.targets.iter().zip(sources) {
            check_room(self.model, &described(target), &target.rollout, prompt, questions)?;
            check_room(
                self.model,
                "the student prompt",
                &target.rollout,
                &self.recipe.student,
                questions,
            )?;
        }
        initial(
            self.model.config(),
            &self.recipe.lora,
            self.recipe.train.seed,
            self.model.decoder().device(),
        )
    }

    /// Runs the stages of every target.
    pub(super) fn lessons(&self, sources: &[Source]) -> Result<(Lessons, Vec<TargetReport>)> {
        let (mut examples, mut states, mut reports, mut first_state) =
            (Vec::new(), Vec::new(), Vec::new(), 0);
        for ((target, source), share) in
            self.recipe.targets.iter().zip(sources).zip(self.recipe.shares())
        {
            let questions = self.questions(target, source)?;
            let answers = self.answers(target, &source.prompt, &questions)?;
            let tokens: usize = answers.value.iter().map(|answer| answer.ids.len()).sum();
            let exchanges = different(&answers.value, target.rollout.answers);
            let prompt =
                |question: &str| self.model.encode(&Message::question(&source.prompt, question));
            let prompts: Vec<Vec<u32>> =
                questions.value.iter().map(|question| prompt(question)).collect::<Result<_>>()?;
            states.push(self.states(
                target,
                &source.prompt,
                &prompts,
                &answers.hash,
                &exchanges,
            )?);
            for exchange in &exchanges {
                let mut ids = self.model.encode(&Message::question(
                    &self.recipe.student,
                    &questions.value[exchange.question],
                ))?;
                ids.extend_from_slice(&exchange.answer[..exchange.answer.len() - 1]);
                let answer = exchange.answer.len();
                let token_weight = share * exchange.times as f64 / tokens as f64;
                examples.push(Example { ids, answer, first_state, token_weight });
                first_state += answer;
            }
            let prompt_tokens = prompt("")?.len();
            let longest = prompts.iter().map(Vec::len).max().unwrap_or_default();
            let question_tokens = longest.saturating_sub(prompt_tokens);
            let (questions, answers) = (questions.value.len(), answers.value.len());
            reports.push(TargetReport {
                name: target.name.to_string(),
                questions,
                answers,
                tokens,
                prompt_tokens,
                question_tokens,
            });
        }
        Ok((Lessons { examples, states: Tensor::cat(&states, 0)? }, reports))
    }

    /// The questions of a target. Those that `expect` holds out are part of their address only
    /// where one of them came up: so what other targets expect does not make them again.
    fn questions(&self, target: &Target, source: &Source) -> Result<Product<Vec<String>>> {
        let held_out: Vec<&str> = self.recipe.held_out().collect();
        let questions = match self.kept_questions(target, source)? {
            Some(questions) => questions,
            None => {
                let (questions, met) =
                    stimuli::collect(self.model, target, source, &held_out, self.monitor)?;
                self.keep(
                    "stimuli",
                    &self.questions_key(target, source, if met { &held_out } else { &[] }),
                    questions,
                )?
            }
        };
        check_room(
            self.model,
            &described(target),
            &target.rollout,
            &source.prompt,
            &questions.value,
        )?;
        check_room(
            self.model,
            "the student prompt",
            &target.rollout,
            &self.recipe.student,
            &questions.value,
        )?;
        Ok(questions)
    }

    fn kept_questions(
        &self,
        target: &Target,
        source: &Source,
    ) -> Result<Option<Product<Vec<String>>>> {
        let held_out: Vec<&str> = self.recipe.held_out().collect();
        let kept_out: Vec<String> =
            held_out.iter().map(|question| normalised_question(question)).collect();
        let free_of_them = |questions: &Vec<String>| {
            !questions.iter().any(|q| kept_out.contains(&normalised_question(q)))
        };
        match self
            .kept("stimuli", &self.questions_key(target, source, &[]))?
            .filter(|product: &Product<_>| free_of_them(&product.value))
        {
            Some(product) => Ok(Some(product)),
            None => self.kept("stimuli", &self.questions_key(target, source, &held_out)),
        }
    }

    fn questions_key(&self, target: &Target, source: &Source, held_out: &[&str]) -> Hash {
        KeyHasher::new("stimuli", stimuli::VERSION)
            .field("model", self.model.hash())
            .field("prompt", &source.prompt)
            .field("stimuli", &target.stimuli)
            .field("seed", &target.rollout.seed)
            .field("held_out", held_out)
            .finish()
    }

    fn answers_key(&self, target: &Target, prompt: &str, questions: &Product<Vec<String>>) -> Hash {
        KeyHasher::new("rollouts", rollout::VERSION)
            .field("model", self.model.hash())
            .field("prompt", prompt)
            .field("questions", &questions.hash)
            .field("rollout", &target.rollout)
            .finish()
    }

    fn answers(
        &self,
        target: &Target,
        prompt: &str,
        questions: &Product<Vec<String>>,
    ) -> Result<Product<Vec<Completion>>> {
        let key = self.answers_key(target, prompt, questions);
        if let Some(answers) = self.kept("rollouts", &key)? {
            return Ok(answers);
        }
        let answers = rollout::roll_out(
            self.model,
            &target.name,
            &target.rollout,
            prompt,
            &questions.value,
            self.monitor,
        )?;
        self.keep("rollouts", &key, answers)
    }

    /// The teacher's states `[answer tokens, hidden]`, kept as their bytes.
    fn states(
        &self,
        target: &Target,
        prompt: &str,
        prompts: &[Vec<u32>],
        answers: &Hash,
        exchanges: &[Different<'_>],
    ) -> Result<Tensor> {
        let key = KeyHasher::new("states", 1)
            .field("model", self.model.hash())
            .field("prompt", prompt)
            .field("prompts", prompts)
            .field("answers", answers)
            .finish();
        let (device, hidden) = (self.model.decoder().device(), self.model.config().hidden_size);
        let tokens: usize = exchanges.iter().map(|exchange| exchange.answer.len()).sum();
        if !self.fresh
            && let Some(bytes) = self.store.product("states", &key)?
            && bytes.len() == 4 * tokens * hidden
        {
            return Ok(Tensor::from_raw_buffer(&bytes, DType::F32, &[tokens, hidden], device)?);
        }
        let exchanges: Vec<_> = exchanges
            .iter()
            .map(|e| Exchange { prompt: &prompts[e.question], answer: e.answer })
            .collect();
        let states = hidden_states(self.model, &target.name, &exchanges, self.monitor)?;
        let bytes: Vec<u8> = states
            .flatten_all()?
            .to_vec1::<f32>()?
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect();
        self.store.put_product("states", &key, &bytes)?;
        Ok(states)
    }

    /// The product of a stage, where the store holds it.
    fn kept<T: DeserializeOwned>(&self, stage: &str, key: &Hash) -> Result<Option<Product<T>>> {
        if self.fresh {
            return Ok(None);
        }
        let Some(bytes) = self.store.product(stage, key)? else { return Ok(None) };
        Ok(serde_json::from_slice(&bytes)
            .ok()
            .map(|value| Product { value, hash: Hash::of(&bytes) }))
    }

    fn keep<T: Serialize>(&self, stage: &str, key: &Hash, value: T) -> Result<Product<T>> {
        let bytes = serde_json::to_vec(&value).expect("a product has a JSON form");
        Ok(Product { value, hash: self.store.put_product(stage, key, &bytes)? })
    }
}

/// The questions and answers of a target that a bake has left in the store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kept {
    /// The target's name.
    pub target: String,
    /// The questions; none where they were not made yet.
    pub questions: Option<Vec<String>>,
    /// The answers to each question; none where they were not made yet.
    pub answers: Option<Vec<Vec<String>>>,
}

/// What bakes of a recipe have left in a store so far. Nothing is made.
///
/// # Errors
/// When the model, a document or the store cannot be read.
pub fn kept(recipe: &Recipe, store: &Store) -> Result<Vec<Kept>> {
    let (model, interrupt) = (load_model(recipe, Device::Cpu)?, Interrupt::new());
    let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
    let kitchen = Kitchen { recipe, model: &model, store, fresh: false, monitor };
    let of = |target: &Target| {
        let source = Source::read(recipe, target)?;
        let Some(questions) = kitchen.kept_questions(target, &source)? else {
            return Ok(Kept { target: target.name.to_string(), questions: None, answers: None });
        };
        let answers: Option<Product<Vec<Completion>>> =
            kitchen.kept("rollouts", &kitchen.answers_key(target, &source.prompt, &questions))?;
        let text = |answers: &[Completion]| {
            answers.iter().map(|answer| model.decode(&answer.ids)).collect::<Result<Vec<_>>>()
        };
        let answers = answers
            .map(|answers| {
                answers.value.chunks(target.rollout.answers).map(text).collect::<Result<_>>()
            })
            .transpose()?;
        Ok(Kept { target: target.name.to_string(), questions: Some(questions.value), answers })
    };
    recipe.targets.iter().map(of).collect()
}

/// An answer to a question, and how many times the teacher gave it.
struct Different<'a> {
    question: usize,
    answer: &'a [u32],
    times: usize,
}

/// The different answers to each question. One that the teacher gave twice is learned once, with
/// twice the weight: the loss is the same.
fn different(answers: &[Completion], per_question: usize) -> Vec<Different<'_>> {
    let mut all: Vec<Different<'_>> = Vec::new();
    for (question, answers) in answers.chunks(per_question).enumerate() {
        let first = all.len();
        for answer in answers {
            match all[first..].iter_mut().find(|d| d.answer == answer.ids) {
                Some(same) => same.times += 1,
                None => all.push(Different { question, answer: &answer.ids, times: 1 }),
            }
        }
    }
    all
}

/// A target for messages: its document where it has one.
fn described(target: &Target) -> String {
    match &target.document {
        _ if target.anchor => format!("the student prompt of anchor `{}`", target.name),
        Some(document) => format!("{} (target `{}`)", document.path, target.name),
        None => format!("the prompt of target `{}`", target.name),
    }
}
