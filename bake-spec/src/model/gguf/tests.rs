//! Headers that are made up key by key, and the files that Python wrote.

use std::path::PathBuf;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf").join(name)
}

/// A GGUF file of keys and tensors without content.
#[derive(Default)]
struct Made {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<(String, Vec<u64>)>,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl Made {
    fn key(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.extend([&text(key)[..], &kind.to_le_bytes(), value].concat());
        self.key_count += 1;
        self
    }

    fn text(self, key: &str, value: &str) -> Self {
        self.key(key, 8, &text(value))
    }

    fn count(self, key: &str, value: u32) -> Self {
        self.key(key, 4, &value.to_le_bytes())
    }

    fn float(self, key: &str, value: f32) -> Self {
        self.key(key, 6, &value.to_le_bytes())
    }

    fn tensor(mut self, name: &str, dimensions: &[u64]) -> Self {
        self.tensors.push((name.to_owned(), dimensions.to_vec()));
        self
    }

    /// The keys that every model needs.
    fn model(architecture: &str) -> Self {
        let key = |rest: &str| format!("{architecture}.{rest}");
        Self::default()
            .text("general.architecture", architecture)
            .count(&key("block_count"), 6)
            .count(&key("context_length"), 512)
            .count(&key("embedding_length"), 64)
            .count(&key("feed_forward_length"), 96)
            .count(&key("attention.head_count"), 4)
            .float(&key("attention.layer_norm_rms_epsilon"), 1e-5)
            .tensor("token_embd.weight", &[64, 100])
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.to_le_bytes());
        out.extend(&self.keys);
        let mut place = 0u64;
        for (name, dimensions) in &self.tensors {
            out.extend(text(name));
            out.extend((dimensions.len() as u32).to_le_bytes());
            out.extend(dimensions.iter().flat_map(|n| n.to_le_bytes()));
            out.extend(0u32.to_le_bytes());
            out.extend(place.to_le_bytes());
            place += (dimensions.iter().product::<u64>() * 4).next_multiple_of(32);
        }
        out.resize(out.len().next_multiple_of(32) + place as usize, 0);
        out
    }

    fn header(&self) -> Result<Header, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.gguf");
        std::fs::write(&path, self.bytes()).unwrap();
        read_header(&path)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.header().unwrap().config_json().unwrap()).unwrap()
    }

    fn refused(&self) -> String {
        let error = self.header().and_then(|header| header.config()).unwrap_err().to_string();
        assert!(error.contains("made.gguf"), "{error}");
        error
    }
}

#[test]
fn every_fixture_has_a_header() {
    for (name, tensors) in [("llama", 31), ("phi3", 21), ("gemma3", 41), ("types", 11)] {
        let header = read_header(&fixture(&format!("{name}.gguf"))).unwrap();
        assert_eq!(header.tensors().len(), tensors);
        assert!(header.file().ends_with(&format!("{name}.gguf")));
    }
    let header = read_header(&fixture("llama.gguf")).unwrap();
    let config = header.config().unwrap();
    assert_eq!((config.vocab_size(), config.hidden_size(), config.layers()), (512, 64, 3));
    let folder = fixture("../models/llama/config.json");
    let json = std::fs::read_to_string(folder).unwrap();
    assert_eq!(config, Config::parse(&json, "config.json").unwrap());
}

#[test]
fn what_was_written_is_read_before_it_was_rounded() {
    let json = Made::model("llama").float("llama.rope.freq_base", 1e6).json();
    assert_eq!(json["rms_norm_eps"], 1e-5);
    assert_eq!(json["rope_theta"], 1e6);
    assert_eq!(json["tie_word_embeddings"], true);
    assert_eq!(json["num_key_value_heads"], 4);
    assert_eq!((&json["head_dim"], &json["attention_bias"]), (&16.into(), &false.into()));
    let whole = Made::model("llama")
        .tensor("output.weight", &[64, 100])
        .tensor("blk.0.attn_q.bias", &[64])
        .count("llama.attention.head_count_kv", 2)
        .count("llama.attention.key_length", 32)
        .count("llama.attention.value_length", 32);
    let json = whole.json();
    assert_eq!(json["tie_word_embeddings"], false);
    assert_eq!(json["attention_bias"], true);
    assert_eq!((&json["head_dim"], &json["num_key_value_heads"]), (&32.into(), &2.into()));
}

#[test]
fn each_architecture_is_written_as_transformers_has_it() {
    let gemma = Made::model("gemma3")
        .count("gemma3.attention.sliding_window", 32)
        .float("gemma3.rope.scaling.factor", 8.0)
        .json();
    assert_eq!(gemma["model_type"], "gemma3_text");
    assert_eq!(gemma["layer_types"][4], "sliding_attention");
    assert_eq!(gemma["layer_types"][5], "full_attention");
    assert_eq!(gemma["rope_local_base_freq"], 1e4);
    assert_eq!(gemma["query_pre_attn_scalar"], 16);
    assert_eq!(gemma["rope_scaling"]["rope_type"], "linear");
    assert_eq!(gemma["hidden_activation"], "gelu_pytorch_tanh");
    let smol = Made::model("smollm3").json();
    assert_eq!(smol["no_rope_layers"], serde_json::json!([1, 1, 1, 0, 1, 1]));
    let phi = Made::model("phi3").count("phi3.attention.sliding_window", 100).json();
    assert_eq!(phi["sliding_window"], 100);
    let mistral = Made::model("llama").count("llama.attention.sliding_window", 64).json();
    assert_eq!(
        (&mistral["model_type"], &mistral["sliding_window"]),
        (&"mistral".into(), &64.into())
    );
    for (architecture, layer) in [("qwen2", "qwen2"), ("qwen3", "qwen3"), ("llama", "llama")] {
        assert_eq!(Made::model(architecture).json()["model_type"], layer);
    }
}

#[test]
fn what_is_not_computed_is_refused_by_its_key() {
    let made = || Made::model("llama");
    for (made, key) in [
        (made().count("llama.expert_count", 8), "llama.expert_count"),
        (made().float("llama.attn_logit_softcapping", 50.0), "llama.attn_logit_softcapping"),
        (made().float("llama.attention.scale", 0.3), "llama.attention.scale"),
        (made().count("llama.a_new_key", 1), "llama.a_new_key"),
        (made().count("split.count", 2), "split.count"),
        (made().text("general.type", "adapter"), "general.type"),
        (made().count("llama.vocab_size", 99), "llama.vocab_size"),
        (made().count("llama.attention.value_length", 8), "llama.attention.value_length"),
        (made().count("llama.rope.dimension_count", 12), "llama.rope.dimension_count"),
        (made().float("llama.rope.freq_base", -1.0), "`llama.rope.freq_base` -1"),
        (made().count("llama.attention.head_count_kv", 3), "3 key/value heads"),
        (made().count("llama.attention.key_length", 0), "llama.attention.key_length"),
        (made().text("llama.rope.scaling.type", "yarn"), "yarn"),
        (
            made().count("gemma3.block_count", 1).count("llama.rope.freq_base_swa", 7),
            "freq_base_swa",
        ),
        (made().text("llama.rope.freq_base", "1"), "llama.rope.freq_base"),
        (made().float("llama.rope.freq_base", f32::NAN), "llama.rope.freq_base"),
        (made().key("llama.attention.causal", 7, &[0]), "llama.attention.causal"),
        (Made::model("falcon"), "falcon"),
        (Made::default().count("a", 1), "general.architecture"),
        (made().tensor("rope_freqs.weight", &[8]), "rope_freqs.weight"),
    ] {
        let error = made.refused();
        assert!(error.contains(key), "{key}: {error}");
    }
    let off = made()
        .count("llama.expert_count", 0)
        .float("llama.attention.scale", 0.0)
        .key("llama.attention.causal", 7, &[1])
        .count("general.quantization_version", 2)
        .text("general.name", "anything")
        .count("another.program", 1);
    off.header().unwrap().config().unwrap();
    let unknown = made().tensor("blk.0.attn_sinks.weight", &[4]).header().unwrap();
    assert!(unknown.places().unwrap_err().to_string().contains("`blk.0.attn_sinks.weight`"));
}

#[test]
fn a_hundred_thousand_keys_are_read_and_more_than_the_file_has_are_not() {
    let mut made = Made::model("llama");
    for i in 0..100_000 {
        made = made.key(&format!("other.{i}"), 0, &[1]);
    }
    made.header().unwrap().config().unwrap();
    made.key_count = 1 << 40;
    let error = made.header().unwrap_err().to_string();
    assert!(error.contains("1099511627776 keys"), "{error}");
}

#[test]
fn a_model_of_one_file_is_known_by_its_header_and_its_size() {
    use crate::model::{Identity, ModelSource};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.GGUF");
    let source = ModelSource::at("made.GGUF");
    let of = || Identity::of(folder.path(), &source);
    assert_eq!(of(), None);
    let bytes = Made::model("llama").bytes();
    std::fs::write(&path, &bytes).unwrap();
    let whole = of().unwrap();
    let hash = crate::model::hash(folder.path(), &source).unwrap();
    std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert!(!whole.matches(&of().unwrap()));
    assert_ne!(hash, crate::model::hash(folder.path(), &source).unwrap());
    std::fs::write(&path, Made::model("llama").text("general.name", "b").bytes()).unwrap();
    assert!(!whole.matches(&of().unwrap()));
    std::fs::write(&path, &bytes[..40]).unwrap();
    assert!(!whole.matches(&of().unwrap()));
    assert!(is_gguf(&path) && !is_gguf(folder.path()) && !is_gguf(Path::new("a/gguf")));
}

#[test]
fn tokens_that_end_an_answer_are_known_by_key_and_by_name() {
    let header = read_header(&fixture("llama.gguf")).unwrap();
    let files = |header: &Header| header.files().unwrap();
    let of = |header: &Header| -> serde_json::Value {
        serde_json::from_str(files(header).generation_config.as_ref().unwrap()).unwrap()
    };
    let ends = of(&header)["eos_token_id"].clone();
    assert!(ends.as_array().unwrap().contains(&507.into()), "{ends}");
    assert!(ends.as_array().unwrap().contains(&511.into()), "{ends}");
    let settings: serde_json::Value =
        serde_json::from_str(files(&header).tokenizer_config.as_ref().unwrap()).unwrap();
    assert_eq!(settings["bos_token"], "<|begin_of_text|>");
    assert_eq!(settings["eos_token"], "<|eot_id|>");
    assert_eq!(settings["tokenizer_class"], "PreTrainedTokenizerFast");
    let name = files(&header).name("tokenizer.json");
    assert!(name.starts_with("the tokenizer of ") && name.ends_with("llama.gguf"), "{name}");
    assert_eq!(files(&header).name("config.json"), header.file());
    assert_eq!(files(&header).token_key("eos_token_id"), "tokenizer.ggml.eos_token_id");
}

#[cfg(unix)]
#[test]
fn what_could_be_read_forever_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    let error = read_header(&path).unwrap_err().to_string();
    assert!(error.contains("m.gguf is not a regular file"), "{error}");
}
