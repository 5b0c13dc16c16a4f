//! Compiles the kernels as C++.

fn main() {
    println!("cargo::rerun-if-changed=../kernels");
    for file in ["checks.cu", "emulator.cpp", "emulator.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    cc::Build::new()
        .cpp(true)
        // Nothing of the standard library is used but functions of C.
        .cpp_link_stdlib(None)
        .flags([
            "-std=c++17",
            "-fno-exceptions",
            "-fno-rtti",
            "-fno-threadsafe-statics",
            "-ffp-contract=off",
        ])
        .define("EMULATED", None)
        .opt_level(2)
        .include("../kernels")
        .include(".")
        .file("emulator.cpp")
        .compile("bake_kernels");
}
