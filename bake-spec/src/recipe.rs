//! The recipe: everything that a declaration says, as data that cannot contain anything invalid.
//!
//! The macro writes it as a constant; [`Recipe::builder`] and tools that read the sources build the
//! same value at run time. Each part has private fields, guarded by checks with the codes and
//! messages of the macro, and is read like its `…Fields`. An invalid constant stops the compiler:
//!
//! ```compile_fail,E0080
//! # extern crate bake_spec as bake;
//! use bake::recipe::{Train, TrainFields};
//!
//! const TRAIN: Train = Train::declared(TrainFields { batch: 0, ..TrainFields::DEFAULT });
//! ```
//!
//! ```
//! # extern crate bake_spec as bake;
//! use bake::recipe::{Train, TrainFields};
//!
//! const TRAIN: Train = Train::declared(TrainFields { batch: 1, ..TrainFields::DEFAULT });
//! assert_eq!(TRAIN.batch, 1);
//! ```

pub mod address;
mod declaration;
mod example;
mod expect;
mod format;
pub(crate) mod generator;
pub(crate) mod legacy;
mod mistake;
pub(crate) mod names;
pub(crate) mod parent;
pub(crate) mod parts;
pub(crate) mod pattern;
pub(crate) mod prompt;
mod target;
mod template;
pub(crate) mod training;

use std::collections::HashSet;

#[cfg(feature = "syntax")]
pub use crate::builder::{self, RecipeBuilder};
#[doc(no_inline)]
pub use crate::hash::Hash;
pub use crate::model::ModelSource;
#[doc(no_inline)]
pub use crate::model::named::NamedModel;
pub use crate::status::{BakedDocument, BakedFrom, Freshness, Status};
use crate::text::same;
pub use crate::text::{List, Text, normalised_question};
pub use declaration::{AdapterSource, Aligned, Declaration, TargetName, variables};
pub use example::WorkedExample;
pub use expect::{Answer, Expect, ExpectFields};
pub use format::Format;
pub use generator::{
    Ask, AskFields, Dataset, DatasetFields, Everyday, EverydayFields, General, GeneralFields,
    Generator, GeneratorKind, Outline, OutlineFields, Persona, PersonaFields, Rephrase,
    RephraseFields, Stimuli, StimuliFields, Unanswerable, UnanswerableFields,
};
pub(crate) use mistake::Mistake;
pub use parent::{Parent, ParentFields};
use parts::{is_blank, items, part, str};
pub use pattern::Pattern;
pub use prompt::{Prompt, PromptFields, Role, Turn};
pub use target::{
    Document, DocumentFields, Rollout, RolloutFields, Target, TargetFields, TeacherContext,
};
pub use template::Template;
#[cfg(feature = "text")]
pub use template::{PassageTemplate, PassageVariables};
pub use training::{Divergence, Lora, LoraFields, Schedule, Train, TrainFields};

part! {
    /// Everything that determines a bake.
    Recipe of RecipeFields, then check_texts
}

/// The fields of a [`Recipe`].
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeFields {
    /// The name of the declaration.
    pub name: Text,
    /// The folder of the package's `Cargo.toml`, to which paths are relative.
    pub root: Text,
    /// The base model.
    pub model: ModelSource,
    /// The adapter on top of which it is baked, if there is one.
    pub parent: Option<Parent>,
    /// What the baked model reads before a question; nothing, if it is empty.
    pub student: Prompt,
    /// What is baked in, in the order of the declaration, followed by the anchors.
    pub targets: List<Target>,
    /// The adapter.
    pub lora: Lora,
    /// The training.
    pub train: Train,
    /// What the baked model must answer. These questions are held out of training.
    pub expects: List<Expect>,
}

impl RecipeFields {
    const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = names::check_bake(str(&self.name)) {
            return Err(mistake);
        }
        if let ModelSource::Folder(path) | ModelSource::Gguf(path) = &self.model
            && is_blank(str(path))
        {
            return Err(Mistake::EmptyModel);
        }
        if self.parent.is_some() {
            if self.train.fields().weight_decay > 0.0 {
                return Err(Mistake::NotWithParent("weight_decay"));
            }
            if self.lora.fields().dropout > 0.0 {
                return Err(Mistake::NotWithParent("dropout"));
            }
        }
        let targets = items(&self.targets);
        if targets.is_empty() || targets[0].fields().anchor {
            return Err(Mistake::NothingBaked);
        }
        let mut i = 1;
        while i < targets.len() {
            let TargetFields { name, anchor, prompt, .. } = targets[i].fields();
            if *anchor && !prompt.fields().is(self.student.fields()) {
                return Err(Mistake::AnchorPrompt(str(name)));
            }
            let mut j = 0;
            while j < i {
                if same(str(name), str(&targets[j].fields().name)) {
                    return Err(Mistake::same_name(str(name), *anchor));
                }
                j += 1;
            }
            if !*anchor && targets[i - 1].fields().anchor {
                return Err(Mistake::AnchorFirst(str(name)));
            }
            i += 1;
        }
        self.check_expects()
    }

    /// What constant functions cannot check: names by the letters that Rust knows, paths by their
    /// parts, and questions by their words. What is in files is not known here.
    fn check_texts(&self) -> Result<(), Mistake<'_>> {
        if !names::is_word(&self.name) {
            return Err(Mistake::NotAName { name: &self.name, of: names::BAKE });
        }
        let mut variants: Vec<(&str, String)> = Vec::new();
        for TargetFields { name, anchor, .. } in self.targets.iter().map(Target::fields) {
            let of = if *anchor { names::ANCHOR } else { names::TARGET };
            let variant = names::variant(name).filter(|_| !anchor);
            if !names::is_word(name) || variant.is_none() && !anchor {
                return Err(Mistake::NotAName { name, of });
            }
            let Some(variant) = variant else { continue };
            if let Some((other, _)) = variants.iter().find(|(_, taken)| *taken == variant) {
                return Err(Mistake::SameVariant { other, name });
            }
            variants.push((name, variant));
        }
        if let Some(parent) = self.parent.as_ref().filter(|it| it.bake() == Some(&*self.name)) {
            return Err(Mistake::OnTopOfItself { name: &self.name, folder: &parent.path });
        }
        let held_out = held_out(&self.expects);
        let learns_nothing = |target: &&Target| {
            target.stimuli.datasets().next().is_none() && target.stimuli.is_held_out(&[], &held_out)
        };
        match self.targets.iter().find(learns_nothing) {
            Some(target) => Err(Mistake::AllHeldOut(&target.name)),
            None => Ok(()),
        }
    }

    const fn check_expects(&self) -> Result<(), Mistake<'_>> {
        let (targets, expects) = (items(&self.targets), items(&self.expects));
        let mut i = 0;
        while i < expects.len() {
            if let Some(target) = &expects[i].fields().target {
                let mut j = 0;
                while j < targets.len() && !same(str(target), str(&targets[j].fields().name)) {
                    j += 1;
                }
                if j == targets.len() || targets[j].fields().anchor {
                    return Err(Mistake::UnknownTarget { name: str(target), targets });
                }
            }
            i += 1;
        }
        Ok(())
    }
}

impl Recipe {
    /// The questions that must not be trained on.
    pub fn held_out(&self) -> impl Iterator<Item = &str> {
        self.expects.iter().map(|e| e.question.as_ref())
    }

    /// The most trainings after the first: for passages that are not known, and for the answers of
    /// the student itself.
    pub fn further_rounds(&self) -> usize {
        self.train.until_covered.unwrap_or_default().max(usize::from(self.is_on_policy()))
    }

    /// Whether the student answers some questions itself in further rounds.
    pub fn is_on_policy(&self) -> bool {
        self.targets.iter().any(|target| target.rollout.on_policy > 0.0)
    }

    /// Each target's share of the loss, which sum to one.
    pub fn shares(&self) -> impl Iterator<Item = f64> {
        let total: f64 = self.targets.iter().map(|t| t.weight).sum();
        self.targets.iter().map(move |t| t.weight / total)
    }

    /// A placeholder for the recipe of a declaration with mistakes, so that its items are generated
    /// beside the errors.
    #[doc(hidden)]
    pub const STAND_IN: Self = Self::declared(RecipeFields {
        name: Text::Borrowed("Unnamed"),
        root: Text::Borrowed(""),
        model: ModelSource::Tiny,
        parent: None,
        student: Prompt::declared(PromptFields {
            system: Text::Borrowed(""),
            turns: List::Borrowed(&[]),
        }),
        targets: List::Borrowed(Target::STAND_INS),
        lora: Lora::declared(LoraFields::DEFAULT),
        train: Train::declared(TrainFields::DEFAULT),
        expects: List::Borrowed(&[]),
    });
}

/// The questions that must not be trained on, by their words.
pub(crate) fn held_out(expects: &[Expect]) -> HashSet<String> {
    expects.iter().map(|expect| normalised_question(&expect.question)).collect()
}
