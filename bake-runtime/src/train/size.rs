//! How much memory a training takes.

use super::batch::can_share;
use super::step::{LOSS, kept_blocks};
use super::{TrainingRoom, shards};
use crate::adapter::Adapter;
use crate::distill;
use crate::model::Model;
use crate::model::block::{Activations, Block};

/// A training, by what its memory depends on.
pub(crate) struct TrainingSize<'a> {
    pub(crate) model: &'a Model,
    pub(crate) adapter: &'a Adapter,
    /// Sequences of a batch, and the tokens that all begin with.
    pub(crate) sequences: usize,
    pub(crate) shared: usize,
    /// Tokens of the largest batch, and those of the answers in it.
    pub(crate) batch: [usize; 2],
    /// The same of the largest group of sequences that are measured together.
    pub(crate) measured: [usize; 2],
    /// Batches whose gradients are added up in a step.
    pub(crate) accumulate: usize,
    /// Whether something is held out, so that the best adapter is kept beside the last.
    pub(crate) holds_out: bool,
    pub(crate) room: TrainingRoom,
}

impl TrainingSize<'_> {
    /// The most memory that the training takes beside the model, the adapter and the teacher's
    /// states.
    pub(crate) fn bytes(&self) -> usize {
        self.room.packed + self.step().max(self.checkpoint()).max(self.measure())
    }

    /// A step: the optimiser's moments and the gradients of the adapter, those of each shard, the
    /// activations that are kept, and either the loss or the backward pass of a block.
    fn step(&self) -> usize {
        let config = self.model.config();
        let device = self.model.decoder().device();
        let shared = if can_share(device) { self.shared } else { 0 };
        let own = self.batch[0].saturating_sub(self.sequences * shared);
        let shards = shards::count(device, self.sequences, shared, own);
        let at_once = shards::at_once().min(shards);
        // What is there at once, in the shards that are being worked on.
        let [own, answers] = [own, self.batch[1]].map(|all| (all * at_once).div_ceil(shards));
        let tokens = own + at_once * shared;
        // Each sequence has gradients of its own for the keys and values that all share.
        let sequences = (self.sequences * at_once).div_ceil(shards);
        let of_shared = 2 * sequences * shared * config.kv_size() * size_of::<f32>();
        let state = |tokens: usize| tokens * config.hidden_size() * size_of::<f32>();
        let (layers, lowest) = (config.layers(), self.adapter.lowest_layer());
        let block = Activations::bytes(config, tokens);
        let kept = kept_blocks(config, tokens, self.room.activations).min(layers - lowest);
        let inputs = (layers - lowest - kept) * state(tokens);
        // One that is computed again has its activations there when those above are gone.
        let losses = at_once * self.loss(answers.div_ceil(at_once));
        let beside = losses.max(Block::backward_bytes(config, tokens) + of_shared);
        let gradients = shards + usize::from(self.accumulate > 1);
        (self.states() + gradients) * self.adapter_bytes()
            + 2 * state(tokens)
            + state(answers)
            + kept.max(1) * block
            + inputs
            + beside
    }

    /// The divergence of some sequences from their teacher, which is measured before and after.
    fn measure(&self) -> usize {
        let [tokens, answers] = self.measured;
        let states = 2 * answers * self.model.config().hidden_size() * size_of::<f32>();
        self.model.decoder().pass_bytes(tokens).max(self.loss(answers)) + states
    }

    /// What stays between steps, and a checkpoint of it as it is written: with its hash before it.
    fn checkpoint(&self) -> usize {
        (3 * self.states() + 2) * self.adapter_bytes()
    }

    /// What stays between steps beside the adapter, each as large as it is: the optimiser's
    /// moments, and the best adapter.
    fn states(&self) -> usize {
        1 + usize::from(self.holds_out)
    }

    fn adapter_bytes(&self) -> usize {
        self.adapter.parameters() * size_of::<f32>()
    }

    /// The loss, with the student's states of the answers and their gradients.
    fn loss(&self, answers: usize) -> usize {
        let states = 3 * answers * self.model.config().hidden_size() * size_of::<f32>();
        distill::bytes(LOSS, answers, self.model.decoder().head()) + states
    }
}
