//! Comparison with the reference implementations (transformers and PEFT), on the data in
//! `tests/fixtures`.

use std::path::{Path, PathBuf};

#[cfg(feature = "train")]
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

#[cfg(feature = "train")]
use crate::checkpoint::Checkpoint;
#[cfg(feature = "train")]
use crate::checkpoint::folder::ModelFolder;
#[cfg(feature = "train")]
use crate::checkpoint::stored::{Stored, StoredDtype};

use crate::device::gpu::testing::{everywhere, on_gpus};
use crate::generate::Sequence;
use crate::model::block::WeightView;
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::weight::{Form, Precision};
use crate::text::template::{Message, Role};
use crate::train::{TrainingRoom, Trial};
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

struct Expected(std::collections::HashMap<String, Tensor>);

impl Expected {
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

#[test]
fn logits_and_hidden_states_at_every_position() {
    for name in MODELS {
        let want = Expected::read(&fixtures("models").join(name));
        everywhere(|device| {
            let dir = fixtures("models").join(name);
            let model = Model::load_at(&dir, device, Precision::fastest()).unwrap();
            // On a GPU, products with weights in bf16 round the other factor.
            let tolerance = if model.decoder().in_f32() { TOLERANCE } else { 4e-2 };
            for prompt in want.prompts() {
                let got = model.forward(&want.ids(&format!("input_ids.{prompt}")), None).unwrap();
                for (what, got) in [("logits", &got.logits), ("hidden", &got.hidden)] {
                    let error = error(
                        &got.to_device(&Device::Cpu).unwrap(),
                        &want.0[&format!("{what}.{prompt}")],
                    );
                    assert!(error < tolerance, "{name} {prompt} {what}: {error}");
                }
            }
        });
    }
}

/// A folder with the model `llama-tied`, its weights in this type.
fn llama_tied_in(dtype: DType) -> tempfile::TempDir {
    let from = fixtures("models/llama-tied");
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(from.join(file), dir.path().join(file)).unwrap();
    }
    let weights =
        candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    let weights = weights.into_iter().map(|(name, t)| (name, t.to_dtype(dtype).unwrap()));
    candle_core::safetensors::save(&weights.collect(), dir.path().join("model.safetensors"))
        .unwrap();
    dir
}

#[test]
fn weights_in_bf16_stay_so_on_a_gpu() {
    let dir = llama_tied_in(DType::BF16);
    let adapter = fixtures("adapters/llama-tied-all-linear");
    let logits = |device: &Device| {
        let model = Model::load_at(dir.path(), device, Precision::fastest()).unwrap();
        let adapter = Adapter::load(&adapter, &model).unwrap();
        let logits = |model: &Model, adapter| {
            model.forward(&[5, 7, 300, 2], adapter).unwrap().logits.to_device(&Device::Cpu).unwrap()
        };
        let head = model.decoder().head().plain().unwrap().dtype();
        (
            head,
            logits(&model, None),
            logits(&model, Some(&adapter)),
            logits(&model.folded(&adapter).unwrap(), None),
        )
    };
    let (head, base, viewed, _) = logits(&Device::Cpu);
    assert_eq!(head, DType::F32);
    on_gpus(|device| {
        let got = logits(device);
        assert_eq!(got.0, DType::BF16);
        for (got, want) in [(&got.1, &base), (&got.2, &viewed), (&got.3, &viewed)] {
            let error = error(got, want);
            assert!(error < 4e-2, "{error}");
        }
    });
}

#[test]
fn weights_stay_in_their_type_on_the_processor() {
    for dtype in [DType::BF16, DType::F16] {
        let dir = llama_tied_in(dtype);
        let load = |form, unit| {
            let precision = Precision { form: Some(form), unit };
            Model::load_at(dir.path(), &Device::Cpu, precision).unwrap()
        };
        let (stored, wide) = (load(Form::Stored, None), load(Form::Wide, None));
        assert_eq!(2 * stored.decoder().weight_bytes(), wide.decoder().weight_bytes());
        assert!(wide.decoder().in_f32() && !stored.decoder().in_f32());
        let ids = [5, 7, 300, 2, 9, 11, 30, 41, 3, 8, 1, 99, 17, 18, 256, 255, 77, 4, 6, 10];
        let adapter = Adapter::load(&fixtures("adapters/llama-tied-all-linear"), &wide).unwrap();
        let logits = |model: &Model, adapter| model.forward(&ids, adapter).unwrap().logits;
        for adapter in [None, Some(&adapter)] {
            let error = error(&logits(&stored, adapter), &logits(&wide, adapter));
            assert!(error < TOLERANCE, "{dtype:?} {error}");
            // Whatever the answers are read from, they have the same bits.
            assert_eq!(greedy(&stored, &ids, 8, adapter), greedy(&wide, &ids, 8, adapter));
        }
        let unit = Some(Bf16Unit::Emulated);
        assert_eq!(load(Form::Wide, unit).decoder().bf16_unit(), None);
        let rounding = load(Form::Stored, unit);
        // Weights in f16 would be rounded in bf16.
        assert_eq!(rounding.decoder().bf16_unit(), unit.filter(|_| dtype == DType::BF16));
        let far = error(&logits(&rounding, Some(&adapter)), &logits(&wide, Some(&adapter)));
        assert!(far < 4e-2 && (far > 1e-4) == (dtype == DType::BF16), "{dtype:?} {far}");
        let folded = stored.folded(&adapter).unwrap();
        let error = error(&logits(&folded, None), &logits(&wide, Some(&adapter)));
        assert!(error < TOLERANCE, "{dtype:?} {error}");
    }
}

/// A folder whose matrices are quantised, as those of a GGUF file are.
#[cfg(feature = "train")]
struct Quantised(ModelFolder);

#[cfg(feature = "train")]
impl Checkpoint for Quantised {
    fn config(&self) -> crate::Result<bake_spec::Config> {
        self.0.config()
    }

    fn files(&self) -> &bake_spec::model::Files {
        self.0.files()
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn stored(&self, name: &str) -> crate::Result<Option<Stored<'_>>> {
        let Some(stored) = self.0.stored(name)?.filter(|stored| stored.shape.len() == 2) else {
            return self.0.stored(name);
        };
        let blocks = QTensor::quantize(&stored.tensor(&Device::Cpu)?, GgmlDType::Q4_1)?;
        let data = blocks.data()?.into_owned().into();
        Ok(Some(Stored { dtype: StoredDtype::Blocks(GgmlDType::Q4_1), data, ..stored }))
    }

    fn missing(&self, name: &str) -> crate::Error {
        self.0.missing(name)
    }

    fn hash(&self) -> bake_spec::Hash {
        self.0.hash()
    }
}

#[cfg(feature = "train")]
#[test]
fn a_quantised_model_stays_so_and_learns() {
    let checkpoint = Quantised(ModelFolder::open(&fixtures("models/llama-tied")).unwrap());
    let load = |form, unit| {
        let precision = Precision { form: Some(form), unit };
        Model::assemble("q4".into(), &checkpoint, &Device::Cpu, precision).unwrap()
    };
    let wide = load(Form::Wide, None);
    let ids = [5, 7, 300, 2, 9, 11, 30, 41, 3, 8, 1, 99, 17, 18, 256, 255, 77, 4, 6, 10];
    let logits = |model: &Model| model.forward(&ids, None).unwrap().logits;
    for (unit, tolerance) in [(None, TOLERANCE), (Some(Bf16Unit::Emulated), 4e-2)] {
        let model = load(Form::Stored, unit);
        assert!(error(&logits(&model), &logits(&wide)) < tolerance, "{unit:?}");
        // The embedding, whose rows are gathered, is the head too.
        let (bytes, numbers) =
            (model.decoder().weight_bytes(), wide.decoder().weight_bytes() / size_of::<f32>());
        assert!(10 * bytes <= 7 * numbers, "{bytes} bytes for {numbers} numbers");
        let recipe = crate::bake::tests::recipe();
        let room = TrainingRoom::of(&model, crate::Device::CpuF32, 0);
        let trial = Trial::new(&model, &recipe, &room, [11, 10]).unwrap();
        assert_eq!(trial.tokens(), ids.len());
        trial.learn(0).unwrap();
        assert_eq!(model.decoder().weight_bytes(), bytes);
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
fn weights_in_half_precision_are_read_as_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let from = fixtures("models/llama-tied");
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(from.join(file), dir.path().join(file)).unwrap();
    }
    let weights =
        candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    let logits = |dtypes: &[DType]| {
        let converted = weights.iter().map(|(name, tensor)| {
            let converted = dtypes
                .iter()
                .fold(tensor.clone(), |tensor, dtype| tensor.to_dtype(*dtype).unwrap());
            (name.clone(), converted)
        });
        candle_core::safetensors::save(&converted.collect(), dir.path().join("model.safetensors"))
            .unwrap();
        let model = Model::load(dir.path(), crate::device::Device::Cpu).unwrap();
        model.forward(&[1, 2, 300], None).unwrap().logits.to_vec2::<f32>().unwrap()
    };
    for half in [DType::BF16, DType::F16] {
        assert_eq!(logits(&[half]), logits(&[half, DType::F32]));
        assert_ne!(logits(&[half]), logits(&[DType::F32]));
    }
}

#[test]
fn cached_decoding() {
    for name in MODELS {
        let (model, want) = (model(name), Expected::read(&fixtures("models").join(name)));
        for prompt in want.prompts().split_off(1) {
            let ids = want.ids(&format!("input_ids.{prompt}"));
            let want = &want.0[&format!("kv_logits.{prompt}")];
            let mut sequence = Sequence::new(&model).unwrap();
            sequence.read(&model, &ids[..20], WeightView::default()).unwrap();
            let logits: Vec<f32> = ids[20..]
                .iter()
                .flat_map(|&id| sequence.push(&model, &[id], WeightView::default()).unwrap())
                .collect();
            let error = error(&Tensor::from_vec(logits, want.shape(), &Device::Cpu).unwrap(), want);
            assert!(error < TOLERANCE, "{name} {prompt}: {error}");
        }
    }
}

#[test]
fn greedy_tokens() {
    for name in MODELS {
        let (model, want) = (model(name), Expected::read(&fixtures("models").join(name)));
        for prompt in want.prompts() {
            let want_ids = want.ids(&format!("greedy.{prompt}"));
            let got =
                greedy(&model, &want.ids(&format!("input_ids.{prompt}")), want_ids.len(), None);
            assert_eq!(got, want_ids, "{name} {prompt}");
        }
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
    let (want, json, what) = (Expected::read(dir), Expected::json(dir), dir.display());
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
        let (model, json) = (model(name), Expected::json(&fixtures("models").join(name)));
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
