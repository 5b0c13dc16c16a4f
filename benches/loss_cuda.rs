//! The distillation loss on a GPU beside the three matrix products that it cannot do without:
//!
//! ```text
//! cargo bench --features cuda --bench loss_cuda
//! ```
//!
//! Head and states are in bf16, the divergence is forward KL or JSD, and both loss and gradient are
//! computed. For each shape loss and products are timed alternately; medians are printed, with the
//! least time that the products' FLOPs would take at 790 TFLOP/s, what a GPU of Hopper reaches.
//! Extra memory is the most that the loss holds beside its inputs and results. `scripts/gpu-check`
//! runs the peers of `benches/loss_peers.py` after it.

use std::error::Error;
use std::time::Instant;

use bake::Device;
use bake::distill::{Divergence, Loss, Options, States, distill};
use candle_core::cuda_backend::cudarc::driver::sys;
use candle_core::{DType, Result, Tensor};

const ROUNDS: usize = 30;
const TOKENS: [usize; 3] = [1024, 4096, 8192];
const HEADS: [(usize, usize); 3] = [(151_936, 2048), (128_256, 4096), (49_152, 576)];

/// FLOPs a second that products of bf16 reach on an H200.
const REACHED: f64 = 790e12;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let device = Device::Cuda(0).open()?;
    println!(
        "| tokens | vocabulary | width | divergence | loss and gradient | the three products | \
         ratio | at 790 TFLOP/s | extra memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (vocabulary, hidden) in HEADS {
        let head =
            Tensor::randn(0f32, 0.02, (vocabulary, hidden), &device)?.to_dtype(DType::BF16)?;
        for tokens in TOKENS {
            let teacher = Tensor::randn(0f32, 1.0, (tokens, hidden), &device)?;
            let student = (&teacher + Tensor::randn(0f32, 0.1, (tokens, hidden), &device)?)?
                .to_dtype(DType::BF16)?;
            let teacher = teacher.to_dtype(DType::BF16)?;
            let weights = Tensor::ones(tokens, DType::F32, &device)?;
            let states = States {
                teacher: &teacher,
                student: &student,
                head: &head,
                weights: &weights,
                masked: None,
            };
            for divergence in [Divergence::ForwardKl, Divergence::Jsd(0.5)] {
                let options = Options { divergence, ..Options::default() };
                let loss = || Ok::<_, Box<dyn Error>>(distill(states, options)?);
                let extra = extra_memory(&device, || loss().map(drop))?;
                let Loss { per_token, gradient } = loss()?;
                let results = per_token.elem_count() * 4 + gradient.elem_count() * 2;
                let (mut ours, mut bare) = (Vec::new(), Vec::new());
                for _ in 0..ROUNDS {
                    ours.push(timed(&device, || loss().map(drop))?);
                    bare.push(timed(&device, || {
                        Ok(products(&teacher, &student, &head).map(drop)?)
                    })?);
                }
                let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
                let floor = 6.0 * (tokens * vocabulary * hidden) as f64 / REACHED * 1e3;
                println!(
                    "| {tokens} | {vocabulary} | {hidden} | {divergence:?} | {:.2} ms | {:.2} ms | \
                     {:.2} | {floor:.2} ms | {} MiB |",
                    median(ours),
                    median(bare),
                    median(ratios),
                    extra.saturating_sub(results) >> 20
                );
            }
        }
    }
    Ok(())
}

/// Two products for the logits and one for the gradient, in parts that fit beside each other.
fn products(teacher: &Tensor, student: &Tensor, head: &Tensor) -> Result<()> {
    let tokens = teacher.dim(0)?;
    for first in (0..tokens).step_by(1024) {
        let rows = 1024.min(tokens - first);
        let z = teacher.narrow(0, first, rows)?.matmul(&head.t()?)?;
        student.narrow(0, first, rows)?.matmul(&head.t()?)?;
        z.matmul(head)?;
    }
    Ok(())
}

fn timed(
    device: &candle_core::Device,
    work: impl FnOnce() -> std::result::Result<(), Box<dyn Error>>,
) -> std::result::Result<f64, Box<dyn Error>> {
    device.synchronize()?;
    let start = Instant::now();
    work()?;
    device.synchronize()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// The most bytes that were in use while this ran, beyond those before it.
fn extra_memory(
    device: &candle_core::Device,
    work: impl FnOnce() -> std::result::Result<(), Box<dyn Error>>,
) -> std::result::Result<usize, Box<dyn Error>> {
    device.synchronize()?;
    let (mut pool, mut before, mut most, mut zero) = (std::ptr::null_mut(), 0u64, 0u64, 0u64);
    // SAFETY: the device is open, and each number is what the attribute is read into.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, 0).result()?;
        sys::cuMemPoolGetAttribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT,
            (&raw mut before).cast(),
        )
        .result()?;
        sys::cuMemPoolSetAttribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
            (&raw mut zero).cast(),
        )
        .result()?;
    }
    work()?;
    device.synchronize()?;
    // SAFETY: as above.
    unsafe {
        sys::cuMemPoolGetAttribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
            (&raw mut most).cast(),
        )
        .result()?;
    }
    Ok(most.saturating_sub(before) as usize)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
