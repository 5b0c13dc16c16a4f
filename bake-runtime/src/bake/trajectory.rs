//! Trajectories: the different answers to each stimulus that are learned.

use super::answers::Answers;

/// An answer to a stimulus, and how many times it is learned.
#[derive(Debug, PartialEq)]
pub(super) struct Trajectory<'a> {
    /// The number of the stimulus.
    pub(super) stimulus: usize,
    /// The answer's tokens; at least one.
    pub(super) answer: &'a [u32],
    pub(super) times: usize,
    /// The answer's text where it is the passage's own sentences, and not what the teacher said.
    pub(super) own: Option<&'a str>,
}

/// The different answers to each stimulus. One that the teacher gave twice is learned once, with
/// twice the weight: the loss is the same.
pub(super) fn trajectories(answers: &[Answers]) -> Vec<Trajectory<'_>> {
    let mut all: Vec<Trajectory<'_>> = Vec::new();
    for (stimulus, answers) in answers.iter().enumerate() {
        let first = all.len();
        for answer in &answers.learned {
            match all[first..].iter_mut().find(|other| other.answer == answer) {
                Some(same) => same.times += 1,
                None => {
                    let own = answers.own.as_deref();
                    all.push(Trajectory { stimulus, answer, times: 1, own });
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_given_twice_counts_twice() {
        let answers = |learned: &[&[u32]]| Answers {
            learned: learned.iter().map(|ids| ids.to_vec()).collect(),
            ..Answers::default()
        };
        let all = [answers(&[&[1, 2], &[3], &[1, 2]]), answers(&[&[3]])];
        let found: Vec<_> =
            trajectories(&all).iter().map(|t| (t.stimulus, t.answer.to_vec(), t.times)).collect();
        assert_eq!(found, [(0, vec![1, 2], 2), (0, vec![3], 1), (1, vec![3], 1)]);
    }
}
