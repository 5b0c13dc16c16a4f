//! Whether what is declared is what was baked, and what has changed.

use serde::Serialize;

use super::entry::Locked;
use super::settings::{changes, readable};
use crate::hash::Hash;
use crate::model::Identity;
use crate::recipe::address::STAGES;
use crate::recipe::{Recipe, Target};

/// Whether a bake is what its declaration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is.
    Fresh,
    /// It was made from something else.
    Stale,
    /// It has not been baked, or its adapter is not on this machine or damaged.
    Missing,
}

/// The state of a bake and of each of its targets, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BakeState {
    /// Its name.
    pub name: String,
    /// Its state: the worst of its targets'.
    pub state: State,
    /// What changed that all targets share.
    pub why: Vec<String>,
    /// The targets and anchors, in the order of the declaration.
    pub targets: Vec<TargetState>,
}

/// The state of a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetState {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// What changed, if it is stale.
    pub why: String,
    /// The part of it that the others do not share.
    #[serde(skip)]
    pub own: String,
}

/// What is known of the model of a recipe.
#[derive(Clone, Copy, Debug)]
pub enum KnownModel<'a> {
    /// The hash of all files.
    Whole(&'a Hash),
    /// What is known without reading the weights; nothing if the model is not on this machine.
    Identity(Option<&'a Identity>),
}

/// Compares a recipe with what was baked under its name.
pub fn state(recipe: &Recipe, model: KnownModel<'_>, locked: Option<&Locked>) -> BakeState {
    let name = recipe.name.to_string();
    let Some(locked) = locked else {
        let why = "it has not been baked".to_owned();
        let missing = |target: &Target| TargetState {
            name: target.name.to_string(),
            state: State::Missing,
            why: why.clone(),
            own: String::new(),
        };
        return BakeState {
            name,
            state: State::Missing,
            why: vec![why.clone()],
            targets: recipe.targets.iter().map(missing).collect(),
        };
    };
    let mut shared = Vec::new();
    let same_model = match model {
        KnownModel::Whole(hash) => *hash == locked.model.hash,
        KnownModel::Identity(identity) => {
            identity.is_none_or(|identity| identity.matches(&locked.identity()))
        }
    };
    if !same_model {
        shared.push("the model has changed".to_owned());
    }
    match &locked.format_1 {
        Some(hashes) => shared.extend(hashes.changed(recipe)),
        None => {
            shared.extend(changes(&locked.settings, &readable(&recipe.shared())));
            shared.extend(changed_stages(locked));
        }
    }
    let targets: Vec<TargetState> =
        recipe.targets.iter().map(|target| target_state(target, locked, &shared)).collect();
    let same_parts = shared.is_empty()
        && targets.iter().all(|target| target.state == State::Fresh)
        && targets.len() == locked.targets.len();
    if same_parts && !recipe.has_address(&locked.model.hash, &locked.recipe) {
        shared.push("the order of the targets, or bake.lock itself, has changed".to_owned());
    }
    let declared = |name: &String| recipe.targets.iter().any(|target| *target.name == **name);
    let removed = locked.targets.keys().filter(|name| !declared(name));
    let mut why = shared;
    why.extend(removed.map(|name| format!("the target `{name}` is no longer declared")));
    let stale = !why.is_empty() || targets.iter().any(|target| target.state != State::Fresh);
    BakeState { name, state: if stale { State::Stale } else { State::Fresh }, why, targets }
}

/// The stages that this version of bake does differently. They make a different product.
fn changed_stages(locked: &Locked) -> Vec<String> {
    let changed = STAGES.iter().filter(|(stage, now)| locked.stages.get(*stage) != Some(now));
    changed
        .map(|(stage, now)| {
            let before = locked.stages.get(*stage).copied().unwrap_or_default();
            format!("bake has changed how it makes {stage} (was version {before}, now {now})")
        })
        .collect()
}

fn target_state(target: &Target, locked: &Locked, shared: &[String]) -> TargetState {
    let mut own = Vec::new();
    match locked.targets.get(&*target.name) {
        None => own.push("new target".to_owned()),
        Some(before) => {
            let document = target.document.as_ref().map(|document| document.hash);
            if document != before.document {
                let path =
                    target.document.as_ref().map_or("its document", |document| &document.path);
                let hash = |hash: &Option<Hash>| {
                    hash.map_or_else(|| "none".to_owned(), |hash| hash.short())
                };
                own.push(format!(
                    "{path} has changed (was {}, now {})",
                    hash(&before.document),
                    hash(&document)
                ));
            }
            match &locked.format_1 {
                Some(hashes) if hashes.same(target) => {}
                Some(_) => own.push("its settings or questions have changed".to_owned()),
                None => own.extend(changes(&before.settings, &readable(&target.own()))),
            }
        }
    }
    let why = [shared, &own].concat();
    let state = if why.is_empty() { State::Fresh } else { State::Stale };
    TargetState { name: target.name.to_string(), state, why: why.join("; "), own: own.join("; ") }
}

impl BakeState {
    /// The state if the locked adapter is not on this machine, or not as it was locked.
    #[must_use]
    pub fn without_adapter(mut self, why: &str) -> Self {
        if self.state != State::Fresh {
            return self;
        }
        self.state = State::Missing;
        self.why.push(why.to_owned());
        for target in &mut self.targets {
            target.state = State::Missing;
            target.why = why.to_owned();
        }
        self
    }

    /// Everything that changed, in one line.
    pub fn summary(&self) -> String {
        let own = self.targets.iter().filter(|target| !target.own.is_empty());
        let mut all = self.why.clone();
        all.extend(own.map(|target| format!("`{}`: {}", target.name, target.own)));
        all.join("; ")
    }
}
