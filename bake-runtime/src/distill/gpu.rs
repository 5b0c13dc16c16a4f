//! The loss on a GPU: products by the vendor's library, and the kernels of `kernels/loss.cu` around
//! them.
//!
//! For each chunk of tokens one product `[h_t; h_s − h_t] Wᵀ` gives z and Δ, one kernel turns Δ
//! into the gradient with respect to the logits, in the type of the head, and a second product
//! takes that to the states. The rows of a chunk are processed alongside the products of the chunks
//! before and after it, so there are two buffers of logits.

use candle_core::{DType, Device, Result, Tensor};

use crate::device::gpu::{
    Arg, Factor, Gpu, GpuLimits, Grid, Lane, Launch, MatrixProduct, address, each, fits, unwritten,
};
use crate::distill::{Compared, Divergence, Loss, Options};

/// Bytes of all buffers, unless the caller sets another size.
const SCRATCH_BYTES: usize = 1 << 30;

/// The most memory that the loss takes under a head of this many rows and columns: logits and
/// differences in f32, and the gradient.
pub(super) fn bytes(
    options: Options,
    tokens: usize,
    (vocabulary, hidden): (usize, usize),
) -> usize {
    let all = 2 * size_of::<f32>() * tokens * vocabulary;
    let scratch = options.scratch_bytes.unwrap_or(SCRATCH_BYTES).min(all);
    scratch + tokens * hidden * size_of::<f32>()
}

/// Rows that fill the tiles of a product.
const TILE: usize = 128;

/// As in `kernels/loss.cu`: the most threads of a block that works on rows, and its shared memory
/// for sums.
const ROW_THREADS: usize = 512;
const JOINING_BYTES: usize = 6 * 33 * 24;

/// Shared memory of a block where two blocks fit on a multiprocessor at once: one computes while
/// the other waits for memory.
const HALF_SHARED_BYTES: usize = 110 << 10;

/// Threads of a block that makes one row of operands, and its shared memory for the largest number.
const OPERAND_THREADS: usize = 256;
const LARGEST_BYTES: usize = 33 * 8;

/// f16 has few exponents, so the gradients of logits are multiplied by this before they are
/// rounded: |q − p| ≤ 1, and (1 − β) q |ln(q / m) − …| is not far above it; but q |ln(q / p) − KL|
/// grows with the distance of the logits, and is cut at 512.
const F16_SCALE: f32 = 8192.0;
const F16_SCALE_REVERSE: f32 = 128.0;

pub(super) fn distill(gpu: &Gpu, states: Compared<'_>, options: Options) -> Result<Loss> {
    let (tokens, hidden) = states.student.dims2()?;
    let device = states.student.device();
    // SAFETY: each chunk writes the losses and gradients of its tokens.
    let (per_token, gradient) = unsafe {
        let gradient = unwritten((tokens, hidden), states.student.dtype(), device)?;
        (unwritten(tokens, DType::F32, device)?, gradient)
    };
    if tokens > 0 {
        let [teacher, student, weights] =
            [states.teacher, states.student, states.weights].map(Tensor::contiguous);
        let (teacher, student, weights) = (teacher?, student?, weights?);
        let head = states.head.plain()?;
        let masked = states.masked.map(Tensor::contiguous).transpose()?;
        let work = Work {
            gpu,
            options,
            rows_launch: RowsLaunch::new(gpu.limits()?, head.dim(0)?),
            head,
            masked: masked.as_ref().map_or(Ok(Arg::NULL), address)?,
            states: states.student.dtype(),
        };
        work.run([&teacher, &student, &weights], &per_token, &gradient)?;
    }
    Ok(Loss { per_token, gradient })
}

/// How many tokens a chunk can have for all buffers to fit into the scratch, and how many buffers
/// of logits there are.
fn plan(
    tokens: usize,
    vocabulary: usize,
    hidden: usize,
    head: DType,
    scratch: usize,
) -> (usize, usize) {
    let logits = 2 * vocabulary * size_of::<f32>();
    let operands = 2 * hidden * head.size_in_bytes() + 2 * size_of::<f32>();
    let product = hidden * size_of::<f32>();
    let most = |buffers: usize| scratch / (buffers * (logits + operands) + product);
    if tokens <= most(1) {
        return (tokens, 1);
    }
    let most = match most(2).clamp(1, tokens) {
        rows if rows >= TILE => rows / TILE * TILE,
        rows => rows,
    };
    // Chunks of about the same size, in whole tiles where that does not make them too large.
    let even = tokens.div_ceil(tokens.div_ceil(most));
    (even.next_multiple_of(TILE).min(most), 2)
}

/// The kernel for rows of one length on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RowsLaunch {
    /// Blocks that share a row, where it fits their shared memory.
    staged: Option<usize>,
    threads: usize,
    shared_bytes: usize,
}

impl RowsLaunch {
    fn new(limits: GpuLimits, vocabulary: usize) -> Self {
        let bytes = |blocks: usize| {
            JOINING_BYTES + vocabulary.div_ceil(4).div_ceil(blocks) * 4 * 2 * size_of::<f32>()
        };
        let sizes = || [1, 2, 4, 8].into_iter().filter(|&blocks| blocks <= limits.cluster);
        // A thread takes four neighbours at a time.
        let threads =
            |blocks: usize| vocabulary.div_ceil(4 * blocks).next_multiple_of(32).min(ROW_THREADS);
        let fitting = |most: usize| sizes().find(|&blocks| bytes(blocks) <= most);
        match fitting(HALF_SHARED_BYTES.min(limits.shared_bytes))
            .or_else(|| fitting(limits.shared_bytes))
        {
            Some(blocks) => {
                Self { staged: Some(blocks), threads: threads(blocks), shared_bytes: bytes(blocks) }
            }
            None => Self { staged: None, threads: threads(1), shared_bytes: JOINING_BYTES },
        }
    }
}

/// What all chunks share.
struct Work<'a> {
    gpu: &'a Gpu,
    options: Options,
    rows_launch: RowsLaunch,
    head: &'a Tensor,
    masked: Arg,
    /// The type of the states.
    states: DType,
}

/// The buffers of a chunk: operands `[2 rows, hidden]` in the type of the head, their scales
/// `[2 rows]`, and the two matrices of logits.
struct Buffers {
    operands: Tensor,
    scales: Tensor,
    logits: Tensor,
}

impl Buffers {
    fn new(
        rows: usize,
        hidden: usize,
        vocabulary: usize,
        head: DType,
        device: &Device,
    ) -> Result<Self> {
        // SAFETY: each chunk writes the rows that it reads.
        Ok(unsafe {
            Self {
                operands: unwritten((2 * rows, hidden), head, device)?,
                scales: unwritten(2 * rows, DType::F32, device)?,
                logits: unwritten((2 * rows, vocabulary), DType::F32, device)?,
            }
        })
    }
}

/// Where the product of a chunk goes before it is rounded. Products are in f32, so a gradient in
/// f32 is its own product.
fn product_buffer(
    rows: usize,
    hidden: usize,
    gradient: DType,
    device: &Device,
) -> Result<Option<Tensor>> {
    match gradient {
        DType::F32 => Ok(None),
        // SAFETY: the product writes everything that is read from it.
        _ => unsafe { unwritten((rows, hidden), DType::F32, device).map(Some) },
    }
}

impl Work<'_> {
    fn run(
        &self,
        [teacher, student, weights]: [&Tensor; 3],
        per_token: &Tensor,
        gradient: &Tensor,
    ) -> Result<()> {
        let ((tokens, hidden), (vocabulary, _), device) =
            (student.dims2()?, self.head.dims2()?, student.device());
        let scratch = self.options.scratch_bytes.unwrap_or(SCRATCH_BYTES);
        let (most, count) = plan(tokens, vocabulary, hidden, self.head.dtype(), scratch);
        let buffers = (0..count)
            .map(|_| Buffers::new(most, hidden, vocabulary, self.head.dtype(), device))
            .collect::<Result<Vec<_>>>()?;
        let product = product_buffer(most, hidden, gradient.dtype(), device)?;
        let at = |tensor: &Tensor, row: usize, width: usize| {
            Ok::<_, candle_core::Error>(address(tensor)?.offset(row * width, tensor.dtype()))
        };
        let begin = |chunk: usize| {
            let (first, buffers) = (chunk * most, &buffers[chunk % count]);
            let rows = most.min(tokens - first);
            self.logits(
                buffers,
                [at(teacher, first, hidden)?, at(student, first, hidden)?],
                rows,
                hidden,
            )
        };
        let rows = |chunk: usize| {
            let (first, buffers) = (chunk * most, &buffers[chunk % count]);
            self.gpu.wait(Lane::Side, Lane::Main)?;
            self.rows(buffers, at(per_token, first, 1)?, most.min(tokens - first), vocabulary)
        };
        let finish = |chunk: usize| {
            let (first, buffers) = (chunk * most, &buffers[chunk % count]);
            let out = at(gradient, first, hidden)?;
            let product = product.as_ref().map_or(Ok(out), address)?;
            self.finish(
                buffers,
                product,
                at(weights, first, 1)?,
                out,
                most.min(tokens - first),
                hidden,
            )
        };
        let chunks = tokens.div_ceil(most);
        let all = || {
            begin(0)?;
            rows(0)?;
            for chunk in 0..chunks {
                if chunk + 1 < chunks {
                    begin(chunk + 1)?;
                }
                // The rows of this chunk are done before its last product, and those of the next
                // run alongside it.
                self.gpu.wait(Lane::Main, Lane::Side)?;
                if chunk + 1 < chunks {
                    rows(chunk + 1)?;
                }
                finish(chunk)?;
            }
            Ok(())
        };
        // The buffers are freed in the main lane: after an error the other lane may still be
        // working on them.
        all().or_else(|error| self.gpu.wait(Lane::Main, Lane::Side).and(Err(error)))
    }

    /// z and Δ of a chunk.
    fn logits(
        &self,
        buffers: &Buffers,
        [teacher, student]: [Arg; 2],
        rows: usize,
        hidden: usize,
    ) -> Result<()> {
        let kernel =
            format!("loss_operands_{}_{}", suffix(self.states)?, suffix(self.head.dtype())?);
        let launch = Launch {
            kernel: &kernel,
            grid: Grid::Blocks(2 * rows),
            block: OPERAND_THREADS,
            shared_bytes: LARGEST_BYTES,
            lane: Lane::Main,
        };
        let scaled = usize::from(self.head.dtype() == DType::F16);
        let (operands, scales) = (address(&buffers.operands)?, address(&buffers.scales)?);
        let args = [teacher, student, operands, scales, rows.into(), hidden.into(), scaled.into()];
        let product = MatrixProduct {
            a: Factor::new(operands, self.head.dtype(), hidden),
            b: Factor::new(address(self.head)?, self.head.dtype(), hidden).t(),
            out: address(&buffers.logits)?,
            rows: 2 * rows,
            inner: hidden,
            columns: self.head.dim(0)?,
            scale: 1.0,
            add: false,
        };
        // SAFETY: these are the kernel's arguments: so many rows of states in, and twice as many
        // operands out, for which the buffers have room; the product's are these and the head.
        unsafe {
            self.gpu.launch(launch, &args)?;
            self.gpu.multiply(product)
        }
    }

    /// The losses of a chunk, and the gradient with respect to its logits in the place of Δ.
    fn rows(&self, buffers: &Buffers, losses: Arg, rows: usize, vocabulary: usize) -> Result<()> {
        let (name, beta) = match self.options.divergence {
            Divergence::ReverseKl => ("reverse", 0.0),
            Divergence::Jsd(beta) => ("jsd", beta as f32),
            _ => ("forward", 0.0),
        };
        let RowsLaunch { staged, threads, shared_bytes } = self.rows_launch;
        let (path, grid) = match staged {
            Some(blocks) => ("staged", Grid::Clusters { blocks, tasks: rows }),
            None => ("streamed", Grid::Blocks(rows)),
        };
        let kernel = format!("loss_rows_{name}_{}_{path}", suffix(self.head.dtype())?);
        let z = address(&buffers.logits)?;
        let args = [
            z,
            z.offset(rows * vocabulary, DType::F32),
            address(&buffers.scales)?,
            self.masked,
            losses,
            fits(rows)?.into(),
            fits(vocabulary)?.into(),
            ((1.0 / self.options.temperature) as f32).into(),
            beta.into(),
            self.out_scale().into(),
        ];
        let launch =
            Launch { kernel: &kernel, grid, block: threads, shared_bytes, lane: Lane::Side };
        // SAFETY: these are the kernel's arguments: rows of logits, which a product has written and
        // the side lane has waited for, their scales, and a loss for each.
        unsafe { self.gpu.launch(launch, &args) }
    }

    /// The gradient with respect to the states of a chunk.
    fn finish(
        &self,
        buffers: &Buffers,
        product: Arg,
        weights: Arg,
        gradient: Arg,
        rows: usize,
        hidden: usize,
    ) -> Result<()> {
        let (vocabulary, dtype) = (self.head.dim(0)?, self.head.dtype());
        // The gradient of a logit lies in the first bytes of the place that Δ had.
        let stride = vocabulary * size_of::<f32>() / dtype.size_in_bytes();
        let to_states = MatrixProduct {
            a: Factor::new(
                address(&buffers.logits)?.offset(rows * vocabulary, DType::F32),
                dtype,
                stride,
            ),
            b: Factor::new(address(self.head)?, dtype, hidden),
            out: product,
            rows,
            inner: vocabulary,
            columns: hidden,
            scale: 1.0,
            add: false,
        };
        let kernel = format!("loss_finish_{}", suffix(self.states)?);
        let scale = (1.0 / (self.options.temperature * f64::from(self.out_scale()))) as f32;
        let args =
            [product, weights, gradient, fits(rows)?.into(), fits(hidden)?.into(), scale.into()];
        // SAFETY: the main lane has waited for the gradients of these rows of logits; `product` and
        // `gradient` have room for as many rows of states, and there is a weight for each.
        unsafe {
            self.gpu.multiply(to_states)?;
            self.gpu.launch(each(&kernel, rows * hidden), &args)
        }
    }

    fn out_scale(&self) -> f32 {
        match (self.head.dtype(), self.options.divergence) {
            (DType::F16, Divergence::ReverseKl) => F16_SCALE_REVERSE,
            (DType::F16, _) => F16_SCALE,
            _ => 1.0,
        }
    }
}

fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        DType::F16 => Ok("f16"),
        other => candle_core::bail!("the kernels do not support {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::gpu::emulated::{LARGE, SMALL};

    #[test]
    fn buffers_fit_the_scratch() {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        for (tokens, vocabulary, hidden) in
            [(1, 4099, 64), (4096, 15_193, 204), (8192, 12_825, 409), (300, 7, 5)]
        {
            for scratch in [1 << 20, 5 << 20, 50 << 20] {
                let (rows, count) = plan(tokens, vocabulary, hidden, DType::BF16, scratch);
                let mut taken = product_buffer(rows, hidden, DType::BF16, &Device::Cpu)
                    .unwrap()
                    .map_or(0, |product| bytes(&product));
                for _ in 0..count {
                    let Buffers { operands, scales, logits } =
                        Buffers::new(rows, hidden, vocabulary, DType::BF16, &Device::Cpu).unwrap();
                    taken += bytes(&operands) + bytes(&scales) + bytes(&logits);
                }
                let what = format!("{tokens} {vocabulary} {hidden} {scratch}: {rows} {taken}");
                // One row is always processed, however long it is; otherwise the scratch size is
                // respected.
                assert!(taken <= scratch || rows == 1, "{what}");
                assert!(rows == tokens || rows == 1 || taken >= scratch / 4, "{what}");
                assert!((1..=tokens).contains(&rows) && (count == 2 || rows == tokens), "{what}");
            }
        }
        // Chunks are whole tiles of a product.
        assert_eq!(plan(4096, 151_936, 2048, DType::BF16, SCRATCH_BYTES), (384, 2));
    }

    #[test]
    fn rows_are_staged_where_they_fit() {
        let staged = |vocabulary| RowsLaunch::new(LARGE, vocabulary).staged;
        assert_eq!(
            [1, 4096, 49_152, 151_936, 227_000, 262_144].map(staged),
            [Some(1), Some(1), Some(4), Some(8), Some(8), None]
        );
        assert_eq!(RowsLaunch::new(SMALL, 4096).staged, None);
    }
}
