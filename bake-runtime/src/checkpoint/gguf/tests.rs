//! Files that were written by the `gguf` package of Python.

use std::path::PathBuf;

use bake_spec::model::gguf::{RowOrder, read_header};
use bake_spec::model::named::NamedModel;
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use super::*;
use crate::checkpoint::testing::say_skipped;
use crate::text::template::{Message, Role};
use crate::{Chat, Model};

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(file)
}

fn load_folder(name: &str) -> Model {
    Model::load(&fixture(&format!("models/{name}")), crate::Device::Cpu).unwrap()
}

fn load(name: &str) -> Model {
    let path = fixture(&format!("gguf/{name}.gguf"));
    Model::load(&path, crate::Device::Cpu).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_type_has_the_numbers_that_python_reads() {
    let path = fixture("gguf/types.gguf");
    let expected = fixture("gguf/types.safetensors");
    let expected = candle_core::safetensors::load(expected, &Device::Cpu).unwrap();
    let (header, bytes) = (read_header(&path).unwrap(), map(&path).unwrap());
    assert_eq!(header.tensors().len(), 11);
    for tensor in header.tensors() {
        let stored = Stored {
            file: "types.gguf",
            dtype: dtype(tensor.kind),
            shape: tensor.shape.clone(),
            data: bytes[tensor.start..][..tensor.bytes].into(),
        };
        let bits = |tensor: &Tensor| -> Vec<u32> {
            let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            numbers.into_iter().map(f32::to_bits).collect()
        };
        let got = stored.tensor(&Device::Cpu).unwrap();
        let want = &expected[&tensor.name];
        assert_eq!(got.shape(), want.shape());
        assert_eq!(bits(&got), bits(want), "{}", tensor.name);
    }
}

#[test]
fn rows_are_put_where_transformers_has_them() {
    let names: Vec<Vec<f32>> = (0..8).map(|row| vec![row as f32; 2]).collect();
    let rows = Tensor::new(names, &Device::Cpu).unwrap();
    let data: Vec<u8> = rows
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap()
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let stored = Stored { file: "", dtype: StoredDtype::F32, shape: vec![8, 2], data: data.into() };
    let data = halves(&stored, 2).unwrap();
    let moved = Stored { data, ..stored.clone() }.tensor(&Device::Cpu).unwrap();
    let first: Vec<f32> = moved.to_vec2::<f32>().unwrap().iter().map(|row| row[0]).collect();
    assert_eq!(first, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    assert!(halves(&stored, 3).is_none());
}

/// The same model from a folder and from a file.
fn pair(name: &str) -> (Model, Model) {
    (load_folder(name), load(name))
}

fn logits(model: &Model, ids: &[u32]) -> Vec<Vec<f32>> {
    model.forward(ids, None).unwrap().logits.to_vec2().unwrap()
}

const IDS: [u32; 7] = [5, 17, 300, 42, 9, 1, 230];

#[test]
fn a_file_computes_what_its_folder_does() {
    for name in ["llama", "llama-tied", "phi3", "qwen2", "qwen3"] {
        let (folder, file) = pair(name);
        assert_eq!(folder.config(), file.config());
        assert_eq!(logits(&folder, &IDS), logits(&file, &IDS), "{name}");
        assert_eq!(file.name(), name);
        assert_ne!(folder.hash(), file.hash());
    }
}

/// The largest difference of logits, as a part of the largest logit.
fn difference(folder: &Model, file: &Model) -> f32 {
    let of = |model: &Model| model.forward(&LONG, None).unwrap().logits;
    let (want, got) = (of(folder), of(file));
    let largest = |x: Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    largest((&got - &want).unwrap()) / largest(want)
}

/// Longer than the window of Gemma's.
const LONG: [u32; 24] =
    [5, 17, 300, 42, 9, 1, 230, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 400, 18, 19, 20, 21, 22, 23];

/// Gemma's file has another scale of attention in its norms, and Mistral's is rounded.
#[test]
fn a_file_that_is_rounded_computes_almost_the_same() {
    for (name, folder, tolerance) in
        [("gemma3", "gemma3_text", 1e-4), ("mistral", "mistral", 1e-2), ("llama", "llama", 0.0)]
    {
        let error = difference(&load_folder(folder), &load(name));
        assert!(error <= tolerance, "{name}: {error}");
    }
}

#[test]
fn a_quantised_file_computes_almost_the_same() {
    let error = difference(&load_folder("llama-tied"), &load("llama-tied-q8_0"));
    assert!(error > 0.0 && error < 0.2, "{error}");
}

#[test]
fn conversations_are_the_same_tokens() {
    let conversation = [
        Message::new(Role::System, "Be <|im_end|> brief."),
        Message::new(Role::User, "Who has the key?\n\n  Bob\u{301} 12345 don't"),
        Message::new(Role::Assistant, "<|eot_id|>"),
        Message::new(Role::User, "é日本"),
    ];
    for name in ["llama", "llama-tied", "mistral", "phi3", "qwen2", "qwen3"] {
        let (folder, file) = pair(name);
        let ids = folder.encode(&conversation).unwrap();
        assert_eq!(ids, file.encode(&conversation).unwrap(), "{name}");
        assert_eq!(folder.decode(&ids).unwrap(), file.decode(&ids).unwrap());
        for id in 0..512 {
            assert!(
                !folder.generation().ends(id) || file.generation().ends(id),
                "{name} ends with {id}"
            );
        }
    }
}

/// The text of a question, as the tokens of a text without tokens that control.
fn tokens(model: &Model, text: &str) -> Vec<u32> {
    let tokenizer = model.tokenizer();
    let mark = '\u{e123}';
    match tokenizer.is_marked(text, false) {
        true => tokenizer.encode_marked(&tokenizer.mark(text, false, mark), mark).unwrap(),
        false => tokenizer.encode(text).unwrap(),
    }
}

/// The tokenizer of a file, as its header describes it.
fn tokenizer_of(name: &str) -> tokenizers::Tokenizer {
    let path = fixture(&format!("gguf/{name}.gguf"));
    let json = read_header(&path).unwrap().tokenizer().unwrap_or_else(|e| panic!("{e}"));
    tokenizers::Tokenizer::from_bytes(json).unwrap()
}

fn texts() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("gguf/texts.json")).unwrap()).unwrap()
}

fn ids(json: &Value) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn awkward_texts_are_the_tokens_of_the_models_own_tokenizers() {
    let json = texts();
    let texts: Vec<&str> =
        json["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(texts.len() > 30);
    for (name, all) in json["ids"].as_object().unwrap() {
        let mut tokenizer = tokenizer_of(name);
        tokenizer.set_encode_special_tokens(true);
        for (text, want) in texts.iter().zip(all.as_array().unwrap()) {
            let got = tokenizer.encode_fast(*text, false).unwrap();
            assert_eq!(got.get_ids(), ids(want), "{name}: {text:?}");
        }
    }
}

/// Gemma's leave spaces as they are, Mistral's later ones mark the start of a text only, and
/// Phi-3's swallow the white space after a token.
#[test]
fn what_follows_a_control_token_is_as_in_its_family() {
    let json = texts();
    let turns = json["turns"].as_object().unwrap();
    assert_eq!(turns.len(), 3);
    for (name, all) in turns {
        let tokenizer = tokenizer_of(name);
        for (text, want) in all.as_object().unwrap() {
            let got = tokenizer.encode_fast(text.as_str(), false).unwrap();
            assert_eq!(got.get_ids(), ids(want), "{name}: {text:?}");
        }
    }
}

#[test]
fn control_tokens_written_in_a_text_stay_text() {
    let model = load("sentencepiece");
    let written = tokens(&model, "a <|end|> b");
    let end = model.tokenizer().id("<|end|>").unwrap();
    assert!(!written.contains(&end) && model.generation().ends(end));
    let ids = model.encode(&[Message::new(Role::User, "the key")]).unwrap();
    assert_eq!(ids.iter().filter(|id| **id == end).count(), 1);
    assert!(model.decode(&tokens(&model, "the é key")).unwrap().ends_with("the é key"));
}

#[test]
fn a_file_can_be_asked() {
    let chat = Chat::new(load("llama-tied-q8_0"), "");
    let chat = chat.with_sampling(crate::Sampling::greedy().max_tokens(4));
    chat.chat("Who has the key?").unwrap();
}

#[test]
fn norms_less_one_are_the_norms_again() {
    let numbers = [1.25f32, 0.5, -3.0];
    let data: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let stored = Stored { file: "", dtype: StoredDtype::F32, shape: vec![3], data: data.into() };
    let less = minus_one(stored).unwrap().tensor(&Device::Cpu).unwrap();
    assert_eq!(less.to_vec1::<f32>().unwrap(), [0.25, -0.5, -4.0]);
    assert_eq!(less.dtype(), DType::F32);
    let header = read_header(&fixture("gguf/gemma3.gguf")).unwrap();
    let places: Vec<_> = header.places().unwrap().into_iter().flatten().collect();
    for placed in places {
        assert_eq!(placed.rows == RowOrder::PlusOne, placed.name.ends_with("norm.weight"));
    }
}

/// A real model, where it is on this machine.
#[test]
fn smollm2_answers_in_english() {
    let Ok(path) = NamedModel::declared("smollm2").find_file() else {
        return say_skipped("answers of smollm2, which is not on this machine");
    };
    let model = Model::load(&path, crate::Device::Cpu).unwrap();
    let chat = Chat::new(model, "").with_sampling(crate::Sampling::greedy().max_tokens(40));
    let answer = chat.chat("What is the capital of France?").unwrap();
    assert!(answer.contains("Paris"), "{answer}");
}
