//! Logits and hidden states of token ids, to compare with other implementations.
//!
//! ```text
//! cargo run --release --example forward -- MODEL_DIR IDS.json OUT.safetensors [--adapter DIR]
//! ```
//!
//! `IDS.json` is a list of lists of token ids. For list N the output contains, in f32, `logits.N`
//! `[tokens, vocabulary]` and `hidden.N` `[tokens, hidden]`, the states after the last norm.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use bake::{Adapter, Device, Forward, Model};

const USAGE: &str = "usage: forward MODEL_DIR IDS.json OUT.safetensors [--adapter DIR]";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, ids, out, adapter) =
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [model, ids, out] => (model, ids, out, None),
            [model, ids, out, "--adapter", adapter] | ["--adapter", adapter, model, ids, out] => {
                (model, ids, out, Some(adapter))
            }
            ["--help"] => {
                println!("{USAGE}");
                return Ok(());
            }
            _ => bail!("{USAGE}"),
        };
    let text = std::fs::read_to_string(ids).with_context(|| format!("cannot read {ids}"))?;
    let sequences: Vec<Vec<u32>> = serde_json::from_str(&text)
        .with_context(|| format!("{ids} is not a list of lists of token ids"))?;
    let same = |out: &str| {
        Ok::<_, std::io::Error>(std::fs::canonicalize(out)? == std::fs::canonicalize(ids)?)
    };
    if Path::new(out).is_dir() || same(out).unwrap_or(false) {
        bail!("cannot write {out}: it is a folder, or the input; name a different file");
    }
    let model = Model::load(Path::new(model), Device::Cpu)?;
    let adapter = adapter.map(|dir| Adapter::load(Path::new(dir), &model)).transpose()?;

    let mut tensors = HashMap::new();
    for (number, list) in sequences.iter().enumerate() {
        let Forward { logits, hidden } = model
            .forward(list, adapter.as_ref())
            .with_context(|| format!("the list {number} of {ids}"))?;
        tensors.insert(format!("logits.{number}"), logits);
        tensors.insert(format!("hidden.{number}"), hidden);
    }
    let part = format!("{out}.part");
    bake::candle::safetensors::save(&tensors, &part)
        .with_context(|| format!("cannot write {part}"))?;
    std::fs::rename(&part, out).with_context(|| format!("cannot write {out}"))?;
    println!("{} sequences in {out}", sequences.len());
    Ok(())
}
