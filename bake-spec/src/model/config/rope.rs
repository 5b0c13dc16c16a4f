//! How positions turn queries and keys.

use std::f64::consts::TAU;

/// Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the geometric series of wave lengths.
    pub theta: f64,
    /// How the frequencies are changed for contexts longer than those of the first training.
    pub scaling: RopeScaling,
}

/// A change of the rotary frequencies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// None.
    Unscaled,
    /// All frequencies divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1's: long waves divided by a factor, short ones kept, those between blended.
    Llama3 {
        /// The divisor of the long waves.
        factor: f64,
        /// Waves longer than `original_context / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Waves shorter than `original_context / high_freq_factor` are short.
        high_freq_factor: f64,
        /// The context of the first training, in tokens.
        original_context: usize,
    },
}

impl Rope {
    /// The angle, in radians, between one position and the next, for each pair of a head.
    pub fn frequencies(&self, head_dim: usize) -> impl Iterator<Item = f64> {
        (0..head_dim / 2).map(move |pair| {
            self.scaling.scaled(self.theta.powf(-((2 * pair) as f64) / head_dim as f64))
        })
    }
}

impl RopeScaling {
    /// What a frequency becomes.
    fn scaled(&self, frequency: f64) -> f64 {
        match *self {
            Self::Unscaled => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                // transformers, `_compute_llama3_parameters`: 0 keeps the slow waves stretched, 1
                // leaves the fast ones alone.
                let waves = original_context as f64 * frequency / TAU;
                let kept = ((waves - low_freq_factor) / (high_freq_factor - low_freq_factor))
                    .clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_stretches_slow_waves_and_keeps_fast_ones() {
        let llama3 = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 64,
        };
        let of = |scaling| Rope { theta: 500_000.0, scaling }.frequencies(16).collect::<Vec<_>>();
        let (kept, scaled) = (of(RopeScaling::Unscaled), of(llama3));
        assert_eq!(kept[0], scaled[0]);
        assert!((kept[7] / scaled[7] - 8.0).abs() < 1e-9);
        let linear = of(RopeScaling::Linear { factor: 2.0 });
        assert_eq!(linear[3] * 2.0, kept[3]);
    }
}
