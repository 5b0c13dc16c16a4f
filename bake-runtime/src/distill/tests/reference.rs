//! The definitions of the divergences in f64, and random states to compare by them.

use candle_core::{DType, Device, Tensor};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::device::gpu::testing::everywhere;
use crate::distill::{Divergence, Options, States, distill};

pub(super) const DIVERGENCES: [Divergence; 4] =
    [Divergence::ForwardKl, Divergence::ReverseKl, Divergence::Jsd(0.5), Divergence::Jsd(0.1)];

/// The definitions, in f64, from states to losses and gradient.
pub(super) fn reference(
    states: States<'_>,
    divergence: Divergence,
    temperature: f64,
) -> (Vec<f64>, Vec<f64>) {
    let rows = |t: &Tensor| {
        t.to_vec2::<f32>()
            .unwrap()
            .into_iter()
            .map(|r| r.into_iter().map(f64::from).collect())
            .collect::<Vec<Vec<f64>>>()
    };
    let (teacher, student, head) = (rows(states.teacher), rows(states.student), rows(states.head));
    let weights = states.weights.to_vec1::<f32>().unwrap();
    let masked =
        states.masked.map_or(vec![0; head.len()], |masked| masked.to_vec1::<u8>().unwrap());
    let head: Vec<Vec<f64>> = head
        .into_iter()
        .zip(masked)
        .filter(|&(_, masked)| masked == 0)
        .map(|(row, _)| row)
        .collect();
    let logs = |h: &[f64]| {
        let z: Vec<f64> = head
            .iter()
            .map(|w| h.iter().zip(w).map(|(a, b)| a * b).sum::<f64>() / temperature)
            .collect();
        let max = z.iter().copied().fold(f64::MIN, f64::max);
        let sum = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        z.into_iter().map(|z| z - sum).collect::<Vec<_>>()
    };
    let (mut losses, mut gradient) = (Vec::new(), Vec::new());
    for ((t, s), &w) in teacher.iter().zip(&student).zip(&weights) {
        let (p, q) = (logs(t), logs(s));
        let both = || p.iter().zip(&q);
        let (loss, d): (f64, Vec<f64>) = match divergence {
            Divergence::ReverseKl => {
                let loss = both().map(|(p, q)| q.exp() * (q - p)).sum();
                (loss, both().map(|(p, q)| q.exp() * (q - p - loss)).collect())
            }
            Divergence::Jsd(beta) => {
                let m = |p: f64, q: f64| (beta * p.exp() + (1.0 - beta) * q.exp()).ln();
                let along: f64 = both().map(|(&p, &q)| q.exp() * (q - m(p, q))).sum();
                let first: f64 = both().map(|(&p, &q)| p.exp() * (p - m(p, q))).sum();
                let d =
                    both().map(|(&p, &q)| (1.0 - beta) * q.exp() * (q - m(p, q) - along)).collect();
                (beta * first + (1.0 - beta) * along, d)
            }
            _ => (
                both().map(|(p, q)| p.exp() * (p - q)).sum(),
                both().map(|(p, q)| q.exp() - p.exp()).collect(),
            ),
        };
        losses.push(loss);
        let scale = f64::from(w) / temperature;
        gradient.extend(
            (0..t.len()).map(|c| scale * d.iter().zip(&head).map(|(d, w)| d * w[c]).sum::<f64>()),
        );
    }
    (losses, gradient)
}

pub(super) struct Case {
    pub(super) teacher: Tensor,
    pub(super) student: Tensor,
    pub(super) head: Tensor,
    pub(super) weights: Tensor,
    pub(super) masked: Option<Tensor>,
}

impl Case {
    /// Random states of this spread, and a student that differs from the teacher by noise of this
    /// size.
    pub(super) fn random(
        tokens: usize,
        hidden: usize,
        vocabulary: usize,
        spread: f32,
        noise: f32,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut draw = |n: usize, size: f32| {
            (0..n).map(|_| rng.random_range(-size..=size)).collect::<Vec<f32>>()
        };
        let teacher = draw(tokens * hidden, spread);
        let student =
            teacher.iter().zip(draw(tokens * hidden, noise)).map(|(t, n)| t + n).collect();
        let (head, weights) =
            (draw(vocabulary * hidden, 1.0), draw(tokens, 1.0).iter().map(|w| w.abs()).collect());
        let matrix = |data: Vec<f32>, rows: usize| {
            Tensor::from_vec(data, (rows, hidden), &Device::Cpu).unwrap()
        };
        let weights = Tensor::from_vec::<_, f32>(weights, tokens, &Device::Cpu).unwrap();
        Self {
            teacher: matrix(teacher, tokens),
            student: matrix(student, tokens),
            head: matrix(head, vocabulary),
            weights,
            masked: None,
        }
    }

    pub(super) fn states(&self) -> States<'_> {
        let Self { teacher, student, head, weights, masked } = self;
        States { teacher, student, head, weights, masked: masked.as_ref() }
    }

    /// The same with states and head rounded to a type, on a device.
    pub(super) fn to(&self, dtype: DType, device: &Device) -> Self {
        let to = |t: &Tensor| t.to_dtype(dtype).unwrap().to_device(device).unwrap();
        let same = |t: &Tensor| t.to_device(device).unwrap();
        Self {
            teacher: to(&self.teacher),
            student: to(&self.student),
            head: to(&self.head),
            weights: same(&self.weights),
            masked: self.masked.as_ref().map(same),
        }
    }

    pub(super) fn run(&self, divergence: Divergence, temperature: f64) -> (Vec<f64>, Vec<f64>) {
        let loss =
            distill(self.states(), Options { divergence, temperature, ..Options::default() })
                .unwrap();
        assert_eq!(loss.gradient.dtype(), self.student.dtype());
        (numbers(&loss.per_token), numbers(&loss.gradient))
    }

    /// Compares with the reference on all devices in f32; the error is relative to the largest
    /// value.
    pub(super) fn check(&self, tolerance: f64, what: &str) {
        self.check_in(DType::F32, tolerance, what);
    }

    pub(super) fn check_in(&self, dtype: DType, tolerance: f64, what: &str) {
        let all = DIVERGENCES.into_iter().flat_map(|d| [0.5, 1.0, 2.0].map(|t| (d, t)));
        self.check_with(all.collect(), dtype, tolerance, what);
    }

    /// The same for these divergences and temperatures only.
    pub(super) fn check_with(
        &self,
        options: Vec<(Divergence, f64)>,
        dtype: DType,
        tolerance: f64,
        what: &str,
    ) {
        let wanted = |divergence, temperature| {
            reference(
                self.to(dtype, &Device::Cpu).to(DType::F32, &Device::Cpu).states(),
                divergence,
                temperature,
            )
        };
        let cases: Vec<_> = options.into_iter().map(|(d, t)| (d, t, wanted(d, t))).collect();
        everywhere(|device| {
            let here = self.to(dtype, device);
            for (divergence, temperature, want) in &cases {
                let got = here.run(*divergence, *temperature);
                assert!(
                    got.0.iter().all(|&loss| loss >= 0.0),
                    "{what} {divergence:?} {temperature}: negative"
                );
                for (part, got, want) in [("loss", got.0, &want.0), ("gradient", got.1, &want.1)] {
                    let error = error(&got, want);
                    assert!(
                        error <= tolerance,
                        "{what} {dtype:?} {divergence:?} T {temperature} {part}: {error}"
                    );
                }
            }
        });
    }
}

pub(super) fn numbers(t: &Tensor) -> Vec<f64> {
    t.flatten_all()
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap()
        .to_vec1::<f32>()
        .unwrap()
        .into_iter()
        .map(f64::from)
        .collect()
}

/// The largest difference, relative to the largest value where f32 can represent that.
pub(super) fn error(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    // NaN counts as larger than any number.
    let larger = |m: f64, x: f64| if x > m || x.is_nan() { x } else { m };
    let largest = want.iter().fold(0.0, |m, x| larger(m, x.abs()));
    let difference = got.iter().zip(want).fold(0.0, |m, (g, w)| larger(m, (g - w).abs()));
    if largest < f64::from(f32::MIN_POSITIVE) { difference } else { difference / largest }
}
