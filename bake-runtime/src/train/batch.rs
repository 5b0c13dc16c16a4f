//! What the student learns from: packed sequences, and the places in them where it is compared with
//! the teacher.

use candle_core::{Device, Tensor};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::device::gpu::Gpu;
use crate::error::Result;
use crate::generate::prefix::common_start;
use crate::model::attention::Sequences;

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

/// Some sequences, one after the other without padding, after the tokens that all begin with.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) ids: Vec<u32>,
    /// The tokens that all begin with, as a rule the student's prompt; see [`shared_start`].
    pub(crate) shared: usize,
    /// The tokens of each after those.
    pub(crate) lengths: Vec<usize>,
    /// The rows of `ids` that predict answer tokens.
    pub(crate) rows: Tensor,
    /// The teacher's states for these rows, `[rows, hidden]`.
    pub(crate) teacher: Tensor,
    /// How much each row counts.
    pub(crate) weights: Vec<f64>,
    /// The rows of each sequence.
    pub(crate) answers: Vec<usize>,
}

impl Batch {
    pub(crate) fn sequences(&self) -> Sequences<'_> {
        Sequences { shared: self.shared, lengths: &self.lengths }
    }
}

/// Whether a device computes what sequences begin with once: the kernels of a GPU do not yet.
pub(super) fn can_share(device: &Device) -> bool {
    Gpu::of_device(device).is_none()
}

/// How many tokens all of several sequences begin with, before those that predict answers; none
/// where they [cannot be shared](can_share).
pub(super) fn shared_start(device: &Device, sequences: &[&StudentSequence]) -> usize {
    let [first, others @ ..] = sequences else { return 0 };
    if !can_share(device) {
        return 0;
    }
    let before = |sequence: &StudentSequence| sequence.ids.len() - sequence.answer;
    let same = |other: &&StudentSequence| common_start(&first.ids, &other.ids).min(before(other));
    others.iter().map(same).min().map_or(0, |same| same.min(before(first)))
}

impl TrainingSet {
    /// Some of its sequences as one batch.
    pub(crate) fn batch<'a>(
        &self,
        sequences: impl IntoIterator<Item = &'a StudentSequence>,
        device: &Device,
    ) -> Result<Batch> {
        let sequences: Vec<&StudentSequence> = sequences.into_iter().collect();
        let shared = shared_start(device, &sequences);
        let first = sequences.first().map_or(&[][..], |sequence| &sequence.ids[..shared]);
        let (mut ids, mut lengths, mut weights) = (first.to_vec(), Vec::new(), Vec::new());
        let (mut rows, mut states, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in sequences {
            let own = &sequence.ids[shared..];
            ids.extend_from_slice(own);
            lengths.push(own.len());
            answers.push(sequence.answer);
            weights.extend(std::iter::repeat_n(sequence.token_weight, sequence.answer));
            rows.extend((ids.len() - sequence.answer) as u32..ids.len() as u32);
            states.extend(
                sequence.first_state as u32..(sequence.first_state + sequence.answer) as u32,
            );
        }
        let teacher = self
            .states
            .index_select(&Tensor::new(states, self.states.device())?, 0)?
            .to_device(device)?;
        let rows = Tensor::new(rows, device)?;
        Ok(Batch { ids, shared, lengths, rows, teacher, weights, answers })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(ids: &[u32], answer: usize, first_state: usize) -> StudentSequence {
        StudentSequence { ids: ids.to_vec(), answer, first_state, token_weight: 0.1 }
    }

    #[test]
    fn what_all_begin_with_is_there_once_but_not_what_predicts_an_answer() {
        let states: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let states = Tensor::from_vec(states, (12, 1), &Device::Cpu).unwrap();
        let sequences = vec![
            sequence(&[7, 8, 1, 2, 3, 4], 3, 0),
            sequence(&[7, 8, 1, 5, 6], 2, 3),
            sequence(&[7, 8, 1, 2, 3, 9], 1, 5),
        ];
        let set = TrainingSet { sequences, held_out: Vec::new(), states };
        let ids_of = |batch: &Batch| {
            let rows: Vec<u32> = batch.rows.to_vec1().unwrap();
            rows.iter().map(|&row| batch.ids[row as usize]).collect::<Vec<_>>()
        };
        let all = set.batch(&set.sequences, &Device::Cpu).unwrap();
        assert_eq!((all.shared, &all.lengths[..]), (3, &[3, 2, 3][..]));
        assert_eq!(all.ids, [7, 8, 1, 2, 3, 4, 5, 6, 2, 3, 9]);
        assert_eq!(ids_of(&all), [2, 3, 4, 5, 6, 9]);
        assert_eq!(all.teacher.to_vec2::<f32>().unwrap().concat(), [0., 1., 2., 3., 4., 5.]);

        // The same answer twice: it stays with each.
        let twice = [&set.sequences[0], &set.sequences[0]];
        let twice = set.batch(twice, &Device::Cpu).unwrap();
        assert_eq!((twice.shared, &twice.lengths[..]), (3, &[3, 3][..]));
        // The last of one is the first token of the other's answer.
        let other = set.batch([&set.sequences[2], &set.sequences[0]], &Device::Cpu).unwrap();
        assert_eq!((other.shared, &other.lengths[..]), (3, &[3, 3][..]));
        let one = set.batch(&set.sequences[..1], &Device::Cpu).unwrap();
        assert_eq!((one.shared, &one.lengths[..]), (0, &[6][..]));
        assert_eq!(ids_of(&one), [2, 3, 4]);
    }
}
