//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use crate::adapter::{Adapter, Gradients};
use crate::tensor::elementary::{sum2, vectorised};
use crate::tensor::in_place;
use crate::tensor::slices::with_slice;

/// The settings of AdamW, apart from the learning rate of each step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamWSettings {
    /// How much of the mean of the gradients is kept at each step.
    pub(crate) beta1: f64,
    /// How much of the mean of their squares is kept.
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
}

impl AdamWSettings {
    /// With a shorter mean of the squares than the paper's 0.999: at rates as high as an adapter's
    /// it must follow when gradients grow, or some steps are far too large.
    pub(crate) fn new(weight_decay: f64) -> Self {
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay }
    }
}

/// The optimiser of an adapter.
pub(crate) struct AdamW {
    /// Means of the gradients and of their squares, for A and B of each change in the order of the
    /// adapter.
    moments: Vec<[(Tensor, Tensor); 2]>,
    steps: i32,
    settings: AdamWSettings,
}

impl AdamW {
    pub(crate) fn new(adapter: &Adapter, settings: AdamWSettings) -> Result<Self> {
        let zeros = |t: &Tensor| Ok::<_, candle_core::Error>((t.zeros_like()?, t.zeros_like()?));
        let moments = adapter
            .iter()
            .map(|(_, _, change)| Ok([zeros(&change.a)?, zeros(&change.b)?]))
            .collect::<Result<_>>()?;
        Ok(Self { moments, steps: 0, settings })
    }

    /// The steps so far, and the moments in their order.
    pub(super) fn state(&self) -> (i32, impl Iterator<Item = &Tensor>) {
        (self.steps, self.moments.iter().flatten().flat_map(|(mean, square)| [mean, square]))
    }

    /// Resumes from a [`state`](Self::state) with moments of the same number and shapes.
    pub(super) fn resume(&mut self, steps: i32, moments: impl IntoIterator<Item = Tensor>) {
        self.steps = steps;
        let places = self.moments.iter_mut().flatten().flat_map(|(mean, square)| [mean, square]);
        places.zip(moments).for_each(|(place, moment)| *place = moment);
    }

    /// Moves the adapter against the gradients, one for each of its changes.
    pub(crate) fn step(&mut self, adapter: &Adapter, gradients: &Gradients, lr: f64) -> Result<()> {
        self.steps += 1;
        let (steps, settings) = (self.steps, self.settings);
        let mut moves = Vec::with_capacity(2 * self.moments.len());
        for ((layer, projection, gradient), [a_moments, b_moments]) in
            gradients.iter().zip(&self.moments)
        {
            let Some(change) = adapter.change(layer, projection) else { continue };
            moves.push((&change.a, &gradient.a, a_moments));
            moves.push((&change.b, &gradient.b, b_moments));
        }
        let step = |(x, gradient, moments): (&Tensor, &Tensor, &_)| {
            settings.step(steps, x, gradient, moments, lr)
        };
        if moves.iter().all(|(x, ..)| x.device().is_cpu()) {
            return moves.into_par_iter().try_for_each(step);
        }
        moves.into_iter().try_for_each(step)
    }
}

impl AdamWSettings {
    /// With bias-corrected moments m̂ and v̂: `x ← x (1 − lr · decay) − lr · m̂ / (√v̂ + ε)`.
    ///
    /// The numbers change where they are. New tensors would end up among those of a step, and what
    /// lies between them could not serve the next one, which may be larger.
    fn step(
        &self,
        steps: i32,
        x: &Tensor,
        gradient: &Tensor,
        (mean, square): &(Tensor, Tensor),
        lr: f64,
    ) -> Result<()> {
        let &Self { beta1, beta2, eps, weight_decay } = self;
        let (corrected1, corrected2) = (1.0 - beta1.powi(steps), 1.0 - beta2.powi(steps));
        let kept = 1.0 - lr * weight_decay;
        if x.device().is_cpu() {
            let [keep1, new1, keep2, new2] =
                [beta1, 1.0 - beta1, beta2, 1.0 - beta2].map(|share| share as f32);
            let [over1, over2] = [corrected1, corrected2].map(|share| (1.0 / share) as f32);
            let [eps, kept, lr] = [eps, kept, lr].map(|number| number as f32);
            in_place::update(
                mean,
                gradient,
                #[inline(always)]
                |mean, g| mean * keep1 + g * new1,
            )?;
            in_place::update(
                square,
                gradient,
                #[inline(always)]
                |square, g| square * keep2 + g * g * new2,
            )?;
            return in_place::update2(
                x,
                [mean, square],
                #[inline(always)]
                |x, mean, square| x * kept - mean * over1 / ((square * over2).sqrt() + eps) * lr,
            );
        }
        replace(mean, ((mean * beta1)? + (gradient * (1.0 - beta1))?)?)?;
        replace(square, ((square * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?)?;
        let (mean, square) = ((mean / corrected1)?, (square / corrected2)?);
        replace(x, ((x * kept)? - ((mean / (square.sqrt()? + eps)?)? * lr)?)?)
    }
}

/// Writes new numbers into a tensor.
fn replace(tensor: &Tensor, new: Tensor) -> Result<()> {
    tensor.slice_set(&new, 0, 0)
}

/// Scales gradients so that their joint norm is at most `limit`; returns the norm before.
pub(crate) fn clip(gradients: &mut Gradients, limit: f64) -> Result<f64> {
    let tensors = || gradients.iter().flat_map(|(.., gradient)| [&gradient.a, &gradient.b]);
    let sums: Vec<f64> = if tensors().all(|tensor| tensor.device().is_cpu()) {
        let squares = |tensor| with_slice(tensor, squared);
        tensors().collect::<Vec<_>>().into_par_iter().map(squares).collect::<Result<_>>()?
    } else {
        // Collected first, since each number that is read from a GPU has to wait for it.
        let sums = tensors().map(|tensor| tensor.sqr()?.sum_all()).collect::<Result<Vec<_>>>()?;
        Tensor::stack(&sums, 0)?.to_dtype(DType::F64)?.to_vec1()?
    };
    let norm = sums.into_iter().sum::<f64>().sqrt();
    if norm > limit {
        for gradient in gradients.iter_mut() {
            let scale = limit / norm;
            (gradient.a, gradient.b) = ((&gradient.a * scale)?, (&gradient.b * scale)?);
        }
    }
    Ok(norm)
}

/// The sum of the squares of some numbers.
fn squared(numbers: &[f32]) -> f64 {
    vectorised(
        #[inline(always)]
        || sum2(numbers, numbers, |a, b| a * b),
    )
}

#[cfg(test)]
mod tests {
    use bake_spec::Projection;
    use candle_core::{Device, Var};
    use candle_nn::{Optimizer as _, ParamsAdamW};

    use super::*;
    use crate::adapter::{LowRank, LowRankGradient};
    use crate::tensor::gradient_check::noise;

    fn tensor(value: &[f32]) -> Tensor {
        Tensor::new(value, &Device::Cpu).unwrap()
    }

    fn gradients(a: &[f32], b: &[f32]) -> Gradients {
        let mut gradients = Gradients::default();
        gradients.set(0, Projection::Query, LowRankGradient { a: tensor(a), b: tensor(b) });
        gradients
    }

    #[test]
    fn steps_are_those_of_the_paper() {
        let mut adapter = Adapter::empty(1);
        adapter.set(
            0,
            Projection::Query,
            LowRank { a: tensor(&[1.0, -2.0]), b: tensor(&[0.0]), scale: 1.0 },
        );
        let a = |adapter: &Adapter| {
            adapter.change(0, Projection::Query).unwrap().a.to_vec1::<f32>().unwrap()
        };
        let settings = AdamWSettings { beta1: 0.9, beta2: 0.99, eps: 1e-30, weight_decay: 0.1 };
        let mut optimizer = AdamW::new(&adapter, settings).unwrap();
        let place = adapter.change(0, Projection::Query).unwrap().a.id();
        // The first step is lr · sign(g), after the weight has decayed.
        optimizer.step(&adapter, &gradients(&[0.5, -3.0], &[1.0]), 0.01).unwrap();
        let first = a(&adapter);
        assert!(
            (first[0] - (0.999 - 0.01)).abs() < 1e-6 && (first[1] - (-1.998 + 0.01)).abs() < 1e-6,
            "{first:?}"
        );
        optimizer.step(&adapter, &gradients(&[0.0, 0.0], &[1.0]), 0.01).unwrap();
        let mean: f64 = 0.9 * 0.05 / (1.0 - 0.81);
        let square: f64 = 0.99 * 0.0025 / (1.0 - 0.9801);
        let want = 0.989 * 0.999 - 0.01 * mean / square.sqrt();
        assert!((f64::from(a(&adapter)[0]) - want).abs() < 1e-6);
        // The numbers changed where they were.
        assert_eq!(adapter.change(0, Projection::Query).unwrap().a.id(), place);
    }

    #[test]
    fn steps_are_those_of_candle() {
        let numbers = |count: usize, seed| {
            noise(&[count], seed).to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap()
        };
        let (a, b) = (tensor(&numbers(40, 1)), tensor(&numbers(24, 2)));
        let variables = [&a, &b].map(|t| Var::from_tensor(t).unwrap());
        let mut adapter = Adapter::empty(1);
        adapter.set(0, Projection::Query, LowRank { a, b, scale: 1.0 });
        let mut ours = AdamW::new(&adapter, AdamWSettings::new(0.03)).unwrap();
        let params =
            ParamsAdamW { lr: 0.01, weight_decay: 0.03, beta2: 0.95, ..ParamsAdamW::default() };
        let mut oracle = candle_nn::AdamW::new(variables.to_vec(), params).unwrap();
        for step in 0..5 {
            let (da, db) = (numbers(40, 10 + step), numbers(24, 20 + step));
            ours.step(&adapter, &gradients(&da, &db), 0.01).unwrap();
            // A function whose slopes are those gradients.
            let [x, y] = [(&variables[0], &da), (&variables[1], &db)]
                .map(|(x, slope)| (x.as_tensor() * tensor(slope)).unwrap().sum_all().unwrap());
            oracle.backward_step(&(x + y).unwrap()).unwrap();
            let change = adapter.change(0, Projection::Query).unwrap();
            for (got, want) in [&change.a, &change.b].into_iter().zip(&variables) {
                let far = (got - want.as_tensor()).unwrap().abs().unwrap().max_all().unwrap();
                assert!(far.to_scalar::<f32>().unwrap() < 1e-6, "step {step}");
            }
        }
    }

    #[test]
    fn long_gradients_are_cut_and_short_ones_kept() {
        let b = |gradients: &Gradients| {
            gradients.iter().next().unwrap().2.b.to_vec1::<f32>().unwrap()[0]
        };
        let mut cut = gradients(&[3.0], &[4.0]);
        assert_eq!(clip(&mut cut, 1.0).unwrap(), 5.0);
        assert!((b(&cut) - 0.8).abs() < 1e-6);
        let mut kept = gradients(&[3.0], &[4.0]);
        assert_eq!(clip(&mut kept, 10.0).unwrap(), 5.0);
        assert_eq!(b(&kept), 4.0);
    }
}
