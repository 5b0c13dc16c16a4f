//! The loss on the processor: chunks of tokens, three matrix products each, and one parallel pass
//! over the rows.

use candle_core::{DType, Result, Tensor};
use half::bf16;
use rayon::prelude::*;

use crate::distill::divergence::row;
use crate::distill::{Compared, Loss, Options};
use crate::tensor::elementary::vectorised;
use crate::tensor::matrix::{Matrix, Sums};
use crate::tensor::slices::with_slices;
use crate::tensor::weight::Weight;

/// Bytes of the two buffers of logits, unless the caller sets another size.
const SCRATCH_BYTES: usize = 64 << 20;

pub(super) fn distill(states: Compared<'_>, options: Options) -> Result<Loss> {
    let (tokens, hidden) = states.teacher.dims2()?;
    let (mut per_token, mut gradient) = (vec![0f32; tokens], vec![0f32; tokens * hidden]);
    let [teacher, student, weights] = [states.teacher, states.student, states.weights]
        .map(|t| t.to_dtype(DType::F32)?.contiguous());
    let masked = states.masked.map(|masked| masked.to_vec1::<u8>()).transpose()?;
    with_slices([&teacher?, &student?, &weights?], |inputs| {
        chunks(inputs, states.head, masked.as_deref(), options, &mut per_token, &mut gradient)
    })??;
    let device = states.student.device();
    let gradient =
        Tensor::from_vec(gradient, (tokens, hidden), device)?.to_dtype(states.student.dtype())?;
    Ok(Loss { per_token: Tensor::from_vec(per_token, tokens, device)?, gradient })
}

/// Tokens whose logits are there at once.
fn rows_together(options: Options, tokens: usize, vocabulary: usize) -> usize {
    let scratch = options.scratch_bytes.unwrap_or(SCRATCH_BYTES);
    (scratch / (2 * size_of::<f32>() * vocabulary)).clamp(1, tokens.max(1))
}

/// The memory that the loss takes under a head of this many rows and columns, its gradient
/// included.
pub(super) fn bytes(
    options: Options,
    tokens: usize,
    (vocabulary, hidden): (usize, usize),
) -> usize {
    let rows = rows_together(options, tokens, vocabulary);
    // Logits and operands of both, and a row of each thread.
    let scratch = 2 * rows * (vocabulary + hidden) + rayon::current_num_threads() * vocabulary;
    (scratch + tokens * hidden) * size_of::<f32>()
}

fn chunks(
    [teacher, student, weights]: [&[f32]; 3],
    head: &Weight,
    masked: Option<&[u8]>,
    options: Options,
    per_token: &mut [f32],
    gradient: &mut [f32],
) -> Result<()> {
    let (vocabulary, hidden) = head.dims();
    let rows = rows_together(options, weights.len(), vocabulary);
    // One product of the teacher's states and the differences, one below the other, reads the head
    // once.
    let mut operands = Vec::with_capacity(2 * rows * hidden);
    let mut logits = vec![0f32; 2 * rows * vocabulary];
    let temperature = options.temperature as f32;
    let outputs = per_token.chunks_mut(rows).zip(gradient.chunks_mut(rows * hidden));
    let inputs =
        teacher.chunks(rows * hidden).zip(student.chunks(rows * hidden)).zip(weights.chunks(rows));
    for ((losses, gradient), ((teacher, student), weights)) in outputs.zip(inputs) {
        let rows = weights.len();
        operands.clear();
        operands.extend_from_slice(teacher);
        operands.extend(student.iter().zip(teacher).map(|(s, t)| s - t));
        let logits = &mut logits[..2 * rows * vocabulary];
        head.forward(Sums::Fastest, logits, false, Matrix::new(&operands, 2 * rows, hidden))?;
        let (z, delta) = logits.split_at_mut(rows * vocabulary);
        if head.unit().is_some() {
            // What rounding has taken from the differences: so the products keep 16 of their
            // digits, and the loss those that it has close to zero.
            let differences = &mut operands[rows * hidden..];
            differences.iter_mut().for_each(|d| *d -= bf16::from_f32(*d).to_f32());
            head.forward(Sums::Fastest, delta, true, Matrix::new(differences, rows, hidden))?;
        }
        z.par_chunks_mut(vocabulary)
            .zip(delta.par_chunks_mut(vocabulary))
            .zip(weights)
            .zip(losses)
            .for_each_init(
                || vec![0f32; vocabulary],
                |e, (((z, delta), &weight), loss)| {
                    if let Some(masked) = masked {
                        rule_out(masked, z, delta);
                    }
                    *loss = vectorised(
                        #[inline(always)]
                        || row(options.divergence, z, delta, e, temperature, weight),
                    )
                },
            );
        head.backward(gradient, false, Matrix::new(delta, rows, vocabulary))?;
    }
    Ok(())
}

/// Removes masked columns from a row. Their difference becomes that of a real token, so that it
/// does not count as a large one.
fn rule_out(masked: &[u8], z: &mut [f32], delta: &mut [f32]) {
    let Some(word) = masked.iter().position(|&masked| masked == 0) else { return };
    let difference = delta[word];
    for ((z, delta), &masked) in z.iter_mut().zip(delta).zip(masked) {
        if masked != 0 {
            (*z, *delta) = (f32::NEG_INFINITY, difference);
        }
    }
}
