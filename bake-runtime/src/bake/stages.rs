//! The stages of a bake, each of whose products is kept in the store.

use bake_spec::recipe::address::{ROLLOUTS_VERSION, STATES_VERSION, STIMULI_VERSION};
use bake_spec::recipe::{Recipe, Target, normalised_question};
use bake_spec::{Hash, KeyHasher, Store};
use candle_core::{DType, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TargetReport;
use super::teacher::{TeacherSequence, hidden_states};
use super::{rollout, stimuli};
use crate::adapter::{Adapter, initial};
use crate::bake::rollout::check_room;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::Completion;
use crate::inputs::{Inputs, load_model};
use crate::model::Model;
use crate::progress::{Interrupt, Monitor, Silent};
use crate::text::template::Message;
use crate::train::{StudentSequence, TrainingSet};

/// Everything that the stages of one bake share.
pub(super) struct Stages<'a> {
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

impl Stages<'_> {
    /// Says whatever does not fit before any work is done. Returns the adapter that training begins
    /// with.
    pub(super) fn check(&self, inputs: &[Inputs]) -> Result<Adapter> {
        for (target, Inputs { prompt, questions, .. }) in self.recipe.targets.iter().zip(inputs) {
            self.check_template(target, prompt)?;
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

    /// A teacher whose prompt the template does not show to the model knows no more than the
    /// student.
    fn check_template(&self, target: &Target, prompt: &str) -> Result<()> {
        let student = &*self.recipe.student;
        if prompt == student {
            return Ok(());
        }
        let ids = |system: &str| self.model.encode(&Message::question(system, "Why?"));
        if ids(prompt)? != ids(student)? {
            return Ok(());
        }
        let message = format!(
            "the chat template of the model {} does not show system prompts to the model: with {} \
             the prompt has the same tokens as without, so there is nothing to learn; use a model \
             whose template has a system role, or add one to the template",
            self.model.name(),
            described(target)
        );
        Err(Error::new(ErrorKind::Tokenizer, message))
    }

    /// Runs the stages of every target.
    pub(super) fn training_set(
        &self,
        inputs: &[Inputs],
    ) -> Result<(TrainingSet, Vec<TargetReport>)> {
        let (mut sequences, mut states, mut reports, mut first_state) =
            (Vec::new(), Vec::new(), Vec::new(), 0);
        for ((target, inputs), share) in
            self.recipe.targets.iter().zip(inputs).zip(self.recipe.shares())
        {
            let questions = self.questions(target, inputs)?;
            let answers = self.answers(target, &inputs.prompt, &questions)?;
            let tokens: usize = answers.value.iter().map(|answer| answer.ids.len()).sum();
            let trajectories = trajectories(&answers.value, target.rollout.answers);
            let prompt =
                |question: &str| self.model.encode(&Message::question(&inputs.prompt, question));
            let prompts: Vec<Vec<u32>> =
                questions.value.iter().map(|question| prompt(question)).collect::<Result<_>>()?;
            states.push(self.states(
                target,
                &inputs.prompt,
                &prompts,
                &answers.hash,
                &trajectories,
            )?);
            for trajectory in &trajectories {
                let mut ids = self.model.encode(&Message::question(
                    &self.recipe.student,
                    &questions.value[trajectory.question],
                ))?;
                ids.extend_from_slice(&trajectory.answer[..trajectory.answer.len() - 1]);
                let answer = trajectory.answer.len();
                let token_weight = share * trajectory.times as f64 / tokens as f64;
                sequences.push(StudentSequence { ids, answer, first_state, token_weight });
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
        Ok((TrainingSet { sequences, states: Tensor::cat(&states, 0)? }, reports))
    }

    /// The questions of a target. Those that `expect` holds out are part of their address only
    /// where one of them came up: so what other targets expect does not make them again.
    fn questions(&self, target: &Target, inputs: &Inputs) -> Result<Product<Vec<String>>> {
        let held_out: Vec<&str> = self.recipe.held_out().collect();
        let questions = match self.kept_questions(target, inputs)? {
            Some(questions) => questions,
            None => {
                let (questions, met) =
                    stimuli::collect(self.model, target, inputs, &held_out, self.monitor)?;
                self.keep(
                    "stimuli",
                    &self.questions_key(target, inputs, if met { &held_out } else { &[] }),
                    questions,
                )?
            }
        };
        check_room(
            self.model,
            &described(target),
            &target.rollout,
            &inputs.prompt,
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
        inputs: &Inputs,
    ) -> Result<Option<Product<Vec<String>>>> {
        let held_out: Vec<&str> = self.recipe.held_out().collect();
        let kept_out: Vec<String> =
            held_out.iter().map(|question| normalised_question(question)).collect();
        let free_of_them = |questions: &Vec<String>| {
            !questions.iter().any(|q| kept_out.contains(&normalised_question(q)))
        };
        match self
            .kept("stimuli", &self.questions_key(target, inputs, &[]))?
            .filter(|product: &Product<_>| free_of_them(&product.value))
        {
            Some(product) => Ok(Some(product)),
            None => self.kept("stimuli", &self.questions_key(target, inputs, &held_out)),
        }
    }

    fn questions_key(&self, target: &Target, inputs: &Inputs, held_out: &[&str]) -> Hash {
        KeyHasher::new("stimuli", STIMULI_VERSION)
            .field("model", self.model.hash())
            .field("prompt", &inputs.prompt)
            .field("stimuli", &target.stimuli)
            .field("seed", &target.rollout.seed)
            .field("held_out", held_out)
            .finish()
    }

    fn answers_key(&self, target: &Target, prompt: &str, questions: &Product<Vec<String>>) -> Hash {
        KeyHasher::new("rollouts", ROLLOUTS_VERSION)
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
        sequences: &[Trajectory<'_>],
    ) -> Result<Tensor> {
        let key = KeyHasher::new("states", STATES_VERSION)
            .field("model", self.model.hash())
            .field("prompt", prompt)
            .field("prompts", prompts)
            .field("answers", answers)
            .finish();
        let (device, hidden) = (self.model.decoder().device(), self.model.config().hidden_size());
        let tokens: usize = sequences.iter().map(|sequence| sequence.answer.len()).sum();
        if !self.fresh
            && let Some(bytes) = self.store.product("states", &key)?
            && bytes.len() == 4 * tokens * hidden
        {
            return Ok(Tensor::from_raw_buffer(&bytes, DType::F32, &[tokens, hidden], device)?);
        }
        let sequences: Vec<_> = sequences
            .iter()
            .map(|e| TeacherSequence { prompt: &prompts[e.question], answer: e.answer })
            .collect();
        let states = hidden_states(self.model, &target.name, &sequences, self.monitor)?;
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
pub struct TargetProducts {
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
pub fn products(recipe: &Recipe, store: &Store) -> Result<Vec<TargetProducts>> {
    let (model, interrupt) = (load_model(recipe, Device::Cpu)?, Interrupt::new());
    let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
    let stages = Stages { recipe, model: &model, store, fresh: false, monitor };
    let of = |target: &Target| {
        let inputs = Inputs::read(recipe, target)?;
        let Some(questions) = stages.kept_questions(target, &inputs)? else {
            return Ok(TargetProducts {
                target: target.name.to_string(),
                questions: None,
                answers: None,
            });
        };
        let answers: Option<Product<Vec<Completion>>> =
            stages.kept("rollouts", &stages.answers_key(target, &inputs.prompt, &questions))?;
        let text = |answers: &[Completion]| {
            answers.iter().map(|answer| model.decode(&answer.ids)).collect::<Result<Vec<_>>>()
        };
        let answers = answers
            .map(|answers| {
                answers.value.chunks(target.rollout.answers).map(text).collect::<Result<_>>()
            })
            .transpose()?;
        Ok(TargetProducts {
            target: target.name.to_string(),
            questions: Some(questions.value),
            answers,
        })
    };
    recipe.targets.iter().map(of).collect()
}

/// An answer to a question, and how many times the teacher gave it.
struct Trajectory<'a> {
    question: usize,
    answer: &'a [u32],
    times: usize,
}

/// The different answers to each question. One that the teacher gave twice is learned once, with
/// twice the weight: the loss is the same.
fn trajectories(answers: &[Completion], per_question: usize) -> Vec<Trajectory<'_>> {
    let mut all: Vec<Trajectory<'_>> = Vec::new();
    for (question, answers) in answers.chunks(per_question).enumerate() {
        let first = all.len();
        for answer in answers {
            match all[first..].iter_mut().find(|d| d.answer == answer.ids) {
                Some(same) => same.times += 1,
                None => all.push(Trajectory { question, answer: &answer.ids, times: 1 }),
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
