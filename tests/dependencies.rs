//! Which dependencies each kind of user compiles.

use std::collections::BTreeSet;
use std::process::Command;

/// What `cargo tree` prints of a package, over edges of these kinds.
fn printed(edges: &str, args: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--locked", "--edges", edges, "--prefix", "none"]).args(args);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all packages that a package needs, over edges of these kinds.
fn tree(edges: &str, args: &[&str]) -> BTreeSet<String> {
    let text = printed(edges, args);
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// What a package needs to be built.
fn compiled(args: &[&str]) -> BTreeSet<String> {
    tree("normal,build", args)
}

#[test]
fn macro_and_build_script_compile_no_engine() {
    for args in [&["-p", "bake-macros", "--features", "budget"][..], &["-p", "bake-build"]] {
        let names = compiled(args);
        assert!(names.contains("bake-spec"), "{names:?}");
        let engine: Vec<_> = names
            .iter()
            .filter(|name| name.starts_with("candle") || name.starts_with("gemm"))
            .collect();
        assert!(engine.is_empty(), "{args:?} compiles {engine:?}");
    }
}

#[test]
fn tokens_are_counted_only_with_the_feature() {
    assert!(!compiled(&["-p", "bake-macros"]).contains("tokenizers"));
    assert!(compiled(&["-p", "bake-macros", "--features", "budget"]).contains("tokenizers"));
}

/// Whoever makes recipes at run time has the checks of the macro, and so its count of tokens.
#[test]
fn recipes_of_run_time_are_checked_like_those_of_the_macro() {
    let counts = |features: &str| {
        let args = ["-p", "bake", "--no-default-features", "--features", features];
        let tree = printed("normal,no-proc-macro", &[&args[..], &["--format", "{p} {f}"]].concat());
        let spec = tree.lines().find(|line| line.starts_with("bake-spec ")).unwrap();
        spec.split([' ', ',']).any(|feature| feature == "budget")
    };
    assert!(counts("train"));
    assert!(!counts("tiny"));
}

/// What a macro uses is not compiled again for the program because one of them asks for other
/// features: that is a tenth of what there is to compile.
#[test]
fn no_package_is_compiled_with_two_sets_of_features() {
    let app = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/embedded-app/Cargo.toml");
    for args in [&["--workspace"][..], &["--manifest-path", app]] {
        let args = [args, &["--duplicates", "--depth", "0"]].concat();
        let text = printed("normal,build,dev", &args);
        let packages = text.lines().filter(|line| line.contains(" v"));
        let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for package in packages.map(|line| line.trim_end_matches(" (*)")) {
            if !seen.insert(package) {
                twice.insert(package.split(' ').next().unwrap());
            }
        }
        // Our own reads no documents in a program that only answers. The other is listed with
        // features that nothing asks for.
        let known = ["bake-spec", "num-traits"];
        twice.retain(|package| !known.contains(package));
        assert!(twice.is_empty(), "{args:?}: {twice:?}");
    }
}

/// What a manifest says of its profile for development.
fn profile(manifest: &str) -> [Vec<&str>; 3] {
    let sections = ["[profile.dev]", "[profile.dev.package]", "[profile.dev.package.\"*\"]"];
    sections.map(|name| {
        let lines = manifest.lines().skip_while(|line| *line != name);
        lines.take_while(|line| !line.is_empty()).collect()
    })
}

/// Otherwise whoever checks the fuzz targets compiles all dependencies again.
#[test]
fn the_fuzz_targets_compile_their_dependencies_as_the_workspace_does() {
    let [own, fuzz] = [include_str!("../Cargo.toml"), include_str!("../fuzz/Cargo.toml")];
    let own = profile(own);
    assert!(own.iter().all(|section| section.len() > 1), "{own:?}");
    assert!(own == profile(fuzz), "copy `[profile.dev]` of Cargo.toml and its packages to fuzz");
}

/// Everything linked by a program that loads an embedded adapter. It is written down so that adding
/// a package is a decision: put it here, or under a feature that such a program leaves out.
#[test]
fn an_application_links_what_it_needs() {
    let mut names = tree(
        "normal,no-proc-macro",
        // Some packages depend on the platform; this one is the same on every machine.
        &[
            "-p",
            "bake",
            "--no-default-features",
            "--features",
            "tiny",
            "--target",
            "x86_64-unknown-linux-gnu",
        ],
    );
    for ours in ["bake", "bake-runtime", "bake-spec"] {
        assert!(names.remove(ours), "{ours} is linked");
    }
    let allowed: BTreeSet<String> = APPLICATION
        .iter()
        .flat_map(|(_, names)| names.split_whitespace())
        .map(str::to_owned)
        .collect();
    let more: Vec<_> = names.difference(&allowed).collect();
    assert!(more.is_empty(), "an application links more than before: {more:?}");
    let fewer: Vec<_> = allowed.difference(&names).collect();
    assert!(fewer.is_empty(), "an application does not link these any more: {fewer:?}");
}

/// Who needs what.
const APPLICATION: [(&str, &str); 7] = [
    (
        "bake-spec, for hashes and JSON",
        "arrayvec blake3 cfg-if constant_time_eq cpufeatures itoa memchr serde serde_core \
         serde_json zmij",
    ),
    (
        "adapters and weights in files",
        "allocator-api2 bitflags equivalent fastrand foldhash getrandom hashbrown libc \
         linux-raw-sys memmap2 once_cell rustix safetensors stable_deref_trait tempfile",
    ),
    ("spans of what is loaded", "pin-project-lite tracing tracing-core"),
    ("chat templates", "minijinja minijinja-contrib psm stacker"),
    (
        "matrix products and vector code on all cores",
        "bytemuck crossbeam-deque crossbeam-epoch crossbeam-utils dyn-stack either gemm gemm-c32 \
         gemm-c64 gemm-common gemm-f16 gemm-f32 gemm-f64 half libm num-complex num-traits \
         ppv-lite86 pulp pulp-wasm-simd-flag rand rand_chacha rand_core rand_distr raw-cpuid rayon \
         rayon-core reborrow zerocopy",
    ),
    (
        "tokenizers",
        "ahash aho-corasick base64 bit-set bit-vec castaway compact_str daachorse dary_heap \
         derive_builder esaxx-rs fancy-regex itertools log macro_rules_attribute minimal-lexical \
         monostate nom onig onig_sys rayon-cond regex regex-automata regex-syntax ryu smallvec \
         spm_precompiled static_assertions thiserror tokenizers unicode-normalization-alignments \
         unicode-segmentation unicode_categories",
    ),
    (
        "the container of tensors, and what it reads besides safetensors",
        "byteorder candle-core crc32fast float8 indexmap lock_api num_cpus parking_lot \
         parking_lot_core scopeguard typed-path yoke zerofrom zeroize zip",
    ),
];
