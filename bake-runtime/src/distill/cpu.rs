//! The loss on the processor: chunks of tokens, three matrix products each, and one parallel pass
//! over the rows.

use candle_core::{DType, Result, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::distill::divergence::row;
use crate::distill::{Loss, Options, States};
use crate::tensor::elementary::vectorised;
use crate::tensor::matrix::{Matrix, Threads, multiply_into};
use crate::tensor::slices::with_slices;

/// Bytes of the two buffers of logits, unless the caller sets another size.
const SCRATCH_BYTES: usize = 64 << 20;

/// Rows of a head in 16 bits that are widened together: few enough for the caches.
const BLOCK_BYTES: usize = 4 << 20;

pub(super) fn distill(states: States<'_>, options: Options) -> Result<Loss> {
    let (tokens, hidden) = states.teacher.dims2()?;
    let (mut per_token, mut gradient) = (vec![0f32; tokens], vec![0f32; tokens * hidden]);
    let [teacher, student, weights] = [states.teacher, states.student, states.weights]
        .map(|t| t.to_dtype(DType::F32)?.contiguous());
    let head = states.head.contiguous()?;
    let masked = states.masked.map(|masked| masked.to_vec1::<u8>()).transpose()?;
    with_slices([&teacher?, &student?, &weights?], |inputs| {
        let mut chunks = |head: Head<'_>| {
            chunks(inputs, head, masked.as_deref(), options, &mut per_token, &mut gradient)
        };
        match head.dtype() {
            DType::F32 => with_slices([&head], |[head]| chunks(Head::F32(head))),
            DType::BF16 => with_slices([&head], |[head]| chunks(Head::Bf16(head))),
            DType::F16 => with_slices([&head], |[head]| chunks(Head::F16(head))),
            other => candle_core::bail!("a head in {other:?} is not supported"),
        }
    })??;
    let device = states.student.device();
    let gradient =
        Tensor::from_vec(gradient, (tokens, hidden), device)?.to_dtype(states.student.dtype())?;
    Ok(Loss { per_token: Tensor::from_vec(per_token, tokens, device)?, gradient })
}

/// The head's numbers. Those of 16 bits are widened block by block.
#[derive(Clone, Copy)]
enum Head<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    F16(&'a [f16]),
}

impl Head<'_> {
    fn len(self) -> usize {
        match self {
            Self::F32(head) => head.len(),
            Self::Bf16(head) => head.len(),
            Self::F16(head) => head.len(),
        }
    }

    /// Calls `f` with the number of its first row and some rows `[rows, hidden]`, until all rows
    /// have come.
    fn blocks(self, hidden: usize, mut f: impl FnMut(usize, Matrix<'_, f32>)) {
        fn widened<T: Copy + Into<f32> + Sync>(
            head: &[T],
            hidden: usize,
            f: &mut impl FnMut(usize, Matrix<'_, f32>),
        ) {
            let rows = (BLOCK_BYTES / (size_of::<f32>() * hidden)).max(1);
            let mut wide = Vec::new();
            for (i, block) in head.chunks(rows * hidden).enumerate() {
                wide.clear();
                wide.par_extend(block.par_iter().with_min_len(1 << 14).map(|&x| x.into()));
                f(i * rows, Matrix::new(&wide, block.len() / hidden, hidden));
            }
        }
        match self {
            Self::F32(head) => f(0, Matrix::new(head, head.len() / hidden, hidden)),
            Self::Bf16(head) => widened(head, hidden, &mut f),
            Self::F16(head) => widened(head, hidden, &mut f),
        }
    }
}

fn chunks(
    [teacher, student, weights]: [&[f32]; 3],
    head: Head<'_>,
    masked: Option<&[u8]>,
    options: Options,
    per_token: &mut [f32],
    gradient: &mut [f32],
) {
    let hidden = if weights.is_empty() { return } else { teacher.len() / weights.len() };
    let vocabulary = head.len() / hidden;
    let scratch = options.scratch_bytes.unwrap_or(SCRATCH_BYTES);
    let rows = (scratch / (2 * size_of::<f32>() * vocabulary)).clamp(1, weights.len());
    let (mut logits, mut deltas, mut differences) =
        (vec![0f32; rows * vocabulary], vec![0f32; rows * vocabulary], Vec::new());
    let temperature = options.temperature as f32;
    let outputs = per_token.chunks_mut(rows).zip(gradient.chunks_mut(rows * hidden));
    let inputs =
        teacher.chunks(rows * hidden).zip(student.chunks(rows * hidden)).zip(weights.chunks(rows));
    for ((losses, gradient), ((teacher, student), weights)) in outputs.zip(inputs) {
        let rows = weights.len();
        let (z, delta) = (&mut logits[..rows * vocabulary], &mut deltas[..rows * vocabulary]);
        differences.clear();
        differences.extend(student.iter().zip(teacher).map(|(s, t)| s - t));
        let (teacher, difference) =
            (Matrix::new(teacher, rows, hidden), Matrix::new(&differences, rows, hidden));
        head.blocks(hidden, |first, block| {
            multiply_into(
                &mut z[first..],
                vocabulary,
                false,
                teacher,
                block.t(),
                1.0,
                Threads::All,
            );
            multiply_into(
                &mut delta[first..],
                vocabulary,
                false,
                difference,
                block.t(),
                1.0,
                Threads::All,
            );
        });
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
        head.blocks(hidden, |first, block| {
            let delta = Matrix::strided(&delta[first..], rows, block.rows(), vocabulary);
            multiply_into(gradient, hidden, first > 0, delta, block, 1.0, Threads::All);
        });
    }
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
