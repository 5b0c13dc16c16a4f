//! Logits and hidden states of token ids, to compare with other implementations.
//!
//! ```text
//! cargo run --release --example forward -- [--f32] MODEL IDS.json OUT.safetensors [--adapter DIR]
//! ```
//!
//! `IDS.json` is a list of lists of token ids. For list N the output contains, in f32, `logits.N`
//! `[tokens, vocabulary]` and `hidden.N` `[tokens, hidden]`, the states after the last norm. With
//! `--f32` no product is rounded to bf16, whatever the processor can do.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use bake::{Adapter, Device, Forward, Model};

const USAGE: &str = "usage: forward [--f32] MODEL IDS.json OUT.safetensors [--adapter DIR]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    let (device, arguments) = match *arguments {
        ["--f32", ref rest @ ..] => (Device::CpuF32, rest),
        _ => (Device::Cpu, arguments),
    };
    let (model, ids, out, adapter) = match *arguments {
        [model, ids, out] => (model, ids, out, None),
        [model, ids, out, "--adapter", adapter] | ["--adapter", adapter, model, ids, out] => {
            (model, ids, out, Some(adapter))
        }
        ["--help"] => return Ok(USAGE.to_owned()),
        _ => return Err(USAGE.into()),
    };
    let text = std::fs::read_to_string(ids).map_err(|e| format!("cannot read {ids}: {e}"))?;
    let sequences =
        lists(&text).ok_or_else(|| format!("{ids} is not a list of lists of token ids"))?;
    if Path::new(out).exists() {
        return Err(format!("{out} already exists; choose another file").into());
    }
    let model = Model::load(Path::new(model), device)?;
    let adapter = adapter.map(|dir| Adapter::load(Path::new(dir), &model)).transpose()?;

    let mut tensors = HashMap::new();
    for (number, list) in sequences.iter().enumerate() {
        let Forward { logits, hidden } = model
            .forward(list, adapter.as_ref())
            .map_err(|e| format!("the list {number} of {ids}: {e}"))?;
        tensors.insert(format!("logits.{number}"), logits);
        tensors.insert(format!("hidden.{number}"), hidden);
    }
    bake::candle::safetensors::save(&tensors, out)
        .map_err(|e| format!("cannot write {out}: {e}"))?;
    Ok(format!("{} sequences in {out}", sequences.len()))
}

/// Lists of numbers in JSON, such as `[[1, 2], [3]]`.
fn lists(json: &str) -> Option<Vec<Vec<u32>>> {
    let json: String = json.split_whitespace().collect();
    let inner = json.strip_prefix("[[")?.strip_suffix("]]")?;
    let list = |list: &str| match list {
        "" => Some(Vec::new()),
        numbers => numbers.split(',').map(|number| number.parse().ok()).collect(),
    };
    inner.split("],[").map(list).collect()
}
