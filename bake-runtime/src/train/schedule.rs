//! The learning rate at each step.

use bake_spec::recipe::{Schedule, Train};

/// The share of the highest learning rate at step `step` of `steps`, counted from 0: it rises in a
/// straight line over the warm-up and then falls as the schedule says.
pub(crate) fn share_of_rate(train: &Train, step: usize, steps: usize) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use bake_spec::recipe::TrainFields;

    fn train(schedule: Schedule) -> Train {
        Train::new(TrainFields { schedule, ..TrainFields::DEFAULT }).unwrap()
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
}
