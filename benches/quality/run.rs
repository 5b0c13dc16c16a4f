//! A bake of a document, and what is answered about it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bake::recipe::{Document, DocumentFields, NamedModel, RecipeBuilder};
use bake::{
    Adapter, Attempt, Bake, BakeOptions, Bars, Device, Evaluator, Interrupt, Model, Progress as _,
    Question, Recipe, Report, Rung, Store,
};
use bake_runtime::{bake_recipe, load_model};
use bake_spec::text::document;

use crate::arguments::{Arguments, Training};
use crate::document::TestDocument;

/// The columns of the tables.
pub(crate) const RUNGS: [Rung; 4] =
    [Rung::Base, Rung::Prompted, Rung::PromptedWithPassage, Rung::Baked];

/// Words of a page.
const PAGE: f64 = 400.0;

/// What all bakes have in common.
pub(crate) struct Bench<'a> {
    arguments: &'a Arguments,
    model: Model,
    interrupt: Interrupt,
}

/// A document that was baked, and what became of its questions.
#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub(crate) document: &'a TestDocument,
    pub(crate) training: Training,
    pub(crate) seed: u64,
    /// What the bake says of itself, where there is one.
    pub(crate) report: Option<Report>,
    /// Whether it is the first of its document. Only the baked model depends on training and seed,
    /// so others are asked with the first bake.
    pub(crate) is_first: bool,
    /// For each question on each of [`RUNGS`].
    pub(crate) attempts: Vec<Vec<Attempt>>,
    /// How long the bake took, unless it was not begun and finished in one go.
    pub(crate) seconds: Option<f64>,
    /// Why there is no bake, or would be none if everything were checked.
    pub(crate) refused: Option<String>,
}

impl Run<'_> {
    pub(crate) fn seconds_per_page(&self) -> Option<f64> {
        self.seconds.map(|seconds| seconds * PAGE / self.document.words() as f64)
    }
}

impl<'a> Bench<'a> {
    pub(crate) fn new(arguments: &'a Arguments) -> Result<Self, Box<dyn Error>> {
        let declared = declare(&arguments.model).target("any", |target| target.prompt("any"));
        let model = load_model(&declared.build()?, Device::Cpu)?;
        Ok(Self { arguments, model, interrupt: Interrupt::on_ctrl_c() })
    }

    pub(crate) fn run<'d>(
        &self,
        document: &'d TestDocument,
        training: Training,
        seed: u64,
    ) -> Result<Run<'d>, Box<dyn Error>> {
        let declared = || {
            let width = self.model.config().hidden_size() as f64;
            trained(seeded(declare(&self.arguments.model), seed), training, width)
        };
        let (recipe, mut refused) = match bare(declared(), document) {
            Ok(recipe) => (recipe, None),
            Err(refused) => (unchecked(declared(), document)?, Some(refused.to_string())),
        };
        let (mut adapter, mut report, mut seconds) = (None, None, None);
        if refused.is_none() || self.arguments.unchecked {
            match self.bake(&recipe) {
                Ok((bake, taken)) => {
                    (adapter, report, seconds) = (Some(bake.adapter), Some(bake.report), taken);
                }
                Err(error) if error.is_interrupted() => return Err(error.into()),
                Err(error) => refused = Some(error.to_string()),
            }
        }
        let mut evaluator = Evaluator::new(&recipe, self.model.clone());
        if let Some(folder) = adapter {
            let adapter = Adapter::load(&folder, &self.model)?;
            evaluator = evaluator.with_adapter(Arc::new(adapter))?;
        }
        let mut questions = Vec::new();
        for line in &document.lines {
            questions.push(Question {
                text: line.question.clone(),
                answers: line.answers(),
                target: Some(0),
                passage: Some(document.passage(line)?),
            });
        }
        let is_first = seed == 0 && self.arguments.trainings.first() == Some(&training);
        let rungs = if is_first { &RUNGS[..] } else { &RUNGS[3..] };
        let bars = Bars::default();
        let mut attempts = evaluator.evaluate(rungs, &questions, &bars, &self.interrupt)?;
        for attempts in &mut attempts {
            let asked = attempts.len();
            attempts.splice(0..0, (asked..RUNGS.len()).map(|_| Attempt::NotAsked));
        }
        if let Some(refused) = &refused {
            bars.warn(refused);
        }
        Ok(Run { document, training, seed, report, is_first, attempts, seconds, refused })
    }

    /// The bake of a recipe, and how long it took.
    fn bake(&self, recipe: &Recipe) -> bake::Result<(Bake, Option<f64>)> {
        let store = Store::new(&self.arguments.store);
        let options = BakeOptions::new().store(store).interrupt(self.interrupt.clone());
        let options = if self.arguments.fresh { options.fresh() } else { options };
        let clock = Clock::of(&self.arguments.store, &recipe.hash(self.model.hash()).to_string());
        let first = self.arguments.fresh || !clock.is_begun();
        if first {
            clock.write("");
        }
        let begin = Instant::now();
        let bake = bake_recipe(recipe, &options)?;
        if first && !bake.reused {
            clock.write(&begin.elapsed().as_secs_f64().to_string());
        }
        let seconds = clock.seconds();
        Ok((bake, seconds))
    }
}

/// The recipe of a declaration that says nothing but what is to be baked.
fn bare(declared: RecipeBuilder, document: &TestDocument) -> Result<Recipe, bake_spec::Error> {
    let path = document.path();
    declared.target("document", |target| target.weight(1.0).document(path)).build()
}

/// The same without the check for room in the model's context, so that the questions can be asked
/// in any case.
fn unchecked(declared: RecipeBuilder, document: &TestDocument) -> Result<Recipe, Box<dyn Error>> {
    let recipe = declared.target("document", |target| target.weight(1.0).prompt("any")).build()?;
    let path = document.path();
    let text = document::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(&path), &path)?;
    let declared = DocumentFields { path: path.into(), hash: document::hash(&text) };
    let declared = Document::new(declared)?;
    let target = recipe.targets[0].with(|target| {
        target.prompt = "".into();
        target.document = Some(declared);
    })?;
    Ok(recipe.with(|recipe| recipe.targets = vec![target].into())?)
}

/// The first bake is the bare one; others differ in nothing but the seed.
fn seeded(declared: RecipeBuilder, seed: u64) -> RecipeBuilder {
    if seed == 0 { declared } else { declared.seed(seed) }
}

/// With another training than by default, for a model of this width.
fn trained(declared: RecipeBuilder, training: Training, width: f64) -> RecipeBuilder {
    if training == Training::default() {
        return declared;
    }
    declared.train(|mut train| {
        if let Some(epochs) = training.epochs {
            train = train.epochs(epochs);
        }
        if let Some(rate) = training.rate {
            train = train.lr(rate / width);
        }
        if let Some(epochs) = training.rehearse {
            train = train.rehearse(epochs);
        }
        train
    })
}

fn declare(model: &str) -> RecipeBuilder {
    let declared = Recipe::builder().name("Quality").root(env!("CARGO_MANIFEST_DIR"));
    match NamedModel::find(model) {
        _ if model == "tiny" => declared,
        Some(named) => declared.named_model(named),
        None => declared.model(model),
    }
}

/// Remembers beside the store how long a bake took. One that was begun before and not finished is
/// not timed: some of its products are there already.
struct Clock(PathBuf);

impl Clock {
    fn of(store: &Path, recipe: &str) -> Self {
        Self(store.join("seconds").join(recipe))
    }

    fn is_begun(&self) -> bool {
        self.0.exists()
    }

    fn write(&self, seconds: &str) {
        let folder = self.0.parent().expect("a file in a folder");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&self.0, seconds))
            .unwrap_or_else(|error| panic!("{}: {error}", self.0.display()));
    }

    fn seconds(&self) -> Option<f64> {
        std::fs::read_to_string(&self.0).ok()?.parse().ok()
    }
}
