//! The emulator as a GPU: its memory is the processor's, and its kernels run as fibers.

use std::cell::Cell;

use bake_emulator::Order;
use candle_core::{CpuStorage, DType, Result};
use half::{bf16, f16};

use super::{Arg, Factor, Grid, Launch, Limits, Product};
use crate::tensor::matrix::{Matrix, Threads};

/// The emulator, as it was asked for on this thread.
#[derive(Clone, Copy)]
pub(crate) struct Emulated {
    limits: Limits,
    order: Order,
}

thread_local! {
    static HERE: Cell<Option<Emulated>> = const { Cell::new(None) };
}

/// What a GPU of Hopper says of itself, and one that rows of logits hardly ever fit.
pub(crate) const LARGE: Limits = Limits { shared_bytes: 227 << 10, cluster: 8 };
pub(crate) const SMALL: Limits = Limits { shared_bytes: 5 << 10, cluster: 1 };

impl Emulated {
    pub(super) fn here() -> Option<Self> {
        HERE.get()
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn launch(&self, launch: Launch<'_>, args: &[Arg]) -> Result<()> {
        let (grid, cluster) = match launch.grid {
            Grid::Blocks(blocks) => (blocks, 1),
            // Two at once, so that each has several tasks.
            Grid::Clusters { blocks, tasks } => (blocks * tasks.min(2), blocks),
        };
        assert!(
            launch.shared_bytes <= LARGE.shared_bytes && cluster <= self.limits.cluster,
            "{launch:?}"
        );
        let Launch { kernel, block, shared_bytes, .. } = launch;
        let emulated =
            bake_emulator::Launch { kernel, grid, block, cluster, shared_bytes, order: self.order };
        let args: Vec<u64> = args.iter().map(|arg| arg.0).collect();
        // SAFETY: who launches a kernel answers for its arguments.
        unsafe { bake_emulator::launch(&emulated, &args) }.map_err(candle_core::Error::msg)
    }
}

/// Runs `f` where the processor's tensors count as an emulated GPU's: on the only thread of a pool,
/// so that work that is handed to the pool sees the same.
pub(crate) fn emulated<R: Send>(limits: Limits, order: Order, f: impl FnOnce() -> R + Send) -> R {
    let emulated = Emulated { limits, order };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .start_handler(move |_| HERE.set(Some(emulated)))
        .build();
    pool.expect("a pool of one thread").install(f)
}

pub(super) fn address(storage: &CpuStorage) -> Result<Arg> {
    let address = match storage {
        CpuStorage::F32(data) => data.as_ptr().addr(),
        CpuStorage::BF16(data) => data.as_ptr().addr(),
        CpuStorage::F16(data) => data.as_ptr().addr(),
        CpuStorage::U8(data) => data.as_ptr().addr(),
        CpuStorage::U32(data) => data.as_ptr().addr(),
        _ => candle_core::bail!("the kernels know no such type"),
    };
    Ok(Arg(address as u64))
}

/// What cuBLAS does.
pub(super) fn multiply(product: Product) -> Result<()> {
    let Product { a, b, out, rows, inner, columns, scale, add } = product;
    let (a_data, b_data) = (read(a, rows, inner)?, read(b, inner, columns)?);
    let matrix = |factor: Factor, data, rows, columns| match factor.transposed {
        true => Matrix::strided(data, columns, rows, factor.stride).t(),
        false => Matrix::strided(data, rows, columns, factor.stride),
    };
    // SAFETY: the result has room for all rows, which nothing else touches meanwhile.
    let out = unsafe { std::slice::from_raw_parts_mut(out.0 as *mut f32, rows * columns) };
    crate::tensor::matrix::multiply(
        out,
        add,
        matrix(a, &a_data, rows, inner),
        matrix(b, &b_data, inner, columns),
        scale,
        Threads::One,
    );
    Ok(())
}

/// The elements of a factor in f32, with what lies between its rows.
fn read(factor: Factor, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let (rows, columns) = if factor.transposed { (columns, rows) } else { (rows, columns) };
    let length = if rows == 0 { 0 } else { (rows - 1) * factor.stride + columns };
    let at = factor.data.0;
    // SAFETY: who multiplies matrices answers for their memory.
    Ok(unsafe {
        match factor.dtype {
            DType::F32 => std::slice::from_raw_parts(at as *const f32, length).to_vec(),
            DType::BF16 => std::slice::from_raw_parts(at as *const bf16, length)
                .iter()
                .map(|x| x.to_f32())
                .collect(),
            DType::F16 => std::slice::from_raw_parts(at as *const f16, length)
                .iter()
                .map(|x| x.to_f32())
                .collect(),
            other => candle_core::bail!("no product in {other:?}"),
        }
    })
}
