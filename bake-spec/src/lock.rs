//! `bake.lock`: what each bake of a package was made from, and which adapter it gave.
//!
//! It lies beside `Cargo.toml` and is committed. Only `cargo bake` writes it: sorted, a block a
//! bake, without times or names of machines, so that the same bake writes the same lock and version
//! control merges it line by line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::hash::Hash;
use crate::model::Identity;
use crate::model::config::Config;
use crate::recipe::{ModelSource, Recipe, Target};
use crate::store::Store;
use crate::store::write::{Durability, replace};

/// The name of the file.
pub const LOCK_FILE: &str = "bake.lock";

/// The folder of a package that holds adapters beside their declarations, by the names of the
/// bakes.
pub const VENDOR_DIR: &str = "bakes";

/// The format that this version reads and writes.
const VERSION: u32 = 1;

const HEADER: &str = "# Written by `cargo bake`, and not to be edited. It says what the bakes of \
    this package were made from.\n";

/// What was baked, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lock {
    /// An entry for each bake.
    pub bakes: BTreeMap<String, Locked>,
}

/// One bake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    name: String,
    /// [`Recipe::hash`]: what determines the adapter.
    pub recipe: Hash,
    /// The hash of the adapter's folder.
    pub adapter: Hash,
    /// The size of the adapter's files, in bytes.
    pub bytes: u64,
    /// The divergence of the base model from the teacher, in nats a token.
    pub kl_before: f64,
    /// That of the baked model.
    pub kl_after: f64,
    /// The hashes of what all targets share, by name.
    pub shared: BTreeMap<String, Hash>,
    /// The base model.
    pub model: LockedModel,
    /// The targets and anchors, by name.
    pub targets: BTreeMap<String, LockedTarget>,
}

/// A base model, as far as checks need it: a clone without its files checks as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedModel {
    /// `tiny`, or its folder relative to the package.
    pub source: String,
    /// The hash of all files.
    pub hash: Hash,
    /// The hash of its text files.
    pub files: Hash,
    /// The hash of the names and sizes of its weights.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weights: Option<Hash>,
    /// Its shape.
    pub config: Config,
}

/// A target or an anchor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedTarget {
    /// The hash of the document's text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub document: Option<Hash>,
    /// The hash of its settings and the files of questions.
    pub settings: Hash,
    /// Tokens of the teacher's prompt.
    pub prompt_tokens: usize,
    /// Tokens of the longest question.
    pub question_tokens: usize,
    /// Questions that were asked.
    pub questions: usize,
    /// Answers that were learned from.
    pub answers: usize,
}

/// The file as it is written: a list, so that a name that stands twice is seen.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, rename = "bake")]
    bakes: Vec<Locked>,
}

impl Lock {
    /// The lock of a package; none where it has none.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is of a format that this version does not know. The
    /// message names the line.
    pub fn read(package: &Path) -> Result<Option<Self>, Error> {
        let path = package.join(LOCK_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(Error::io(
                    ErrorKind::Lock,
                    format!("cannot read {}", path.display()),
                    e,
                ));
            }
        };
        Self::parse(&text)
            .map(Some)
            .map_err(|what| Error::new(ErrorKind::Lock, format!("{} {what}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let marker = |line: &str| {
            ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark))
        };
        if let Some(line) = text.lines().position(marker) {
            return Err(format!(
                "has a merge conflict in line {}; take either side, and run `cargo bake`",
                line + 1
            ));
        }
        // A newer format may have anything after its number.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |e: toml::de::Error| {
            let line = e
                .span()
                .map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            format!(
                "is damaged in line {line}: {}; restore it, or delete it and run `cargo bake`",
                e.message()
            )
        };
        let Version { version } = toml::from_str(text).map_err(damaged)?;
        if version != VERSION {
            return Err(format!(
                "is of format {version}, and this version of bake reads format {VERSION}; use a \
                 newer bake"
            ));
        }
        let file: File = toml::from_str(text).map_err(damaged)?;
        let mut bakes = BTreeMap::new();
        for bake in file.bakes {
            if let Some(twice) = bakes.insert(bake.name.clone(), bake) {
                return Err(format!(
                    "holds `{}` twice; delete it and run `cargo bake`",
                    twice.name
                ));
            }
        }
        Ok(Self { bakes })
    }

    /// Writes the lock of a package, unless it says so already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, package: &Path) -> Result<(), Error> {
        let path = package.join(LOCK_FILE);
        let text = self.to_text();
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        replace(&path, text.as_bytes(), Durability::Disk).map_err(|e| {
            let message = format!("cannot write {}; make its folder writable", e.path.display());
            Error::io(ErrorKind::Lock, message, e.source)
        })
    }

    fn to_text(&self) -> String {
        let file = File { version: VERSION, bakes: self.bakes.values().cloned().collect() };
        // Numbers, hashes and names always have a TOML form.
        format!("{HEADER}{}", toml::to_string(&file).expect("a lock has a TOML form"))
    }

    /// Notes a bake in place of what was noted under its name.
    pub fn insert(&mut self, name: &str, locked: Locked) {
        self.bakes.insert(name.to_owned(), Locked { name: name.to_owned(), ..locked });
    }
}

impl Locked {
    /// An entry for a recipe whose model is of this hash and shape, with nothing noted yet of its
    /// adapter and its targets' sizes.
    pub fn new(recipe: &Recipe, model: Hash, identity: &Identity, config: &Config) -> Self {
        let source = match &recipe.model {
            ModelSource::Tiny => "tiny".to_owned(),
            ModelSource::Folder(folder) => folder.to_string(),
        };
        let target = |target: &Target| {
            let locked = LockedTarget {
                document: document_hash(target),
                settings: target.settings_hash(),
                prompt_tokens: 0,
                question_tokens: 0,
                questions: 0,
                answers: 0,
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
            shared: recipe.shared_hashes().map(|(name, hash)| (name.to_owned(), hash)).into(),
            model: LockedModel {
                source,
                hash: model,
                files: identity.files,
                weights: identity.weights,
                config: config.clone(),
            },
            targets: recipe.targets.iter().map(target).collect(),
        }
    }

    /// The identity of its model.
    pub fn identity(&self) -> Identity {
        Identity { files: self.model.files, weights: self.model.weights }
    }

    /// Why [`find_adapter`](Self::find_adapter) finds none.
    pub fn why_not_at_hand(&self, package: &Path, store: Option<&Store>) -> String {
        let vendored = package.join(VENDOR_DIR).join(&self.name);
        match store {
            _ if vendored.is_dir() => format!(
                "the files in `{VENDOR_DIR}/{}` are not those that bake.lock names: one was \
                 changed, added or removed, or its line ends were",
                self.name
            ),
            Some(store) if store.root().is_dir() => {
                format!("its adapter is neither in `{VENDOR_DIR}` nor in the store of this machine")
            }
            Some(store) => {
                format!(
                    "its adapter is not in `{VENDOR_DIR}`, and there is no store of this machine \
                     in {}",
                    store.root().display()
                )
            }
            None => format!(
                "its adapter is not in `{VENDOR_DIR}`, and BAKE_CACHE_DIR is no absolute path"
            ),
        }
    }

    /// The folder of its adapter: beside the declarations of the package, or in the store. None
    /// where it is in neither, or damaged.
    pub fn find_adapter(&self, package: &Path, store: &Store) -> Option<PathBuf> {
        let vendored = package.join(VENDOR_DIR).join(&self.name);
        Store::holds(&vendored, &self.adapter)
            .then_some(vendored)
            .or_else(|| store.artifact(&self.adapter))
    }
}

/// Whether a bake is what its declaration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is.
    Fresh,
    /// It was made from something else.
    Stale,
    /// It was not made, or is not at hand.
    Missing,
}

/// The state of a bake and of each of its targets, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BakeState {
    /// Its name.
    pub name: String,
    /// Its state: the worst of its targets'.
    pub state: State,
    /// What was changed that all targets share.
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
    /// What was changed, for one that is stale.
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
    /// What can be told without reading the weights; nothing where the model is not on this
    /// machine.
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
    let changed = recipe
        .shared_hashes()
        .into_iter()
        .filter(|(name, hash)| locked.shared.get(*name) != Some(hash));
    shared.extend(changed.map(|(name, _)| match name {
        "expect" => "the questions of `expect`, which are held out, have changed".to_owned(),
        name => format!("`{name}` has changed"),
    }));
    let targets: Vec<TargetState> =
        recipe.targets.iter().map(|target| target_state(target, locked, &shared)).collect();
    let same_parts = shared.is_empty()
        && targets.iter().all(|target| target.state == State::Fresh)
        && targets.len() == locked.targets.len();
    if same_parts && recipe.hash(&locked.model.hash) != locked.recipe {
        shared.push("the order of the targets, or bake.lock itself, has changed".to_owned());
    }
    let declared = |name: &String| recipe.targets.iter().any(|target| *target.name == **name);
    let removed = locked.targets.keys().filter(|name| !declared(name));
    let mut why = shared;
    why.extend(removed.map(|name| format!("the target `{name}` is no longer declared")));
    let stale = !why.is_empty() || targets.iter().any(|target| target.state != State::Fresh);
    BakeState { name, state: if stale { State::Stale } else { State::Fresh }, why, targets }
}

fn target_state(target: &Target, locked: &Locked, shared: &[String]) -> TargetState {
    let mut own = Vec::new();
    match locked.targets.get(&*target.name) {
        None => own.push("it is new".to_owned()),
        Some(before) => {
            let document = document_hash(target);
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
            if target.settings_hash() != before.settings {
                own.push("its settings or questions have changed".to_owned());
            }
        }
    }
    let why = [shared, &own].concat();
    let state = if why.is_empty() { State::Fresh } else { State::Stale };
    TargetState { name: target.name.to_string(), state, why: why.join("; "), own: own.join("; ") }
}

fn document_hash(target: &Target) -> Option<Hash> {
    target.document.as_ref().and_then(|document| document.hash.parse().ok())
}

impl BakeState {
    /// The state where the adapter that is locked is not at hand.
    #[must_use]
    pub fn without_adapter(mut self, why: String) -> Self {
        if self.state == State::Fresh {
            self.state = State::Missing;
            self.why.push(why);
        }
        self
    }

    /// All that was changed, in one line.
    pub fn summary(&self) -> String {
        let own = self.targets.iter().filter(|target| !target.own.is_empty());
        let mut all = self.why.clone();
        all.extend(own.map(|target| format!("`{}`: {}", target.name, target.own)));
        all.join("; ")
    }
}
