//! Llama 3's scaling of the rotary frequencies, which GGUF files have as numbers: what each
//! frequency is divided by.

use std::f64::consts::PI;

/// The parameters of all published models with this scaling.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;

/// The scaling of which these are the divisors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Llama3 {
    /// The divisor of the long waves.
    pub(super) factor: f64,
    /// The context of the first training, in tokens.
    pub(super) original_context: usize,
}

impl Llama3 {
    pub(super) const LOW: f64 = LOW_FREQ_FACTOR;
    pub(super) const HIGH: f64 = HIGH_FREQ_FACTOR;

    /// The scaling with these divisors for these waves; none if there is no such scaling.
    pub(super) fn of(divisors: &[f32], theta: f64) -> Option<Self> {
        let factor = divisors.iter().copied().map(f64::from).fold(1.0, f64::max);
        // The first training of every published model had a power of two as its context.
        let contexts = (4..=24).map(|bits| 1 << bits);
        contexts.map(|original_context| Self { factor, original_context }).find(|scaling| {
            let pairs = divisors.len();
            divisors.iter().enumerate().all(|(pair, divisor)| {
                let wave = 2.0 * PI * theta.powf(pair as f64 / pairs as f64);
                let want = scaling.divisor(wave);
                (f64::from(*divisor) - want).abs() <= 1e-4 * want
            })
        })
    }

    /// What the frequency of a wave of this length is divided by.
    fn divisor(&self, wave: f64) -> f64 {
        let waves = self.original_context as f64 / wave;
        if waves > HIGH_FREQ_FACTOR {
            return 1.0;
        }
        if waves < LOW_FREQ_FACTOR {
            return self.factor;
        }
        let smooth = (waves - LOW_FREQ_FACTOR) / (HIGH_FREQ_FACTOR - LOW_FREQ_FACTOR);
        1.0 / ((1.0 - smooth) / self.factor + smooth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divisors(scaling: Llama3, theta: f64, pairs: usize) -> Vec<f32> {
        let wave = |pair| 2.0 * PI * theta.powf(pair as f64 / pairs as f64);
        (0..pairs).map(|pair| scaling.divisor(wave(pair)) as f32).collect()
    }

    #[test]
    fn a_scaling_is_found_by_its_divisors() {
        for (factor, original_context, pairs) in [(8.0, 8192, 64), (32.0, 8192, 32), (8.0, 64, 8)] {
            let scaling = Llama3 { factor, original_context };
            let divisors = divisors(scaling, 5e5, pairs);
            let found = Llama3::of(&divisors, 5e5).unwrap();
            // Contexts that scale these waves alike are as good as the same.
            assert_eq!(self::divisors(found, 5e5, pairs), divisors);
            assert_eq!(found.factor, factor);
        }
    }

    #[test]
    fn other_divisors_are_no_scaling() {
        let mut divisors = divisors(Llama3 { factor: 8.0, original_context: 8192 }, 5e5, 64);
        divisors[35] *= 1.01;
        assert_eq!(Llama3::of(&divisors, 5e5), None);
        assert_eq!(Llama3::of(&[1.0, f32::NAN], 5e5), None);
        assert_eq!(Llama3::of(&[1.0, f32::INFINITY], 5e5), None);
    }
}
