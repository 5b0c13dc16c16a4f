//! What the student learns from: packed sequences, and the places in them where it is compared with
//! the teacher.

use candle_core::{Device, Tensor};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;

/// One answer of the teacher, as the student sees it.
#[derive(Clone, Debug)]
pub(crate) struct StudentSequence {
    /// The student's prompt and the answer, without its last token.
    pub(crate) ids: Vec<u32>,
    /// Tokens of the answer. The states that predict them are the last of `ids`.
    pub(crate) answer: usize,
    /// Where the teacher's states of this answer begin in [`TrainingSet::states`].
    pub(crate) first_state: usize,
    /// How much each token of the answer counts; over all tokens of all sequences that are trained
    /// on this sums to one, and also over all that are held out.
    pub(crate) token_weight: f64,
}

/// All sequences of a bake.
#[derive(Clone, Debug)]
pub(crate) struct TrainingSet {
    /// What is trained on.
    pub(crate) sequences: Vec<StudentSequence>,
    /// What is not, and tells whether training still helps. There may be none.
    pub(crate) held_out: Vec<StudentSequence>,
    /// The teacher's final hidden states `[answer tokens, hidden]`, sequence after sequence.
    pub(crate) states: Tensor,
}

/// Some sequences, one after the other without padding.
pub(crate) struct Batch {
    pub(crate) ids: Vec<u32>,
    pub(crate) lengths: Vec<usize>,
    /// The rows of `ids` that predict answer tokens.
    pub(crate) rows: Tensor,
    /// The teacher's states for these rows, `[rows, hidden]`.
    pub(crate) teacher: Tensor,
    /// How much each row counts.
    pub(crate) weights: Vec<f64>,
}

impl TrainingSet {
    /// Some of its sequences as one batch.
    pub(crate) fn batch<'a>(
        &self,
        sequences: impl IntoIterator<Item = &'a StudentSequence>,
        device: &Device,
    ) -> Result<Batch> {
        let (mut ids, mut lengths, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rows, mut states, mut end) = (Vec::new(), Vec::new(), 0);
        for sequence in sequences {
            ids.extend_from_slice(&sequence.ids);
            lengths.push(sequence.ids.len());
            weights.extend(std::iter::repeat_n(sequence.token_weight, sequence.answer));
            end += sequence.ids.len();
            rows.extend((end - sequence.answer) as u32..end as u32);
            states.extend(
                sequence.first_state as u32..(sequence.first_state + sequence.answer) as u32,
            );
        }
        let teacher = self
            .states
            .index_select(&Tensor::new(states, self.states.device())?, 0)?
            .to_device(device)?;
        Ok(Batch { ids, lengths, rows: Tensor::new(rows, device)?, teacher, weights })
    }

    /// The order of the sequences in an epoch.
    pub(crate) fn order(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let key = bake_spec::KeyHasher::new("order", 1)
            .field("seed", &seed)
            .field("epoch", &epoch)
            .finish();
        let mut order: Vec<usize> = (0..self.sequences.len()).collect();
        order.shuffle(&mut ChaCha8Rng::from_seed(*key.as_bytes()));
        order
    }
}
