//! From a recipe to an adapter.
//!
//! ```text
//! recipe ──stimuli──▶ questions ──rollout──▶ answers ──teach──▶ teacher states ──distil──▶ adapter
//! ```
//!
//! Questions, answers and adapters are kept in the store under the hash of all that determines them, so they are not made twice. Teacher
//! states are larger than all of them and quickly made; they are kept in memory only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bake_spec::recipe::{ModelSource, Recipe, Target};
use bake_spec::{Hash, KeyHasher, Store, StoreLock, document};
use candle_core::{Device, Tensor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::adapter::{Adapter, initial};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::model::block::WeightView;
use crate::model::chat::Message;
use crate::model::generate::Completion;
use crate::progress::{Bars, Interrupt, Monitor, Progress};
use crate::rollout::check_room;
use crate::train::{Example, Exchange, Lessons, hidden_states, measure, train};
use crate::{rollout, stimuli};

/// The name of the file that says how a bake went, beside the adapter.
const REPORT: &str = "bake.json";

/// How to bake: where results are kept, and who is told about progress.
#[derive(Clone)]
pub struct BakeOptions {
    store: Option<Store>,
    progress: Arc<dyn Progress>,
    interrupt: Option<Interrupt>,
    fresh: bool,
    activation_bytes: usize,
}

impl BakeOptions {
    /// The user's store, bars on the standard error stream, and Ctrl-C to stop.
    pub fn new() -> Self {
        Self { store: None, progress: Arc::new(Bars::default()), interrupt: None, fresh: false, activation_bytes: 256 << 20 }
    }

    /// Keeps results in this store. `load` looks in the user's store only: load such a result with `load_from(&bake.adapter)`.
    pub fn store(self, store: Store) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Reports to this.
    pub fn progress(self, progress: impl Progress + 'static) -> Self {
        Self { progress: Arc::new(progress), ..self }
    }

    /// Stops when this is set; Ctrl-C is then the program's own matter.
    pub fn interrupt(self, interrupt: Interrupt) -> Self {
        Self { interrupt: Some(interrupt), ..self }
    }

    /// Makes everything again, whatever the store holds.
    pub fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// Keeps at most this many bytes of activations for the backward pass; what does not fit is computed twice. The result is the same.
    pub fn activation_bytes(self, activation_bytes: usize) -> Self {
        Self { activation_bytes, ..self }
    }
}

impl Default for BakeOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A finished bake.
#[derive(Clone, Debug)]
pub struct Bake {
    /// The adapter's folder in the store, in the format of PEFT.
    pub adapter: PathBuf,
    /// How it went.
    pub report: Report,
    /// Whether the store held it already.
    pub reused: bool,
}

/// How a bake went. The same recipe gives the same report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The divergence of the base model from the teacher on its answers, in nats a token.
    pub kl_before: f64,
    /// The divergence of the baked model.
    pub kl_after: f64,
    /// What was learned from, in the order of the targets.
    pub targets: Vec<TargetReport>,
}

/// What one target was learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The target's name.
    pub name: String,
    /// Different questions.
    pub questions: usize,
    /// Answers of the teacher.
    pub answers: usize,
    /// Tokens of these answers.
    pub tokens: usize,
}

/// Bakes a recipe, unless the store holds its adapter already.
///
/// # Errors
/// When the model or a document cannot be read or does not fit, the store cannot be written, training diverges (its numbers overflow, or
/// the model ends up further from the teacher than it was), or the work is interrupted. Questions and answers that were finished before
/// are kept.
pub fn bake(recipe: &Recipe, options: &BakeOptions) -> Result<Bake> {
    let store = match &options.store {
        Some(store) => store.clone(),
        None => Store::user()?,
    };
    let interrupt = options.interrupt.clone().unwrap_or_else(Interrupt::on_ctrl_c);
    let monitor = Monitor { progress: &*options.progress, interrupt: &interrupt };
    let model = load_model(recipe)?;
    let hash = recipe.hash(model.hash());
    let made = || -> Result<Option<Bake>> {
        let Some(adapter) = store.adapter(&hash)?.filter(|_| !options.fresh) else { return Ok(None) };
        Ok(read_report(&adapter, recipe).map(|report| Bake { adapter, report, reused: true }))
    };
    // What is there needs no lock, as in a store that can only be read.
    if let Some(bake) = made()? {
        return Ok(bake);
    }
    let _lock = wait_for_lock(&store, &hash, monitor)?;
    if let Some(bake) = made()? {
        return Ok(bake);
    }
    let kitchen = Kitchen { recipe, model: &model, store: &store, fresh: options.fresh, monitor };
    let sources = recipe.targets.iter().map(|target| Source::read(recipe, target)).collect::<Result<Vec<_>>>()?;
    let adapter = kitchen.check(&sources)?;
    let (lessons, targets) = kitchen.lessons(&sources)?;
    let kl_before = measure(&model, &recipe.train, &lessons, WeightView::default())?;
    let adapter = train(&model, recipe, &lessons, adapter, options.activation_bytes, monitor)?;
    let kl_after = measure(&model, &recipe.train, &lessons, WeightView { adapter: Some(&adapter), dropout: None })?;
    if kl_after > kl_before {
        let message =
            format!("training took the model away from the teacher: from {kl_before:.3} to {kl_after:.3} nats a token; lower `lr`");
        return Err(Error::new(ErrorKind::Training, message));
    }
    let report = Report { kl_before, kl_after, targets };
    let dir = store.put_adapter(&hash, |dir| {
        adapter.save(dir, model.name())?;
        let json = serde_json::to_vec_pretty(&report).expect("a report has a JSON form");
        let path = dir.join(REPORT);
        std::fs::write(&path, json).map_err(|e| Error::with_source(ErrorKind::Store, format!("cannot write {}", path.display()), e))
    })?;
    Ok(Bake { adapter: dir, report, reused: false })
}

/// The report beside an adapter, with the names that the targets have in this recipe: names do not make another adapter.
fn read_report(adapter: &Path, recipe: &Recipe) -> Option<Report> {
    let mut report: Report = serde_json::from_slice(&std::fs::read(adapter.join(REPORT)).ok()?).ok()?;
    for (target, declared) in report.targets.iter_mut().zip(recipe.targets.iter()) {
        target.name = declared.name.to_string();
    }
    Some(report)
}

/// Waits, if need be, until no other process bakes the same.
fn wait_for_lock(store: &Store, recipe: &Hash, monitor: Monitor<'_>) -> Result<StoreLock> {
    if let Some(lock) = store.try_lock(recipe)? {
        return Ok(lock);
    }
    monitor.stage("another process bakes this", 1, "bake", |ticker| {
        loop {
            if let Some(lock) = store.try_lock(recipe)? {
                ticker.advance(1, "")?;
                return Ok(lock);
            }
            ticker.advance(0, "waiting for it")?;
            std::thread::sleep(Duration::from_millis(200));
        }
    })
}

/// Loads the base model of a recipe.
pub(crate) fn load_model(recipe: &Recipe) -> Result<Model> {
    match &recipe.model {
        #[cfg(feature = "tiny")]
        ModelSource::Tiny => Model::tiny(),
        #[cfg(not(feature = "tiny"))]
        ModelSource::Tiny => Err(Error::new(ErrorKind::Model, "`model tiny` needs the feature `tiny` of bake; turn it on in Cargo.toml")),
        ModelSource::Folder(path) => Model::load(&Path::new(&*recipe.root).join(&**path), &Device::Cpu),
        other => Err(Error::new(ErrorKind::Model, format!("this version of bake cannot load a model from {other:?}"))),
    }
}

/// The system prompt of a target's teacher.
pub(crate) fn teacher_prompt(recipe: &Recipe, target: &Target) -> Result<String> {
    Ok(Source::read(recipe, target)?.prompt)
}

/// The text of a target's document, which must be the one that was declared.
fn read_document(recipe: &Recipe, target: &Target) -> Result<Option<String>> {
    let Some(declared) = &target.document else { return Ok(None) };
    let path = Path::new(&*recipe.root).join(&*declared.path);
    let text = document::read(&path, path.display())?;
    if document::hash(&text).to_string() != declared.hash {
        let message = format!("{} has changed since the program was compiled; compile it again", path.display());
        return Err(Error::new(ErrorKind::Document, message));
    }
    Ok(Some(text))
}

/// What a target is learned from.
struct Source {
    document: Option<String>,
    /// The teacher's system prompt.
    prompt: String,
}

impl Source {
    fn read(recipe: &Recipe, target: &Target) -> Result<Self> {
        let document = read_document(recipe, target)?;
        Ok(Self { prompt: target.teacher_prompt(document.as_deref()), document })
    }
}

/// Everything that the stages of one bake share.
struct Kitchen<'a> {
    recipe: &'a Recipe,
    model: &'a Model,
    store: &'a Store,
    fresh: bool,
    monitor: Monitor<'a>,
}

/// What a stage made, and the hash of its content.
struct Product<T> {
    value: T,
    hash: Hash,
}

impl Kitchen<'_> {
    /// Says whatever does not fit before any work is done. Returns the adapter that training begins with.
    fn check(&self, sources: &[Source]) -> Result<Adapter> {
        for (target, Source { prompt, .. }) in self.recipe.targets.iter().zip(sources) {
            let written: Vec<String> = target.stimuli.questions.iter().map(|q| q.to_string()).collect();
            check_room(self.model, &described(target), &target.rollout, prompt, &written)?;
            check_room(self.model, "the student prompt", &target.rollout, &self.recipe.student, &written)?;
        }
        initial(self.model.config(), &self.recipe.lora, self.recipe.train.seed, self.model.decoder().device())
    }

    /// Runs the stages of every target.
    fn lessons(&self, sources: &[Source]) -> Result<(Lessons, Vec<TargetReport>)> {
        let (mut examples, mut states, mut reports, mut first_state) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for ((target, Source { document, prompt }), share) in self.recipe.targets.iter().zip(sources).zip(self.recipe.shares()) {
            let questions = self.questions(target, document.as_deref(), prompt)?;
            let answers = self.answers(target, prompt, &questions)?;
            let tokens: usize = answers.value.iter().map(|answer| answer.ids.len()).sum();
            let exchanges = different(&answers.value, target.rollout.answers);
            states.push(self.states(target, prompt, &questions.value, &exchanges)?);
            for exchange in &exchanges {
                let mut ids = self.model.encode(&Message::question(&self.recipe.student, &questions.value[exchange.question]))?;
                ids.extend_from_slice(&exchange.answer[..exchange.answer.len() - 1]);
                let answer = exchange.answer.len();
                let token_weight = share * exchange.times as f64 / tokens as f64;
                examples.push(Example { ids, answer, first_state, token_weight });
                first_state += answer;
            }
            let (questions, answers) = (questions.value.len(), answers.value.len());
            reports.push(TargetReport { name: target.name.to_string(), questions, answers, tokens });
        }
        Ok((Lessons { examples, states: Tensor::cat(&states, 0)? }, reports))
    }

    fn questions(&self, target: &Target, document: Option<&str>, prompt: &str) -> Result<Product<Vec<String>>> {
        let held_out: Vec<&str> = self.recipe.held_out().collect();
        let key = KeyHasher::new("stimuli", stimuli::VERSION)
            .field("model", self.model.hash())
            .field("prompt", prompt)
            .field("stimuli", &target.stimuli)
            .field("seed", &target.rollout.seed)
            .field("held_out", &held_out)
            .finish();
        let questions = self.json("stimuli", &key, || stimuli::collect(self.model, target, document, &held_out, self.monitor))?;
        check_room(self.model, &described(target), &target.rollout, prompt, &questions.value)?;
        check_room(self.model, "the student prompt", &target.rollout, &self.recipe.student, &questions.value)?;
        Ok(questions)
    }

    fn answers(&self, target: &Target, prompt: &str, questions: &Product<Vec<String>>) -> Result<Product<Vec<Completion>>> {
        let key = KeyHasher::new("rollouts", rollout::VERSION)
            .field("model", self.model.hash())
            .field("prompt", prompt)
            .field("questions", &questions.hash)
            .field("rollout", &target.rollout)
            .finish();
        self.json("rollouts", &key, || rollout::roll_out(self.model, &target.name, &target.rollout, prompt, &questions.value, self.monitor))
    }

    fn states(&self, target: &Target, prompt: &str, questions: &[String], exchanges: &[Different<'_>]) -> Result<Tensor> {
        let prompts: Vec<Vec<u32>> = questions.iter().map(|q| self.model.encode(&Message::question(prompt, q))).collect::<Result<_>>()?;
        let exchanges: Vec<_> = exchanges.iter().map(|e| Exchange { prompt: &prompts[e.question], answer: e.answer }).collect();
        hidden_states(self.model, &target.name, &exchanges, self.monitor)
    }

    /// The product of a stage, out of the store or made now.
    fn json<T: Serialize + DeserializeOwned>(&self, stage: &str, key: &Hash, make: impl FnOnce() -> Result<T>) -> Result<Product<T>> {
        if !self.fresh
            && let Some(bytes) = self.store.product(stage, key)?
            && let Ok(value) = serde_json::from_slice(&bytes)
        {
            return Ok(Product { value, hash: Hash::of(&bytes) });
        }
        let value = make()?;
        let bytes = serde_json::to_vec(&value).expect("a product has a JSON form");
        Ok(Product { value, hash: self.store.put_product(stage, key, &bytes)? })
    }
}

/// An answer to a question, and how many times the teacher gave it.
struct Different<'a> {
    question: usize,
    answer: &'a [u32],
    times: usize,
}

/// The different answers to each question. One that the teacher gave twice is learned once, with twice the weight: the loss is the same.
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
        Some(document) => format!("{} (target `{}`)", document.path, target.name),
        None => format!("the prompt of target `{}`", target.name),
    }
}
