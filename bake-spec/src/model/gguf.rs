//! A model in one GGUF file: what its header says, translated into the files of a folder in the
//! Hugging Face style, so that both are read by the same code with the same checks.
//!
//! Only the header is read: the metadata and the list of tensors, not the tensors. The format is
//! described in <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod architecture;
mod config;
mod keys;
mod metadata;
mod pre_tokenizer;
mod read;
mod rope;
mod sentencepiece;
mod tensor;
mod tokenizer;

use std::path::Path;

pub use architecture::{Architecture, HeadCounts, Placed, RowOrder};
pub use rope::rope_divisors;
pub use tensor::{TensorInfo, TensorType};

use crate::error::{Error, ErrorKind};
use crate::hash::{Hash, KeyHasher};
use crate::model::config::Config;
use crate::model::{Files, Origin};
use crate::text::with_unix_lines;
use metadata::Metadata;
use pre_tokenizer::PreTokenizer;

/// The tensor with the divisors of Llama 3's rotary frequencies, which belongs to the configuration
/// and not to the weights.
pub const ROPE_FACTORS: &str = "rope_freqs.weight";

/// What a GGUF file says before its tensors.
#[derive(Debug)]
pub struct Header {
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    /// What [`ROPE_FACTORS`] contains.
    rope_factors: Option<Vec<f32>>,
    identity: Hash,
    size: u64,
}

/// Whether a path is that of a model in one file, by its extension.
pub fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
        && !path.is_dir()
}

/// Reads the header of a GGUF file.
///
/// # Errors
/// When the file cannot be read, is not whole, or is of a version or has a type of tensors that
/// bake does not read. The message names the file and what in it is wrong.
pub fn read_header(path: &Path) -> Result<Header, Error> {
    read::header(path)
}

/// The name that GGUF files have for a way of cutting texts into words, given as `normalizer`,
/// `pre_tokenizer` and `ignore_merges` of a `tokenizer.json`; none if they have none that bake
/// reads.
pub fn pre_tokenizer_name(
    normalizer: &serde_json::Value,
    pre_tokenizer: &serde_json::Value,
    ignore_merges: bool,
) -> Option<&'static str> {
    PreTokenizer::name(normalizer, pre_tokenizer, ignore_merges)
}

/// The hash of a model in one file, from that of its bytes.
pub fn model_hash(file: Hash) -> Hash {
    KeyHasher::new("gguf model", 1).field("file", &file).finish()
}

impl Header {
    /// The file, for messages.
    pub fn file(&self) -> &str {
        self.metadata.file()
    }

    /// The tensors, by the names that they have in the file.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The hash of the header.
    pub fn identity(&self) -> Hash {
        self.identity
    }

    /// The bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The shape of the model.
    ///
    /// # Errors
    /// When the file says something about it that bake does not compute; the message names the key.
    pub fn config(&self) -> Result<Config, Error> {
        let architecture = self.architecture()?;
        Config::parse(&self.config_json()?, self.file())
            .map_err(|e| e.reworded(|said| config::with_own_keys(said, architecture)))
    }

    /// What `config.json` would say.
    fn config_json(&self) -> Result<String, Error> {
        Ok(config::json(self, self.architecture()?)?.to_string())
    }

    /// The tokenizer, as a `tokenizer.json`.
    ///
    /// # Errors
    /// When the metadata has no tokenizer, or one that bake does not read; the message names the
    /// key.
    pub fn tokenizer(&self) -> Result<Vec<u8>, Error> {
        tokenizer::json(&self.metadata, self.architecture()?)
    }

    /// What the files of a folder would say.
    ///
    /// # Errors
    /// When the file says something that bake does not do, or has no chat template.
    pub fn files(&self) -> Result<Files, Error> {
        const TEMPLATE: &str = "tokenizer.chat_template";
        let Some(template) = self.metadata.text(TEMPLATE)? else {
            let what =
                format!("has no `{TEMPLATE}`; use the chat or instruct version of the model");
            return Err(self.metadata.error(ErrorKind::Tokenizer, what));
        };
        Ok(Files {
            origin: Origin::Gguf(self.file().to_owned()),
            config: self.config_json()?.into(),
            tokenizer: self.tokenizer()?.into(),
            tokenizer_config: Some(tokenizer::settings(&self.metadata)?.to_string().into()),
            generation_config: Some(tokenizer::generation(&self.metadata)?.to_string().into()),
            template: Some(with_unix_lines(template).into()),
            special_tokens_map: None,
            added_tokens: None,
            index: None,
        })
    }

    /// Where the tensors belong in a model of transformers, in the order of [`Header::tensors`];
    /// none for a tensor that belongs to the configuration.
    ///
    /// # Errors
    /// When the file has a tensor that no model of its architecture has.
    pub fn places(&self) -> Result<Vec<Option<Placed>>, Error> {
        let architecture = self.architecture()?;
        let heads = config::heads(&self.metadata, architecture)?;
        let place = |tensor: &TensorInfo| {
            if tensor.name == ROPE_FACTORS {
                return Ok(None);
            }
            let placed = architecture.place(&tensor.name, heads).ok_or_else(|| {
                let what = format!(
                    "has a tensor `{}`, which bake does not read in `{}` models",
                    tensor.name,
                    architecture.name()
                );
                self.metadata.error(ErrorKind::Model, what)
            })?;
            Ok(Some(placed))
        };
        self.tensors.iter().map(place).collect()
    }

    fn architecture(&self) -> Result<Architecture, Error> {
        Architecture::of(&self.metadata)
    }

    fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

#[cfg(test)]
mod tests;
