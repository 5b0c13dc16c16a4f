//! What the processor's kernels share: slices from tensors, tensors from vectors, and work in
//! parallel.

use candle_core::{Layout, Result, Shape, Storage, Tensor, WithDType};
use rayon::prelude::*;

/// Runs the body with `$T` as the type of the tensor's elements: `f32`, or `f64` where tests
/// compare with finite differences.
macro_rules! in_real {
    ($tensor:expr, $T:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("the processor computes in f32, not in {other:?}"),
        }
    };
}
pub(crate) use in_real;

/// Runs `f` on the elements of a contiguous tensor on the processor.
pub(crate) fn with_slice<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    Ok(f(slice(&storage, layout)?))
}

/// Runs `f` on the elements of contiguous tensors on the processor.
pub(crate) fn with_slices<T: WithDType, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[T]; N]) -> R,
) -> Result<R> {
    let storages = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[T]; N] = [&[]; N];
    for (slot, (storage, layout)) in slices.iter_mut().zip(&storages) {
        *slot = slice(storage, layout)?;
    }
    Ok(f(slices))
}

fn slice<'a, T: WithDType>(storage: &'a Storage, layout: &Layout) -> Result<&'a [T]> {
    let Storage::Cpu(storage) = storage else {
        candle_core::bail!("expected a tensor on the processor")
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => {
            candle_core::bail!("expected a contiguous tensor, got strides {:?}", layout.stride())
        }
    }
}

/// A tensor on the processor.
pub(crate) fn tensor<T: WithDType>(data: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(data, shape.into(), &candle_core::Device::Cpu)
}

/// Runs `f` on one of the threads that share the processor's work. There, work that is shared needs
/// no system call unless others sleep; a thread from outside sleeps until each piece is done.
pub(crate) fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}

/// The fewest elements that are worth a thread.
const GRAIN: usize = 16_384;

/// Fills rows of `width` elements: `f` gets the number of the first row and some rows. In parallel
/// where there are enough of them.
pub(crate) fn fill_rows<T: Send>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let rows = rows_at_once(width);
    if out.len() <= rows * width {
        return f(0, out);
    }
    out.par_chunks_mut(rows * width).enumerate().for_each(|(i, out)| f(i * rows, out));
}

/// The same for two outputs of the same size.
pub(crate) fn fill_rows2<T: Send>(
    a: &mut [T],
    b: &mut [T],
    width: usize,
    f: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    let rows = rows_at_once(width);
    if a.len() <= rows * width {
        return f(0, a, b);
    }
    let chunks = a.par_chunks_mut(rows * width).zip(b.par_chunks_mut(rows * width));
    chunks.enumerate().for_each(|(i, (a, b))| f(i * rows, a, b));
}

fn rows_at_once(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}

/// Runs tasks that together touch this many elements: in parallel where that is worth it. Each
/// thread has its own scratch.
pub(crate) fn run_tasks<T: Send, S>(
    tasks: Vec<T>,
    elements: usize,
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, T) + Sync + Send,
) {
    if tasks.len() == 1 || elements <= GRAIN {
        let mut scratch = scratch();
        return tasks.into_iter().for_each(|task| f(&mut scratch, task));
    }
    tasks.into_par_iter().for_each_init(scratch, f);
}
