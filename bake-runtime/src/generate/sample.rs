//! The choice of the next token.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, ErrorKind, Result};

/// How the next token is chosen from the logits.
///
/// The default is greedy: the same question gets the same answer. With a temperature, tokens are
/// drawn at random from streams that the seed determines; see
/// [`Chat::with_sampling`](crate::Chat::with_sampling).
///
/// Every value is checked when it is given, so that a `Sampling` can always be used:
///
/// ```
/// # extern crate bake_runtime as bake;
/// use bake::Sampling;
///
/// let warm = Sampling::temperature(0.7, 42)?.top_p(0.95)?.max_tokens(100);
/// assert!(Sampling::temperature(f64::NAN, 42).is_err());
/// assert!(warm.top_p(0.0).is_err());
/// # Ok::<(), bake::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the likeliest token.
    pub(crate) temperature: f64,
    /// Only the likeliest tokens that together have this much probability; 1: all.
    pub(crate) top_p: f64,
    /// Only this many of the likeliest tokens; 0: all.
    pub(crate) top_k: usize,
    /// Seeds the draws.
    pub(crate) seed: u64,
    /// The most tokens of an answer, where it is not set elsewhere.
    pub(crate) max_tokens: Option<usize>,
}

impl Sampling {
    /// Always the likeliest token.
    pub const fn greedy() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, seed: 0, max_tokens: None }
    }

    /// Draws at this temperature; at 0, always takes the likeliest token.
    ///
    /// # Errors
    /// When the temperature is not a number from 0 to 100.
    pub fn temperature(temperature: f64, seed: u64) -> Result<Self> {
        match (0.0..=100.0).contains(&temperature) {
            true => Ok(Self { temperature, seed, ..Self::greedy() }),
            false => Err(invalid("temperature", temperature, "a number from 0 to 100")),
        }
    }

    /// The same among only the likeliest tokens that together have this much probability.
    ///
    /// # Errors
    /// When `top_p` is not above 0 and at most 1.
    pub fn top_p(self, top_p: f64) -> Result<Self> {
        match top_p > 0.0 && top_p <= 1.0 {
            true => Ok(Self { top_p, ..self }),
            false => Err(invalid("top_p", top_p, "a number above 0 and at most 1")),
        }
    }

    /// The same among only this many of the likeliest tokens; 0: among all.
    pub const fn top_k(self, top_k: usize) -> Self {
        Self { top_k, ..self }
    }

    /// The same with at most this many tokens in an answer, whatever the declaration says; with 0
    /// every answer is empty. A number that the model's context has no room for means as many as
    /// fit.
    pub const fn max_tokens(self, max_tokens: usize) -> Self {
        Self { max_tokens: Some(max_tokens), ..self }
    }

    /// The random stream with this number. Streams of one seed have nothing in common.
    pub(crate) fn stream(&self, number: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        rng
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

fn invalid(name: &str, value: impl std::fmt::Display, allowed: &str) -> Error {
    Error::new(
        ErrorKind::Sampling,
        format!("the sampling setting `{name}` is {value}; it must be {allowed}"),
    )
}

impl Default for Sampling {
    fn default() -> Self {
        Self::greedy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warm(temperature: f64) -> Sampling {
        Sampling::temperature(temperature, 7).unwrap()
    }

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
        let counts = draw(&warm(1.0), &logits, 80_000);
        for (count, want) in counts.iter().zip([10_000.0, 20_000.0, 50_000.0]) {
            assert!((*count as f64 - want).abs() < 500.0, "{counts:?}");
        }
        let cold = draw(&warm(0.5), &logits, 30_000);
        for (count, want) in cold.iter().zip([1_000.0, 4_000.0, 25_000.0]) {
            assert!((*count as f64 - want).abs() < 300.0, "{cold:?}");
        }
    }

    #[test]
    fn limits_cut_the_tail() {
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        assert_eq!(draw(&Sampling { top_k: 1, ..warm(1.0) }, &logits, 50), [0, 0, 50]);
        assert_eq!(draw(&Sampling { top_k: 2, ..warm(1.0) }, &logits, 500)[0], 0);
        assert_eq!(draw(&Sampling { top_p: 0.6, ..warm(1.0) }, &logits, 50), [0, 0, 50]);
        let counts = draw(&Sampling { top_p: 0.8, ..warm(1.0) }, &logits, 500);
        assert!(counts[0] == 0 && counts[1] > 0, "{counts:?}");
    }

    #[test]
    fn a_sampling_that_cannot_be_is_refused_by_name() {
        for temperature in [f64::NAN, -0.1, f64::INFINITY, 100.1] {
            let error = Sampling::temperature(temperature, 0).unwrap_err().to_string();
            assert!(error.contains("`temperature`") && error.contains("from 0 to 100"), "{error}");
        }
        for top_p in [f64::NAN, -1.0, 0.0, 1.1] {
            let error = warm(1.0).top_p(top_p).unwrap_err().to_string();
            assert!(error.contains("`top_p`") && error.contains("above 0"), "{error}");
        }
        let whole = warm(100.0).top_p(1.0).unwrap().top_k(3).max_tokens(usize::MAX);
        assert_eq!((whole.top_k, whole.max_tokens), (3, Some(usize::MAX)));
    }

    #[test]
    fn the_streams_of_a_seed_differ_and_come_again() {
        let of = |number| warm(1.0).stream(number).random::<u64>();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        let other = Sampling { seed: 8, ..warm(1.0) };
        assert_ne!(of(3), other.stream(3).random::<u64>());
    }

    #[test]
    fn logits_that_are_not_numbers_are_an_error() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for logits in
            [[1.0, f32::NAN], [f32::INFINITY, 0.0], [f32::NEG_INFINITY, f32::NEG_INFINITY]]
        {
            assert!(warm(1.0).choose(&logits, &mut rng).is_err());
            assert!(Sampling::greedy().choose(&logits, &mut rng).is_err());
        }
    }
}
