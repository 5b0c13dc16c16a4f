//! Exports that are read back.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, Value};

use super::*;
use crate::device::Device as Place;
use crate::model::Model;

const IDS: [u32; 6] = [5, 17, 300, 42, 9, 1];

fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

/// A fixture's model, and the adapters that were made for it.
fn recipe(model: &str) -> Recipe {
    let builder = Recipe::builder().name("Office").root(fixtures("models")).model(model);
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
    export(&recipe("llama-tied"), &adapter, &wanted).unwrap();
    wanted.folder
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

/// What candle reads of a GGUF file: its keys, and its tensors in f32.
fn read(path: &Path) -> (Content, impl FnMut(&str) -> Vec<Vec<f32>> + use<>) {
    let open = || std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let (content, mut file) = (Content::read(&mut open()).unwrap(), open());
    let again = Content::read(&mut open()).unwrap();
    let tensor = move |name: &str| {
        let tensor = again.tensor(&mut file, name, &Device::Cpu).unwrap();
        tensor.dequantize(&Device::Cpu).unwrap().to_vec2().unwrap()
    };
    (content, tensor)
}

/// Rows whose turned pairs are neighbours, as transformers has them: half a head apart.
fn turned_back(rows: &[Vec<f32>], heads: usize) -> Vec<Vec<f32>> {
    let head = rows.len() / heads;
    let place =
        |row: usize| (row / head * head) + (row % head % (head / 2)) * 2 + row % head / (head / 2);
    (0..rows.len()).map(|row| rows[place(row)].clone()).collect()
}

#[test]
fn a_gguf_adapter_changes_what_the_adapter_changes() {
    let dir = tempfile::tempdir().unwrap();
    let base = Model::load(&fixtures("models/llama-tied"), Place::Cpu).unwrap();
    for name in ["llama-tied-qv", "llama-tied-rslora", "llama-tied-all-linear"] {
        let adapter = Adapter::load(&fixtures("adapters").join(name), &base).unwrap();
        let folder = exported(dir.path(), name, ExportFormat::GgufAdapter, None);
        let (content, mut tensor) = read(&folder.join("Office-adapter.gguf"));
        let text = |key: &str| content.metadata[key].to_string().unwrap().clone();
        assert_eq!(text("general.architecture"), "llama");
        assert_eq!((text("general.type"), text("adapter.type")), ("adapter".into(), "lora".into()));
        let alpha = content.metadata["adapter.lora.alpha"].to_f32().unwrap();
        let mut count = 0;
        for (layer, projection, change) in adapter.iter() {
            let (part, heads) = match projection.name() {
                "q_proj" => ("attn_q", Some(base.config().heads())),
                "k_proj" => ("attn_k", Some(base.config().kv_heads())),
                "v_proj" => ("attn_v", None),
                "o_proj" => ("attn_output", None),
                "gate_proj" => ("ffn_gate", None),
                "up_proj" => ("ffn_up", None),
                _ => ("ffn_down", None),
            };
            let a = tensor(&format!("blk.{layer}.{part}.weight.lora_a"));
            let b = tensor(&format!("blk.{layer}.{part}.weight.lora_b"));
            let b = heads.map_or(b.clone(), |heads| turned_back(&b, heads));
            assert_eq!(a, change.a.to_vec2::<f32>().unwrap());
            let scale = alpha / a.len() as f32 / change.scale as f32;
            for (got, want) in
                b.iter().flatten().zip(change.b.flatten_all().unwrap().to_vec1::<f32>().unwrap())
            {
                assert!((got * scale - want).abs() <= 1e-6 * want.abs(), "{name}: {got} {want}");
            }
            count += 2;
        }
        assert_eq!(content.tensor_infos.len(), count);
    }
}

#[test]
fn a_gguf_model_has_the_merged_weights_and_the_whole_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    let name = "llama-tied-all-linear";
    let merged = exported(dir.path(), name, ExportFormat::Merged, Some(ExportDtype::F32));
    let merged = candle_core::safetensors::load(merged.join("model.safetensors"), &Device::Cpu);
    let merged = merged.unwrap();
    for (dtype, allowed) in [
        (ExportDtype::F32, 0.0),
        (ExportDtype::F16, 1e-3),
        (ExportDtype::Bf16, 8e-3),
        (ExportDtype::Q8_0, 8e-3),
    ] {
        let folder = exported(dir.path(), name, ExportFormat::Gguf, Some(dtype));
        let (content, mut tensor) = read(&folder.join("Office.gguf"));
        for (place, stored, heads) in [
            ("token_embd.weight", "model.embed_tokens.weight", None),
            ("blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", Some(4)),
            ("blk.2.attn_k.weight", "model.layers.2.self_attn.k_proj.weight", Some(2)),
            ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight", None),
            ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", None),
        ] {
            let got = tensor(place);
            let got = heads.map_or(got.clone(), |heads| turned_back(&got, heads)).concat();
            let want = merged[stored].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let worst = difference(&got, &want);
            assert!(worst <= allowed, "{place} in {dtype:?}: {worst}");
        }
        assert_eq!(content.tensor_infos.len(), merged.len());
        let number = |key: &str| content.metadata[key].to_u32().unwrap();
        assert_eq!((number("llama.block_count"), number("llama.attention.head_count_kv")), (3, 2));
        assert_eq!(content.metadata["tokenizer.ggml.pre"].to_string().unwrap(), "smollm");
        let Value::Array(tokens) = &content.metadata["tokenizer.ggml.tokens"] else { panic!() };
        assert_eq!(tokens.len(), 512);
        assert_eq!(number("tokenizer.ggml.eos_token_id"), 2);
        assert!(
            content.metadata["tokenizer.chat_template"].to_string().unwrap().contains("im_start")
        );
    }
}

#[test]
fn what_a_format_cannot_contain_is_refused_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |model: &str, format, dtype| {
        let adapter = fixtures("adapters/llama-tied-qv");
        let wanted = Export { format, dtype, folder: dir.path().join("out"), replace: false };
        let error = export(&recipe(model), &adapter, &wanted).unwrap_err().to_string();
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "{error}");
        error
    };
    let q8 = Some(ExportDtype::Q8_0);
    assert!(refused("llama-tied", ExportFormat::Peft, q8).contains("stored in f32"));
    assert!(refused("llama-tied", ExportFormat::Merged, q8).contains("no quantised numbers"));
    // This model scales its rotary frequencies as Llama 3 does.
    assert!(refused("llama", ExportFormat::Gguf, None).contains("wave by wave"));
}
