//! Counting what became of questions.

use bake::{Attempt, Flaw};

use crate::document::{Half, Kind};
use crate::run::{RUNGS, Run};

/// What became of some questions on one rung.
#[derive(Clone, Copy, Default)]
pub(crate) struct Score {
    pub(crate) right: usize,
    /// All that were to be asked, whether they could be or not.
    pub(crate) of: usize,
    /// Those that did not fit the model's context with what it was to read.
    pub(crate) too_long: usize,
    /// Those that could not be asked for another reason: there was no bake.
    pub(crate) not_asked: usize,
    pub(crate) empty: usize,
    pub(crate) repeats: usize,
    pub(crate) never_ended: usize,
}

impl Score {
    /// Of the questions of a half (of both, where none is given) and of a kind on a rung, by its
    /// place in [`RUNGS`].
    pub(crate) fn of(
        runs: &[Run<'_>],
        half: Option<Half>,
        kind: Option<Kind>,
        rung: usize,
    ) -> Self {
        let mut score = Self::default();
        for run in runs {
            // Others than the baked model were asked once.
            let repeated = !run.is_first && rung + 1 < RUNGS.len();
            if repeated || half.is_some_and(|half| half != run.document.half) {
                continue;
            }
            for (line, attempts) in run.document.lines.iter().zip(&run.attempts) {
                if kind.is_none_or(|kind| kind == line.kind) {
                    score.count(&attempts[rung]);
                }
            }
        }
        score
    }

    fn count(&mut self, attempt: &Attempt) {
        self.of += 1;
        self.right += usize::from(attempt.is_right());
        match attempt {
            Attempt::TooLong { .. } => self.too_long += 1,
            Attempt::NotAsked => self.not_asked += 1,
            _ => {}
        }
        match attempt.graded().and_then(|graded| graded.flaw()) {
            Some(Flaw::Empty) => self.empty += 1,
            Some(Flaw::Repeats) => self.repeats += 1,
            Some(Flaw::NeverEnded) => self.never_ended += 1,
            _ => {}
        }
    }
}

/// The mean of some numbers, if there are any.
pub(crate) fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = numbers.fold((0.0, 0), |(sum, count), number| (sum + number, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
