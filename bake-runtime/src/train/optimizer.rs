//! Muon: a momentum whose matrices are made orthogonal (Jordan et al. 2024,
//! <https://kellerjordan.github.io/posts/muon>), for both factors of each change.
//!
//! All directions in which a factor should move get the same weight, those of few stimuli too. To
//! the same divergence that takes half of AdamW's steps, and it keeps one moment instead of two.

mod gpu;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use crate::adapter::{Adapter, Gradients, LowRank};
use crate::tensor::elementary::{sum2, vectorised};
use crate::tensor::in_place;
use crate::tensor::matrix::{Matrix, Threads, multiply};
use crate::tensor::slices::{tensor, with_slice, with_slices};

/// How much of the mean of the gradients is kept at each step.
const MOMENTUM: f64 = 0.9;

/// The root of the mean square of a step at a learning rate of 1: about that of AdamW, whose rates
/// can be used so (Liu et al. 2025, arXiv 2502.16982).
const STEP: f64 = 0.2;

/// The polynomial `a x + b x³ + c x⁵` that brings singular values between 0 and 1 near to 1, and
/// how often it is applied.
const POLYNOMIAL: [f64; 3] = [3.4445, -4.7750, 2.0315];
const TIMES: usize = 5;

/// What is taken for the square of the length of a matrix of zeros.
const LEAST_SQUARE: f64 = 1e-30;

/// The optimiser of an adapter.
pub(crate) struct Muon {
    /// Means of the gradients for A and B of each change, in the order of the adapter.
    moments: Vec<[Tensor; 2]>,
    weight_decay: f64,
}

impl Muon {
    pub(crate) fn new(adapter: &Adapter, weight_decay: f64) -> Result<Self> {
        let zeros =
            |(.., change): (_, _, &LowRank)| Ok([change.a.zeros_like()?, change.b.zeros_like()?]);
        Ok(Self { moments: adapter.iter().map(zeros).collect::<Result<_>>()?, weight_decay })
    }

    /// The moments in their order.
    pub(super) fn moments(&self) -> impl Iterator<Item = &Tensor> {
        self.moments.iter().flatten()
    }

    /// Resumes from [`moments`](Self::moments) of the same number and shapes.
    pub(super) fn resume(&mut self, moments: impl IntoIterator<Item = Tensor>) {
        let places = self.moments.iter_mut().flatten();
        places.zip(moments).for_each(|(place, moment)| *place = moment);
    }

    /// Moves the adapter against the gradients, one for each of its changes:
    /// `m ← β m + (1 − β) g`, and `x ← x (1 − lr · decay) − lr · s · O(β m + (1 − β) g)`, where O
    /// makes orthogonal, and s gives the step its size.
    ///
    /// The numbers change where they are. New tensors would end up among those of a step, and what
    /// lies between them could not serve the next one, which may be larger.
    pub(crate) fn step(&self, adapter: &Adapter, gradients: &Gradients, lr: f64) -> Result<()> {
        let mut moves = Vec::with_capacity(2 * self.moments.len());
        for ((layer, projection, gradient), [of_a, of_b]) in gradients.iter().zip(&self.moments) {
            let Some(change) = adapter.change(layer, projection) else { continue };
            moves.push(Move { x: &change.a, gradient: &gradient.a, moment: of_a });
            moves.push(Move { x: &change.b, gradient: &gradient.b, moment: of_b });
        }
        if moves.iter().all(|one| one.x.device().is_cpu()) {
            let step = |one: Move<'_>| one.step(lr, self.weight_decay);
            return moves.into_par_iter().try_for_each(step);
        }
        gpu::step(&moves, lr, self.weight_decay)
    }
}

/// A factor of a change, and what moves it.
struct Move<'a> {
    x: &'a Tensor,
    gradient: &'a Tensor,
    moment: &'a Tensor,
}

impl Move<'_> {
    /// Moves a factor on the processor.
    fn step(&self, lr: f64, weight_decay: f64) -> Result<()> {
        let [keep, new] = [MOMENTUM, 1.0 - MOMENTUM].map(|share| share as f32);
        let kept = (1.0 - lr * weight_decay) as f32;
        let size = step_size(self.x.dims2()?, lr) as f32;
        in_place::update(
            self.moment,
            self.gradient,
            #[inline(always)]
            |m, g| m * keep + g * new,
        )?;
        in_place::update(
            self.x,
            &orthogonal(&ahead(self.moment, self.gradient)?)?,
            #[inline(always)]
            |x, o| x * kept - o * size,
        )
    }
}

/// `β m + (1 − β) g`.
fn ahead(moment: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    (moment * MOMENTUM)? + (gradient * (1.0 - MOMENTUM))?
}

/// What an orthogonal matrix of this shape is multiplied by, to be a step.
fn step_size((rows, columns): (usize, usize), lr: f64) -> f64 {
    lr * STEP * (rows.max(columns) as f64).sqrt()
}

/// The matrix with singular values near 1 (between 0.6 and 1.3), apart from those that are nearly
/// 0 beside the largest.
///
/// Newton and Schulz: `X ← (a + b G + c G²) X` with `G = X Xᵀ`, from `X / ‖X‖` on. All of these
/// factors are polynomials of the first G, which is as small as the rank; so they are multiplied
/// with each other first, and with X once.
fn orthogonal(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = x.dims2()?;
    let is_wide = rows <= columns;
    let square = (x.sqr()?.sum_all()? + LEAST_SQUARE)?;
    let gram = match is_wide {
        true => product(As::It(x), As::Transposed(x))?,
        false => product(As::Transposed(x), As::It(x))?,
    };
    let mut gram = gram.broadcast_div(&square)?;
    let [a, b, c] = POLYNOMIAL;
    let one = Tensor::eye(rows.min(columns), x.dtype(), x.device())?;
    let times = |x: &Tensor, y: &Tensor| product(As::It(x), As::It(y));
    let mut all = one.clone();
    for _ in 0..TIMES {
        let factor = (((&one * a)? + (&gram * b)?)? + (times(&gram, &gram)? * c)?)?;
        all = times(&factor, &all)?;
        gram = times(&times(&factor, &gram)?, &factor)?;
    }
    let x = if is_wide { times(&all, x)? } else { times(x, &all)? };
    x.broadcast_div(&square.sqrt()?)
}

/// How a matrix is multiplied.
#[derive(Clone, Copy)]
enum As<'a> {
    It(&'a Tensor),
    Transposed(&'a Tensor),
}

impl<'a> As<'a> {
    fn tensor(self) -> &'a Tensor {
        match self {
            Self::It(tensor) | Self::Transposed(tensor) => tensor,
        }
    }

    fn matrix(self, numbers: &[f32]) -> Result<Matrix<'_, f32>> {
        let (rows, columns) = self.tensor().dims2()?;
        let matrix = Matrix::new(numbers, rows, columns);
        Ok(if matches!(self, Self::It(_)) { matrix } else { matrix.t() })
    }
}

/// `a b`, on the calling thread. candle's own product on the processor first asks the system for
/// its processors, which takes longer than a product of this size.
fn product(a: As<'_>, b: As<'_>) -> Result<Tensor> {
    with_slices([a.tensor(), b.tensor()], |[x, y]| {
        let (a, b) = (a.matrix(x)?, b.matrix(y)?);
        let mut out = vec![0.0; a.rows() * b.cols()];
        multiply(&mut out, false, a, b, 1.0, Threads::One);
        tensor(out, (a.rows(), b.cols()))
    })?
}

/// Scales gradients so that their joint norm is at most `limit`; returns the norm before.
pub(crate) fn clip(gradients: &mut Gradients, limit: f64) -> Result<f64> {
    let tensors = || gradients.iter().flat_map(|(.., gradient)| [&gradient.a, &gradient.b]);
    let sums: Vec<f64> = if tensors().all(|tensor| tensor.device().is_cpu()) {
        let squares = |tensor| with_slice(tensor, squared);
        tensors().collect::<Vec<_>>().into_par_iter().map(squares).collect::<Result<_>>()?
    } else {
        let all = tensors().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
        vec![Tensor::cat(&all, 0)?.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar()?]
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
    use candle_core::Device;

    use super::*;
    use crate::adapter::LowRankGradient;
    use crate::tensor::gradient_check::noise;

    fn of(shape: [usize; 2], seed: u64) -> Tensor {
        noise(&shape, seed).to_dtype(DType::F32).unwrap()
    }

    fn gradients(a: Tensor, b: Tensor) -> Gradients {
        let mut gradients = Gradients::default();
        gradients.set(0, Projection::Query, LowRankGradient { a, b });
        gradients
    }

    fn adapter(a: Tensor, b: Tensor) -> Adapter {
        let mut adapter = Adapter::empty(1);
        adapter.set(0, Projection::Query, LowRank { a, b, scale: 1.0 });
        adapter
    }

    fn scalar(x: &Tensor) -> f32 {
        x.to_scalar().unwrap()
    }

    /// How far `x xᵀ` is from the identity, element by element; of the smaller product.
    fn far_from_orthogonal(x: &Tensor) -> f32 {
        let (rows, columns) = x.dims2().unwrap();
        let x = if rows <= columns { x.clone() } else { x.t().unwrap() };
        let gram = x.matmul(&x.t().unwrap()).unwrap();
        let one = Tensor::eye(rows.min(columns), DType::F32, &Device::Cpu).unwrap();
        scalar(&(gram - one).unwrap().abs().unwrap().max_all().unwrap())
    }

    #[test]
    fn matrices_become_orthogonal_and_point_the_same_way() {
        for shape in [[4, 48], [48, 4], [8, 256], [1, 9]] {
            let x = of(shape, 1);
            assert!(far_from_orthogonal(&x) > 0.5);
            for x in [x.clone(), (&x * 1e-6).unwrap(), (&x * 1e3).unwrap()] {
                let o = orthogonal(&x).unwrap();
                assert!(far_from_orthogonal(&o) < 0.6, "{shape:?}");
                assert!(scalar(&(x * o).unwrap().sum_all().unwrap()) > 0.0, "{shape:?}");
            }
        }
        let zeros = Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(orthogonal(&zeros).unwrap().to_vec2::<f32>().unwrap(), [[0.0; 5]; 3]);
    }

    #[test]
    fn it_is_the_iteration_on_the_whole_matrix() {
        for shape in [[6, 40], [40, 6]] {
            let x = noise(&shape, 3);
            let mut want = (&x
                / x.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt())
            .unwrap();
            let [a, b, c] = POLYNOMIAL;
            for _ in 0..TIMES {
                let gram = want.matmul(&want.t().unwrap()).unwrap();
                let once = gram.matmul(&want).unwrap();
                let twice = gram.matmul(&once).unwrap();
                want = ((want * a).unwrap() + (once * b).unwrap() + (twice * c).unwrap()).unwrap();
            }
            let got = orthogonal(&x.to_dtype(DType::F32).unwrap()).unwrap();
            let far = (got.to_dtype(DType::F64).unwrap() - want).unwrap().abs().unwrap();
            assert!(far.max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-4);
        }
    }

    #[test]
    fn factors_of_one_shape_move_together_as_each_does_by_itself() {
        // The last one's gradient is zero.
        let shapes = [[4, 40], [32, 4], [4, 40], [4, 4], [32, 4]];
        let tensors = |seed: u64| -> Vec<Tensor> {
            let of = |(i, shape): (usize, &[usize; 2])| of(*shape, seed + i as u64);
            shapes.iter().enumerate().map(of).collect()
        };
        let mut gradients = tensors(20);
        gradients[4] = gradients[4].zeros_like().unwrap();
        let moved = |together: bool| {
            let (xs, moments) = (tensors(1), tensors(10));
            let parts = || xs.iter().zip(&gradients).zip(&moments);
            let moves: Vec<_> =
                parts().map(|((x, gradient), moment)| Move { x, gradient, moment }).collect();
            for _ in 0..3 {
                match together {
                    true => gpu::step(&moves, 0.01, 0.5).unwrap(),
                    false => moves.iter().for_each(|one| one.step(0.01, 0.5).unwrap()),
                }
            }
            [xs, moments].concat()
        };
        for (got, want) in moved(true).iter().zip(moved(false)) {
            let far = (got - want).unwrap().abs().unwrap().max_all().unwrap();
            assert!(scalar(&far) < 1e-5, "{far}");
        }
    }

    #[test]
    fn a_step_has_its_size_and_weights_decay() {
        let (a, b) = (of([4, 64], 1), of([32, 4], 2));
        let adapter = adapter(a.copy().unwrap(), b.copy().unwrap());
        let optimizer = Muon::new(&adapter, 0.5).unwrap();
        let places = adapter.change(0, Projection::Query).map(|change| change.a.id());
        optimizer.step(&adapter, &gradients(of([4, 64], 3), of([32, 4], 4)), 0.01).unwrap();
        let change = adapter.change(0, Projection::Query).unwrap();
        for (before, after) in [(&a, &change.a), (&b, &change.b)] {
            let moved = ((before * (1.0 - 0.01 * 0.5)).unwrap() - after).unwrap();
            let mean = moved.sqr().unwrap().mean_all().unwrap();
            let root = scalar(&mean).sqrt();
            assert!((0.6..1.3).contains(&(root / (0.01 * STEP as f32))), "{root}");
        }
        // The numbers changed where they were.
        assert_eq!(Some(change.a.id()), places);
        // What has no gradient any more goes on for a while, by its momentum.
        let before = change.a.copy().unwrap();
        let zeros = gradients(a.zeros_like().unwrap(), b.zeros_like().unwrap());
        optimizer.step(&adapter, &zeros, 0.01).unwrap();
        let moved = (&before - &change.a).unwrap().abs().unwrap().max_all().unwrap();
        assert!(scalar(&moved) > 1e-4);
    }

    #[test]
    fn long_gradients_are_cut_and_short_ones_kept() {
        let b = |gradients: &Gradients| {
            gradients.iter().next().unwrap().2.b.to_vec2::<f32>().unwrap()[0][0]
        };
        let one = |number: f32| Tensor::new(&[[number]], &Device::Cpu).unwrap();
        let mut cut = gradients(one(3.0), one(4.0));
        assert_eq!(clip(&mut cut, 1.0).unwrap(), 5.0);
        assert!((b(&cut) - 0.8).abs() < 1e-6);
        let mut kept = gradients(one(3.0), one(4.0));
        assert_eq!(clip(&mut kept, 10.0).unwrap(), 5.0);
        assert_eq!(b(&kept), 4.0);
    }
}
