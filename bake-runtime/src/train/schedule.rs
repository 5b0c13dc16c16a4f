//! How long a training is, and the learning rate at each of its steps.

use std::ops::Range;

use bake_spec::recipe::{Schedule, Train};

/// The epochs of a training of which so much is known.
///
/// What is held out often stops getting nearer to the teacher only because the learning rate is
/// still high. So when patience has run out, the rate falls to zero in a straight line over as many
/// epochs again, if the training has more left than that. A constant rate does not fall: then
/// training ends at once.
pub(crate) struct Course {
    /// Where training ends.
    pub(crate) end: usize,
    /// Over which epochs the rate falls, if it does so sooner than the schedule says.
    pub(crate) early_fall: Option<Range<usize>>,
}

impl Course {
    /// After each finished epoch, what is held out was so far from the teacher.
    pub(crate) fn of(train: &Train, held_out: &[f64]) -> Self {
        let patience = train.patience;
        let ran_out = (1..=held_out.len())
            .find(|&epochs| epochs_since_lowest(&held_out[..epochs]) >= patience);
        match (ran_out, train.schedule) {
            (Some(epoch), Schedule::Constant) => Self { end: epoch, early_fall: None },
            (Some(epoch), _) if epoch + patience < train.epochs => {
                let end = epoch + patience;
                Self { end, early_fall: Some(epoch..end) }
            }
            _ => Self { end: train.epochs, early_fall: None },
        }
    }

    /// The share of the highest learning rate at step `step`, counted from 0.
    pub(crate) fn share_of_rate(&self, train: &Train, step: usize, per_epoch: usize) -> f64 {
        let steps = train.epochs * per_epoch;
        match &self.early_fall {
            Some(fall) if step >= fall.start * per_epoch => {
                let (start, end) = (fall.start * per_epoch, fall.end * per_epoch);
                let left = end.saturating_sub(step) as f64 / (end - start) as f64;
                left * share_of_rate(train, start, steps)
            }
            _ => share_of_rate(train, step, steps),
        }
    }
}

/// The share of the highest learning rate at step `step` of `steps`, counted from 0: it rises in a
/// straight line over the warm-up and then falls as the schedule says.
fn share_of_rate(train: &Train, step: usize, steps: usize) -> f64 {
    let warmup = (train.warmup * steps as f64).round();
    let at = step as f64;
    if at < warmup {
        return (at + 1.0) / (warmup + 1.0);
    }
    let left = 1.0 - (at - warmup) / (steps as f64 - warmup).max(1.0);
    match train.schedule {
        Schedule::Linear => left,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * (1.0 - left)).cos()),
        _ => 1.0,
    }
}

/// The place of the lowest of some divergences, the first of equals. What is not a number is not
/// the lowest.
pub(crate) fn lowest(divergences: &[f64]) -> Option<usize> {
    let numbers = divergences.iter().enumerate().filter(|(_, divergence)| !divergence.is_nan());
    numbers.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(place, _)| place)
}

/// How many measurements follow the lowest one.
fn epochs_since_lowest(held_out: &[f64]) -> usize {
    lowest(held_out).map_or(held_out.len(), |place| held_out.len() - 1 - place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bake_spec::recipe::TrainFields;

    fn train(schedule: Schedule) -> Train {
        Train::new(TrainFields { schedule, ..TrainFields::DEFAULT }).unwrap()
    }

    /// Divergences of which the lowest is after the second epoch.
    fn since_the_second(epochs: usize) -> Vec<f64> {
        let mut held_out = vec![0.5; epochs];
        held_out[1] = 0.4;
        held_out
    }

    #[test]
    fn when_patience_has_run_out_the_rate_falls_sooner() {
        // Sixteen epochs and a patience of four: it runs out after the sixth.
        let linear = train(Schedule::Linear);
        let course = Course::of(&linear, &since_the_second(5));
        assert_eq!((course.end, course.early_fall), (16, None));
        for known in 6..=10 {
            let course = Course::of(&linear, &since_the_second(known));
            assert_eq!((course.end, &course.early_fall), (10, &Some(6..10)));
            let rates: Vec<f64> =
                (0..100).map(|step| course.share_of_rate(&linear, step, 10)).collect();
            assert!(rates[..60] == *full(&linear).get(..60).unwrap());
            assert!((rates[60] - full(&linear)[60]).abs() < 1e-9);
            assert!(rates[60..].is_sorted_by(|one, next| one > next) && rates[99] > 0.0);
            assert!((rates[80] - rates[60] / 2.0).abs() < 1e-9);
        }
    }

    #[test]
    fn an_epoch_that_is_better_again_while_the_rate_falls_changes_nothing() {
        for schedule in [Schedule::Linear, Schedule::Cosine] {
            let mut held_out = since_the_second(10);
            held_out[7] = 0.3;
            for known in 8..=10 {
                let course = Course::of(&train(schedule), &held_out[..known]);
                assert_eq!((course.end, course.early_fall), (10, Some(6..10)));
            }
        }
    }

    /// The rates of a training of ten steps an epoch whose patience does not run out.
    fn full(train: &Train) -> Vec<f64> {
        (0..160).map(|step| share_of_rate(train, step, 160)).collect()
    }

    #[test]
    fn near_the_end_the_rate_falls_as_the_schedule_says() {
        // Lowest after the eighth epoch of sixteen, so that a patience of four runs out after the
        // twelfth.
        let held_out: Vec<f64> = (0..16).map(|epoch| f64::from(8 - epoch.min(7))).collect();
        let course = Course::of(&train(Schedule::Linear), &held_out);
        assert_eq!((course.end, course.early_fall), (16, None));
    }

    #[test]
    fn a_constant_rate_does_not_fall() {
        let course = Course::of(&train(Schedule::Constant), &since_the_second(6));
        assert_eq!((course.end, course.early_fall), (6, None));
    }

    #[test]
    fn rates_rise_and_then_fall() {
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
            let rates: Vec<f64> =
                (0..100).map(|step| share_of_rate(&train(schedule), step, 100)).collect();
            assert!(rates[..10].is_sorted() && rates[0] > 0.0 && rates[9] < 1.0);
            assert_eq!(rates[10], 1.0);
            assert!(rates[10..].is_sorted_by(|a, b| a >= b) && rates[99] >= 0.0);
            let (half, last) = match schedule {
                Schedule::Constant => (1.0, 1.0),
                Schedule::Linear => (0.5, 1.0 / 90.0),
                _ => (0.5, 0.000_304_6),
            };
            assert!(
                (rates[55] - half).abs() < 1e-9 && (rates[99] - last).abs() < 1e-6,
                "{schedule:?} {} {}",
                rates[55],
                rates[99]
            );
        }
    }

    #[test]
    fn epochs_are_counted_from_the_lowest_divergence() {
        for (held_out, want) in [
            (&[][..], 0),
            (&[0.5], 0),
            (&[0.5, 0.4], 0),
            (&[0.5, 0.4, 0.45, 0.41], 2),
            (&[0.5, 0.4, 0.4], 1),
            (&[f64::NAN, 0.4, f64::NAN], 1),
            (&[f64::NAN, f64::NAN], 2),
        ] {
            assert_eq!(epochs_since_lowest(held_out), want, "{held_out:?}");
        }
    }
}
