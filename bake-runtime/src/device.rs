//! Where models compute.

#[cfg_attr(
    not(all(feature = "cuda", feature = "train")),
    allow(
        dead_code,
        reason = "without CUDA nothing reads these, and without a trainer fewer are used"
    )
)]
pub(crate) mod gpu;

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::tensor::weight::Precision;

/// A device that models compute on. The default is the processor; a cargo feature never changes it.
///
/// ```
/// # extern crate bake_runtime as bake;
/// use bake::Device;
///
/// assert_eq!("cuda:1".parse::<Device>()?, Device::Cuda(1));
/// assert_eq!(Device::default().to_string(), "cpu");
/// # Ok::<(), bake::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The processor. Products with weights in bf16 or of quantised blocks, unless the model is
    /// small, multiply bf16 where the processor has fast instructions for it: AMX, or AVX-512 on
    /// AMD's.
    #[default]
    Cpu,
    /// The processor, with all products in f32: slower for large models, and the same on
    /// processors with and without these instructions.
    CpuF32,
    /// The NVIDIA GPU with this number (feature `cuda`): sm_80 or newer.
    Cuda(usize),
}

impl Device {
    /// The device of candle. It is opened once, so that all tensors on it can be used together.
    ///
    /// # Errors
    /// When this program was built without the feature, or there is no such GPU.
    pub fn open(self) -> Result<candle_core::Device> {
        match self {
            Self::Cpu | Self::CpuF32 => Ok(candle_core::Device::Cpu),
            Self::Cuda(ordinal) => cuda(ordinal),
        }
    }

    /// How models are kept and multiplied there.
    pub(crate) fn precision(self) -> Precision {
        match self {
            Self::CpuF32 => Precision::f32(),
            Self::Cpu | Self::Cuda(_) => Precision::fastest(),
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<candle_core::Device> {
    let message = "this program was built without CUDA; build it with `--features cuda`, which \
        needs a CUDA toolkit, or use the device `cpu`";
    Err(Error::new(ErrorKind::Device, message))
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<candle_core::Device> {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    static OPEN: Mutex<BTreeMap<usize, candle_core::Device>> = Mutex::new(BTreeMap::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = open.get(&ordinal) {
        return Ok(device.clone());
    }
    // With its own stream: candle's default is a different stream on each thread, and work moves
    // between threads.
    let device = candle_core::Device::new_cuda_with_stream(ordinal).map_err(|e| {
        let message = format!(
            "cannot use CUDA device {ordinal}; check that `nvidia-smi` lists it, or use the device \
             `cpu`"
        );
        Error::with_source(ErrorKind::Device, message, e)
    })?;
    settle(&device).map_err(|e| {
        Error::with_source(ErrorKind::Device, format!("cannot set up CUDA device {ordinal}"), e)
    })?;
    open.insert(ordinal, device.clone());
    Ok(device)
}

/// Keeps freed memory for later tensors, instead of unmapping it whenever the device is waited for;
/// and records no events around tensors: all tensors of the device are used in the order of its one
/// stream, and what runs alongside it is waited for.
#[cfg(feature = "cuda")]
fn settle(device: &candle_core::Device) -> candle_core::Result<()> {
    use candle_core::cuda_backend::WrapErr as _;
    use candle_core::cuda_backend::cudarc::driver::sys;

    let device = device.as_cuda_device()?;
    let stream = device.cuda_stream();
    let (mut pool, mut all) = (std::ptr::null_mut(), u64::MAX);
    // SAFETY: the device is open, and the attribute is a number of 64 bits. There is one stream, so
    // no tensor needs events.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, stream.context().ordinal() as i32)
            .result()
            .w()?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut all).cast()).result().w()?;
        device.disable_event_tracking();
    }
    Ok(())
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::CpuF32 => f.write_str("cpu:f32"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let number = match name {
            "cpu" => return Ok(Self::Cpu),
            "cpu:f32" => return Ok(Self::CpuF32),
            "cuda" => Some(0),
            _ => name.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
        };
        let unknown = || {
            Error::new(
                ErrorKind::Device,
                format!(
                    "there is no device {name:?}; expected `cpu`, `cpu:f32`, `cuda` or `cuda:1`"
                ),
            )
        };
        number.map(Self::Cuda).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for device in [Device::Cpu, Device::CpuF32, Device::Cuda(0), Device::Cuda(3)] {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            let error = name.parse::<Device>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Device);
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn devices_that_do_not_exist_are_refused() {
        let error = Device::Cuda(99).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.to_string().contains("use the device `cpu`"), "{error}");
    }
}
