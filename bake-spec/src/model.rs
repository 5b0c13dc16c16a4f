//! A base model's files: which there are, and the hashes that tell models apart.

pub mod config;
pub mod gguf;
pub mod named;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::file;
use crate::hash::{Hash, KeyHasher};
use crate::store::ADAPTER_FILES;
use crate::text::{Text, with_unix_lines};
use named::NamedModel;

/// The hash of the model `tiny`, all of its files.
pub const TINY_HASH: &str = "e039a19d029225075486a844c4d2bfb27c164a5907eeda66eb33674ac42db680";

/// The configuration of the model `tiny`.
#[cfg(feature = "syntax")]
pub(crate) const TINY_CONFIG: &str = include_str!("../../models/tiny/config.json");

/// The files of a model's folder that are not weights, of which the first two must be there.
pub const TEXT_FILES: [&str; 10] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    DEFAULT_TEMPLATE,
    WEIGHT_INDEX,
    ADAPTER,
];

/// The folder of additional chat templates, of which the one called `default` overrides all others.
const MORE_TEMPLATES: &str = "additional_chat_templates";
const DEFAULT_TEMPLATE: &str = "additional_chat_templates/default.jinja";

/// Beside a model it makes another one of it, which is refused.
const ADAPTER: &str = ADAPTER_FILES[0];

const SINGLE: &str = "model.safetensors";
/// The file that names the weights of a model that has several.
pub const WEIGHT_INDEX: &str = "model.safetensors.index.json";

/// Where a base model comes from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelSource {
    /// The small model inside the library.
    Tiny,
    /// A Hugging Face style folder, relative to the package.
    Folder(Text),
    /// A GGUF file, relative to the package.
    Gguf(Text),
    /// A model of the [table](named), in the user's folder of models.
    Named(&'static NamedModel),
}

impl ModelSource {
    /// The model at a path: a file if its name says so, or else a folder.
    pub fn at(path: impl Into<Text>) -> Self {
        let path = path.into();
        let extension = Path::new(&*path).extension();
        match extension.is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) {
            true => Self::Gguf(path),
            false => Self::Folder(path),
        }
    }
}

/// As it is declared, without the quotes of a path.
impl std::fmt::Display for ModelSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tiny => "tiny",
            Self::Folder(path) | Self::Gguf(path) => path,
            Self::Named(model) => model.name(),
        })
    }
}

/// What contains the text files of a model.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A folder.
    Folder(Cow<'static, str>),
    /// One file, with all that they say.
    Gguf(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => f.write_str(path),
            Self::Gguf(path) => f.write_str(path),
        }
    }
}

/// The files of a model that are not weights.
#[derive(Clone, Debug)]
pub struct Files {
    /// What contains them, for messages.
    pub origin: Origin,
    /// `config.json`.
    pub config: Cow<'static, str>,
    /// `tokenizer.json`.
    pub tokenizer: Cow<'static, [u8]>,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<Cow<'static, str>>,
    /// `generation_config.json`.
    pub generation_config: Option<Cow<'static, str>>,
    /// `chat_template.jinja`, a chat template beside `tokenizer_config.json`. Its lines end as on
    /// Unix.
    pub template: Option<Cow<'static, str>>,
    /// `special_tokens_map.json`.
    pub special_tokens_map: Option<Cow<'static, str>>,
    /// `added_tokens.json`.
    pub added_tokens: Option<Cow<'static, str>>,
    /// `model.safetensors.index.json`, if the weights are in several files: the file of each
    /// tensor.
    pub index: Option<BTreeMap<String, String>>,
}

impl Files {
    /// The files of a folder in the Hugging Face style.
    ///
    /// # Errors
    /// When `config.json` or `tokenizer.json` is missing, a file cannot be read, or there is an
    /// adapter too. The message names it.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let need = |name: &str| match read_text(&dir.join(name))? {
            Some(text) => Ok(text),
            None => {
                let message = format!(
                    "{} does not exist; name the folder of a model in the Hugging Face format",
                    dir.join(name).display()
                );
                Err(Error::new(ErrorKind::Model, message))
            }
        };
        let read = |name: &str| Ok::<_, Error>(read_text(&dir.join(name))?.map(Cow::Owned));
        let (config, tokenizer) = (need("config.json")?, need("tokenizer.json")?);
        // transformers takes the weights with the adapter for the model.
        if dir.join(ADAPTER).exists() {
            let message = format!(
                "{} is an adapter beside the weights of a model; merge it into them, or move it \
                 to a folder of its own and name that as `parent`",
                dir.join(ADAPTER).display()
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        Ok(Self {
            origin: Origin::Folder(dir.display().to_string().into()),
            config: config.into(),
            tokenizer: tokenizer.into_bytes().into(),
            tokenizer_config: read("tokenizer_config.json")?,
            generation_config: read("generation_config.json")?,
            template: template(dir)?.map(Cow::Owned),
            special_tokens_map: read("special_tokens_map.json")?,
            added_tokens: read("added_tokens.json")?,
            index: weight_index(dir)?,
        })
    }

    /// What to call one of the files in messages.
    pub fn name(&self, file: &str) -> String {
        match (&self.origin, file) {
            (Origin::Folder(folder), _) => format!("{folder}/{file}"),
            (Origin::Gguf(path), "tokenizer.json") => format!("the tokenizer of {path}"),
            (Origin::Gguf(path), _) => path.clone(),
        }
    }

    /// What the key of a token, such as `eos_token_id`, is called where it is written.
    pub fn token_key(&self, key: &str) -> String {
        match self.origin {
            Origin::Folder(_) => key.to_owned(),
            Origin::Gguf(_) => format!("tokenizer.ggml.{key}"),
        }
    }

    /// The hash of the model: these files, and those of its weights in the order of
    /// [`weight_files`].
    pub fn hash(&self, weights: &[Hash]) -> Hash {
        self.fields().field("weights", weights).finish()
    }

    fn fields(&self) -> KeyHasher {
        let fields = KeyHasher::new("model", 1)
            .field("config", &self.config)
            .field("tokenizer", &Hash::of(&self.tokenizer))
            .field("tokenizer_config", &self.tokenizer_config)
            .field("generation_config", &self.generation_config)
            .field("template", &self.template);
        // Files that most models do not have leave no trace if they are missing.
        let more = [
            ("special_tokens_map", &self.special_tokens_map),
            ("added_tokens", &self.added_tokens),
        ];
        let fields = more
            .into_iter()
            .filter(|(_, text)| text.is_some())
            .fold(fields, |fields, (name, text)| fields.field(name, text));
        // A tensor can be in several files; the index chooses one.
        match &self.index {
            Some(index) => fields.field("index", &index.iter().collect::<Vec<_>>()),
            None => fields,
        }
    }
}

/// The chat template beside `tokenizer_config.json`, which overrides the one in it.
fn template(dir: &Path) -> Result<Option<String>, Error> {
    let single = read_text(&dir.join("chat_template.jinja"))?;
    let template = read_text(&dir.join(DEFAULT_TEMPLATE))?.or(single);
    let more = dir.join(MORE_TEMPLATES);
    let is_template = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "jinja"))
    };
    let has_more = || std::fs::read_dir(&more).is_ok_and(|mut dir| dir.any(is_template));
    if template.is_none() && has_more() {
        let message = format!(
            "{} contains chat templates, but none is named `default.jinja`; copy the one you want \
             to `default.jinja`",
            more.display()
        );
        return Err(Error::new(ErrorKind::Model, message));
    }
    // A template means the same with any line ends, so the model's hash must be the same too.
    Ok(template.as_deref().map(with_unix_lines))
}

/// Fails for what could be read forever, such as a pipe: it is not even opened.
pub(crate) fn check_regular(path: &Path) -> Result<(), Error> {
    if path.exists() && !path.is_file() {
        let message = format!(
            "{} is not a regular file; name a model that is stored in files",
            path.display()
        );
        return Err(Error::new(ErrorKind::Model, message));
    }
    Ok(())
}

/// The text of a file, if it exists.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    check_regular(path)?;
    match file::read_to_string(path) {
        Ok(text) if is_pointer(text.as_bytes()) => Err(pointer(path)),
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(ErrorKind::Model, format!("cannot read {}", path.display()), e)),
    }
}

/// Whether a file contains what Git LFS leaves in place of large files until they are fetched.
pub fn is_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}

fn pointer(path: &Path) -> Error {
    let message = format!("{} {POINTER}", path.display());
    Error::new(ErrorKind::Model, message)
}

/// What to say of a file for which [`is_pointer`] is true.
pub const POINTER: &str = "is a Git LFS pointer, not the file itself; fetch it with \
    `git lfs pull`";

/// The weights of a model's folder: `model.safetensors`, or the files that
/// `model.safetensors.index.json` names.
///
/// # Errors
/// When there is neither, and when the index is malformed or names a file that is not in the same
/// folder.
pub fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let single = dir.join(SINGLE);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let Some(index) = weight_index(dir)? else {
        let message = format!(
            "{} contains neither {SINGLE} nor {WEIGHT_INDEX}; name a folder with a model in \
             safetensors",
            dir.display()
        );
        return Err(Error::new(ErrorKind::Model, message));
    };
    let names: BTreeSet<String> = index.into_values().collect();
    let mut paths = Vec::with_capacity(names.len());
    for name in names {
        let path = dir.join(&name);
        if !path.is_file() {
            let message = format!(
                "{} names {}, which does not exist; fetch the whole checkpoint",
                dir.join(WEIGHT_INDEX).display(),
                path.display()
            );
            return Err(Error::new(ErrorKind::Model, message));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// The file of each tensor, if the weights of a folder are in several files.
fn weight_index(dir: &Path) -> Result<Option<BTreeMap<String, String>>, Error> {
    #[derive(Deserialize)]
    struct WeightIndex {
        weight_map: BTreeMap<String, String>,
    }
    let path = dir.join(WEIGHT_INDEX);
    if dir.join(SINGLE).is_file() {
        return Ok(None);
    }
    let error = |what: String| Error::new(ErrorKind::Model, format!("{} {what}", path.display()));
    let Some(text) = read_text(&path)? else { return Ok(None) };
    let WeightIndex { weight_map } = serde_json::from_str(&text).map_err(|e| {
        let message = format!("{} is not an index of safetensors files", path.display());
        Error::with_source(ErrorKind::Model, message, e)
    })?;
    if weight_map.is_empty() {
        return Err(error("names no files".into()));
    }
    let outside = |name: &&String| Path::new(name).components().count() != 1 || *name == "..";
    if let Some(name) = weight_map.values().find(outside) {
        return Err(error(format!("names `{name}`, which is not in the same folder")));
    }
    Ok(Some(weight_map))
}

/// What is known of a model without reading its weights: cheap enough to compute at every keystroke
/// in an editor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The hash of its text files, or of the header of its one file; of a model that has a name,
    /// that of the whole model.
    pub files: Hash,
    /// The hash of the names and sizes of its weights, or of the size of the one file that it is.
    /// None where they are not on this machine, and where `files` is the hash of the whole model.
    pub weights: Option<Hash>,
}

impl Identity {
    /// The identity of a recipe's model; none if it is not on this machine. A model of which a part
    /// is missing or cannot be read is not any other. One that has a name is known without its
    /// file.
    pub fn of(root: &Path, source: &ModelSource) -> Option<Self> {
        match source {
            ModelSource::Tiny => Some(Self { files: tiny_hash(), weights: None }),
            ModelSource::Named(model) => Some(Self { files: model.hash(), weights: None }),
            ModelSource::Gguf(file) => Self::of_file(&root.join(&**file)),
            ModelSource::Folder(folder) => Self::of_folder(&root.join(&**folder)),
        }
    }

    fn of_folder(dir: &Path) -> Option<Self> {
        let sizes = |paths: Vec<PathBuf>| -> Option<Vec<(String, u64)>> {
            let size = |path: PathBuf| {
                Some((path.file_name()?.to_str()?.to_owned(), path.metadata().ok()?.len()))
            };
            paths.into_iter().map(size).collect()
        };
        let weights = weight_files(dir).ok().and_then(sizes);
        let weights =
            weights.map(|sizes| KeyHasher::new("weights", 1).field("sizes", &sizes).finish());
        let files = match Files::read(dir) {
            Ok(files) => files.fields().finish(),
            // A part of a model is not the model that was baked, whatever else is not here.
            Err(_) if TEXT_FILES[..2].iter().any(|file| dir.join(file).exists()) => incomplete(),
            Err(_) => return None,
        };
        Some(Self { files, weights })
    }

    /// The identity of a model in one file.
    fn of_file(path: &Path) -> Option<Self> {
        if !path.exists() {
            return None;
        }
        let Ok(header) = gguf::read_header(path) else {
            return Some(Self { files: incomplete(), weights: None });
        };
        let weights = KeyHasher::new("weights", 1).field("size", &header.size()).finish();
        Some(Self { files: header.identity(), weights: Some(weights) })
    }

    /// Whether this can be the model of that identity. What is missing proves nothing.
    pub fn matches(&self, other: &Self) -> bool {
        let weights = self.weights.zip(other.weights).is_none_or(|(a, b)| a == b);
        self.files == other.files && weights
    }
}

/// The hash of a recipe's model. Its weights are read, which takes about a second per gigabyte.
///
/// # Errors
/// When a file is missing or cannot be read.
pub fn hash(root: &Path, source: &ModelSource) -> Result<Hash, Error> {
    let of = |path: &PathBuf| {
        check_regular(path)?;
        Hash::of_file(path)
            .map_err(|e| Error::io(ErrorKind::Model, format!("cannot read {}", path.display()), e))
    };
    match source {
        ModelSource::Tiny => Ok(tiny_hash()),
        ModelSource::Named(model) => Ok(model.hash()),
        ModelSource::Gguf(file) => of(&root.join(&**file)).map(gguf::model_hash),
        ModelSource::Folder(folder) => {
            let dir = root.join(&**folder);
            let weights = weight_files(&dir)?.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            Ok(Files::read(&dir)?.hash(&weights))
        }
    }
}

/// The hash of a model of which a part is not there.
fn incomplete() -> Hash {
    KeyHasher::new("incomplete model", 1).finish()
}

fn tiny_hash() -> Hash {
    TINY_HASH.parse().expect("the constant is a hash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_model_is_another_model_and_no_model_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let source = ModelSource::Folder("m".into());
        let of = || Identity::of(dir.path(), &source);
        assert_eq!(of(), None);
        let folder = dir.path().join("m");
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(of(), None);
        // An adapter alone is no model either.
        std::fs::write(folder.join(ADAPTER), "{}").unwrap();
        assert_eq!(of(), None);
        let error = || Files::read(&folder).unwrap_err().to_string();
        assert!(error().contains("config.json does not exist"), "{}", error());
        std::fs::remove_file(folder.join(ADAPTER)).unwrap();
        std::fs::write(folder.join("config.json"), "{}").unwrap();
        std::fs::write(folder.join("tokenizer.json"), "{}").unwrap();
        let whole = of().unwrap();
        assert!(whole.matches(&of().unwrap()));
        std::fs::write(folder.join(ADAPTER), "{}").unwrap();
        assert!(!whole.matches(&of().unwrap()));
        assert!(error().contains("adapter_config.json is an adapter beside"), "{}", error());
        std::fs::remove_file(folder.join(ADAPTER)).unwrap();
        assert!(whole.matches(&of().unwrap()));
        std::fs::write(folder.join("tokenizer.json"), b"\xff").unwrap();
        assert!(!whole.matches(&of().unwrap()));
        std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
        assert!(!whole.matches(&of().unwrap()));
    }
}
