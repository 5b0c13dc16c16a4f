//! The loss on the processor: chunks of tokens, three matrix products each, and one parallel pass over the rows.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::distill::divergence::row;
use crate::distill::{Loss, Options, States};
use crate::elementary::vectorised;
use crate::matrix::{Matrix, Threads, multiply};
use crate::model::cpu::with_slices;

pub(super) fn distill(states: States<'_>, options: Options) -> Result<Loss> {
    let (tokens, hidden) = states.teacher.dims2()?;
    let (mut per_token, mut gradient) = (vec![0f32; tokens], vec![0f32; tokens * hidden]);
    let [teacher, student, head, weights] = [states.teacher, states.student, states.head, states.weights].map(Tensor::contiguous);
    with_slices([&teacher?, &student?, &head?, &weights?], |inputs| chunks(inputs, options, &mut per_token, &mut gradient))?;
    let device = states.student.device();
    Ok(Loss { per_token: Tensor::from_vec(per_token, tokens, device)?, gradient: Tensor::from_vec(gradient, (tokens, hidden), device)? })
}

fn chunks([teacher, student, head, weights]: [&[f32]; 4], options: Options, per_token: &mut [f32], gradient: &mut [f32]) {
    let hidden = if weights.is_empty() { return } else { teacher.len() / weights.len() };
    let vocabulary = head.len() / hidden;
    let head = Matrix::new(head, vocabulary, hidden);
    let rows = (options.scratch_bytes / (2 * size_of::<f32>() * vocabulary)).clamp(1, weights.len().max(1));
    let (mut logits, mut deltas, mut differences) = (vec![0f32; rows * vocabulary], vec![0f32; rows * vocabulary], Vec::new());
    let temperature = options.temperature as f32;
    let outputs = per_token.chunks_mut(rows).zip(gradient.chunks_mut(rows * hidden));
    let inputs = teacher.chunks(rows * hidden).zip(student.chunks(rows * hidden)).zip(weights.chunks(rows));
    for ((losses, gradient), ((teacher, student), weights)) in outputs.zip(inputs) {
        let rows = weights.len();
        let (z, delta) = (&mut logits[..rows * vocabulary], &mut deltas[..rows * vocabulary]);
        differences.clear();
        differences.extend(student.iter().zip(teacher).map(|(s, t)| s - t));
        multiply(z, false, Matrix::new(teacher, rows, hidden), head.t(), 1.0, Threads::All);
        multiply(delta, false, Matrix::new(&differences, rows, hidden), head.t(), 1.0, Threads::All);
        z.par_chunks(vocabulary).zip(delta.par_chunks_mut(vocabulary)).zip(weights).zip(losses).for_each_init(
            || vec![0f32; vocabulary],
            |p, (((z, delta), &weight), loss)| {
                *loss = vectorised(
                    #[inline(always)]
                    || row(options.divergence, z, delta, p, temperature, weight),
                )
            },
        );
        multiply(gradient, false, Matrix::new(delta, rows, vocabulary), head, 1.0, Threads::All);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;
    use serde_json::Value;

    use super::*;
    use crate::distill::{Divergence, distill};

    const DIVERGENCES: [Divergence; 4] = [Divergence::ForwardKl, Divergence::ReverseKl, Divergence::Jsd(0.5), Divergence::Jsd(0.1)];

    /// The definitions, in f64, from states to losses and gradient.
    fn reference(states: States<'_>, divergence: Divergence, temperature: f64) -> (Vec<f64>, Vec<f64>) {
        let rows =
            |t: &Tensor| t.to_vec2::<f32>().unwrap().into_iter().map(|r| r.into_iter().map(f64::from).collect()).collect::<Vec<Vec<f64>>>();
        let (teacher, student, head) = (rows(states.teacher), rows(states.student), rows(states.head));
        let weights = states.weights.to_vec1::<f32>().unwrap();
        let logs = |h: &[f64]| {
            let z: Vec<f64> = head.iter().map(|w| h.iter().zip(w).map(|(a, b)| a * b).sum::<f64>() / temperature).collect();
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
                    let d = both().map(|(&p, &q)| (1.0 - beta) * q.exp() * (q - m(p, q) - along)).collect();
                    (beta * first + (1.0 - beta) * along, d)
                }
                _ => (both().map(|(p, q)| p.exp() * (p - q)).sum(), both().map(|(p, q)| q.exp() - p.exp()).collect()),
            };
            losses.push(loss);
            let scale = f64::from(w) / temperature;
            gradient.extend((0..t.len()).map(|c| scale * d.iter().zip(&head).map(|(d, w)| d * w[c]).sum::<f64>()));
        }
        (losses, gradient)
    }

    struct Case {
        teacher: Tensor,
        student: Tensor,
        head: Tensor,
        weights: Tensor,
    }

    impl Case {
        /// Random states of this spread, and a student that differs from the teacher by noise of this size.
        fn random(tokens: usize, hidden: usize, vocabulary: usize, spread: f32, noise: f32) -> Self {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let mut draw = |n: usize, size: f32| (0..n).map(|_| rng.random_range(-size..=size)).collect::<Vec<f32>>();
            let teacher = draw(tokens * hidden, spread);
            let student = teacher.iter().zip(draw(tokens * hidden, noise)).map(|(t, n)| t + n).collect();
            let (head, weights) = (draw(vocabulary * hidden, 1.0), draw(tokens, 1.0).iter().map(|w| w.abs()).collect());
            let matrix = |data: Vec<f32>, rows: usize| Tensor::from_vec(data, (rows, hidden), &Device::Cpu).unwrap();
            let weights = Tensor::from_vec::<_, f32>(weights, tokens, &Device::Cpu).unwrap();
            Self { teacher: matrix(teacher, tokens), student: matrix(student, tokens), head: matrix(head, vocabulary), weights }
        }

        fn states(&self) -> States<'_> {
            States { teacher: &self.teacher, student: &self.student, head: &self.head, weights: &self.weights }
        }

        fn run(&self, divergence: Divergence, temperature: f64) -> (Vec<f64>, Vec<f64>) {
            let loss = distill(self.states(), Options { divergence, temperature, ..Options::default() }).unwrap();
            let numbers = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
            (numbers(loss.per_token), numbers(loss.gradient))
        }

        /// Compares with the reference; the error is relative to the largest value.
        fn check(&self, tolerance: f64, what: &str) {
            for divergence in DIVERGENCES {
                for temperature in [0.5, 1.0, 2.0] {
                    let (got, want) = (self.run(divergence, temperature), reference(self.states(), divergence, temperature));
                    assert!(got.0.iter().all(|&loss| loss >= 0.0), "{what} {divergence:?} {temperature}: negative");
                    for (part, got, want) in [("loss", got.0, want.0), ("gradient", got.1, want.1)] {
                        let error = error(&got, &want);
                        assert!(error <= tolerance, "{what} {divergence:?} T {temperature} {part}: {error}");
                    }
                }
            }
        }
    }

    /// The largest difference, relative to the largest value where f32 can hold one.
    fn error(got: &[f64], want: &[f64]) -> f64 {
        assert_eq!(got.len(), want.len());
        let largest = want.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let difference = got.iter().zip(want).fold(0.0, |m: f64, (g, w)| m.max((g - w).abs()));
        if largest < f64::from(f32::MIN_POSITIVE) { difference } else { difference / largest }
    }

    #[test]
    fn the_reference_implementations_values() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/loss");
        let json: Value = serde_json::from_str(&std::fs::read_to_string(dir.join("distill.json")).unwrap()).unwrap();
        let tensors = candle_core::safetensors::load(dir.join("distill.safetensors"), &Device::Cpu).unwrap();
        let numbers = |name: &Value| tensors[name.as_str().unwrap()].flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let mut compared = 0;
        for case in json["cases"].as_array().unwrap() {
            let input = |name: &str| tensors[case["inputs"][name].as_str().unwrap()].clone();
            let inputs = Case { teacher: input("h_t"), student: input("h_s"), head: input("W"), weights: input("w") };
            for (name, expected) in case["losses"].as_object().unwrap() {
                let divergence = match name.as_str() {
                    "forward_kl" => Divergence::ForwardKl,
                    "reverse_kl" => Divergence::ReverseKl,
                    _ => Divergence::Jsd(name.strip_prefix("jsd_").unwrap().parse().unwrap()),
                };
                let got = inputs.run(divergence, case["T"].as_f64().unwrap());
                for (part, got) in [("loss", got.0), ("grad", got.1)] {
                    let error = error(&got, &numbers(&expected["outputs"][part]));
                    // What a plain f32 implementation reaches is the most that is forgiven.
                    let tolerance = expected["plain_float32_error"][part].as_f64().unwrap().max(1e-5);
                    assert!(error <= tolerance, "{} {name} {part}: {error} above {tolerance}", case["case"]);
                    compared += 1;
                }
            }
        }
        assert!(compared >= 100, "only {compared} comparisons");
    }

    #[test]
    fn any_size() {
        for (tokens, hidden, vocabulary) in [(1, 1, 1), (1, 8, 2), (3, 5, 7), (17, 16, 101), (5, 24, 4099)] {
            Case::random(tokens, hidden, vocabulary, 1.0, 1.0).check(2e-5, &format!("{tokens} {hidden} {vocabulary}"));
        }
    }

    #[test]
    fn states_that_are_close_keep_their_digits() {
        Case::random(6, 32, 500, 1.0, 1e-3).check(1e-4, "1e-3 apart");
        Case::random(6, 32, 500, 1.0, 1e-5).check(1e-2, "1e-5 apart: the states themselves have two digits of difference");
    }

    #[test]
    fn logits_that_are_large_or_shifted() {
        Case::random(6, 8, 300, 20.0, 20.0).check(2e-4, "logits of ±160");
        for shift in [20.0, -20.0, 100.0, -100.0] {
            // A column of ones in the head shifts all logits alike.
            let Case { teacher, student, head, weights } = Case::random(4, 8, 300, 1.0, 1.0);
            let wider = |t: &Tensor, value: f32| {
                let column = Tensor::full(value, (t.dim(0).unwrap(), 1), &Device::Cpu).unwrap();
                Tensor::cat(&[t, &column], 1).unwrap()
            };
            let case = Case { teacher: wider(&teacher, 0.0), student: wider(&student, shift), head: wider(&head, 1.0), weights };
            case.check(2e-4, &format!("shifted by {shift}"));
        }
    }

    #[test]
    fn one_token_certain_of_another_word() {
        // Teacher and student each put all on one word, not the same: ±80.
        let teacher = Tensor::new(&[[80f32, -80.0, -80.0]], &Device::Cpu).unwrap();
        let student = Tensor::new(&[[-80f32, 80.0, -80.0]], &Device::Cpu).unwrap();
        let head = Tensor::eye(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        let weights = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        Case { teacher, student, head, weights }.check(1e-5, "±80");
    }

    #[test]
    fn identical_states_have_no_loss_and_no_gradient() {
        let case = Case::random(9, 16, 1000, 5.0, 0.0);
        for divergence in DIVERGENCES {
            let (loss, gradient) = case.run(divergence, 1.0);
            assert!(loss.iter().chain(&gradient).all(|&x| x == 0.0), "{divergence:?}");
        }
    }

    #[test]
    fn weights_of_zero_give_a_gradient_of_zero() {
        let mut case = Case::random(4, 8, 50, 1.0, 1.0);
        case.weights = Tensor::new(&[0f32; 4], &Device::Cpu).unwrap();
        for divergence in DIVERGENCES {
            let (loss, gradient) = case.run(divergence, 1.0);
            assert!(loss.iter().all(|&x| x > 0.0) && gradient.iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn no_tokens_are_no_work() {
        let case = Case::random(0, 8, 50, 1.0, 1.0);
        assert_eq!(case.run(Divergence::ForwardKl, 1.0), (vec![], vec![]));
    }

    #[test]
    fn neither_chunks_nor_threads_change_the_result() {
        let case = Case::random(37, 16, 500, 1.0, 1.0);
        let run = |scratch_bytes: usize, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let loss = pool.install(|| distill(case.states(), Options { scratch_bytes, ..Options::default() })).unwrap();
            (loss.per_token.to_vec1::<f32>().unwrap(), loss.gradient.to_vec2::<f32>().unwrap())
        };
        let whole = run(1 << 30, 1);
        assert_eq!(run(1 << 30, 3), whole);
        let small = run(1, 2);
        for (a, b) in small.0.iter().zip(&whole.0) {
            assert!((a - b).abs() <= 1e-5 * b.abs());
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let case = Case::random(4, 8, 50, 1.0, 1.0);
        let refused = |states: States<'_>, options: Options| distill(states, options).unwrap_err().to_string();
        let one = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        assert!(refused(States { weights: &one, ..case.states() }, Options::default()).contains("for 4 tokens"));
        assert!(refused(States { head: &case.head.t().unwrap(), ..case.states() }, Options::default()).contains("width 50"));
        assert!(refused(case.states(), Options { temperature: 0.0, ..Options::default() }).contains("temperature"));
        for beta in [0.0, 1.0, f64::NAN] {
            assert!(refused(case.states(), Options { divergence: Divergence::Jsd(beta), ..Options::default() }).contains("β"));
        }
        let half = case.head.to_dtype(candle_core::DType::F16).unwrap();
        assert!(refused(States { head: &half, ..case.states() }, Options::default()).contains("F16"));
    }
}
