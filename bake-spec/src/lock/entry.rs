//! An entry of the lock: one bake.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::VENDOR_DIR;
use super::format1::Hashes;
use super::limits::Limits;
use super::settings::{ReadableSettings, readable};
use crate::hash::Hash;
use crate::model::Identity;
use crate::model::config::Config;
use crate::recipe::address::STAGES;
use crate::recipe::{Recipe, Target};
use crate::store::Store;

/// One bake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    pub(super) name: String,
    /// [`Recipe::hash`]: what determines the adapter.
    pub recipe: Hash,
    /// The hash of the adapter's folder.
    pub adapter: Hash,
    /// The size of the adapter's files, in bytes.
    pub bytes: u64,
    /// The divergence of the base model from the teacher, in nats per token.
    pub kl_before: f64,
    /// That of the baked model.
    pub kl_after: f64,
    /// [`Recipe::judged_by`]: the expectations and the gate that it was judged by. Nothing where it
    /// was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judged: Option<Hash>,
    /// Which of the expectations it meets, if there are any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expects: Option<LockedExpects>,
    /// How it answers what was held out of training, if anything was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recall: Option<LockedRecall>,
    /// How far it has moved where it should have stayed as it is, if there are anchors.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drift: Option<LockedDrift>,
    /// The versions of the stages that made it, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub stages: BTreeMap<String, u32>,
    /// The settings that all targets share and that are not at their defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub settings: ReadableSettings,
    /// The base model.
    pub model: LockedModel,
    /// The targets and anchors, by name.
    pub targets: BTreeMap<String, LockedTarget>,
    /// What an entry from format 1 that has not been baked again says about its settings.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) format_1: Option<Hashes>,
}

/// How many expectations are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedExpects {
    /// The expectations.
    pub asked: usize,
    /// Those that the base model meets.
    pub base: usize,
    /// Those that the model meets with a target's prompt and document before it.
    pub prompted: usize,
    /// Those that it could be asked so, where that was noted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompted_asked: Option<usize>,
    /// Those that the model meets with only the right passage of the document there, where that
    /// was noted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompted_with_passage: Option<usize>,
    /// Those that it could be asked so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompted_with_passage_asked: Option<usize>,
    /// Those that the baked model meets.
    pub baked: usize,
}

/// How questions that were held out of training are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedRecall {
    /// The questions whose answer is in a document.
    pub asked: usize,
    /// Those that the base model answers as its teacher does.
    pub base: usize,
    /// Those that it answers so with the document in its prompt, where that was noted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompted: Option<usize>,
    /// Those that it could be asked so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompted_asked: Option<usize>,
    /// Those that it answers so with only the right passage in its prompt, where that was noted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompted_with_passage: Option<usize>,
    /// Those that it could be asked so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompted_with_passage_asked: Option<usize>,
    /// Those that the baked model does.
    pub baked: usize,
    /// The questions that no document answers.
    pub unanswerable: usize,
    /// Those that the baked model declines.
    pub declined: usize,
}

/// How far a bake has moved on the questions of its anchors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedDrift {
    /// The mean divergence of the baked model from the base model, in nats per token.
    pub kl: f64,
    /// The questions whose answers were compared.
    pub asked: usize,
    /// Those that it answers word for word as the base model does.
    pub same: usize,
}

/// A base model, as far as checks need it, so that a clone without its files can be checked too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedModel {
    /// `tiny`, another name, or its path in the package.
    pub source: String,
    /// The hash of all files.
    pub hash: Hash,
    /// The hash of its text files.
    pub files: Hash,
    /// The hash of the names and sizes of its weights.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weights: Option<Hash>,
    /// What it has room for.
    pub limits: Limits,
}

/// A target or an anchor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedTarget {
    /// The hash of the document's text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub document: Option<Hash>,
    /// Tokens of the teacher's prompt.
    pub prompt_tokens: usize,
    /// Tokens of the longest question.
    pub question_tokens: usize,
    /// Stimuli that were asked.
    #[serde(rename = "questions")]
    pub stimuli: usize,
    /// Rollouts of the teacher, with those that were held out of training.
    #[serde(rename = "answers")]
    pub rollouts: usize,
    /// Its own settings that are not at their defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub settings: ReadableSettings,
}

impl Locked {
    /// Whether all divergences are finite numbers, as those of a bake are.
    pub(super) fn is_finite(&self) -> bool {
        let drift = self.drift.map_or(0.0, |drift| drift.kl);
        [self.kl_before, self.kl_after, drift].iter().all(|divergence| divergence.is_finite())
    }

    /// An entry for a recipe whose model has this hash and shape, with nothing recorded yet about
    /// its adapter and the sizes of its targets.
    pub fn new(recipe: &Recipe, model: Hash, identity: &Identity, config: &Config) -> Self {
        let target = |target: &Target| {
            let locked = LockedTarget {
                document: target.document.as_ref().map(|document| document.hash),
                prompt_tokens: 0,
                question_tokens: 0,
                stimuli: 0,
                rollouts: 0,
                settings: readable(&target.own()),
            };
            (target.name.to_string(), locked)
        };
        Self {
            name: recipe.name.to_string(),
            recipe: recipe.hash(&model),
            adapter: Hash::of(b""),
            bytes: 0,
            kl_before: 0.0,
            kl_after: 0.0,
            judged: None,
            expects: None,
            recall: None,
            drift: None,
            stages: STAGES.map(|(stage, version)| (stage.to_owned(), version)).into(),
            settings: readable(&recipe.shared()),
            model: LockedModel {
                source: recipe.model.to_string(),
                hash: model,
                files: identity.files,
                weights: identity.weights,
                limits: Limits::of(config),
            },
            targets: recipe.targets.iter().map(target).collect(),
            format_1: None,
        }
    }

    /// Whether a target is the one that was baked.
    #[cfg(feature = "syntax")]
    pub(crate) fn has_target(&self, target: &Target) -> bool {
        let document = target.document.as_ref().map(|document| document.hash);
        self.targets.get(&*target.name).is_some_and(|before| {
            before.document == document
                && match &self.format_1 {
                    Some(hashes) => hashes.same(target),
                    None => before.settings == readable(&target.own()),
                }
        })
    }

    /// The identity of its model.
    pub fn identity(&self) -> Identity {
        Identity { files: self.model.files, weights: self.model.weights }
    }

    /// Where its adapter is on this machine: beside the declarations of the package, or in the
    /// store.
    pub fn adapter_place(&self, package: &Path, store: &Store) -> AdapterPlace {
        let vendored = package.join(VENDOR_DIR).join(&self.name);
        if Store::holds(&vendored, &self.adapter) {
            return AdapterPlace::Whole(vendored);
        }
        let changed = format!(
            "the files in `{VENDOR_DIR}/{}` are not those that bake.lock names: a file is missing, \
             was added or has changed (version control may have changed its line endings)",
            self.name
        );
        match store.artifact(&self.adapter) {
            Some(folder) if vendored.is_dir() => {
                let why = format!("{changed}; `cargo bake` copies them from the store again");
                AdapterPlace::Elsewhere { folder, why }
            }
            Some(folder) => AdapterPlace::Whole(folder),
            None if vendored.is_dir() => AdapterPlace::Unusable(changed),
            None if store.artifact_path(&self.adapter).exists() => AdapterPlace::Unusable(format!(
                "its adapter in this machine's store ({}) is damaged",
                store.root().display()
            )),
            None if store.root().is_dir() => AdapterPlace::Unusable(format!(
                "its adapter is neither in `{VENDOR_DIR}` nor in this machine's store"
            )),
            None => AdapterPlace::Unusable(format!(
                "its adapter is not in `{VENDOR_DIR}`, and this machine has no store at {}",
                store.root().display()
            )),
        }
    }

    /// The folder of its adapter, wherever it is on this machine. None if it is damaged.
    pub fn find_adapter(&self, package: &Path, store: &Store) -> Option<PathBuf> {
        match self.adapter_place(package, store) {
            AdapterPlace::Whole(folder) | AdapterPlace::Elsewhere { folder, .. } => Some(folder),
            AdapterPlace::Unusable(_) => None,
        }
    }
}

/// Where a locked adapter is on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterPlace {
    /// In this folder.
    Whole(PathBuf),
    /// In this folder of the store, but the copy in the package is not that adapter.
    Elsewhere {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with the copy.
        why: String,
    },
    /// Nowhere, or damaged, for this reason.
    Unusable(String),
}
