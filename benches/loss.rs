//! The distillation loss beside the three matrix products that it cannot do without: `cargo bench
//! --bench loss`.
//!
//! For each shape the two are timed alternately, and the median of their ratios is printed: 1.0
//! would be a loss at no cost. The share of the products in its time is what is left of that.

use std::time::Instant;

use bake::distill::{Divergence, Options, States, distill};
use candle_core::{DType, Device, Result, Tensor};

const ROUNDS: usize = 15;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    println!(
        "| tokens | vocabulary | width | head | divergence | loss and gradient | the three \
         products | ratio | share of the products |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let shapes = [
        (512, 4096, 256, DType::F32),
        (256, 32_000, 576, DType::F32),
        (256, 32_000, 576, DType::BF16),
        (64, 151_936, 1024, DType::F32),
    ];
    for (tokens, vocabulary, hidden, dtype) in shapes {
        let teacher = Tensor::randn(0f32, 1.0, (tokens, hidden), &Device::Cpu)?;
        let student = (&teacher + Tensor::randn(0f32, 0.1, (tokens, hidden), &Device::Cpu)?)?;
        let wide = Tensor::randn(0f32, 0.05, (vocabulary, hidden), &Device::Cpu)?;
        let head = wide.to_dtype(dtype)?;
        let weights = Tensor::ones(tokens, DType::F32, &Device::Cpu)?;
        let states = States {
            teacher: &teacher,
            student: &student,
            head: &head,
            weights: &weights,
            masked: None,
        };
        for divergence in [Divergence::ForwardKl, Divergence::ReverseKl, Divergence::Jsd(0.5)] {
            let options = Options { divergence, ..Options::default() };
            let (mut ours, mut bare) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let start = Instant::now();
                distill(states, options)?;
                ours.push(start.elapsed().as_secs_f64() * 1e3);
                let start = Instant::now();
                products(&teacher, &student, &wide)?;
                bare.push(start.elapsed().as_secs_f64() * 1e3);
            }
            let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
            let (ours, bare, ratio) = (median(ours), median(bare), median(ratios));
            let share = 100.0 / ratio.max(1.0);
            println!(
                "| {tokens} | {vocabulary} | {hidden} | {} | {divergence:?} | {ours:.1} ms | \
                 {bare:.1} ms | {ratio:.2} | {share:.0} % |",
                dtype.as_str()
            );
        }
    }
    Ok(())
}

/// Two products for the logits and one for the gradient.
fn products(teacher: &Tensor, student: &Tensor, head: &Tensor) -> Result<Tensor> {
    let z = teacher.matmul(&head.t()?)?;
    student.matmul(&head.t()?)?;
    z.matmul(head)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
