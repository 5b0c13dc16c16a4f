//! Exports that are read back.

mod gguf;

use std::path::{Path, PathBuf};

use super::*;
use crate::adapter::testing::noisy;
use crate::checkpoint::testing::Folder;
use crate::device::Device as Place;
use crate::model::Model;

const IDS: [u32; 6] = [5, 17, 300, 42, 9, 1];

fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

/// A bake into the model at a path.
fn recipe(model: &Path) -> Recipe {
    let (root, name) = (model.parent().unwrap(), model.file_name().unwrap().to_str().unwrap());
    let builder = Recipe::builder().name("Office").root(root).model(name);
    let builder = builder.lora(|lora| lora.rank(4));
    let builder =
        builder.target("office", |target| target.prompt("Be brief.").questions(["Who?"]).ask(0));
    builder.build().unwrap()
}

/// Exports a fixture's adapter; returns the folder.
fn exported(
    dir: &Path,
    adapter: &str,
    format: ExportFormat,
    dtype: Option<ExportDtype>,
) -> PathBuf {
    let name = format!("{adapter}-{format:?}-{dtype:?}");
    let wanted = Export { format, dtype, folder: dir.join(name), replace: false };
    let adapter = fixtures("adapters").join(adapter);
    export(&recipe(&fixtures("models/llama-tied")), &adapter, &wanted).unwrap();
    wanted.folder
}

/// An adapter of all layers of a model, in a folder.
fn made(dir: &Path, model: &Model) -> (Adapter, PathBuf) {
    let adapter = noisy(model.config(), &Device::Cpu);
    let folder = dir.join("adapter");
    adapter.save(&folder, "base").unwrap();
    (adapter, folder)
}

fn logits(model: &Model, adapter: Option<&Adapter>) -> Vec<f32> {
    model.forward(&IDS, adapter).unwrap().logits.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, as a share of the largest number.
fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    got.iter().zip(want).fold(0f32, |worst, (x, y)| worst.max((x - y).abs())) / largest
}

#[test]
fn a_merged_folder_and_an_adapter_compute_what_was_baked() {
    let dir = tempfile::tempdir().unwrap();
    let base = Model::load(&fixtures("models/llama-tied"), Place::Cpu).unwrap();
    for name in ["llama-tied-qv", "llama-tied-rslora", "llama-tied-all-linear"] {
        let adapter = Adapter::load(&fixtures("adapters").join(name), &base).unwrap();
        let want = logits(&base, Some(&adapter));
        assert!(difference(&logits(&base, None), &want) > 0.05, "{name} changes something");

        let peft = exported(dir.path(), name, ExportFormat::Peft, None);
        let again = Adapter::load(&peft, &base).unwrap();
        assert_eq!(logits(&base, Some(&again)), want, "{name}");

        for (dtype, said, allowed) in [
            (None, "float32", 1e-5),
            (Some(ExportDtype::F32), "float32", 1e-5),
            (Some(ExportDtype::F16), "float16", 0.01),
            (Some(ExportDtype::Bf16), "bfloat16", 0.06),
        ] {
            let folder = exported(dir.path(), name, ExportFormat::Merged, dtype);
            let model = Model::load(&folder, Place::Cpu).unwrap();
            let got = difference(&logits(&model, None), &want);
            assert!(got < allowed, "{name} in {dtype:?}: {got}");
            let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
            assert!(config.contains(&format!("\"dtype\": \"{said}\"")), "{config}");
            let ids = |model: &Model| model.encode(&[]).ok();
            assert_eq!(ids(&model), ids(&base), "the tokenizer and the template are the same");
        }
    }
}

#[test]
fn a_merged_folder_of_every_family_computes_what_was_baked() {
    for family in
        ["gemma3_text", "llama", "llama-tied", "mistral", "phi3", "qwen2", "qwen3", "smollm3"]
    {
        let (dir, path) = (tempfile::tempdir().unwrap(), fixtures("models").join(family));
        let base = Model::load(&path, Place::CpuF32).unwrap();
        let (adapter, folder) = made(dir.path(), &base);
        let to = dir.path().join("merged");
        let (format, dtype) = (ExportFormat::Merged, Some(ExportDtype::F32));
        let wanted = Export { format, dtype, folder: to.clone(), replace: false };
        export(&recipe(&path), &folder, &wanted).unwrap();
        let merged = Model::load(&to, Place::CpuF32).unwrap();
        let want = logits(&base, Some(&adapter));
        let got = difference(&logits(&merged, None), &want);
        assert!(got < 1e-4, "{family}: {got}");
        assert!(difference(&logits(&base, None), &want) > 0.01, "{family}");
    }
}

/// The error of an export, after which nothing is left.
fn refused(model: &Path, format: ExportFormat, dtype: Option<ExportDtype>) -> String {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, adapter) = made(dir.path(), &Model::load(model, Place::Cpu).unwrap());
    let wanted = Export { format, dtype, folder: to.path().join("out"), replace: false };
    let error = export(&recipe(model), &adapter, &wanted).unwrap_err().to_string();
    assert!(std::fs::read_dir(to.path()).unwrap().next().is_none(), "{error}");
    error
}

#[test]
fn what_a_format_cannot_contain_is_refused_and_nothing_is_left() {
    let (tied, q8) = (fixtures("models/llama-tied"), Some(ExportDtype::Q8_0));
    assert!(refused(&tied, ExportFormat::Peft, q8).contains("stored in f32"));
    assert!(refused(&tied, ExportFormat::Merged, q8).contains("no quantised numbers"));
}

#[test]
fn a_merged_folder_names_its_class_and_whether_its_head_is_its_embedding() {
    let dir = tempfile::tempdir().unwrap();
    let config = |model: &Path, to: &str| -> serde_json::Value {
        let model = (Model::load(model, Place::Cpu).unwrap(), model);
        let (_, adapter) = made(dir.path(), &model.0);
        let folder = dir.path().join(to);
        let (format, dtype) = (ExportFormat::Merged, None);
        let wanted = Export { format, dtype, folder: folder.clone(), replace: false };
        export(&recipe(model.1), &adapter, &wanted).unwrap();
        serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
    };
    let of_file = config(&fixtures("gguf/gemma3.gguf"), "of_file");
    assert_eq!(of_file["architectures"], serde_json::json!(["Gemma3ForCausalLM"]));
    let folder = Folder::of("llama-tied");
    folder.edit("config.json", |json| json["architectures"] = ["Own"].into_iter().collect());
    let path = folder.path("config.json").parent().unwrap().to_owned();
    let of_folder = config(&path, "of_folder");
    assert_eq!(of_folder["architectures"], serde_json::json!(["Own"]));
    assert_eq!(of_folder["tie_word_embeddings"], true);
    let mut weights = folder.weights();
    let embedding = weights["model.embed_tokens.weight"].clone();
    weights.insert("lm_head.weight".into(), (embedding * 0.5).unwrap());
    folder.write_weights("model.safetensors", &weights);
    assert_eq!(config(&path, "own_head")["tie_word_embeddings"], false);
}

#[test]
fn fused_layers_have_their_names_in_peft() {
    let dir = tempfile::tempdir().unwrap();
    let path = fixtures("models/phi3");
    let base = Model::load(&path, Place::Cpu).unwrap();
    let (adapter, folder) = made(dir.path(), &base);
    let to = dir.path().join("peft");
    let (format, dtype) = (ExportFormat::Peft, None);
    let wanted = Export { format, dtype, folder: to.clone(), replace: false };
    export(&recipe(&path), &folder, &wanted).unwrap();
    let config = std::fs::read(to.join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let modules = serde_json::json!(["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]);
    assert_eq!(config["target_modules"], modules);
    let ranks = config["rank_pattern"].as_object().unwrap();
    assert_eq!(ranks["model.layers.1.self_attn.qkv_proj"], 12);
    // What was joined comes apart again, as it was.
    let again = Adapter::load(&to, &base).unwrap();
    for ((.., own), (.., again)) in adapter.iter().zip(again.iter()) {
        let numbers = |tensor: &candle_core::Tensor| tensor.to_vec2::<f32>().unwrap();
        assert_eq!(numbers(&own.a), numbers(&again.a));
        assert_eq!((numbers(&own.b), own.scale), (numbers(&again.b), again.scale));
    }
    assert_eq!(logits(&base, Some(&again)), logits(&base, Some(&adapter)));
}
