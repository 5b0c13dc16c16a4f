//! A GPU: where the kernels of `bake-runtime/kernels` run, and how tensors become their arguments.
//!
//! What computes on a GPU is written once, against [`Gpu`]. In the tests of this crate that may be
//! the emulator, which runs the same kernels on the processor (`bake-runtime/emulator`): so
//! launches, arguments and the order of the work are tested where there is no GPU.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
pub(crate) mod emulated;

use candle_core::{DType, Device, Result, Storage, Tensor};

/// A GPU that holds tensors.
pub(crate) enum Gpu {
    #[cfg(feature = "cuda")]
    Cuda(cuda::Cuda),
    #[cfg(test)]
    Emulated(emulated::Emulated),
}

/// What the device of a GPU can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GpuLimits {
    /// The most shared memory of a block.
    pub(crate) shared_bytes: usize,
    /// The most blocks that can share theirs.
    pub(crate) cluster: usize,
}

/// The order of work: a lane runs one thing after the other, and lanes run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Where tensors are created and matrices are multiplied.
    Main,
    /// Alongside it.
    Side,
}

/// A launch of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) kernel: &'a str,
    pub(crate) grid: Grid,
    /// Threads of a block.
    pub(crate) block: usize,
    /// Shared memory of a block.
    pub(crate) shared_bytes: usize,
    pub(crate) lane: Lane,
}

/// The blocks of a launch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Grid {
    /// This many.
    Blocks(usize),
    /// Clusters of this many blocks: as many clusters as run at once, and no more than there are
    /// tasks.
    Clusters { blocks: usize, tasks: usize },
}

/// An argument of a kernel, as its bits: the address of memory, or a number of four bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arg(u64);

impl Arg {
    /// No memory.
    pub(crate) const NULL: Self = Self(0);

    /// The address of an element further on.
    pub(crate) fn offset(self, elements: usize, dtype: DType) -> Self {
        Self(self.0 + (elements * dtype.size_in_bytes()) as u64)
    }
}

impl From<f32> for Arg {
    fn from(x: f32) -> Self {
        Self(x.to_bits().into())
    }
}

/// The number of elements or rows. What does not fit the kernels' 32 bits never gets here: see
/// [`fits`].
impl From<usize> for Arg {
    fn from(x: usize) -> Self {
        Self(x as u64)
    }
}

/// A factor of a matrix product: rows that begin `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factor {
    pub(crate) data: Arg,
    pub(crate) dtype: DType,
    pub(crate) stride: usize,
    pub(crate) transposed: bool,
}

impl Factor {
    /// A matrix whose rows lie one after the other.
    pub(crate) fn new(data: Arg, dtype: DType, stride: usize) -> Self {
        Self { data, dtype, stride, transposed: false }
    }

    pub(crate) fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }
}

/// `out = a · b · scale`, or `out += a · b · scale`, where a is `[rows, inner]`, b is
/// `[inner, columns]` and of the same type, and out is in f32 with rows one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatrixProduct {
    pub(crate) a: Factor,
    pub(crate) b: Factor,
    pub(crate) out: Arg,
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) columns: usize,
    pub(crate) scale: f32,
    pub(crate) add: bool,
}

impl Gpu {
    /// The GPU that holds a tensor; none for those on the processor.
    pub(crate) fn of(tensor: &Tensor) -> Option<Self> {
        Self::of_device(tensor.device())
    }

    /// The GPU that a device is.
    pub(crate) fn of_device(device: &Device) -> Option<Self> {
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Some(Self::Cuda(cuda::Cuda::new(device))),
            #[cfg(test)]
            Device::Cpu => emulated::Emulated::here().map(Self::Emulated),
            _ => None,
        }
    }

    pub(crate) fn limits(&self) -> Result<GpuLimits> {
        match *self {
            #[cfg(feature = "cuda")]
            Self::Cuda(ref cuda) => cuda.limits(),
            #[cfg(test)]
            Self::Emulated(ref emulated) => Ok(emulated.limits()),
        }
    }

    /// Launches a kernel.
    ///
    /// # Safety
    /// The arguments must be those of the kernel, in their order. What it reads must have been
    /// written, what it reads and writes must be as large as its grid and the sizes among its
    /// arguments say, and until its lane has been waited for nothing else may write it, nor read
    /// what the kernel writes, in another lane.
    #[cfg_attr(
        not(any(feature = "cuda", test)),
        expect(unused_variables, reason = "there is no GPU to launch on")
    )]
    pub(crate) unsafe fn launch(&self, launch: Launch<'_>, args: &[Arg]) -> Result<()> {
        match *self {
            #[cfg(feature = "cuda")]
            // SAFETY: as the caller promises.
            Self::Cuda(ref cuda) => unsafe { cuda.launch(launch, args) },
            #[cfg(test)]
            // SAFETY: as the caller promises.
            Self::Emulated(ref emulated) => unsafe { emulated.launch(launch, args) },
        }
    }

    /// Multiplies matrices, in the main lane. Products of numbers of 16 bits are summed in f32.
    ///
    /// # Safety
    /// The factors must have been written and the result must have room, for the rows and columns
    /// that the product names; nothing else may use the result meanwhile.
    pub(crate) unsafe fn multiply(&self, product: MatrixProduct) -> Result<()> {
        if product.rows == 0 || product.columns == 0 {
            return Ok(());
        }
        if product.a.dtype != product.b.dtype {
            candle_core::bail!("{:?} is not multiplied by {:?}", product.a.dtype, product.b.dtype);
        }
        match *self {
            #[cfg(feature = "cuda")]
            // SAFETY: as the caller promises.
            Self::Cuda(ref cuda) => unsafe { cuda.multiply(product) },
            #[cfg(test)]
            // SAFETY: as the caller promises.
            Self::Emulated(_) => unsafe { emulated::multiply(product) },
        }
    }

    /// Makes later work in one lane wait for everything in another so far.
    #[cfg_attr(
        not(any(feature = "cuda", test)),
        expect(unused_variables, reason = "there is no GPU that has lanes")
    )]
    pub(crate) fn wait(&self, lane: Lane, other: Lane) -> Result<()> {
        match *self {
            #[cfg(feature = "cuda")]
            Self::Cuda(ref cuda) => cuda.wait(lane, other),
            #[cfg(test)]
            // There is one lane, which does one thing after the other.
            Self::Emulated(_) => {
                let _ = (lane, other);
                Ok(())
            }
        }
    }
}

/// A tensor that is about to be written. In tests it is filled with NaN.
///
/// # Safety
/// All of it must be written before anything reads it.
pub(crate) unsafe fn unwritten(
    shape: impl Into<candle_core::Shape>,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let shape = shape.into();
    if cfg!(test) && dtype != DType::U8 && shape.elem_count() > 0 {
        return Tensor::full(f32::NAN, shape, device)?.to_dtype(dtype);
    }
    // SAFETY: as the caller promises.
    unsafe { Tensor::empty(shape, dtype, device) }
}

/// The address of a contiguous tensor's first element.
pub(crate) fn address(tensor: &Tensor) -> Result<Arg> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, _)) = layout.contiguous_offsets() else {
        candle_core::bail!("expected a contiguous tensor, got strides {:?}", layout.stride());
    };
    Ok(first_address(&storage)?.offset(start, tensor.dtype()))
}

fn first_address(storage: &Storage) -> Result<Arg> {
    #[cfg(feature = "cuda")]
    if let Storage::Cuda(storage) = storage {
        return cuda::address(storage);
    }
    #[cfg(test)]
    if let Storage::Cpu(storage) = storage {
        return emulated::address(storage);
    }
    candle_core::bail!("expected a tensor on a GPU, not on {:?}", storage.device().location())
}

/// Fails unless all tensors are in f32 and of this shape, as a kernel's sizes say.
pub(crate) fn expect_f32(tensors: &[&Tensor], shape: &[usize]) -> Result<()> {
    for tensor in tensors {
        if tensor.dims() != shape || tensor.dtype() != DType::F32 {
            let (got, dtype) = (tensor.dims(), tensor.dtype());
            candle_core::bail!("a kernel for {shape:?} in f32 was given {got:?} in {dtype:?}");
        }
    }
    Ok(())
}

/// Fails where a tensor has more elements than the kernels count.
pub(crate) fn fits(elements: usize) -> Result<usize> {
    match i32::try_from(elements) {
        Ok(_) => Ok(elements),
        Err(_) => candle_core::bail!(
            "{elements} elements are more than a GPU kernel counts; use smaller batches"
        ),
    }
}

/// Threads of a launch whose threads each do one thing.
const THREADS: usize = 256;

/// A launch of a kernel in the main lane with a thread for each of `elements`.
pub(crate) fn each(kernel: &str, elements: usize) -> Launch<'_> {
    Launch {
        kernel,
        grid: Grid::Blocks(elements.div_ceil(THREADS).max(1)),
        block: THREADS,
        shared_bytes: 0,
        lane: Lane::Main,
    }
}

/// Where tests run what is written for GPUs.
#[cfg(test)]
pub(crate) mod testing {
    use bake_emulator::Order;
    use candle_core::{DType, Device, Tensor};

    use super::Gpu;
    use super::emulated::{LARGE, SMALL, emulated};
    use crate::tensor::gradient_check::noise;

    /// Runs a test on emulated GPUs, large and small and with their threads in several orders, and
    /// on a GPU where there is one: there must be one where `BAKE_REQUIRE_GPU` is set.
    pub(crate) fn on_gpus(test: impl Fn(&Device) + Send + Sync) {
        for (limits, order) in [(LARGE, Order::Forward), (LARGE, Order::Stirred(1))] {
            emulated(limits, order, || test(&Device::Cpu));
        }
        on_two_gpus(test);
    }

    /// The same with one emulated GPU only: for what is long, and made of parts that are tested on
    /// all of them.
    pub(crate) fn on_two_gpus(test: impl Fn(&Device) + Send + Sync) {
        emulated(SMALL, Order::Backward, || test(&Device::Cpu));
        #[cfg(feature = "cuda")]
        match crate::device::Device::Cuda(0).open() {
            Ok(device) => test(&device),
            Err(error) => no_gpu(&error.to_string()),
        }
        #[cfg(not(feature = "cuda"))]
        no_gpu("the feature `cuda` is off");
    }

    /// Says once, past the harness that keeps what tests print, that there is no GPU, which is an
    /// error where `BAKE_REQUIRE_GPU` is set.
    fn no_gpu(why: &str) {
        use std::io::Write as _;
        static SAID: std::sync::Once = std::sync::Once::new();
        assert!(std::env::var_os("BAKE_REQUIRE_GPU").is_none(), "{why}");
        SAID.call_once(|| {
            let line = format!("skipped: tests on a GPU ran on the emulator alone: {why}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
        });
    }

    /// Runs a test on the processor, and then on GPUs.
    pub(crate) fn everywhere(test: impl Fn(&Device) + Send + Sync) {
        test(&Device::Cpu);
        on_gpus(test);
    }

    /// Numbers without a pattern, from −1 to 1, in f32 on the processor.
    pub(crate) fn floats(shape: &[usize], seed: u64) -> Tensor {
        noise(shape, seed).to_dtype(DType::F32).unwrap()
    }

    /// Compares with the processor's result.
    pub(crate) fn same(got: &Tensor, want: &Tensor, tolerance: f32, what: &str) {
        assert_eq!(got.dims(), want.dims(), "{what}");
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (got, want) = (flat(got), flat(want));
        let largest = want.iter().fold(1e-6f32, |m, x| m.max(x.abs()));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!(
                (got - want).abs() <= tolerance * largest,
                "{what}, element {i}: {got} against {want}"
            );
        }
    }

    /// The GPU that a test's device is.
    pub(crate) fn gpu(device: &Device) -> Gpu {
        Gpu::of_device(device).unwrap()
    }
}
