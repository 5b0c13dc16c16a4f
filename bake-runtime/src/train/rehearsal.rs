//! Which sequences an epoch trains on.
//!
//! After some epochs the student says most answers nearly as the teacher does, and little is left
//! to learn from them. So, where a declaration wants it, an epoch has those that are further from
//! the teacher than the mean of all, and those that have waited long enough: what is not rehearsed
//! is forgotten. This is Selective-Backprop with losses of earlier epochs (Jiang et al. 2019, arXiv
//! 1910.00762), with a threshold in place of chance.

/// How well the student is known to say each sequence.
pub(super) struct Rehearsal {
    /// The divergence of each, in nats per token, when it was last trained on.
    divergences: Vec<f64>,
    /// The epoch in which that was.
    epochs: Vec<usize>,
    /// The divergences of those that the current epoch has trained on, in its order.
    now: Vec<f64>,
}

impl Rehearsal {
    /// Of so many sequences, none of which has been trained on.
    pub(super) fn new(sequences: usize) -> Self {
        Self { divergences: vec![0.0; sequences], epochs: vec![0; sequences], now: Vec::new() }
    }

    /// Those of all sequences, in their order, that an epoch trains on: all in the first, and then
    /// each after `every` epochs at the latest.
    pub(super) fn chosen(&self, all: Vec<usize>, epoch: usize, every: usize) -> Vec<usize> {
        if epoch == 0 {
            return all;
        }
        let mean = self.divergences.iter().sum::<f64>() / self.divergences.len() as f64;
        let is_due = |&i: &usize| self.divergences[i] >= mean || epoch >= every + self.epochs[i];
        match all.iter().any(is_due) {
            true => all.into_iter().filter(is_due).collect(),
            // All are at the mean, but for rounding.
            false => all,
        }
    }

    /// Notes the divergences of the next sequences of an epoch.
    pub(super) fn saw(&mut self, divergences: &[f64]) {
        self.now.extend(divergences);
    }

    /// How many sequences the current epoch has trained on.
    pub(super) fn seen(&self) -> usize {
        self.now.len()
    }

    /// Begins the current epoch again.
    pub(super) fn restart(&mut self) {
        self.now.clear();
    }

    /// Ends an epoch, which has trained on these sequences.
    pub(super) fn end(&mut self, epoch: usize, trained_on: &[usize]) {
        for (&sequence, divergence) in trained_on.iter().zip(self.now.drain(..)) {
            (self.divergences[sequence], self.epochs[sequence]) = (divergence, epoch);
        }
    }

    /// The mean of the divergences with these weights.
    pub(super) fn mean(&self, weights: impl Iterator<Item = f64>) -> f64 {
        self.divergences.iter().zip(weights).map(|(divergence, weight)| divergence * weight).sum()
    }

    /// All of it as lists of numbers, which a checkpoint contains.
    pub(super) fn numbers(&self) -> [Vec<f64>; 3] {
        let epochs = self.epochs.iter().map(|&epoch| epoch as f64).collect();
        [self.divergences.clone(), epochs, self.now.clone()]
    }

    /// What such lists stand for; none if they are not of as many sequences.
    pub(super) fn of_numbers(&self, [divergences, epochs, now]: [Vec<f64>; 3]) -> Option<Self> {
        let sequences = self.divergences.len();
        let fits = [divergences.len(), epochs.len()] == [sequences; 2] && now.len() <= sequences;
        let epochs = epochs.into_iter().map(|epoch| epoch as usize).collect();
        fits.then_some(Self { divergences, epochs, now })
    }
}

/// How many sequences the epochs of a training train on, as a multiple of all there are, if each is
/// trained on in one of `every` at least.
pub(crate) fn expected_epochs(epochs: usize, every: usize) -> f64 {
    // About this share of them was seen to be in every epoch.
    const ALWAYS: f64 = 0.25;
    let share = ALWAYS + (1.0 - ALWAYS) / every as f64;
    1.0 + share * (epochs - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The divergences of four sequences after their first epoch.
    fn known(divergences: [f64; 4]) -> Rehearsal {
        let mut rehearsal = Rehearsal::new(4);
        assert_eq!(rehearsal.chosen(vec![2, 0, 3, 1], 0, 4), [2, 0, 3, 1]);
        rehearsal.saw(&[divergences[2], divergences[0]]);
        rehearsal.saw(&[divergences[3], divergences[1]]);
        assert_eq!(rehearsal.seen(), 4);
        rehearsal.end(0, &[2, 0, 3, 1]);
        rehearsal
    }

    #[test]
    fn what_is_known_is_rehearsed_and_the_rest_is_in_every_epoch() {
        let mut rehearsal = known([0.1, 0.9, 0.2, 0.8]);
        let chosen: Vec<Vec<usize>> =
            (1..4).map(|epoch| rehearsal.chosen(vec![0, 1, 2, 3], epoch, 3)).collect();
        assert_eq!(chosen, [vec![1, 3], vec![1, 3], vec![0, 1, 2, 3]]);
        // Now the second is known, and waits from here on.
        rehearsal.saw(&[0.3, 0.1]);
        rehearsal.end(1, &[3, 1]);
        assert_eq!(rehearsal.seen(), 0);
        assert_eq!(rehearsal.chosen(vec![3, 2, 1, 0], 2, 3), [3, 2]);
        assert_eq!(rehearsal.chosen(vec![3, 2, 1, 0], 3, 3), [3, 2, 0]);
        assert_eq!(rehearsal.chosen(vec![3, 2, 1, 0], 4, 3), [3, 2, 1, 0]);
        assert!((rehearsal.mean([0.5, 0.0, 0.0, 0.5].into_iter()) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn an_epoch_is_never_empty() {
        // Their mean is more than each of them: 0.1 + 0.1 + 0.1 is 0.30000000000000004.
        let mut same = Rehearsal::new(3);
        same.saw(&[0.1; 3]);
        same.end(0, &[0, 1, 2]);
        assert_eq!(same.chosen(vec![0, 1, 2], 1, 9), [0, 1, 2]);
        assert_eq!(known([0.5; 4]).chosen(vec![0, 1, 2, 3], 1, 9), [0, 1, 2, 3]);
    }

    #[test]
    fn all_are_in_every_epoch_where_that_is_declared() {
        assert_eq!(known([0.1, 0.9, 0.2, 0.8]).chosen(vec![0, 1, 2, 3], 1, 1), [0, 1, 2, 3]);
        assert_eq!((expected_epochs(16, 1), expected_epochs(1, 4)), (16.0, 1.0));
        assert!(expected_epochs(16, 4) < 8.0);
    }

    #[test]
    fn numbers_stand_for_all_of_it() {
        let mut rehearsal = known([0.1, 0.9, 0.2, 0.8]);
        rehearsal.saw(&[0.3]);
        let again = Rehearsal::new(4).of_numbers(rehearsal.numbers()).unwrap();
        assert_eq!(again.numbers(), rehearsal.numbers());
        assert!(Rehearsal::new(3).of_numbers(rehearsal.numbers()).is_none());
    }
}
