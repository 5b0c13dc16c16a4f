//! Compiles the CUDA kernels where the feature `cuda` is on: to a binary for Hopper, and to text
//! that the driver translates for other GPUs.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where a toolkit may be, apart from the search path.
const HOMES: [&str; 4] = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=kernels");
    let (Some(_), Some(out)) =
        (std::env::var_os("CARGO_FEATURE_CUDA"), std::env::var_os("OUT_DIR"))
    else {
        return ExitCode::SUCCESS;
    };
    for variable in HOMES.iter().chain(&["NVCC"]) {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(out);
    let made = compile(&["-cubin", "-arch=sm_90a"], &out.join("kernels.cubin"))
        .and_then(|()| compile(&["-ptx", "-arch=compute_80"], &out.join("kernels.ptx")));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn compile(options: &[&str], to: &Path) -> Result<(), String> {
    let nvcc = nvcc();
    let output = Command::new(&nvcc)
        .args(["-std=c++17", "-O3"])
        .args(options)
        .arg("kernels/all.cu")
        .arg("-o")
        .arg(to)
        .output();
    let output = output.map_err(|e| {
        format!(
            "the feature `cuda` needs the CUDA toolkit, and {} cannot be run ({e}); set NVCC or \
             CUDA_HOME to where it is",
            nvcc.display()
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).replace('\n', "; ");
    Err(format!("{} cannot compile the kernels: {said}", nvcc.display()))
}

fn nvcc() -> PathBuf {
    if let Some(nvcc) = std::env::var_os("NVCC") {
        return nvcc.into();
    }
    let homes =
        HOMES.iter().filter_map(std::env::var_os).map(|home| Path::new(&home).join("bin/nvcc"));
    homes.into_iter().find(|nvcc| nvcc.is_file()).unwrap_or_else(|| "nvcc".into())
}
