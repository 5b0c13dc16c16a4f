//! GGUF files: as candle reads them, and as models that our own loader reads back.

use candle_core::quantized::gguf_file::{Content, Value};

use super::*;
use crate::text::template::{Message, Role};

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

/// The name in transformers of a tensor that an adapter changes, and whose heads its rows are of
/// where the file has them in another order.
fn stored_name(name: &str, base: &Model) -> (String, Option<usize>) {
    let config = base.config();
    let [_, layer, part, _] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
    let turned = ["llama", "llama-tied", "mistral", "smollm3"].contains(&base.name());
    let (module, heads) = match part {
        "attn_q" => ("self_attn.q_proj", turned.then(|| config.heads())),
        "attn_k" => ("self_attn.k_proj", turned.then(|| config.kv_heads())),
        "attn_v" => ("self_attn.v_proj", None),
        "attn_qkv" => ("self_attn.qkv_proj", None),
        "attn_output" => ("self_attn.o_proj", None),
        "ffn_gate" => ("mlp.gate_proj", None),
        "ffn_up" if base.name() == "phi3" => ("mlp.gate_up_proj", None),
        "ffn_up" => ("mlp.up_proj", None),
        "ffn_down" => ("mlp.down_proj", None),
        _ => panic!("{name}"),
    };
    (format!("model.layers.{layer}.{module}.weight"), heads)
}

/// What the model computes with an adapter's file added to its weights, as llama.cpp adds it: the
/// product of each pair of matrices, alpha divided by the rank times.
fn with_added(model: &str, file: &Path, base: &Model) -> Vec<f32> {
    let (content, mut tensor) = read(file);
    let text = |key: &str| content.metadata[key].to_string().unwrap().clone();
    assert_eq!((text("general.type"), text("adapter.type")), ("adapter".into(), "lora".into()));
    let alpha = content.metadata["adapter.lora.alpha"].to_f32().unwrap();
    let folder = Folder::of(model);
    let mut weights = folder.weights();
    let pairs: Vec<_> =
        content.tensor_infos.keys().filter_map(|name| name.strip_suffix(".lora_a")).collect();
    assert_eq!(content.tensor_infos.len(), 2 * pairs.len());
    for name in pairs {
        let (stored, heads) = stored_name(name, base);
        let (a, b) = (tensor(&format!("{name}.lora_a")), tensor(&format!("{name}.lora_b")));
        let (a, b) = (a, heads.map_or(b.clone(), |heads| turned_back(&b, heads)));
        let scale = f64::from(alpha) / a.len() as f64;
        let matrix = |rows: Vec<Vec<f32>>| candle_core::Tensor::new(rows, &Device::Cpu).unwrap();
        let change = (matrix(b).matmul(&matrix(a)).unwrap() * scale).unwrap();
        let weight = weights.get_mut(&stored).unwrap();
        // One of the models is in bf16, which would round what is added.
        *weight = (weight.to_dtype(candle_core::DType::F32).unwrap() + change).unwrap();
    }
    folder.write_weights("model.safetensors", &weights);
    logits(&folder.load(), None)
}

#[test]
fn a_gguf_adapter_changes_what_the_adapter_changes() {
    for model in
        ["llama", "llama-tied", "mistral", "phi3", "qwen2", "qwen3", "gemma3_text", "smollm3"]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = fixtures("models").join(model);
        let base = Model::load(&path, Place::Cpu).unwrap();
        let (adapter, of) = made(dir.path(), &base);
        let (format, folder) = (ExportFormat::GgufAdapter, dir.path().join("out"));
        let wanted = Export { format, dtype: None, folder, replace: false };
        let files = export(&recipe(&path), &of, &wanted).unwrap_or_else(|e| panic!("{e}"));
        let want = logits(&base, Some(&adapter));
        assert!(difference(&logits(&base, None), &want) > 0.05, "{model} is changed");
        let got = difference(&with_added(model, &files[0], &base), &want);
        assert!(got < 1e-5, "{model}: {got}");
    }
}

/// PEFT scales some adapters by the root of their rank, and adapts some layers only.
#[test]
fn a_gguf_adapter_has_the_scale_of_one_that_peft_trained() {
    let dir = tempfile::tempdir().unwrap();
    let base = Model::load(&fixtures("models/llama-tied"), Place::Cpu).unwrap();
    for name in ["llama-tied-qv", "llama-tied-rslora", "llama-tied-all-linear"] {
        let adapter = Adapter::load(&fixtures("adapters").join(name), &base).unwrap();
        let folder = exported(dir.path(), name, ExportFormat::GgufAdapter, None);
        let file = folder.join("Office-adapter.gguf");
        let (content, _) = read(&file);
        assert_eq!(content.metadata["general.architecture"].to_string().unwrap(), "llama");
        assert_eq!(content.tensor_infos.len(), 2 * adapter.iter().count());
        let got = with_added("llama-tied", &file, &base);
        let got = difference(&got, &logits(&base, Some(&adapter)));
        assert!(got < 1e-5, "{name}: {got}");
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

/// Exports an adapter of all layers as a GGUF file; returns what reads it back.
fn written(dir: &Path, model: &Path, dtype: Option<ExportDtype>) -> Model {
    let (_, adapter) = made(dir, &Model::load(model, Place::Cpu).unwrap());
    let folder = dir.join(format!("{dtype:?}"));
    let wanted = Export { format: ExportFormat::Gguf, dtype, folder, replace: true };
    let files = export(&recipe(model), &adapter, &wanted).unwrap_or_else(|e| panic!("{e}"));
    Model::load(&files[0], Place::Cpu).unwrap()
}

/// Fails unless a file in each type computes what was baked.
fn check_each_type(model: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let (base, shown) = (Model::load(model, Place::Cpu).unwrap(), model.display());
    let (adapter, _) = made(dir.path(), &base);
    let want = logits(&base, Some(&adapter));
    assert!(difference(&logits(&base, None), &want) > 0.05, "{shown} is changed");
    let conversation = [Message::new(Role::User, "Who has 2 keys?\n\n  Bob\u{301} don't é日本")];
    for (dtype, allowed) in [
        (ExportDtype::F32, 1e-5),
        (ExportDtype::F16, 0.01),
        (ExportDtype::Bf16, 0.06),
        (ExportDtype::Q8_0, 0.1),
    ] {
        let read = written(dir.path(), model, Some(dtype));
        let got = difference(&logits(&read, None), &want);
        assert!(got < allowed, "{shown} in {dtype:?}: {got}");
        assert_eq!(got > 1e-5, dtype != ExportDtype::F32, "{shown} in {dtype:?}: {got}");
        assert_eq!(read.encode(&conversation).unwrap(), base.encode(&conversation).unwrap());
        let ends = base.generation().end_tokens();
        assert!(ends.into_iter().all(|id| read.generation().ends(id)));
    }
}

#[test]
fn models_of_every_kind_compute_what_was_baked() {
    for model in ["llama", "llama-tied", "mistral", "phi3", "qwen2", "qwen3"] {
        check_each_type(&fixtures("models").join(model));
    }
}

#[test]
fn what_was_a_gguf_file_is_one_again() {
    for model in ["gemma3", "llama-tied-q8_0", "phi3", "sentencepiece"] {
        check_each_type(&fixtures("gguf").join(format!("{model}.gguf")));
    }
}

/// A SmolLM3 as all published ones are: no windows, and every fourth layer turns nothing.
#[test]
fn every_fourth_layer_of_a_smollm3_turns_nothing() {
    let folder = Folder::of("smollm3");
    let path = folder.path("config.json").parent().unwrap().to_owned();
    assert!(refused(&path, ExportFormat::Gguf, None).contains("sliding windows"));
    folder.edit("config.json", |json| {
        json["use_sliding_window"] = false.into();
        json["sliding_window"] = serde_json::Value::Null;
        json["layer_types"] = ["full_attention"; 4].into_iter().collect();
    });
    assert!(refused(&path, ExportFormat::Gguf, None).contains("biases"));
    let mut weights = folder.weights();
    weights.retain(|name, _| !name.ends_with(".bias"));
    folder.write_weights("model.safetensors", &weights);
    folder.edit("config.json", |json| {
        json["attention_bias"] = false.into();
        json["mlp_bias"] = false.into();
    });
    assert!(refused(&path, ExportFormat::Gguf, None).contains("a setting of its configuration"));
    folder.edit("config.json", |json| json["no_rope_layers"] = serde_json::json!([1, 1, 1, 0]));
    check_each_type(&path);
}

#[test]
fn what_a_file_cannot_say_is_refused() {
    // Its attention divides by a number of its own.
    let gemma = refused(&fixtures("models/gemma3_text"), ExportFormat::Gguf, None);
    assert!(gemma.contains("a setting of its configuration"), "{gemma}");
    let folder = Folder::of("llama-tied");
    let path = folder.path("config.json").parent().unwrap().to_owned();
    folder.edit("tokenizer.json", |json| json["added_tokens"][1]["rstrip"] = true.into());
    let swallows = refused(&path, ExportFormat::Gguf, None);
    assert!(swallows.contains("the list of added tokens of its tokenizer"), "{swallows}");
    let folder = Folder::of("llama-tied");
    let path = folder.path("config.json").parent().unwrap().to_owned();
    folder.edit("generation_config.json", |json| json["eos_token_id"] = (20..30).collect());
    let ends = refused(&path, ExportFormat::Gguf, None);
    assert!(ends.contains("ends an answer"), "{ends}");
}

#[test]
fn a_head_of_its_own_is_kept() {
    let folder = Folder::of("llama-tied");
    let mut weights = folder.weights();
    let embedding = weights["model.embed_tokens.weight"].clone();
    weights.insert("lm_head.weight".into(), (embedding * 0.5).unwrap());
    folder.write_weights("model.safetensors", &weights);
    check_each_type(folder.path("config.json").parent().unwrap());
}
