//! Comparison with the reference implementations (transformers and PEFT), on the data in
//! `tests/fixtures`.

#[cfg(feature = "train")]
mod stored;

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::checkpoint::testing::say_skipped;
use crate::device::gpu::Gpu;
use crate::device::gpu::testing::everywhere;
use crate::generate::Sequence;
use crate::model::block::WeightView;
use crate::tensor::weight::Precision;
use crate::text::template::{Message, Role};
use crate::{Adapter, Model};

const TOLERANCE: f32 = 1e-4;
const MODELS: [&str; 8] =
    ["llama", "llama-tied", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3", "smollm3"];
const ADAPTED: [&str; 2] = ["llama-tied", "qwen3"];

fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

fn model(name: &str) -> Model {
    Model::load(&fixtures("models").join(name), crate::device::Device::Cpu).unwrap()
}

struct References(std::collections::HashMap<String, Tensor>);

impl References {
    fn read(dir: &Path) -> Self {
        Self(
            candle_core::safetensors::load(dir.join("expected.safetensors"), &Device::Cpu).unwrap(),
        )
    }

    /// The prompts that there are numbers for: two at least, of which the second is longer than a
    /// window.
    fn prompts(&self) -> Vec<&'static str> {
        let there = |prompt: &&str| self.0.contains_key(&format!("logits.{prompt}"));
        let prompts: Vec<_> = ["p0", "p1", "p2"].into_iter().filter(there).collect();
        assert!(prompts.len() >= 2);
        prompts
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        self.0[name].to_vec1::<i64>().unwrap().into_iter().map(|id| id as u32).collect()
    }

    fn json(dir: &Path) -> Value {
        serde_json::from_str(&std::fs::read_to_string(dir.join("expected.json")).unwrap()).unwrap()
    }
}

/// `max |got − want| / max |want|`.
fn error(got: &Tensor, want: &Tensor) -> f32 {
    assert_eq!(got.dims(), want.dims());
    let largest = |t: &Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    largest(&(got - want).unwrap()) / largest(want)
}

fn argmax(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32
}

fn greedy(model: &Model, prompt: &[u32], steps: usize, adapter: Option<&Adapter>) -> Vec<u32> {
    let view = WeightView { adapter, dropout: None };
    let mut sequence = Sequence::new(model).unwrap();
    let (mut logits, mut ids) = (sequence.read(model, prompt, view).unwrap(), Vec::new());
    for _ in 0..steps {
        ids.push(argmax(&logits));
        logits = sequence.push(model, &ids[ids.len() - 1..], view).unwrap();
    }
    ids
}

/// A model on a device, and the difference that its products may make there.
fn model_on(dir: &Path, device: &Device) -> (Model, f32) {
    let model = Model::load_at(dir, device, Precision::fastest()).unwrap();
    // On a GPU, products with weights in bf16 round the other factor.
    let tolerance = if model.decoder().in_f32() { TOLERANCE } else { 4e-2 };
    (model, tolerance)
}

#[test]
fn logits_and_hidden_states_at_every_position() {
    for name in MODELS {
        let dir = fixtures("models").join(name);
        let want = References::read(&dir);
        everywhere(|device| check_logits(&dir, &want, device));
    }
}

fn check_logits(dir: &Path, want: &References, device: &Device) {
    let (model, tolerance) = model_on(dir, device);
    for prompt in want.prompts() {
        let got = model.forward(&want.ids(&format!("input_ids.{prompt}")), None).unwrap();
        for (what, got) in [("logits", &got.logits), ("hidden", &got.hidden)] {
            let got = got.to_device(&Device::Cpu).unwrap();
            let error = error(&got, &want.0[&format!("{what}.{prompt}")]);
            assert!(error < tolerance, "{} {prompt} {what}: {error}", dir.display());
        }
    }
}

#[test]
fn both_spellings_of_a_configuration_give_one_model() {
    for name in MODELS {
        let dir = tempfile::tempdir().unwrap();
        let from = fixtures("models").join(name);
        for file in std::fs::read_dir(&from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
        std::fs::copy(from.join("config.legacy.json"), dir.path().join("config.json")).unwrap();
        let legacy = Model::load(dir.path(), crate::device::Device::Cpu).unwrap();
        // Longer than the windows.
        let ids: Vec<u32> = (0..30).map(|i| i * 17 % 500).collect();
        let logits = |m: &Model| m.forward(&ids, None).unwrap().logits.to_vec2::<f32>().unwrap();
        assert_eq!(logits(&legacy), logits(&model(name)), "{name}");
    }
}

#[test]
fn cached_decoding() {
    for name in MODELS {
        let dir = fixtures("models").join(name);
        let want = References::read(&dir);
        everywhere(|device| {
            let prompts = want.prompts();
            // The emulator of a GPU is slow.
            let end = if Gpu::of_device(device).is_some() { 2 } else { prompts.len() };
            check_cached(&dir, &want, &prompts[1..end], device);
        });
    }
}

fn check_cached(dir: &Path, want: &References, prompts: &[&str], device: &Device) {
    let (model, tolerance) = model_on(dir, device);
    for prompt in prompts {
        let ids = want.ids(&format!("input_ids.{prompt}"));
        let want = &want.0[&format!("kv_logits.{prompt}")];
        let mut sequence = Sequence::new(&model).unwrap();
        sequence.read(&model, &ids[..20], WeightView::default()).unwrap();
        let logits: Vec<f32> = ids[20..]
            .iter()
            .flat_map(|&id| sequence.push(&model, &[id], WeightView::default()).unwrap())
            .collect();
        let error = error(&Tensor::from_vec(logits, want.shape(), &Device::Cpu).unwrap(), want);
        assert!(error < tolerance, "{} {prompt}: {error}", dir.display());
    }
}

#[test]
fn greedy_tokens() {
    for name in MODELS {
        let dir = fixtures("models").join(name);
        let want = References::read(&dir);
        everywhere(|device| {
            match Gpu::of_device(device) {
                // More than the windows have.
                Some(_) => check_greedy(&dir, &want, &want.prompts()[..1], 14, device),
                None => check_greedy(&dir, &want, &want.prompts(), usize::MAX, device),
            }
        });
    }
}

/// Fails unless each of the first tokens is the likeliest after those before; where products are
/// rounded, nearly.
fn check_greedy(dir: &Path, want: &References, prompts: &[&str], first: usize, device: &Device) {
    let (model, tolerance) = model_on(dir, device);
    let slack = if model.decoder().in_f32() { 0.0 } else { tolerance };
    for prompt in prompts {
        let mut sequence = Sequence::new(&model).unwrap();
        let prompt_ids = want.ids(&format!("input_ids.{prompt}"));
        let mut logits = sequence.read(&model, &prompt_ids, WeightView::default()).unwrap();
        for id in want.ids(&format!("greedy.{prompt}")).into_iter().take(first) {
            let likeliest = logits[argmax(&logits) as usize];
            let short = (likeliest - logits[id as usize]) / likeliest.abs();
            assert!(short <= slack, "{} {prompt}: {short}", dir.display());
            logits = sequence.push(&model, &[id], WeightView::default()).unwrap();
        }
    }
}

/// A folder with the same models and adapters and a prompt of 130 tokens for each, which is too
/// large to be a part of this project.
#[test]
fn longer_prompts_are_continued_as_by_transformers() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let folder = std::env::var_os("BAKE_PARITY").map_or(beside, PathBuf::from);
    if !folder.join("models").is_dir() {
        return say_skipped("prompts of 130 tokens, as BAKE_PARITY names no folder with models");
    }
    let there = |kind: &str| {
        let entries = std::fs::read_dir(folder.join(kind)).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    };
    for dir in there("models") {
        let want = References::read(&dir);
        let prompts = want.prompts();
        assert!(prompts.len() == 3, "{}", dir.display());
        check_logits(&dir, &want, &Device::Cpu);
        check_cached(&dir, &want, &prompts[1..], &Device::Cpu);
        check_greedy(&dir, &want, &prompts, usize::MAX, &Device::Cpu);
    }
    for dir in there("adapters") {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let of = ADAPTED.into_iter().find(|model| name.starts_with(model)).unwrap();
        viewed_and_folded(&model(of), &dir);
    }
}

#[test]
fn adapters_viewed_and_folded() {
    for name in ADAPTED {
        let base = model(name);
        for kind in ["all-linear", "qv", "rslora"] {
            viewed_and_folded(&base, &fixtures("adapters").join(format!("{name}-{kind}")));
        }
    }
}

fn viewed_and_folded(base: &Model, dir: &Path) {
    let (want, json, what) = (References::read(dir), References::json(dir), dir.display());
    let adapter = Adapter::load(dir, base).unwrap();
    let folded = base.folded(&adapter).unwrap();
    for (i, prompt) in want.prompts().into_iter().enumerate() {
        let ids = want.ids(&format!("input_ids.{prompt}"));
        let viewed = base.forward(&ids, Some(&adapter)).unwrap().logits;
        let merged = folded.forward(&ids, None).unwrap().logits;
        for (of, got) in [("logits", &viewed), ("merged_logits", &merged)] {
            let error = error(got, &want.0[&format!("{of}.{prompt}")]);
            assert!(error < TOLERANCE, "{what} {prompt} {of}: {error}");
        }
        let greedy_ids: Vec<u32> =
            serde_json::from_value(json["prompts"][i]["greedy"].clone()).unwrap();
        let steps = greedy_ids.len();
        assert_eq!(greedy(base, &ids, steps, Some(&adapter)), greedy_ids, "{what} {prompt}");
        assert_eq!(greedy(&folded, &ids, steps, None), greedy_ids, "{what} {prompt}");
    }
}

#[test]
fn adapters_survive_a_round_trip() {
    for name in ADAPTED {
        let base = model(name);
        let adapter =
            Adapter::load(&fixtures("adapters").join(format!("{name}-qv")), &base).unwrap();
        let dir = tempfile::tempdir().unwrap();
        adapter.save(dir.path(), name).unwrap();
        let again = Adapter::load(dir.path(), &base).unwrap();
        let logits = |a: &Adapter| {
            base.forward(&[5, 7, 300, 2], Some(a)).unwrap().logits.to_vec2::<f32>().unwrap()
        };
        assert_eq!(logits(&adapter), logits(&again));
    }
}

#[test]
fn tokenizers_and_chat_templates() {
    for name in MODELS {
        let (model, json) = (model(name), References::json(&fixtures("models").join(name)));
        for case in json["tokenizer"]["encode"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let want: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(model.tokenizer().encode(text).unwrap(), want, "{name} {text:?}");
        }
        for case in json["tokenizer"]["chat"].as_array().unwrap() {
            let messages: Vec<Message<'_>> =
                case["messages"].as_array().unwrap().iter().map(message).collect();
            let prompt = case["add_generation_prompt"].as_bool().unwrap();
            let template = &model.text.template;
            assert_eq!(
                template.render(&messages, prompt).unwrap(),
                case["text"].as_str().unwrap(),
                "{name}"
            );
            let want: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(
                template.encode(model.tokenizer(), &messages, prompt).unwrap(),
                want,
                "{name}"
            );
        }
    }
}

#[test]
fn control_tokens_that_are_written_out_stay_text() {
    for name in MODELS {
        let model = model(name);
        let special = model.tokenizer().control_tokens();
        assert!(!special.is_empty());
        let evil: String = special.iter().map(|token| format!(" {token} x{token}")).collect();
        let plain = model.encode(&Message::question(&"Mind.".into(), "Where?")).unwrap();
        let ids = model.encode(&Message::question(&evil.as_str().into(), &evil)).unwrap();
        let control = |ids: &[u32]| -> Vec<u32> {
            let is_control =
                |id: &&u32| special.iter().any(|token| model.tokenizer().id(token) == Some(**id));
            ids.iter().filter(is_control).copied().collect()
        };
        assert_eq!(
            control(&ids),
            control(&plain),
            "{name}: the template's own control tokens and no other"
        );
        assert!(
            model.decode(&ids).unwrap().matches(evil.trim()).count() == 2,
            "{name}: the text is all there"
        );
    }
}

pub(crate) fn message(json: &Value) -> Message<'_> {
    let role = match json["role"].as_str().unwrap() {
        "system" => Role::System,
        "user" => Role::User,
        _ => Role::Assistant,
    };
    Message::new(role, json["content"].as_str().unwrap())
}
