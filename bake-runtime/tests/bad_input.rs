//! Files that are damaged, untrue, or do not belong together: an error that names the file and the
//! next step, and never a panic.

use std::path::{Path, PathBuf};

use bake_runtime::{Adapter, ErrorKind, Model};
use candle_core::Device;
use serde_json::{Value, json};

/// A copy of a model's folder, to be damaged.
struct Folder(tempfile::TempDir);

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

impl Folder {
    fn of(path: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(fixture(path)).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
        }
        Self(dir)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    fn edit(&self, file: &str, edit: impl FnOnce(&mut Value)) {
        let mut json = serde_json::from_slice(&self.read(file)).unwrap();
        edit(&mut json);
        self.write(file, json.to_string());
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.path(file)).unwrap();
    }

    /// What loading the model says; it must name the file.
    fn refused(&self, file: &str) -> String {
        let error = Model::load(self.0.path(), bake_runtime::Device::Cpu).unwrap_err();
        assert!(error.to_string().contains(&self.path(file).display().to_string()), "{error}");
        error.to_string()
    }
}

const WEIGHTS: &str = "model.safetensors";

/// A safetensors file with another header over the same data.
fn with_header(file: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    edit(&mut header);
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &file[8 + length..]].concat()
}

#[test]
fn weights_that_are_cut_short_or_lie() {
    let folder = Folder::of("models/llama");
    let whole = folder.read(WEIGHTS);
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        folder.write(WEIGHTS, &whole[..length]);
        let error = folder.refused(WEIGHTS);
        assert!(
            error.contains("is not a whole safetensors file; fetch it again"),
            "{length}: {error}"
        );
    }
    folder.write(WEIGHTS, [&u64::MAX.to_le_bytes(), &whole[8..]].concat());
    folder.refused(WEIGHTS);
    folder.write(WEIGHTS, [&whole[..], b"and more"].concat());
    folder.refused(WEIGHTS);

    let name = "model.layers.0.self_attn.q_proj.weight";
    let lies: [&dyn Fn(&mut Value); 6] = [
        &|h| h[name]["shape"] = json!([1u64 << 40, 1u64 << 40]),
        &|h| h[name]["data_offsets"] = json!([0, 1u64 << 60]),
        &|h| h[name]["data_offsets"] = json!([16, 0]),
        &|h| h[name]["shape"][0] = json!(h[name]["shape"][0].as_u64().unwrap() * 2),
        &|h| h[name]["dtype"] = json!("F64"),
        &|h| *h = json!([1, 2]),
    ];
    for (i, lie) in lies.into_iter().enumerate() {
        folder.write(WEIGHTS, with_header(&whole, lie));
        let error = folder.refused(WEIGHTS);
        assert!(error.contains("fetch it again"), "{i}: {error}");
    }
}

#[test]
fn weights_of_another_model() {
    let folder = Folder::of("models/llama");
    let whole = folder.read(WEIGHTS);
    let name = "model.layers.0.self_attn.q_proj.weight";
    folder.write(
        WEIGHTS,
        with_header(&whole, |h| {
            let tensor = h.as_object_mut().unwrap().remove(name).unwrap();
            h["another"] = tensor;
        }),
    );
    let error = folder.refused(WEIGHTS);
    assert!(
        error
            .contains(&format!("has no tensor `{name}`; the weights do not match its config.json")),
        "{error}"
    );

    folder.write(
        WEIGHTS,
        with_header(&whole, |h| {
            h[name]["shape"].as_array_mut().unwrap().reverse();
            h[name]["shape"] = json!([
                h[name]["shape"][0].as_u64().unwrap() / 2,
                h[name]["shape"][1].as_u64().unwrap() * 2
            ]);
        }),
    );
    let error = folder.refused(WEIGHTS);
    assert!(error.contains(name) && error.contains("but the configuration requires"), "{error}");

    // Integers of the same size are not weights.
    folder.write(WEIGHTS, with_header(&whole, |h| h[name]["dtype"] = json!("I32")));
    let error = folder.refused(WEIGHTS);
    assert!(
        error.contains("bake reads f32, f16 and bf16") || error.contains("fetch it again"),
        "{error}"
    );

    folder.remove(WEIGHTS);
    let error = Model::load(folder.0.path(), bake_runtime::Device::Cpu).unwrap_err().to_string();
    assert!(
        error.contains("contains neither model.safetensors nor model.safetensors.index.json"),
        "{error}"
    );
}

#[test]
fn weights_in_several_files() {
    let folder = Folder::of("models/llama");
    let ids = [1, 5, 300];
    let logits =
        |model: &Model| model.forward(&ids, None).unwrap().logits.to_vec2::<f32>().unwrap();
    let want = logits(&Model::load(folder.0.path(), bake_runtime::Device::Cpu).unwrap());
    let tensors = candle_core::safetensors::load(folder.path(WEIGHTS), &Device::Cpu).unwrap();
    folder.remove(WEIGHTS);
    let mut map = serde_json::Map::new();
    let (mut first, mut second) =
        (std::collections::HashMap::new(), std::collections::HashMap::new());
    for (i, (name, tensor)) in tensors.into_iter().enumerate() {
        let (part, file) =
            if i % 2 == 0 { (&mut first, "a.safetensors") } else { (&mut second, "b.safetensors") };
        map.insert(name.clone(), file.into());
        part.insert(name, tensor);
    }
    candle_core::safetensors::save(&first, folder.path("a.safetensors")).unwrap();
    candle_core::safetensors::save(&second, folder.path("b.safetensors")).unwrap();
    const INDEX: &str = "model.safetensors.index.json";
    folder.write(INDEX, json!({"weight_map": map}).to_string());
    assert_eq!(logits(&Model::load(folder.0.path(), bake_runtime::Device::Cpu).unwrap()), want);

    for (index, what) in [
        (json!({"weight_map": {"a": "../outside.safetensors"}}), "which is not in the same folder"),
        (json!({"weight_map": {"a": ".."}}), "which is not in the same folder"),
        (json!({"weight_map": {"a": "c.safetensors"}}), "fetch the whole checkpoint"),
        (json!({"weight_map": {}}), "names no files"),
        (json!({"weights": 1}), "is not an index of safetensors files"),
    ] {
        folder.write(INDEX, index.to_string());
        let error = folder.refused(INDEX);
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn configurations_of_other_models() {
    let cases: [(&str, Value, &str); 8] = [
        ("model_type", json!("mamba"), "describes a `mamba` model"),
        ("model_type", Value::Null, "has no `model_type`"),
        ("hidden_size", json!(0), "hidden_size"),
        ("hidden_size", json!("many"), "hidden_size"),
        ("num_attention_heads", json!(7), "has 7 attention heads"),
        ("num_hidden_layers", json!(-3), "num_hidden_layers"),
        (
            "quantization_config",
            json!({"bits": 4}),
            "use a checkpoint with f32, bf16 or f16 weights",
        ),
        ("vocab_size", json!(1u64 << 60), "vocab_size"),
    ];
    for (key, value, what) in cases {
        let folder = Folder::of("models/llama");
        folder.edit("config.json", |json| json[key] = value);
        let error = folder.refused("config.json");
        assert!(error.contains(what), "{key}: {error}");
    }
    let folder = Folder::of("models/llama");
    folder.write("config.json", "{");
    assert!(folder.refused("config.json").contains("is not valid JSON"));
    folder.remove("config.json");
    assert!(folder.refused("config.json").contains("does not exist; name the folder of a model"));
}

#[test]
fn tokenizers_that_do_not_belong() {
    let folder = Folder::of("models/llama");
    folder.edit("tokenizer.json", |json| {
        let added = json["added_tokens"].as_array_mut().unwrap();
        let mut token = added[0].clone();
        token["content"] = json!("<|one too many|>");
        token["id"] = json!(512);
        added.push(token);
    });
    let error = Model::load(folder.0.path(), bake_runtime::Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json has the token \"<|one too many|>\""), "{error}");
    assert!(error.contains("the tokenizer does not match the model"), "{error}");

    folder.write("tokenizer.json", "[]");
    assert!(
        folder.refused("tokenizer.json").contains("is not a tokenizer in the Hugging Face format")
    );
    folder.remove("tokenizer.json");
    assert!(folder.refused("tokenizer.json").contains("does not exist"));

    let folder = Folder::of("models/llama");
    folder.edit("tokenizer_config.json", |json| json["chat_template"] = Value::Null);
    let error = Model::load(folder.0.path(), bake_runtime::Device::Cpu).unwrap_err().to_string();
    assert!(
        error.contains("has no chat template")
            && error.contains("use the chat or instruct version"),
        "{error}"
    );
    folder.edit("tokenizer_config.json", |json| json["chat_template"] = json!("{% for %}"));
    assert!(folder.refused("tokenizer_config.json").contains("chat template"));
    // A template that never ends is stopped.
    folder.edit("tokenizer_config.json", |json| {
        json["chat_template"] = json!(
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}"
        );
    });
    let model = Model::load(folder.0.path(), bake_runtime::Device::Cpu).unwrap();
    let error =
        model.encode(&[bake_runtime::Message::new(bake_runtime::Role::User, "Hello")]).unwrap_err();
    assert!(error.kind() == ErrorKind::Tokenizer, "{error}");
}

#[test]
fn adapters_that_are_damaged_or_of_another_model() {
    let model = Model::load(&fixture("models/llama-tied"), bake_runtime::Device::Cpu).unwrap();
    let refused = |folder: &Folder| {
        let error = Adapter::load(folder.0.path(), &model).unwrap_err();
        assert!(error.to_string().contains(&folder.0.path().display().to_string()), "{error}");
        error.to_string()
    };
    const CONFIG: &str = "adapter_config.json";
    const WEIGHTS: &str = "adapter_model.safetensors";
    let folder = || Folder::of("adapters/llama-tied-all-linear");
    for (key, value) in [
        ("peft_type", json!("IA3")),
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("r", json!(0)),
    ] {
        let folder = folder();
        folder.edit(CONFIG, |json| json[key] = value);
        refused(&folder);
    }
    let whole = folder().read(WEIGHTS);
    for length in [0, 9, whole.len() / 2, whole.len() - 1] {
        let folder = folder();
        folder.write(WEIGHTS, &whole[..length]);
        refused(&folder);
    }
    for file in [CONFIG, WEIGHTS] {
        let folder = folder();
        folder.remove(file);
        assert!(refused(&folder).contains(file));
        let cause = Adapter::load(folder.0.path(), &model).unwrap_err();
        assert!(cause.get_ref().unwrap().is::<std::io::Error>(), "{cause}");
    }
    let rank = folder();
    rank.edit(CONFIG, |json| json["r"] = json!(json["r"].as_u64().unwrap() * 2));
    assert!(refused(&rank).contains("but its matrices have rank"));
    let start = folder();
    start.edit(CONFIG, |json| json["init_lora_weights"] = json!("pissa"));
    assert!(refused(&start).contains("convert the adapter with PEFT"));
    let empty = folder();
    let weights = candle_core::safetensors::load(empty.path(WEIGHTS), &Device::Cpu).unwrap();
    let nothing = candle_core::Tensor::zeros(0, candle_core::DType::F32, &Device::Cpu).unwrap();
    let nothings = weights.into_keys().map(|name| (name, nothing.clone())).collect();
    candle_core::safetensors::save(&nothings, empty.path(WEIGHTS)).unwrap();
    let error = refused(&empty);
    assert!(error.contains("has an empty tensor") && error.contains("ZeRO-3"), "{error}");

    let other = Model::tiny().unwrap();
    assert!(Adapter::load(folder().0.path(), &other).is_err());
    let adapter = Adapter::load(folder().0.path(), &model).unwrap();
    let misfit = "load it with the model that it was made for";
    assert!(other.forward(&[1], Some(&adapter)).unwrap_err().to_string().contains(misfit));
    assert!(other.folded(&adapter).unwrap_err().to_string().contains(misfit));
    assert!(
        bake_runtime::Chat::new(other, "")
            .with_adapter(adapter.into())
            .unwrap_err()
            .to_string()
            .contains(misfit)
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    let adapter = Adapter::load(folder().0.path(), &model).unwrap();
    let error = adapter.save(&file.path().join("out"), "llama-tied").unwrap_err();
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}

#[test]
fn tokens_and_conversations_that_a_model_cannot_take() {
    let model = Model::load(&fixture("models/llama"), bake_runtime::Device::Cpu).unwrap();
    let context = model.config().context();
    let refused = |ids: &[u32]| model.forward(ids, None).unwrap_err().to_string();
    assert!(refused(&[]).contains("there are no tokens"));
    assert!(refused(&[1_000_000]).contains("token 1000000 is not one of the model's"));
    assert!(
        refused(&vec![1; context + 1])
            .contains(&format!("do not fit the model's context of {context}"))
    );

    let tiny = bake_runtime::Chat::new(Model::tiny().unwrap(), "");
    let error = tiny.chat(&"word ".repeat(2000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Context);
    let mut session = tiny.session().unwrap();
    assert!(session.chat(&"word ".repeat(2000)).is_err());
    assert!(session.messages().is_empty(), "the question is not part of the conversation");
    session.chat("Hello").unwrap();
    assert_eq!(session.messages().len(), 2);
}
