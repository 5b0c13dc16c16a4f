//! CUDA: modules, launches, streams, and products by cuBLAS.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{CString, c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bake_spec::recipe::Aligned;
use candle_core::cuda_backend::cudarc::cublas::{result::gemm_ex, sys as blas};
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaStream, DevicePtr as _, result, sys,
};
use candle_core::cuda_backend::{CudaStorage, CudaStorageSlice, WrapErr as _};
use candle_core::{CudaDevice, DType, Result};

use super::{Arg, Factor, GpuLimits, Grid, Lane, Launch, MatrixProduct};

/// The kernels for GPUs of Hopper, aligned as the driver wants it, and as PTX, for the driver to
/// translate, for those from sm_80 on.
static CUBIN: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kernels.cubin")));
static PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// The capability for which the cubin is made: other devices get the text.
const CUBIN_CAPABILITY: (i32, i32) = (9, 0);

/// The least capability that the text is made for.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// Blocks of a cluster that every device with clusters can run.
const CLUSTER: usize = 8;

/// A CUDA device.
pub(crate) struct Cuda {
    device: CudaDevice,
}

/// What is created once for each context.
struct Loaded {
    module: sys::CUmodule,
    functions: HashMap<String, sys::CUfunction>,
    limits: GpuLimits,
    side: Arc<CudaStream>,
}

// SAFETY: handles of the driver may be used on any thread.
unsafe impl Send for Loaded {}

/// By the address of the context: one context a device lives as long as the program.
static LOADED: Mutex<Option<HashMap<usize, Loaded>>> = Mutex::new(None);

impl Cuda {
    pub(super) fn new(device: &CudaDevice) -> Self {
        Self { device: device.clone() }
    }

    pub(super) fn limits(&self) -> Result<GpuLimits> {
        self.loaded(|loaded, _| Ok(loaded.limits))
    }

    /// See [`Gpu::launch`](super::Gpu::launch).
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn launch(&self, launch: Launch<'_>, args: &[Arg]) -> Result<()> {
        if let Grid::Blocks(0) | Grid::Clusters { tasks: 0, .. } = launch.grid {
            return Ok(());
        }
        self.loaded(|loaded, context| {
            let function = loaded.function(launch.kernel)?;
            let mut values: Vec<u64> = args.iter().map(|arg| arg.0).collect();
            let mut pointers: Vec<*mut c_void> =
                values.iter_mut().map(|value| ptr::from_mut(value).cast()).collect();
            if launch.shared_bytes > 48 << 10 {
                let attribute =
                    sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                // SAFETY: the function belongs to a module that is never unloaded.
                unsafe {
                    result::function::set_function_attribute(
                        function,
                        attribute,
                        launch.shared_bytes as c_int,
                    )
                }
                .w()?;
            }
            let main = self.device.cuda_stream();
            let stream = match launch.lane {
                Lane::Main => &main,
                Lane::Side => &loaded.side,
            };
            let (mut attribute, blocks, cluster) = match launch.grid {
                Grid::Blocks(blocks) => (cluster_of(1), blocks, 1),
                Grid::Clusters { blocks, tasks } => (cluster_of(blocks), blocks * tasks, blocks),
            };
            let mut config = sys::CUlaunchConfig {
                gridDimX: blocks as c_uint,
                gridDimY: 1,
                gridDimZ: 1,
                blockDimX: launch.block as c_uint,
                blockDimY: 1,
                blockDimZ: 1,
                sharedMemBytes: launch.shared_bytes as c_uint,
                hStream: stream.cu_stream(),
                attrs: &raw mut attribute,
                // Devices without clusters refuse the attribute.
                numAttrs: (cluster > 1).into(),
            };
            if let Grid::Clusters { tasks, .. } = launch.grid {
                let at_once = clusters_at_once(function, &config, cluster, context)?;
                config.gridDimX = (cluster * tasks.min(at_once)) as c_uint;
            }
            // SAFETY: the caller answers for the arguments; they are copied before the call
            // returns.
            unsafe {
                sys::cuLaunchKernelEx(
                    &raw const config,
                    function,
                    pointers.as_mut_ptr(),
                    ptr::null_mut(),
                )
            }
            .result()
            .w()
        })
    }

    /// See [`Gpu::multiply`](super::Gpu::multiply).
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn multiply(&self, product: MatrixProduct) -> Result<()> {
        let MatrixProduct { a, b, out, rows, inner, columns, scale, add } = product;
        let kind = |factor: Factor| match factor.dtype {
            DType::F32 => Ok(blas::cudaDataType::CUDA_R_32F),
            DType::BF16 => Ok(blas::cudaDataType::CUDA_R_16BF),
            DType::F16 => Ok(blas::cudaDataType::CUDA_R_16F),
            other => candle_core::bail!("products in {other:?} are not supported"),
        };
        let operation = |factor: Factor| match factor.transposed {
            true => blas::cublasOperation_t::CUBLAS_OP_T,
            false => blas::cublasOperation_t::CUBLAS_OP_N,
        };
        let beta = if add { 1f32 } else { 0.0 };
        self.device.cuda_stream().context().bind_to_thread().w()?;
        let blas = self.device.cublas_handle();
        // cuBLAS counts by columns, so it computes the transposed product of the transposed
        // factors, whose memory is the same.
        // SAFETY: the caller answers for the memory; the numbers are on this stack until the call
        // returns.
        unsafe {
            gemm_ex(
                *blas.handle(),
                operation(b),
                operation(a),
                columns as c_int,
                rows as c_int,
                inner as c_int,
                (&raw const scale).cast(),
                b.data.0 as *const c_void,
                kind(b)?,
                b.stride as c_int,
                a.data.0 as *const c_void,
                kind(a)?,
                a.stride as c_int,
                (&raw const beta).cast(),
                out.0 as *mut c_void,
                blas::cudaDataType::CUDA_R_32F,
                columns as c_int,
                blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .w()
    }

    pub(super) fn wait(&self, lane: Lane, other: Lane) -> Result<()> {
        self.loaded(|loaded, _| {
            let main = self.device.cuda_stream();
            let stream = |lane| match lane {
                Lane::Main => &main,
                Lane::Side => &loaded.side,
            };
            stream(lane).join(stream(other)).w()
        })
    }

    /// Runs `f` with the kernels of this device's context, which is made current.
    fn loaded<R>(&self, f: impl FnOnce(&mut Loaded, &CudaContext) -> Result<R>) -> Result<R> {
        let stream = self.device.cuda_stream();
        let context = stream.context();
        context.bind_to_thread().w()?;
        let mut all: MutexGuard<'_, _> = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.get_or_insert_default();
        let loaded = match all.entry(context.cu_ctx().addr()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Loaded::new(context)?),
        };
        f(loaded, context)
    }
}

impl Loaded {
    fn new(context: &Arc<CudaContext>) -> Result<Self> {
        let capability = context.compute_capability().w()?;
        if capability < LEAST_CAPABILITY {
            candle_core::bail!(
                "a GPU of sm_{}{} is too old: the kernels need sm_80 or newer",
                capability.0,
                capability.1
            );
        }
        let hopper = capability == CUBIN_CAPABILITY;
        let text = CString::new(PTX).map_err(candle_core::Error::wrap)?;
        let image: *const c_void =
            if hopper { CUBIN.0.as_ptr().cast() } else { text.as_ptr().cast() };
        // SAFETY: the image is what the compiler of CUDA has made.
        let module = unsafe { result::module::load_data(image) }.w()?;
        let shared = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        let limits = GpuLimits {
            shared_bytes: context.attribute(shared).w()? as usize,
            cluster: if hopper { CLUSTER } else { 1 },
        };
        Ok(Self { module, functions: HashMap::new(), limits, side: context.new_stream().w()? })
    }

    fn function(&mut self, name: &str) -> Result<sys::CUfunction> {
        if let Some(&function) = self.functions.get(name) {
            return Ok(function);
        }
        let c_name = CString::new(name).map_err(candle_core::Error::wrap)?;
        // SAFETY: the module is never unloaded.
        let function = unsafe { result::module::get_function(self.module, c_name) }.w()?;
        self.functions.insert(name.to_owned(), function);
        Ok(function)
    }
}

fn cluster_of(blocks: usize) -> sys::CUlaunchAttribute {
    // SAFETY: a launch attribute is plain data.
    let mut attribute: sys::CUlaunchAttribute = unsafe { MaybeUninit::zeroed().assume_init() };
    attribute.id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim =
        sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: blocks as c_uint, y: 1, z: 1 };
    attribute
}

/// Clusters, or blocks where there are no clusters, that run at the same time.
fn clusters_at_once(
    function: sys::CUfunction,
    config: &sys::CUlaunchConfig,
    cluster: usize,
    context: &CudaContext,
) -> Result<usize> {
    let mut count: c_int = 0;
    if cluster > 1 {
        // SAFETY: function and configuration are those of the launch that follows.
        unsafe { sys::cuOccupancyMaxActiveClusters(&raw mut count, function, config) }
            .result()
            .w()?;
        return Ok(count.max(1) as usize);
    }
    let (block, shared) = (config.blockDimX as c_int, config.sharedMemBytes as usize);
    // SAFETY: as above.
    unsafe {
        sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(&raw mut count, function, block, shared)
    }
    .result()
    .w()?;
    let processors =
        context.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).w()?;
    Ok((count * processors).max(1) as usize)
}

/// The address of the first element. Work of one device runs on its stream, in order, so no event
/// is needed to read or write it.
pub(super) fn address(storage: &CudaStorage) -> Result<Arg> {
    let stream = storage.device.cuda_stream();
    let address = match &storage.slice {
        CudaStorageSlice::F32(data) => data.device_ptr(&stream).0,
        CudaStorageSlice::BF16(data) => data.device_ptr(&stream).0,
        CudaStorageSlice::F16(data) => data.device_ptr(&stream).0,
        CudaStorageSlice::U8(data) => data.device_ptr(&stream).0,
        CudaStorageSlice::U32(data) => data.device_ptr(&stream).0,
        _ => candle_core::bail!("the kernels do not support this type"),
    };
    Ok(Arg(address))
}
