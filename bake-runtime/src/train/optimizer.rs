//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).

use candle_core::{Result, Tensor};

use crate::adapter::{Adapter, Gradients};

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
    /// With the paper's means.
    pub(crate) fn new(weight_decay: f64) -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay }
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
    pub(crate) fn step(
        &mut self,
        adapter: &mut Adapter,
        gradients: &Gradients,
        lr: f64,
    ) -> Result<()> {
        self.steps += 1;
        for ((layer, projection, gradient), [a_moments, b_moments]) in
            gradients.iter().zip(&self.moments)
        {
            let Some(change) = adapter.change_mut(layer, projection) else { continue };
            self.settings.step(self.steps, &change.a, &gradient.a, a_moments, lr)?;
            self.settings.step(self.steps, &change.b, &gradient.b, b_moments, lr)?;
        }
        Ok(())
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
        replace(mean, ((mean * beta1)? + (gradient * (1.0 - beta1))?)?)?;
        replace(square, ((square * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?)?;
        let (mean, square) =
            ((mean / (1.0 - beta1.powi(steps)))?, (square / (1.0 - beta2.powi(steps)))?);
        replace(x, ((x * (1.0 - lr * weight_decay))? - ((mean / (square.sqrt()? + eps)?)? * lr)?)?)
    }
}

/// Writes new numbers into a tensor.
fn replace(tensor: &Tensor, new: Tensor) -> Result<()> {
    tensor.slice_set(&new, 0, 0)
}

/// Scales gradients so that their joint norm is at most `limit`; returns the norm before.
pub(crate) fn clip(gradients: &mut Gradients, limit: f64) -> Result<f64> {
    let sums = gradients
        .iter()
        .flat_map(|(.., gradient)| [&gradient.a, &gradient.b])
        .map(|tensor| tensor.sqr()?.sum_all());
    // Collected first, since each number that is read from a GPU has to wait for it.
    let sums = Tensor::stack(&sums.collect::<Result<Vec<_>>>()?, 0)?.to_vec1::<f32>()?;
    let norm = sums.into_iter().map(f64::from).sum::<f64>().sqrt();
    if norm > limit {
        for gradient in gradients.iter_mut() {
            let scale = limit / norm;
            (gradient.a, gradient.b) = ((&gradient.a * scale)?, (&gradient.b * scale)?);
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use bake_spec::Projection;
    use candle_core::{DType, Device, Var};
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
        optimizer.step(&mut adapter, &gradients(&[0.5, -3.0], &[1.0]), 0.01).unwrap();
        let first = a(&adapter);
        assert!(
            (first[0] - (0.999 - 0.01)).abs() < 1e-6 && (first[1] - (-1.998 + 0.01)).abs() < 1e-6,
            "{first:?}"
        );
        optimizer.step(&mut adapter, &gradients(&[0.0, 0.0], &[1.0]), 0.01).unwrap();
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
        let params = ParamsAdamW { lr: 0.01, weight_decay: 0.03, ..ParamsAdamW::default() };
        let mut oracle = candle_nn::AdamW::new(variables.to_vec(), params).unwrap();
        for step in 0..5 {
            let (da, db) = (numbers(40, 10 + step), numbers(24, 20 + step));
            ours.step(&mut adapter, &gradients(&da, &db), 0.01).unwrap();
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
