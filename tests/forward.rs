//! The example `forward`, called as for comparing with other implementations.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{Device, Tensor};

/// Cargo builds the examples before it runs the tests, in the folder beside theirs.
fn forward(arguments: &[&str]) -> Output {
    let deps = std::env::current_exe().unwrap();
    let program: PathBuf = deps
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples")
        .join(format!("forward{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is not built; run `cargo build --example forward`",
        program.display()
    );
    Command::new(program).args(arguments).output().unwrap()
}

fn error(got: &Tensor, want: &Tensor) -> f32 {
    let largest = |t: &Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert_eq!(got.dims(), want.dims());
    largest(&(got - want).unwrap()) / largest(want)
}

#[test]
fn it_writes_the_reference_implementations_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let ids = dir.path().join("ids.json");
    let model = "tests/fixtures/models/llama-tied";
    for adapter in [None, Some("tests/fixtures/adapters/llama-tied-rslora")] {
        let want = Path::new(adapter.unwrap_or(model)).join("expected.safetensors");
        let want = candle_core::safetensors::load(want, &Device::Cpu).unwrap();
        let lists: Vec<Vec<i64>> = ["p0", "p1", "p2"]
            .iter()
            .map(|p| want[&format!("input_ids.{p}")].to_vec1().unwrap())
            .collect();
        std::fs::write(&ids, format!("{lists:?}")).unwrap();
        let out = dir.path().join(format!("{}.safetensors", adapter.is_some()));
        let mut arguments = vec![model, ids.to_str().unwrap(), out.to_str().unwrap()];
        arguments.extend(adapter.iter().flat_map(|adapter| ["--adapter", adapter]));
        let output = forward(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let got = candle_core::safetensors::load(&out, &Device::Cpu).unwrap();
        assert_eq!(got.len(), 6);
        for (i, prompt) in ["p0", "p1", "p2"].iter().enumerate() {
            assert!(error(&got[&format!("logits.{i}")], &want[&format!("logits.{prompt}")]) < 1e-4);
            if let Some(want) = want.get(&format!("hidden.{prompt}")) {
                assert!(error(&got[&format!("hidden.{i}")], want) < 1e-4);
            }
        }
    }
}

#[test]
fn it_says_what_it_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (ids, out, model) =
        (path("ids.json"), path("out.safetensors"), "tests/fixtures/models/llama");
    let refused = |arguments: &[&str]| {
        let output = forward(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(!Path::new(&out).exists());
        String::from_utf8(output.stderr).unwrap()
    };
    let usage = "usage: forward [--f32] MODEL IDS.json OUT.safetensors [--adapter DIR]";
    assert!(refused(&[]).contains(usage));
    assert!(refused(&[model, &ids, &out]).contains("cannot read"));
    for (text, what) in [
        ("{}", "is not a list of lists"),
        ("[[1], [-1]]", "is not a list of lists"),
        ("[[1], []]", "the list 1"),
        ("[[9999999]]", "token 9999999"),
    ] {
        std::fs::write(&ids, text).unwrap();
        let said = refused(&[model, &ids, &out]);
        assert!(said.contains(what), "{said}");
    }
    std::fs::write(&ids, "[[1]]").unwrap();
    assert!(refused(&["no/model", &ids, &out]).contains("no/model/config.json does not exist"));
    assert!(refused(&[model, &ids, &out, "--adapter", "no/adapter"]).contains("no/adapter"));
    assert!(
        refused(&[model, &ids, "no/folder/out.safetensors"]).contains("cannot write no/folder")
    );
    assert!(refused(&[model, &ids, &ids]).contains("already exists"));
    assert_eq!(std::fs::read_to_string(&ids).unwrap(), "[[1]]");
    assert!(forward(&["--help"]).status.success());
}
