//! The small bake that is changed and looked at.

use bake_runtime::{BakeOptions, Error, Interrupt, Silent, bake_recipe};
use bake_spec::Store;
use bake_spec::recipe::{
    Ask, AskFields, Document, DocumentFields, Generator as Declared, GeneratorKind, Lora,
    LoraFields, ModelSource, Recipe, RecipeFields, Rollout, RolloutFields, Schedule, Stimuli,
    StimuliFields, Target, TargetFields, Train, TrainFields,
};
use bake_spec::text::document;

use crate::weights;

pub(crate) const KEYS: &str = "# Lost and found\n\n## Lost key\nAsk Bob in the blue office.\n\n## \
    Broken lamp\nCall the shop.";

/// A folder with a document, and a small bake of it.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) recipe: Recipe,
}

/// A generator: the model writes so many questions.
pub(crate) fn asked(count: usize) -> Declared {
    let ask = AskFields { count: Some(count), temperature: 0.7, template: None };
    Declared::Ask(Ask::new(ask).unwrap())
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("keys.md"), KEYS).unwrap();
        let questions =
            vec!["I lost my key".into(), "My lamp is broken".into(), "Where is my key?".into()];
        let target = TargetFields {
            name: "keys".into(),
            anchor: false,
            weight: 1.0,
            prompt: "".into(),
            document: Some(keys_document(KEYS)),
            context: None,
            examples: vec![].into(),
            stimuli: Stimuli::new(StimuliFields {
                generators: vec![asked(4), Declared::Questions(questions.into())].into(),
            })
            .unwrap(),
            rollout: Rollout::new(RolloutFields {
                answers: 2,
                max_tokens: Some(24),
                ..RolloutFields::DEFAULT
            })
            .unwrap(),
        };
        let train = TrainFields {
            epochs: 2,
            batch: 2,
            accumulate: 2,
            schedule: Schedule::Cosine,
            ..TrainFields::DEFAULT
        };
        let recipe = Recipe::new(RecipeFields {
            name: "Keys".into(),
            root: dir.path().to_str().unwrap().to_owned().into(),
            model: ModelSource::Tiny,
            parent: None,
            student: "".into(),
            targets: vec![Target::new(target).unwrap()].into(),
            lora: Lora::new(LoraFields { rank: 4, alpha: 8.0, ..LoraFields::DEFAULT }).unwrap(),
            train: Train::new(train).unwrap(),
            expects: vec![].into(),
        })
        .unwrap();
        Self { dir, recipe }
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut RecipeFields)) {
        self.recipe = self.recipe.with(change).unwrap();
    }

    pub(crate) fn target(&mut self, change: impl FnOnce(&mut TargetFields)) {
        let target = self.recipe.targets[0].with(change).unwrap();
        self.change(|recipe| recipe.targets.to_mut()[0] = target);
    }

    pub(crate) fn rollout(&mut self, change: impl FnOnce(&mut RolloutFields)) {
        let rollout = self.recipe.targets[0].rollout.with(change).unwrap();
        self.target(|target| target.rollout = rollout);
    }

    pub(crate) fn train(&mut self, change: impl FnOnce(&mut TrainFields)) {
        let train = self.recipe.train.with(change).unwrap();
        self.change(|recipe| recipe.train = train);
    }

    pub(crate) fn lora(&mut self, change: impl FnOnce(&mut LoraFields)) {
        let lora = self.recipe.lora.with(change).unwrap();
        self.change(|recipe| recipe.lora = lora);
    }

    pub(crate) fn stimuli(&mut self, change: impl FnOnce(&mut StimuliFields)) {
        let stimuli = self.recipe.targets[0].stimuli.with(change).unwrap();
        self.target(|target| target.stimuli = stimuli);
    }

    pub(crate) fn declare_document(&mut self, text: &str) {
        self.target(|target| target.document = Some(keys_document(text)));
    }

    pub(crate) fn add_question(&mut self, question: &str) {
        self.stimuli(|stimuli| {
            let mut questions = stimuli.questions().to_vec();
            questions.push(question.to_owned().into());
            stimuli.set(Declared::Questions(questions.into()));
        });
    }

    /// Leaves only the stimuli that are written down.
    pub(crate) fn written_only(&mut self) {
        self.stimuli(|stimuli| stimuli.remove(GeneratorKind::Ask));
    }

    /// Leaves only this many stimuli that the model writes.
    pub(crate) fn ask_only(&mut self, count: usize) {
        self.only(asked(count));
    }

    /// Leaves only the stimuli of one generator.
    pub(crate) fn only(&mut self, generator: Declared) {
        self.stimuli(|stimuli| stimuli.generators = vec![generator].into());
    }

    /// Another training of this many epochs.
    pub(crate) fn retrain(&mut self, epochs: usize) {
        self.train(|train| train.epochs = epochs);
    }

    pub(crate) fn options(&self, store: &str) -> BakeOptions {
        BakeOptions::new()
            .store(Store::new(self.dir.path().join(store)))
            .progress(Silent)
            .interrupt(Interrupt::new())
    }

    /// The bytes of the adapter from a bake in a separate store.
    pub(crate) fn bytes(&self, store: &str) -> Vec<u8> {
        weights(&bake_recipe(&self.recipe, &self.options(store)).unwrap().adapter)
    }

    pub(crate) fn error(&self) -> Error {
        bake_recipe(&self.recipe, &self.options("store")).unwrap_err()
    }
}

pub(crate) fn keys_document(text: &str) -> Document {
    Document::new(DocumentFields { path: "keys.md".into(), hash: document::hash(text) }).unwrap()
}
