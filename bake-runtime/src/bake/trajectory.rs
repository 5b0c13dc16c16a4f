//! Trajectories: the different rollouts of each stimulus.

use super::rollout::Rollouts;

/// An answer to a stimulus, and how many times the teacher gave it.
#[derive(Debug, PartialEq)]
pub(super) struct Trajectory<'a> {
    /// The number of the stimulus.
    pub(super) stimulus: usize,
    /// The answer's tokens; at least one.
    pub(super) answer: &'a [u32],
    pub(super) times: usize,
}

/// The different answers to each stimulus. One that the teacher gave twice is learned once, with
/// twice the weight: the loss is the same.
pub(super) fn trajectories(rollouts: &[Rollouts]) -> Vec<Trajectory<'_>> {
    let mut all: Vec<Trajectory<'_>> = Vec::new();
    for (stimulus, rollouts) in rollouts.iter().enumerate() {
        let first = all.len();
        for rollout in rollouts {
            match all[first..].iter_mut().find(|other| other.answer == rollout.ids) {
                Some(same) => same.times += 1,
                None => all.push(Trajectory { stimulus, answer: &rollout.ids, times: 1 }),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Completion;

    #[test]
    fn an_answer_that_was_given_twice_counts_twice() {
        let rollouts = |answers: &[&[u32]]| -> Rollouts {
            answers.iter().map(|ids| Completion { ids: ids.to_vec(), ended: true }).collect()
        };
        let all = [rollouts(&[&[1, 2], &[3], &[1, 2]]), rollouts(&[&[3]])];
        let found: Vec<_> =
            trajectories(&all).iter().map(|t| (t.stimulus, t.answer.to_vec(), t.times)).collect();
        assert_eq!(found, [(0, vec![1, 2], 2), (0, vec![3], 1), (1, vec![3], 1)]);
    }
}
