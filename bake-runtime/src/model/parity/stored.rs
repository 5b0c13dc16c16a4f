//! Models whose weights stay in the type in which they are stored.

use candle_core::DType;
use candle_core::quantized::{GgmlDType, QTensor};

use super::*;
use crate::adapter::testing::noisy;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::folder::ModelFolder;
use crate::checkpoint::stored::{Stored, StoredDtype};
use crate::checkpoint::testing::Folder;
use crate::device::gpu::testing::on_gpus;
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::weight::Form;
use crate::train::{TrainingRoom, Trial};

/// What rounding to bf16 in every product changes at most.
const ROUNDED: f32 = 6e-2;

/// Longer than the windows.
const IDS: [u32; 20] = [5, 7, 300, 2, 9, 11, 30, 41, 3, 8, 1, 99, 17, 18, 256, 255, 77, 4, 6, 10];

/// A folder with the model, its weights rounded to each of these types in turn.
fn model_in(name: &str, dtypes: &[DType]) -> Folder {
    let folder = Folder::of(name);
    let mut weights = folder.weights();
    for tensor in weights.values_mut() {
        for dtype in dtypes {
            *tensor = tensor.to_dtype(*dtype).unwrap();
        }
    }
    folder.write_weights("model.safetensors", &weights);
    folder
}

fn logits(model: &Model, adapter: Option<&Adapter>) -> Tensor {
    model.forward(&IDS, adapter).unwrap().logits
}

#[test]
fn weights_in_half_precision_are_read_as_what_they_are() {
    for name in MODELS {
        let logits = |dtypes: &[DType]| {
            let logits = logits(&model_in(name, dtypes).load(), None);
            logits.to_vec2::<f32>().unwrap()
        };
        for half in [DType::BF16, DType::F16] {
            assert_eq!(logits(&[half]), logits(&[half, DType::F32]), "{name}");
            let rounded = logits(&[half]) != logits(&[DType::F32]);
            // This model's are in bf16 as they are.
            assert_eq!(rounded, (name, half) != ("qwen2", DType::BF16), "{name} {half:?}");
        }
    }
}

/// Few tokens, since the emulator of a GPU is slow.
fn few(model: &Model, adapter: Option<&Adapter>) -> Tensor {
    model.forward(&IDS[..6], adapter).unwrap().logits.to_device(&Device::Cpu).unwrap()
}

#[test]
fn weights_in_bf16_stay_so_on_a_gpu() {
    for name in MODELS {
        let folder = model_in(name, &[DType::BF16]);
        let all = |device: &Device| {
            let model = Model::load_at(folder.root(), device, Precision::fastest()).unwrap();
            let adapter = noisy(model.config(), device);
            let head = model.decoder().head().plain().unwrap().dtype();
            let folded = model.folded(&adapter).unwrap();
            (head, few(&model, None), few(&model, Some(&adapter)), few(&folded, None))
        };
        let (head, base, viewed, _) = all(&Device::Cpu);
        assert_eq!(head, DType::F32);
        on_gpus(|device| {
            let got = all(device);
            assert_eq!(got.0, DType::BF16);
            for (got, want) in [(&got.1, &base), (&got.2, &viewed), (&got.3, &viewed)] {
                let error = error(got, want);
                assert!(error < ROUNDED, "{name}: {error}");
            }
        });
    }
}

#[test]
fn what_is_not_in_bf16_is_widened_on_a_gpu() {
    for name in MODELS {
        let folder = model_in(name, &[DType::F16]);
        let quantised = Quantised::of(name, GgmlDType::Q4_1);
        let all = |device: &Device| {
            let halves = Model::load_at(folder.root(), device, Precision::fastest()).unwrap();
            [halves, quantised.load(device, Form::Stored, None)]
        };
        let want = all(&Device::Cpu).map(|model| few(&model, None));
        on_gpus(|device| {
            for (model, want) in all(device).iter().zip(&want) {
                assert!(model.decoder().in_f32());
                let error = error(&few(model, None), want);
                assert!(error < TOLERANCE, "{name}: {error}");
            }
        });
    }
}

/// Rounding them would change what a model says that is stored in f32.
#[test]
fn numbers_in_f32_are_multiplied_as_they_are() {
    for name in MODELS {
        let precision = Precision { form: Some(Form::Stored), unit: Some(Bf16Unit::Emulated) };
        let folder = model_in(name, &[DType::F32]);
        let model = Model::load_at(folder.root(), &Device::Cpu, precision).unwrap();
        assert!(model.decoder().bf16_unit().is_none() && model.decoder().in_f32(), "{name}");
    }
}

#[test]
fn weights_stay_in_their_type_on_the_processor() {
    for name in MODELS {
        for dtype in [DType::BF16, DType::F16] {
            check_stored(name, dtype);
        }
    }
}

fn check_stored(name: &str, dtype: DType) {
    let folder = model_in(name, &[dtype]);
    let load = |form, unit| {
        let precision = Precision { form: Some(form), unit };
        Model::load_at(folder.root(), &Device::Cpu, precision).unwrap()
    };
    let (stored, wide) = (load(Form::Stored, None), load(Form::Wide, None));
    assert_eq!(2 * stored.decoder().weight_bytes(), wide.decoder().weight_bytes());
    assert!(wide.decoder().in_f32() && !stored.decoder().in_f32());
    let adapter = noisy(wide.config(), &Device::Cpu);
    for adapter in [None, Some(&adapter)] {
        let error = error(&logits(&stored, adapter), &logits(&wide, adapter));
        assert!(error < TOLERANCE, "{name} {dtype:?} {error}");
        // Whatever the answers are read from, they have the same bits.
        assert_eq!(greedy(&stored, &IDS, 8, adapter), greedy(&wide, &IDS, 8, adapter), "{name}");
    }
    let unit = Some(Bf16Unit::Emulated);
    assert_eq!(load(Form::Wide, unit).decoder().bf16_unit(), None);
    let rounding = load(Form::Stored, unit);
    // Weights in f16 would be rounded in bf16.
    assert_eq!(rounding.decoder().bf16_unit(), unit.filter(|_| dtype == DType::BF16));
    let far = error(&logits(&rounding, Some(&adapter)), &logits(&wide, Some(&adapter)));
    assert!(far < ROUNDED && (far > 1e-4) == (dtype == DType::BF16), "{name} {dtype:?} {far}");
    let folded = stored.folded(&adapter).unwrap();
    let error = error(&logits(&folded, None), &logits(&wide, Some(&adapter)));
    assert!(error < TOLERANCE, "{name} {dtype:?} {error}");
}

/// An adapter is folded into all of them.
#[test]
fn a_model_is_in_f32_where_all_of_its_matrices_are() {
    let folder = model_in("llama", &[DType::BF16]);
    let mut weights = folder.weights();
    for (name, tensor) in weights.iter_mut() {
        if !name.ends_with("down_proj.weight") {
            *tensor = tensor.to_dtype(DType::F32).unwrap();
        }
    }
    folder.write_weights("model.safetensors", &weights);
    let precision = Precision { form: Some(Form::Stored), unit: None };
    let model = Model::load_at(folder.root(), &Device::Cpu, precision).unwrap();
    assert!(!model.decoder().in_f32());
}

/// A folder whose matrices are quantised, as those of a GGUF file are.
struct Quantised(ModelFolder, GgmlDType);

impl Quantised {
    fn of(name: &str, dtype: GgmlDType) -> Self {
        Self(ModelFolder::open(&fixtures("models").join(name)).unwrap(), dtype)
    }

    fn load(&self, device: &Device, form: Form, unit: Option<Bf16Unit>) -> Model {
        let precision = Precision { form: Some(form), unit };
        Model::assemble("quantised".into(), self, device, precision).unwrap()
    }
}

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
        // Rows that are not whole blocks stay as they are, as where files are quantised.
        let whole = |stored: &Stored<'_>| {
            stored.shape.len() == 2 && stored.shape[1].is_multiple_of(self.1.block_size())
        };
        let Some(stored) = self.0.stored(name)?.filter(whole) else {
            return self.0.stored(name);
        };
        let blocks = QTensor::quantize(&stored.tensor(&Device::Cpu)?, self.1)?;
        let data = blocks.data()?.into_owned().into();
        Ok(Some(Stored { dtype: StoredDtype::Blocks(self.1), data, ..stored }))
    }

    fn missing(&self, name: &str) -> crate::Error {
        self.0.missing(name)
    }

    fn hash(&self) -> bake_spec::Hash {
        self.0.hash()
    }
}

#[test]
fn blocks_stay_so_on_the_processor() {
    for (name, dtype) in
        MODELS.iter().flat_map(|name| [(name, GgmlDType::Q4_1), (name, GgmlDType::Q8_0)])
    {
        let quantised = Quantised::of(name, dtype);
        let wide = quantised.load(&Device::Cpu, Form::Wide, None);
        let adapter = noisy(wide.config(), &Device::Cpu);
        for (unit, tolerance) in [(None, TOLERANCE), (Some(Bf16Unit::Emulated), ROUNDED)] {
            let stored = quantised.load(&Device::Cpu, Form::Stored, unit);
            assert!(!stored.decoder().in_f32() && wide.decoder().in_f32());
            for adapter in [None, Some(&adapter)] {
                let error = error(&logits(&stored, adapter), &logits(&wide, adapter));
                assert!(error < tolerance, "{name} {dtype:?} {unit:?}: {error}");
            }
        }
    }
}

#[test]
fn a_quantised_model_stays_so_and_learns() {
    let quantised = Quantised::of("llama-tied", GgmlDType::Q4_1);
    let wide = quantised.load(&Device::Cpu, Form::Wide, None);
    let numbers = wide.decoder().weight_bytes() / size_of::<f32>();
    for unit in [None, Some(Bf16Unit::Emulated)] {
        let model = quantised.load(&Device::Cpu, Form::Stored, unit);
        // The embedding, whose rows are gathered, is the head too.
        let bytes = model.decoder().weight_bytes();
        assert!(10 * bytes <= 7 * numbers, "{bytes} bytes for {numbers} numbers");
        let recipe = crate::bake::tests::recipe();
        let room = TrainingRoom::of(&model, crate::Device::CpuF32, 0);
        let trial = Trial::new(&model, &recipe, &room, 3, [11, 10]).unwrap();
        assert_eq!(trial.tokens(), IDS.len());
        trial.learn(0).unwrap();
        assert_eq!(model.decoder().weight_bytes(), bytes);
    }
}
