//! A base model's files: what they are, and the hashes by which one model is told from another.

pub mod config;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::hash::{Hash, KeyHasher};
use crate::recipe::ModelSource;

/// The hash of the model `tiny`, all of its files.
pub const TINY_HASH: &str = "e2885182c5a1764d1cbeab56a16f1f42a43fda57ae76d9b85e815ce1c49ee809";

/// The configuration of the model `tiny`.
#[cfg(feature = "syntax")]
pub(crate) const TINY_CONFIG: &str = include_str!("../../models/tiny/config.json");

/// The files of a model's folder that are not weights, of which the first two must be there.
pub const TEXT_FILES: [&str; 5] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
];

const SINGLE: &str = "model.safetensors";
/// The file that names the weights of a model that has several.
pub const WEIGHT_INDEX: &str = "model.safetensors.index.json";

/// The files of a model that are not weights.
#[derive(Clone, Debug)]
pub struct Files {
    /// The folder, for messages.
    pub folder: Cow<'static, str>,
    /// `config.json`.
    pub config: Cow<'static, str>,
    /// `tokenizer.json`.
    pub tokenizer: Cow<'static, [u8]>,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<Cow<'static, str>>,
    /// `generation_config.json`.
    pub generation_config: Option<Cow<'static, str>>,
    /// `chat_template.jinja`, a chat template beside `tokenizer_config.json`.
    pub template: Option<Cow<'static, str>>,
}

impl Files {
    /// The files of a folder in the Hugging Face style.
    ///
    /// # Errors
    /// When `config.json` or `tokenizer.json` is missing, or a file cannot be read. The message
    /// names it.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let read = |name: &str| match std::fs::read_to_string(dir.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(
                ErrorKind::Model,
                format!("cannot read {}", dir.join(name).display()),
                e,
            )),
        };
        let need = |name: &str| match read(name)? {
            Some(text) => Ok(text),
            None => {
                let message = format!(
                    "{} is not there; name the folder of a model in the Hugging Face format",
                    dir.join(name).display()
                );
                Err(Error::new(ErrorKind::Model, message))
            }
        };
        let [config, tokenizer, tokenizer_config, generation_config, template] = TEXT_FILES;
        Ok(Self {
            folder: dir.display().to_string().into(),
            config: need(config)?.into(),
            tokenizer: need(tokenizer)?.into_bytes().into(),
            tokenizer_config: read(tokenizer_config)?.map(Cow::Owned),
            generation_config: read(generation_config)?.map(Cow::Owned),
            template: read(template)?.map(Cow::Owned),
        })
    }

    /// The hash of the model: these files, and those of its weights in the order of
    /// [`weight_files`].
    pub fn hash(&self, weights: &[Hash]) -> Hash {
        self.fields().field("weights", weights).finish()
    }

    fn fields(&self) -> KeyHasher {
        KeyHasher::new("model", 1)
            .field("config", &self.config)
            .field("tokenizer", &Hash::of(&self.tokenizer))
            .field("tokenizer_config", &self.tokenizer_config)
            .field("generation_config", &self.generation_config)
            .field("template", &self.template)
    }
}

/// The weights of a model's folder: `model.safetensors`, or the files that
/// `model.safetensors.index.json` names.
///
/// # Errors
/// When there is neither, and when the index is malformed or names a file that does not lie beside
/// it.
pub fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let (single, index) = (dir.join(SINGLE), dir.join(WEIGHT_INDEX));
    if single.is_file() {
        Ok(vec![single])
    } else if index.is_file() {
        shard_paths(&index)
    } else {
        let message = format!(
            "{} holds neither {SINGLE} nor {WEIGHT_INDEX}; name a folder with a model in safetensors",
            dir.display()
        );
        Err(Error::new(ErrorKind::Model, message))
    }
}

/// The files that an index names, which must lie beside it.
fn shard_paths(index: &Path) -> Result<Vec<PathBuf>, Error> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let error = |what: String| Error::new(ErrorKind::Model, format!("{} {what}", index.display()));
    let text = std::fs::read_to_string(index).map_err(|e| error(format!("cannot be read: {e}")))?;
    let Index { weight_map } = serde_json::from_str(&text)
        .map_err(|e| error(format!("is not an index of safetensors files: {e}")))?;
    let dir = index.parent().unwrap_or(Path::new(""));
    let names: BTreeSet<String> = weight_map.into_values().collect();
    if names.is_empty() {
        return Err(error("names no file".into()));
    }
    names
        .into_iter()
        .map(|name| {
            let path = dir.join(&name);
            if Path::new(&name).components().count() != 1 || name == ".." {
                return Err(error(format!("names `{name}`, which does not lie beside it")));
            }
            if !path.is_file() {
                return Err(error(format!(
                    "names {}, which is not there; fetch the whole checkpoint",
                    path.display()
                )));
            }
            Ok(path)
        })
        .collect()
}

/// What can be told of a model without reading its weights: cheap enough for every key that is
/// pressed in an editor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The hash of its text files.
    pub files: Hash,
    /// The hash of the names and sizes of its weights; none where they are not on this machine.
    pub weights: Option<Hash>,
}

impl Identity {
    /// The identity of a recipe's model; none where its text files cannot be read.
    pub fn of(root: &Path, source: &ModelSource) -> Option<Self> {
        let dir = match source {
            ModelSource::Tiny => return Some(Self { files: tiny_hash(), weights: None }),
            ModelSource::Folder(folder) => root.join(&**folder),
        };
        let sizes = |paths: Vec<PathBuf>| -> Option<Vec<(String, u64)>> {
            let size = |path: PathBuf| {
                Some((path.file_name()?.to_str()?.to_owned(), path.metadata().ok()?.len()))
            };
            paths.into_iter().map(size).collect()
        };
        let weights = weight_files(&dir).ok().and_then(sizes);
        let weights =
            weights.map(|sizes| KeyHasher::new("weights", 1).field("sizes", &sizes).finish());
        Some(Self { files: Files::read(&dir).ok()?.fields().finish(), weights })
    }

    /// Whether this can be the model of that identity. What is not here tells nothing.
    pub fn matches(&self, other: &Self) -> bool {
        let weights = self.weights.zip(other.weights).is_none_or(|(a, b)| a == b);
        self.files == other.files && weights
    }
}

/// The hash of a recipe's model. Its weights are read, which takes a second for each gigabyte or
/// so.
///
/// # Errors
/// When a file is missing or cannot be read.
pub fn hash(root: &Path, source: &ModelSource) -> Result<Hash, Error> {
    let dir = match source {
        ModelSource::Tiny => return Ok(tiny_hash()),
        ModelSource::Folder(folder) => root.join(&**folder),
    };
    let of = |path: &PathBuf| {
        Hash::of_file(path)
            .map_err(|e| Error::io(ErrorKind::Model, format!("cannot read {}", path.display()), e))
    };
    let weights = weight_files(&dir)?.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    Ok(Files::read(&dir)?.hash(&weights))
}

fn tiny_hash() -> Hash {
    TINY_HASH.parse().expect("the constant is a hash")
}
