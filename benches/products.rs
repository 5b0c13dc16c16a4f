//! Products of frozen weights on the processor: `cargo bench --bench products`.
//!
//! The shapes are those of a training step of SmolLM2-135M, 8 sequences of 110 tokens of which 60
//! are answers, and those of its decoding. Each is timed with the weight in f32, in bf16 and in
//! blocks of 4 bits, with products in f32 and, where the processor has fast instructions for it, in
//! bf16. The rounds of all are interleaved, so that a slow moment slows them alike; shown is the
//! median.

use std::time::Instant;

use bake_runtime::bench::{FrozenMatrix, bf16_unit};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor};

const ROUNDS: usize = 15;

/// A product of a weight `[outputs, inputs]`.
struct Shape {
    name: &'static str,
    rows: usize,
    outputs: usize,
    inputs: usize,
    /// Whether the gradient of the input is wanted.
    backward: bool,
}

const fn forward(name: &'static str, rows: usize, outputs: usize, inputs: usize) -> Shape {
    Shape { name, rows, outputs, inputs, backward: false }
}

const fn backward(name: &'static str, rows: usize, outputs: usize, inputs: usize) -> Shape {
    Shape { name, rows, outputs, inputs, backward: true }
}

const SHAPES: [Shape; 18] = [
    forward("query, output", 880, 576, 576),
    forward("key, value", 880, 192, 576),
    forward("gate, up", 880, 1536, 576),
    forward("down", 880, 576, 1536),
    backward("query, output", 880, 576, 576),
    backward("key, value", 880, 192, 576),
    backward("gate, up", 880, 1536, 576),
    backward("down", 880, 576, 1536),
    forward("head", 340, 49_152, 576),
    backward("head", 170, 49_152, 576),
    forward("decoding, gate", 1, 1536, 576),
    forward("decoding, gate", 8, 1536, 576),
    forward("decoding, gate", 64, 1536, 576),
    forward("decoding, down", 1, 576, 1536),
    forward("decoding, down", 8, 576, 1536),
    forward("decoding, down", 64, 576, 1536),
    forward("decoding, head", 1, 49_152, 576),
    forward("decoding, head", 64, 49_152, 576),
];

fn main() -> Result<()> {
    println!("products in bf16 by: {}\n", bf16_unit().unwrap_or("none, so in f32"));
    println!(
        "| product | rows | outputs | inputs | f32 GFLOP/s | f32, weight in bf16 | bf16 | times \
         f32 | f32, Q4_1 | bf16, Q4_1 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for shape in SHAPES {
        let Shape { name, rows, outputs, inputs, backward } = shape;
        let matrix = Tensor::randn(0f32, 0.05, (outputs, inputs), &Device::Cpu)?;
        let blocks = QTensor::quantize(&matrix, GgmlDType::Q4_1)?;
        let dims = [outputs, inputs];
        let blocks = FrozenMatrix::quantised(GgmlDType::Q4_1, &blocks.data()?, dims)?;
        let half = FrozenMatrix::plain(matrix.to_dtype(DType::BF16)?)?;
        let (half_in_bf16, blocks_in_bf16) = (half.in_bf16(), blocks.in_bf16());
        let weights = [FrozenMatrix::plain(matrix)?, half, half_in_bf16, blocks, blocks_in_bf16];
        let mut times = [const { Vec::new() }; 5];
        let x = vec![0.5f32; rows * if backward { outputs } else { inputs }];
        let mut out = vec![0f32; rows * if backward { inputs } else { outputs }];
        for _ in 0..ROUNDS {
            for (weight, times) in weights.iter().zip(&mut times) {
                let start = Instant::now();
                match backward {
                    true => weight.backward(&mut out, &x)?,
                    // Decoding sums row by row.
                    false => weight.forward(&mut out, &x, rows <= 64)?,
                }
                times.push(start.elapsed().as_secs_f64());
            }
        }
        let operations = 2e-9 * (rows * outputs * inputs) as f64;
        let [f32, widened, bf16, blocks, blocks_in_bf16] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            operations / times[ROUNDS / 2]
        });
        let direction = if backward { "dy W" } else { "x Wᵀ" };
        println!(
            "| {name}, {direction} | {rows} | {outputs} | {inputs} | {f32:.0} | {widened:.0} | \
             {bf16:.0} | {:.2} | {blocks:.0} | {blocks_in_bf16:.0} |",
            bf16 / f32
        );
    }
    Ok(())
}
