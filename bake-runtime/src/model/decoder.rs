//! The decoder: token ids in, final hidden states out. One implementation, described by a
//! [`Config`].

use bake_spec::model::config::{EMBEDDING, HEAD, LAST_NORM, NamedShape, Norm, StoredRows};
use bake_spec::{Config, Projection};
use candle_core::{DType, Device, Tensor};

use crate::adapter::Adapter;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::stored::Stored;
use crate::error::{Error, ErrorKind, Result};
use crate::model::attention::{Attention, CausalAttention, Sequences};
use crate::model::block::{Activations, Block, Pass, WeightView};
use crate::model::cache::KvCache;
use crate::model::linear::{Linear, Sums};
use crate::model::norm::RmsNorm;
use crate::model::rope::{Positions, RopeTable};
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::slices::in_pool;
use crate::tensor::weight::{Precision, Weight};

/// The weights of a decoder-only transformer: a Llama (Touvron et al. 2023, arXiv 2302.13971), or
/// what its configuration makes of it.
#[derive(Clone)]
pub(crate) struct Decoder {
    config: Config,
    embedding: Weight,
    /// What embeddings are multiplied by.
    embedding_scale: f64,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Weight,
    ropes: Vec<RopeTable>,
}

/// What the parts of a decoder are loaded from.
struct Parts<'a> {
    config: &'a Config,
    checkpoint: &'a dyn Checkpoint,
    device: &'a Device,
    precision: Precision,
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
        let precision = precision.for_size(parameters(&config));
        let table = [config.vocab_size(), config.hidden_size()];
        let stored = checkpoint.find(EMBEDDING, &table)?;
        let embedding_scale = stored.dtype.rounded(config.embedding_scale());
        let embedding = stored.weight(device, precision)?;
        // If a checkpoint says that they are the same but contains a different head, the head
        // counts: whoever trained it forgot the flag.
        let head = match checkpoint.stored(HEAD)? {
            None if config.tied_head() => embedding.clone(),
            Some(head) if config.tied_head() && checkpoint.same(&head, EMBEDDING)? => {
                embedding.clone()
            }
            _ => checkpoint.matrix(HEAD, &table, device, precision)?,
        };
        let parts = Parts { config: &config, checkpoint, device, precision };
        let blocks = (0..config.layers()).map(|layer| parts.block(layer)).collect::<Result<_>>()?;
        let last = NamedShape { name: LAST_NORM.to_owned(), shape: vec![config.hidden_size()] };
        let norm = parts.norm(&last)?;
        let table = |rope| RopeTable::new(rope, config.head_dim(), config.context(), device);
        let ropes = config.ropes().iter().map(table).collect::<candle_core::Result<_>>()?;
        Ok(Self { config, embedding, embedding_scale, blocks, norm, head, ropes })
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

    /// The decoder with the matrices of its blocks multiplied in bf16, from copies in the unit's
    /// orders.
    pub(crate) fn packed(&self, unit: Bf16Unit) -> Result<Self> {
        let mut packed = self.clone();
        for linear in packed.blocks.iter_mut().flat_map(|block| &mut block.projections) {
            *linear = linear.packed(unit)?;
        }
        Ok(packed)
    }

    /// The memory that the copies of [`Self::packed`] take.
    pub(crate) fn packed_bytes(&self) -> usize {
        let projections = self.blocks.iter().flat_map(|block| &block.projections);
        projections.map(|linear| linear.weight().packed_bytes()).sum()
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

    /// The memory that a cache takes which began with room for `capacity` tokens and has come to
    /// `used`.
    pub(crate) fn cache_bytes(&self, capacity: usize, used: usize) -> usize {
        KvCache::bytes(self.config.layers(), self.config.kv_size(), capacity, used)
    }

    /// The most memory that a pass over this many tokens takes, if nothing is kept for a backward
    /// pass: what one block computes, its result, and the rounded numbers of its last product.
    pub(crate) fn pass_bytes(&self, tokens: usize) -> usize {
        let config = &self.config;
        let result = config.hidden_size() * size_of::<f32>();
        let rounded = self.bf16_unit().map_or(0, |_| config.intermediate_size() * size_of::<u16>());
        Activations::bytes(config, tokens) + tokens * (result + rounded)
    }

    /// Token embeddings `[tokens, hidden]`.
    pub(crate) fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config.vocab_size()) {
            let message =
                format!("token {id} is not one of the model's {}", self.config.vocab_size());
            return Err(Error::new(ErrorKind::Tokenizer, message));
        }
        let rows = self.embedding.gather(ids)?;
        if self.embedding_scale == 1.0 { Ok(rows) } else { Ok((rows * self.embedding_scale)?) }
    }

    /// The position in its sequence of each token.
    pub(crate) fn positions(&self, sequences: Sequences<'_>) -> Result<Vec<u32>> {
        let segments = || sequences.segments().map(|s| s.before..s.before + s.count);
        self.check_context(segments().map(|positions| positions.end).max().unwrap_or(0))?;
        Ok(segments().flatten().map(|position| position as u32).collect())
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
            ropes: &self.ropes,
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
        sequences: Sequences<'_>,
        view: WeightView<'_>,
    ) -> Result<Tensor> {
        let positions = self.positions(sequences)?;
        self.through(self.embed(ids)?, &self.pass(&positions, Attention::Whole(sequences), view)?)
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
        self.on_device(|| {
            for (layer, block) in self.blocks.iter().enumerate() {
                x = block.forward(layer, &x, pass)?.0;
            }
            Ok(self.norm.forward(&x)?)
        })
    }

    /// Runs many small pieces of work one after the other: on the processor, on a thread of the
    /// pool.
    fn on_device<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        if self.device().is_cpu() { in_pool(work) } else { work() }
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
        let head = Linear::new(self.head.clone(), None);
        Ok(self.on_device(|| head.forward(hidden, None, None, Sums::RowByRow))?)
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

impl Parts<'_> {
    fn block(&self, layer: usize) -> Result<Block> {
        let norm = |norm| match self.config.norm_tensor(layer, norm) {
            Some(tensor) => self.norm(&tensor).map(Some),
            None => Ok(None),
        };
        let needed = |which| {
            norm(which)?.ok_or_else(|| {
                Error::new(ErrorKind::Model, format!("a block without the norm {which:?}"))
            })
        };
        let both = |[one, two]: [Norm; 2]| Ok::<_, Error>(norm(one)?.zip(norm(two)?));
        let projections = Projection::ALL.into_iter().map(|p| self.projection(layer, p));
        Ok(Block {
            attention_norm: needed(Norm::BeforeAttention)?,
            mlp_norm: needed(Norm::BeforeMlp)?,
            norms_after: both([Norm::AfterAttention, Norm::AfterMlp])?.map(<[_; 2]>::from),
            head_norms: both([Norm::Query, Norm::Key])?.map(<[_; 2]>::from),
            projections: projections.collect::<Result<_>>()?,
        })
    }

    /// A norm, whose weight the checkpoint may have as its distance from 1.
    fn norm(&self, tensor: &NamedShape) -> Result<RmsNorm> {
        let weight = self.checkpoint.tensor(&tensor.name, &tensor.shape, self.device)?;
        let weight = if self.config.norms_from_one() { (weight + 1.0)? } else { weight };
        Ok(RmsNorm::new(weight, self.config.norm_eps()))
    }

    /// A projection, which may be some rows of a tensor that contains others too.
    fn projection(&self, layer: usize, projection: Projection) -> Result<Linear> {
        let StoredRows { module, rows, of } = self.config.stored_rows(layer, projection);
        let own = |name: &str, shape: &[usize]| -> Result<Stored<'_>> {
            Ok(self.checkpoint.find(&format!("{module}.{name}"), shape)?.rows(rows.clone()))
        };
        let inputs = self.config.projection_shape(projection)[1];
        let weight = own("weight", &[of, inputs])?.weight(self.device, self.precision)?;
        let bias = match self.config.layer(layer).has_bias(projection) {
            true => Some(own("bias", &[of])?.tensor(self.device)?),
            false => None,
        };
        Ok(Linear::new(weight, bias))
    }
}
