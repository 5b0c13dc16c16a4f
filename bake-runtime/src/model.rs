//! Models: a decoder with its tokenizer and chat template.

pub(crate) mod attention;
pub(crate) mod block;
pub(crate) mod cache;
pub(crate) mod decoder;
pub(crate) mod dropout;
pub(crate) mod gate;
pub(crate) mod linear;
pub(crate) mod norm;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod parity;
pub(crate) mod rope;

use std::path::Path;
use std::sync::Arc;

use bake_spec::{Config, Hash};
use candle_core::Tensor;

use crate::adapter::Adapter;
#[cfg(feature = "tiny")]
use crate::checkpoint::embedded;
use crate::checkpoint::generation::Generation;
use crate::checkpoint::{self, Checkpoint};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::weight::Precision;
use crate::text::settings::TextSettings;
use crate::text::template::{ChatTemplate, Message};
use crate::text::tokenizer::Tokenizer;
use attention::Sequences;
use block::WeightView;
use decoder::Decoder;

/// A language model: weights, tokenizer and chat template.
///
/// Cloning is cheap; the weights are shared.
///
/// ```
/// # extern crate bake_runtime as bake;
/// let model = bake::Model::tiny()?;
/// assert_eq!(model.config().layers(), 6);
/// # Ok::<(), bake::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    decoder: Decoder,
    text: Arc<TextSide>,
    /// The adapter that it has where no other takes its place.
    parent: Option<Arc<Adapter>>,
}

/// What turns conversations into tokens and tokens into text.
struct TextSide {
    name: String,
    hash: Hash,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    generation: Generation,
}

impl Model {
    /// Loads a Hugging Face style folder: `config.json`, `tokenizer.json`, a chat template (in
    /// `tokenizer_config.json` or `chat_template.jinja`), and weights in `model.safetensors` or in
    /// the files of `model.safetensors.index.json`. Or else one file that ends in `.gguf`, with
    /// tokenizer and chat template in its metadata.
    ///
    /// Weights in f32, f16 and bf16 are read, and from GGUF files also Q4_0, Q4_1, Q5_0, Q5_1,
    /// Q8_0, Q4_K, Q5_K and Q6_K. On the processor matrices stay in the type in which they are
    /// stored, and are widened where they are multiplied, unless all of them together take at most
    /// 64 MiB in f32. Products with weights in bf16 multiply bf16 and sum in f32 on a GPU, and so
    /// do those with weights in bf16 and with quantised weights on a processor that has fast
    /// instructions for it (not with [`Device::CpuF32`]); everything else is computed in f32. On a
    /// GPU weights in f16 and quantised weights are widened to f32.
    ///
    /// # Errors
    /// When a file is missing or damaged, describes a model of another family, or does not belong
    /// to the others: the message names it. And when the device cannot be used, or does not have
    /// enough memory.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        Self::load_at(path, &device.open()?, device.precision())
    }

    pub(crate) fn load_at(
        path: &Path,
        device: &candle_core::Device,
        precision: Precision,
    ) -> Result<Self> {
        let (name, checkpoint) = checkpoint::open(path)?;
        Self::assemble(name, &*checkpoint, device, precision)
    }

    /// The small model inside the library (feature `tiny`): a reader of short documents. Its card
    /// is `models/tiny/README.md`.
    ///
    /// # Errors
    /// None are known; the bytes are part of the program.
    #[cfg(feature = "tiny")]
    pub fn tiny() -> Result<Self> {
        Self::tiny_on(Device::Cpu)
    }

    /// The same on a device.
    ///
    /// # Errors
    /// When the device cannot be used.
    #[cfg(feature = "tiny")]
    pub fn tiny_on(device: Device) -> Result<Self> {
        Self::tiny_at(&device.open()?)
    }

    #[cfg(feature = "tiny")]
    pub(crate) fn tiny_at(device: &candle_core::Device) -> Result<Self> {
        Self::assemble("tiny".into(), &embedded::open()?, device, Precision::f32())
    }

    fn assemble(
        name: String,
        checkpoint: &dyn Checkpoint,
        device: &candle_core::Device,
        precision: Precision,
    ) -> Result<Self> {
        let (config, files) = (checkpoint.config()?, checkpoint.files());
        let settings = TextSettings::read(files)?;
        let tokenizer = Tokenizer::parse(
            &files.tokenizer,
            &settings,
            config.vocab_size(),
            &files.name("tokenizer.json"),
        )?;
        let template = ChatTemplate::new(
            settings.template(),
            settings.special_tokens(),
            settings.template_name(),
        )?;
        let own_end = settings.eos_token().and_then(|token| tokenizer.id(token));
        let generation = Generation::read(files, own_end, config.vocab_size())?;
        checkpoint.check_all_used(&config)?;
        let hash = checkpoint.hash();
        let decoder = Decoder::load(config, checkpoint, device, precision)?;
        Ok(Self {
            decoder,
            text: Arc::new(TextSide { name, hash, tokenizer, template, generation }),
            parent: None,
        })
    }

    /// The model with the adapter in a folder, until another, which contains it, takes its place.
    pub(crate) fn with_parent(self, folder: &Path) -> Result<Self> {
        let parent = Arc::new(Adapter::load(folder, &self)?);
        Ok(Self { parent: Some(parent), ..self })
    }

    /// The adapter that it has where no other takes its place.
    #[cfg(feature = "train")]
    pub(crate) fn parent(&self) -> Option<&Adapter> {
        self.parent.as_deref()
    }

    /// Its weights with an adapter, or as they are.
    pub(crate) fn view<'a>(&'a self, adapter: Option<&'a Adapter>) -> WeightView<'a> {
        WeightView { adapter: adapter.or(self.parent.as_deref()), dropout: None }
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        self.decoder.config()
    }

    /// The model's name: that of its folder or file, or `tiny`.
    pub fn name(&self) -> &str {
        &self.text.name
    }

    /// The hash of everything that the model consists of.
    pub fn hash(&self) -> &Hash {
        &self.text.hash
    }

    /// The token ids of a conversation, up to where the assistant speaks.
    ///
    /// Only the chat template makes control tokens: one that is written out in a message stays
    /// text.
    ///
    /// # Errors
    /// When the model's chat template refuses the conversation.
    pub fn encode(&self, messages: &[Message<'_>]) -> Result<Vec<u32>> {
        self.text.template.encode(&self.text.tokenizer, messages, true)
    }

    /// The token ids of an answer that follows a conversation, as the model itself would write
    /// them: with the token that ends it. Nothing in the answer is a control token.
    #[cfg(feature = "train")]
    pub(crate) fn encode_answer(&self, messages: &[Message<'_>], answer: &str) -> Result<Vec<u32>> {
        let TextSide { template, tokenizer, generation, .. } = &*self.text;
        let mut ids =
            template.encode_answer(tokenizer, messages, answer, |id| generation.ends(id))?;
        if !ids.last().is_some_and(|id| generation.ends(*id)) {
            ids.push(generation.end());
        }
        Ok(ids)
    }

    /// The text of token ids, without control tokens.
    ///
    /// # Errors
    /// When the tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.text.tokenizer.decode(ids)
    }

    /// Logits `[tokens, vocabulary]` and final hidden states `[tokens, hidden]`, after the last
    /// norm, at every position of a sequence.
    ///
    /// # Errors
    /// When the sequence is empty, longer than the context, or contains ids that the model does not
    /// have, and when the adapter is for a model of another shape.
    pub fn forward(&self, ids: &[u32], adapter: Option<&Adapter>) -> Result<Forward> {
        if ids.is_empty() {
            return Err(Error::new(ErrorKind::Context, "there are no tokens to compute"));
        }
        if let Some(adapter) = adapter {
            adapter.check_fits(self.config())?;
        }
        let hidden =
            self.decoder.forward(ids, Sequences::apart(&[ids.len()]), self.view(adapter))?;
        Ok(Forward { logits: self.decoder.logits(&hidden)?, hidden })
    }

    /// The model with an adapter folded into its weights, at no cost per token. What the adapter
    /// does not change is shared; what it changes is in f32 then, except that weights in bf16 on a
    /// GPU stay so, which rounds the adapter.
    ///
    /// # Errors
    /// When the adapter is for a model of another shape.
    pub fn folded(&self, adapter: &Adapter) -> Result<Self> {
        adapter.check_fits(self.config())?;
        Ok(Self { decoder: self.decoder.folded(adapter)?, text: self.text.clone(), parent: None })
    }

    /// The model with the matrices of its blocks multiplied in bf16, from copies in the unit's
    /// orders.
    pub(crate) fn packed(&self, unit: Bf16Unit) -> Result<Self> {
        Ok(Self { decoder: self.decoder.packed(unit)?, ..self.clone() })
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.text.tokenizer
    }

    pub(crate) fn template(&self) -> &ChatTemplate {
        &self.text.template
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.text.generation
    }
}

impl Adapter {
    /// Reads a folder in the format of the PEFT library, `adapter_config.json` and
    /// `adapter_model.safetensors`, for this model.
    ///
    /// # Errors
    /// When a file is missing or damaged, when the adapter is more than low-rank changes of linear
    /// layers, and when its shapes do not match the model.
    pub fn load(dir: &Path, model: &Model) -> Result<Self> {
        Self::read(dir, model.config(), model.decoder().device())
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.text.name)
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}

/// What [`Model::forward`] computes.
#[derive(Debug)]
pub struct Forward {
    /// `[tokens, vocabulary]`.
    pub logits: Tensor,
    /// `[tokens, hidden]`, after the last norm.
    pub hidden: Tensor,
}
