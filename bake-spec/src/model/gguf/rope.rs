//! Llama 3's scaling of the rotary frequencies, which GGUF files have as numbers: what each
//! frequency is divided by.

use crate::model::config::{Rope, RopeScaling};

/// The parameters of all published models with this scaling.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;

/// What the frequencies of these waves are divided by.
pub fn rope_divisors(rope: &Rope, head_dim: usize) -> Vec<f32> {
    let plain = Rope { scaling: RopeScaling::Unscaled, ..rope.clone() };
    let scaled = rope.frequencies(head_dim);
    plain.frequencies(head_dim).zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect()
}

/// Llama 3's scaling with these divisors; none if it has no such divisors.
pub(super) fn llama3(divisors: &[f32], theta: f64) -> Option<RopeScaling> {
    let factor = divisors.iter().copied().map(f64::from).fold(1.0, f64::max);
    // The first training of every published model had a power of two as its context.
    let contexts = (4..=24).map(|bits| 1 << bits);
    let scalings = contexts.map(|original_context| RopeScaling::Llama3 {
        factor,
        low_freq_factor: LOW_FREQ_FACTOR,
        high_freq_factor: HIGH_FREQ_FACTOR,
        original_context,
    });
    let close = |(got, want): (&f32, f32)| f64::from((got - want).abs()) <= 1e-4 * f64::from(want);
    scalings.into_iter().find(|scaling| {
        let rope = Rope { theta, scaling: scaling.clone() };
        divisors.iter().zip(rope_divisors(&rope, 2 * divisors.len())).all(close)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divisors(factor: f64, original_context: usize, pairs: usize) -> Vec<f32> {
        let scaling = RopeScaling::Llama3 {
            factor,
            low_freq_factor: LOW_FREQ_FACTOR,
            high_freq_factor: HIGH_FREQ_FACTOR,
            original_context,
        };
        rope_divisors(&Rope { theta: 5e5, scaling }, 2 * pairs)
    }

    #[test]
    fn a_scaling_is_found_by_its_divisors() {
        for (factor, context, pairs) in [(8.0, 8192, 64), (32.0, 8192, 32), (8.0, 64, 8)] {
            let divisors = divisors(factor, context, pairs);
            assert_eq!((divisors[0], divisors[pairs - 1]), (1.0, factor as f32));
            let scaling = llama3(&divisors, 5e5).unwrap();
            assert!(matches!(scaling, RopeScaling::Llama3 { factor: f, .. } if f == factor));
            // Contexts that scale these waves alike are as good as the same.
            assert_eq!(rope_divisors(&Rope { theta: 5e5, scaling }, 2 * pairs), divisors);
        }
    }

    #[test]
    fn other_divisors_are_no_scaling() {
        let mut divisors = divisors(8.0, 8192, 64);
        divisors[35] *= 1.01;
        assert_eq!(llama3(&divisors, 5e5), None);
        assert_eq!(llama3(&[1.0, f32::NAN], 5e5), None);
        assert_eq!(llama3(&[1.0, f32::INFINITY], 5e5), None);
    }
}
