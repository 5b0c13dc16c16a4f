//! The emulator as a GPU: its memory is the processor's, and its kernels run as fibers.

use std::cell::Cell;
use std::ptr;

use bake_emulator::Order;
use candle_core::{CpuStorage, DType, Result};
use half::{bf16, f16};

use super::{Arg, Factor, GpuLimits, Grid, Launch, MatrixProduct};
use crate::tensor::matrix::{Matrix, Threads};

/// The emulator, as it was asked for on this thread.
#[derive(Clone, Copy)]
pub(crate) struct Emulated {
    limits: GpuLimits,
    order: Order,
}

thread_local! {
    static HERE: Cell<Option<Emulated>> = const { Cell::new(None) };
}

/// The properties of a Hopper GPU, and of one whose blocks are too small for most rows of logits.
pub(crate) const LARGE: GpuLimits = GpuLimits { shared_bytes: 227 << 10, cluster: 8 };
pub(crate) const SMALL: GpuLimits = GpuLimits { shared_bytes: 5 << 10, cluster: 1 };

impl Emulated {
    pub(super) fn here() -> Option<Self> {
        HERE.get()
    }

    pub(super) fn limits(&self) -> GpuLimits {
        self.limits
    }

    /// See [`Gpu::launch`](super::Gpu::launch).
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn launch(&self, launch: Launch<'_>, args: &[Arg]) -> Result<()> {
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
        let emulated = bake_emulator::EmulatedLaunch {
            kernel,
            grid,
            block,
            cluster,
            shared_bytes,
            order: self.order,
        };
        let args: Vec<u64> = args.iter().map(|arg| arg.0).collect();
        // SAFETY: the caller answers for the arguments.
        unsafe { bake_emulator::launch(&emulated, &args) }.map_err(candle_core::Error::msg)
    }
}

/// Runs `f` where the processor's tensors count as an emulated GPU's: on the only thread of a pool,
/// so that work handed to the pool sees the same GPU.
pub(crate) fn emulated<R: Send>(
    limits: GpuLimits,
    order: Order,
    f: impl FnOnce() -> R + Send,
) -> R {
    let emulated = Emulated { limits, order };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .start_handler(move |_| HERE.set(Some(emulated)))
        .build();
    pool.expect("a pool of one thread").install(f)
}

/// The address of the first element. Kernels and products make a pointer of it again, so the
/// provenance of the vector's pointer is exposed.
pub(super) fn address(storage: &CpuStorage) -> Result<Arg> {
    let address = match storage {
        CpuStorage::F32(data) => data.as_ptr().expose_provenance(),
        CpuStorage::BF16(data) => data.as_ptr().expose_provenance(),
        CpuStorage::F16(data) => data.as_ptr().expose_provenance(),
        CpuStorage::U8(data) => data.as_ptr().expose_provenance(),
        CpuStorage::U32(data) => data.as_ptr().expose_provenance(),
        _ => candle_core::bail!("the kernels do not support this type"),
    };
    Ok(Arg(address as u64))
}

/// What cuBLAS does.
///
/// # Safety
/// That of [`Gpu::multiply`](super::Gpu::multiply).
pub(super) unsafe fn multiply(product: MatrixProduct) -> Result<()> {
    let MatrixProduct { a, b, out, rows, inner, columns, scale, add } = product;
    // SAFETY: the caller answers for the factors.
    let (a_data, b_data) = unsafe { (read(a, rows, inner)?, read(b, inner, columns)?) };
    let matrix = |factor: Factor, data, rows, columns| match factor.transposed {
        true => Matrix::strided(data, columns, rows, factor.stride).t(),
        false => Matrix::strided(data, rows, columns, factor.stride),
    };
    let out = ptr::with_exposed_provenance_mut(out.0 as usize);
    // SAFETY: the result has room for all rows, which nothing else touches meanwhile.
    let out: &mut [f32] = unsafe { std::slice::from_raw_parts_mut(out, rows * columns) };
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

/// The elements of a factor in f32, including those between its rows.
///
/// # Safety
/// The factor must have this many rows and columns.
unsafe fn read(factor: Factor, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let (rows, columns) = if factor.transposed { (columns, rows) } else { (rows, columns) };
    let length = if rows == 0 { 0 } else { (rows - 1) * factor.stride + columns };
    let at = factor.data.0 as usize;
    // SAFETY: the caller answers for the memory.
    Ok(unsafe {
        match factor.dtype {
            DType::F32 => elements::<f32>(at, length).to_vec(),
            DType::BF16 => elements::<bf16>(at, length).iter().map(|x| x.to_f32()).collect(),
            DType::F16 => elements::<f16>(at, length).iter().map(|x| x.to_f32()).collect(),
            other => candle_core::bail!("products in {other:?} are not supported"),
        }
    })
}

/// # Safety
/// This many elements must be at the address, and nothing may write them while they are borrowed.
unsafe fn elements<'a, T>(at: usize, length: usize) -> &'a [T] {
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance(at), length) }
}
