//! The learning rate at each step.

use bake_spec::recipe::{Schedule, Train};

/// The learning rate of step `step` of `steps`, counted from 0: it rises in a straight line over the warm-up and then falls as the
/// schedule says.
pub(crate) fn learning_rate(train: &Train, step: usize, steps: usize) -> f64 {
    let warmup = (train.warmup * steps as f64).round();
    let at = step as f64;
    if at < warmup {
        return train.lr * (at + 1.0) / (warmup + 1.0);
    }
    let left = 1.0 - (at - warmup) / (steps as f64 - warmup).max(1.0);
    match train.schedule {
        Schedule::Linear => train.lr * left,
        Schedule::Cosine => train.lr * 0.5 * (1.0 + (std::f64::consts::PI * (1.0 - left)).cos()),
        _ => train.lr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bake_spec::recipe::Divergence;

    fn train(schedule: Schedule) -> Train {
        Train {
            epochs: 1,
            lr: 1.0,
            batch: 1,
            accumulate: 1,
            schedule,
            warmup: 0.1,
            divergence: Divergence::ForwardKl,
            temperature: 1.0,
            clip: 1.0,
            weight_decay: 0.0,
            seed: 0,
        }
    }

    #[test]
    fn rates_rise_and_then_fall() {
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
            let rates: Vec<f64> = (0..100).map(|step| learning_rate(&train(schedule), step, 100)).collect();
            assert!(rates[..10].is_sorted() && rates[0] > 0.0 && rates[9] < 1.0);
            assert_eq!(rates[10], 1.0);
            assert!(rates[10..].is_sorted_by(|a, b| a >= b) && rates[99] >= 0.0);
            let (half, last) = match schedule {
                Schedule::Constant => (1.0, 1.0),
                Schedule::Linear => (0.5, 1.0 / 90.0),
                _ => (0.5, 0.000_304_6),
            };
            assert!((rates[55] - half).abs() < 1e-9 && (rates[99] - last).abs() < 1e-6, "{schedule:?} {} {}", rates[55], rates[99]);
        }
    }
}
