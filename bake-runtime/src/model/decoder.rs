//! The decoder: token ids in, final hidden states out. One implementation, described by a
//! [`Config`].

use bake_spec::{Config, Projection};
use candle_core::{DType, Device, Tensor};

use crate::adapter::Adapter;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::model::attention::{Attention, CausalAttention};
use crate::model::block::{Block, Pass, WeightView};
use crate::model::cache::KvCache;
use crate::model::linear::{Linear, Sums};
use crate::model::norm::RmsNorm;
use crate::model::rope::{Positions, RopeTable};
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::weight::{Precision, Weight};

const EMBEDDING: &str = "model.embed_tokens.weight";

/// The weights of a decoder-only transformer of the Llama family (Touvron et al. 2023, arXiv
/// 2302.13971).
#[derive(Clone)]
pub(crate) struct Decoder {
    config: Config,
    embedding: Weight,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Weight,
    rope: RopeTable,
}

/// New tokens of one sequence.
pub(crate) struct Run<'a> {
    /// The tokens; at least one.
    pub(crate) ids: &'a [u32],
    /// The slots of the tokens before them.
    pub(crate) past: &'a [u32],
}

impl Decoder {
    /// On the processor, matrices are kept and multiplied as the precision says.
    pub(crate) fn load(
        config: Config,
        checkpoint: &dyn Checkpoint,
        device: &Device,
        precision: Precision,
    ) -> Result<Self> {
        let (vocab, hidden) = (config.vocab_size(), config.hidden_size());
        let precision = precision.for_size(parameters(&config));
        let matrix =
            |name: &str, shape: &[usize]| checkpoint.matrix(name, shape, device, precision);
        let embedding = matrix(EMBEDDING, &[vocab, hidden])?;
        // If a checkpoint says that they are the same but contains a different head, the head
        // counts: whoever trained it forgot the flag.
        const HEAD: &str = "lm_head.weight";
        let head = match checkpoint.stored(HEAD)? {
            None if config.tied_head() => embedding.clone(),
            Some(head) if config.tied_head() && checkpoint.same(&head, EMBEDDING)? => {
                embedding.clone()
            }
            _ => matrix(HEAD, &[vocab, hidden])?,
        };
        let norm = |name: &str| -> Result<RmsNorm> {
            Ok(RmsNorm::new(checkpoint.tensor(name, &[hidden], device)?, config.norm_eps()))
        };
        let blocks = (0..config.layers())
            .map(|layer| {
                let prefix = format!("model.layers.{layer}");
                let projection = |p: Projection| -> Result<Linear> {
                    let (name, shape) = (
                        format!("{prefix}.{}.{}", p.module(), p.name()),
                        config.projection_shape(p),
                    );
                    let weight = matrix(&format!("{name}.weight"), &shape)?;
                    let bias = match config.has_bias(p) {
                        true => {
                            Some(checkpoint.tensor(&format!("{name}.bias"), &shape[..1], device)?)
                        }
                        false => None,
                    };
                    Ok(Linear::new(weight, bias))
                };
                Ok(Block {
                    attention_norm: norm(&format!("{prefix}.input_layernorm.weight"))?,
                    mlp_norm: norm(&format!("{prefix}.post_attention_layernorm.weight"))?,
                    projections: Projection::ALL
                        .into_iter()
                        .map(projection)
                        .collect::<Result<_>>()?,
                })
            })
            .collect::<Result<_>>()?;
        let norm = norm("model.norm.weight")?;
        let rope = RopeTable::new(config.rope(), config.head_dim(), config.context(), device)?;
        Ok(Self { config, embedding, blocks, norm, head, rope })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The output head `[vocabulary, hidden]`: `logits = hidden · headᵀ`.
    pub(crate) fn head(&self) -> &Weight {
        &self.head
    }

    pub(crate) fn device(&self) -> &Device {
        self.embedding.device()
    }

    /// The decoder with an adapter folded into its weights. What the adapter does not change is
    /// shared.
    pub(crate) fn folded(&self, adapter: &Adapter) -> Result<Self> {
        let mut folded = self.clone();
        for (layer, block) in folded.blocks.iter_mut().enumerate() {
            for (linear, projection) in block.projections.iter_mut().zip(Projection::ALL) {
                if let Some(change) = adapter.change(layer, projection) {
                    *linear = linear.folded(change)?;
                }
            }
        }
        Ok(folded)
    }

    /// Whether all of its matrices are in f32, so that an adapter can be folded in: one in 16 bits
    /// would partly round it away, and a quantised one has no room for it.
    pub(crate) fn in_f32(&self) -> bool {
        self.weights().all(Weight::is_f32)
    }

    /// The memory that its matrices take.
    pub(crate) fn weight_bytes(&self) -> usize {
        self.weights().map(Weight::bytes).sum()
    }

    /// What multiplies its matrices in bf16; none where all products are in f32, or on a GPU.
    pub(crate) fn bf16_unit(&self) -> Option<Bf16Unit> {
        self.weights().find_map(Weight::unit)
    }

    /// All matrices, each once.
    fn weights(&self) -> impl Iterator<Item = &Weight> {
        let projections = self.blocks.iter().flat_map(|block| &block.projections);
        let head = Some(&self.head).filter(|head| !head.is(&self.embedding));
        projections.map(Linear::weight).chain([&self.embedding]).chain(head)
    }

    /// An empty cache with room for `capacity` tokens.
    pub(crate) fn cache(&self, capacity: usize) -> Result<KvCache> {
        Ok(KvCache::new(
            self.config.layers(),
            self.config.kv_size(),
            capacity,
            DType::F32,
            self.device(),
        )?)
    }

    /// Token embeddings `[tokens, hidden]`.
    pub(crate) fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config.vocab_size()) {
            let message =
                format!("token {id} is not one of the model's {}", self.config.vocab_size());
            return Err(Error::new(ErrorKind::Tokenizer, message));
        }
        Ok(self.embedding.gather(ids)?)
    }

    /// Positions `0..length` for each sequence, one after the other.
    pub(crate) fn positions(&self, lengths: &[usize]) -> Result<Vec<u32>> {
        self.check_context(lengths.iter().copied().max().unwrap_or(0))?;
        Ok(lengths.iter().flat_map(|&length| 0..length as u32).collect())
    }

    /// A pass over tokens at these positions.
    pub(crate) fn pass<'a>(
        &'a self,
        positions: &'a [u32],
        attention: Attention<'a>,
        view: WeightView<'a>,
    ) -> Result<Pass<'a>> {
        Ok(Pass {
            config: &self.config,
            rope: &self.rope,
            positions: Positions::new(positions, self.device())?,
            attention: CausalAttention::new(attention, self.device())?,
            view,
        })
    }

    /// The final hidden states `[tokens, hidden]`, after the last norm, of whole sequences that
    /// follow each other.
    pub(crate) fn forward(
        &self,
        ids: &[u32],
        lengths: &[usize],
        view: WeightView<'_>,
    ) -> Result<Tensor> {
        let positions = self.positions(lengths)?;
        self.through(self.embed(ids)?, &self.pass(&positions, Attention::Whole(lengths), view)?)
    }

    /// The final hidden states `[tokens, hidden]` of the new tokens of several sequences, whose
    /// keys and values go into the cache.
    ///
    /// Returns the slots of the new tokens too, in their order.
    pub(crate) fn extend(
        &self,
        cache: &mut KvCache,
        runs: &[Run<'_>],
        view: WeightView<'_>,
    ) -> Result<(Tensor, std::ops::Range<u32>)> {
        let counts: Vec<usize> = runs.iter().map(|run| run.ids.len()).collect();
        self.check_context(
            runs.iter().map(|run| run.past.len() + run.ids.len()).max().unwrap_or(0),
        )?;
        let new = cache.reserve(counts.iter().sum())?;
        let (mut next, mut slots, mut ids, mut positions) =
            (new.start, Vec::with_capacity(runs.len()), Vec::new(), Vec::new());
        for run in runs {
            let end = next + run.ids.len() as u32;
            slots.push(run.past.iter().copied().chain(next..end).collect());
            positions.extend(run.past.len() as u32..(run.past.len() + run.ids.len()) as u32);
            ids.extend_from_slice(run.ids);
            next = end;
        }
        let attention =
            Attention::Cached { cache, start: new.start, counts: &counts, slots: &slots };
        let hidden = self.through(self.embed(&ids)?, &self.pass(&positions, attention, view)?)?;
        Ok((hidden, new))
    }

    /// All blocks and the last norm.
    fn through(&self, mut x: Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.forward(layer, &x, pass)?.0;
        }
        Ok(self.norm.forward(&x)?)
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The last norm.
    pub(crate) fn norm(&self) -> &RmsNorm {
        &self.norm
    }

    /// `[tokens, vocabulary]` from final hidden states `[tokens, hidden]`.
    pub(crate) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        Ok(Linear::new(self.head.clone(), None).forward(hidden, None, None, Sums::RowByRow)?)
    }

    /// Fails where this many tokens do not fit the model's context.
    pub(crate) fn check_context(&self, tokens: usize) -> Result<()> {
        if tokens <= self.config.context() {
            return Ok(());
        }
        let message = format!(
            "{tokens} tokens do not fit the model's context of {}; use a shorter text",
            self.config.context()
        );
        Err(Error::new(ErrorKind::Context, message))
    }
}

/// Numbers in the matrices of a model.
fn parameters(config: &Config) -> usize {
    let shapes = Projection::ALL.iter().map(|p| config.projection_shape(*p));
    let block: usize = shapes.map(|[outputs, inputs]| outputs * inputs).sum();
    let tables = if config.tied_head() { 1 } else { 2 };
    config.layers() * block + tables * config.vocab_size() * config.hidden_size()
}
