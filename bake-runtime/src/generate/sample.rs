//! The choice of the next token.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, ErrorKind, Result};

/// How the next token is chosen from the logits.
///
/// The default is greedy: the same question gets the same answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token always.
    pub temperature: f64,
    /// Only the likeliest tokens that together hold this much probability; 1: all.
    pub top_p: f64,
    /// Only this many of the likeliest tokens; 0: all.
    pub top_k: usize,
    /// Seeds the draws.
    pub seed: u64,
    /// The most tokens of an answer; where there is none, as many as the context has room for.
    pub max_tokens: Option<usize>,
}

impl Sampling {
    /// The likeliest token always.
    pub const fn greedy() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, seed: 0, max_tokens: None }
    }

    /// Draws at this temperature.
    pub const fn temperature(temperature: f64, seed: u64) -> Self {
        Self { temperature, seed, ..Self::greedy() }
    }

    /// The same among the likeliest tokens only that together hold this much probability.
    pub const fn top_p(self, top_p: f64) -> Self {
        Self { top_p, ..self }
    }

    /// The same among this many of the likeliest tokens only.
    pub const fn top_k(self, top_k: usize) -> Self {
        Self { top_k, ..self }
    }

    /// The same with at most this many tokens in an answer.
    pub const fn max_tokens(self, max_tokens: usize) -> Self {
        Self { max_tokens: Some(max_tokens), ..self }
    }

    /// The next token, from the logits `[vocabulary]`.
    pub(crate) fn choose(&self, logits: &[f32], rng: &mut ChaCha8Rng) -> Result<u32> {
        let (best, max) = logits
            .iter()
            .copied()
            .enumerate()
            .fold((0, f32::NEG_INFINITY), |b, (i, x)| if x > b.1 { (i, x) } else { b });
        if !max.is_finite() || logits.iter().any(|x| x.is_nan()) {
            return Err(Error::new(
                ErrorKind::Model,
                "the model's logits are not numbers; its weights are damaged or the adapter \
                 diverged",
            ));
        }
        if self.temperature <= 0.0 {
            return Ok(best as u32);
        }
        let mut likely: Vec<(u32, f64)> = logits
            .iter()
            .enumerate()
            .map(|(i, &x)| (i as u32, (f64::from(x - max) / self.temperature).exp()))
            .collect();
        if self.top_k > 0 || self.top_p < 1.0 {
            likely.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            if self.top_k > 0 {
                likely.truncate(self.top_k);
            }
            let (total, mut sum) = (likely.iter().map(|(_, p)| p).sum::<f64>(), 0.0);
            let enough = likely.iter().position(|(_, p)| {
                sum += p;
                sum >= self.top_p * total
            });
            likely.truncate(enough.map_or(likely.len(), |i| i + 1));
        }
        let mut left = rng.random::<f64>() * likely.iter().map(|(_, p)| p).sum::<f64>();
        let drawn = likely.iter().find(|(_, p)| {
            left -= p;
            left < 0.0
        });
        Ok(drawn.map_or(best as u32, |(token, _)| *token))
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self::greedy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn draw(sampling: &Sampling, logits: &[f32], times: usize) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
        let mut counts = vec![0; logits.len()];
        for _ in 0..times {
            counts[sampling.choose(logits, &mut rng).unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest() {
        assert_eq!(draw(&Sampling::greedy(), &[1.0, 3.0, 3.0, -1.0], 5), [0, 5, 0, 0]);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        let counts = draw(&Sampling::temperature(1.0, 7), &logits, 80_000);
        for (count, want) in counts.iter().zip([10_000.0, 20_000.0, 50_000.0]) {
            assert!((*count as f64 - want).abs() < 500.0, "{counts:?}");
        }
        let cold = draw(&Sampling::temperature(0.5, 7), &logits, 30_000);
        for (count, want) in cold.iter().zip([1_000.0, 4_000.0, 25_000.0]) {
            assert!((*count as f64 - want).abs() < 300.0, "{cold:?}");
        }
    }

    #[test]
    fn limits_cut_the_tail() {
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        assert_eq!(
            draw(&Sampling { top_k: 1, ..Sampling::temperature(1.0, 7) }, &logits, 50),
            [0, 0, 50]
        );
        assert_eq!(
            draw(&Sampling { top_k: 2, ..Sampling::temperature(1.0, 7) }, &logits, 500)[0],
            0
        );
        assert_eq!(
            draw(&Sampling { top_p: 0.6, ..Sampling::temperature(1.0, 7) }, &logits, 50),
            [0, 0, 50]
        );
        let counts = draw(&Sampling { top_p: 0.8, ..Sampling::temperature(1.0, 7) }, &logits, 500);
        assert!(counts[0] == 0 && counts[1] > 0, "{counts:?}");
    }

    #[test]
    fn logits_that_are_no_numbers_are_an_error() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for logits in
            [[1.0, f32::NAN], [f32::INFINITY, 0.0], [f32::NEG_INFINITY, f32::NEG_INFINITY]]
        {
            assert!(Sampling::temperature(1.0, 0).choose(&logits, &mut rng).is_err());
            assert!(Sampling::greedy().choose(&logits, &mut rng).is_err());
        }
    }
}
