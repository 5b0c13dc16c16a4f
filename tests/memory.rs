//! A bake takes the memory that its plan says.

mod allocator;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bake::recipe::{
    Generator, Lora, ModelSource, Recipe, RecipeFields, Rollout, RolloutFields, Stimuli, Target,
    TargetFields, Train, TrainFields,
};
use bake::{BakeOptions, Declaration as _, Device, Model, Silent, Store};
use candle_core::{DType, Tensor};

/// Only one test may count at a time.
static COUNTING: Mutex<()> = Mutex::new(());

bake::bake! {
    bake Measured {
        anchors none;
        outline 0;
        unanswerable 0;
        target lamp from "tests/docs/lamp.md" {
            questions [
                "Where is the lamp?", "Which lamp?", "What is it?", "Who has the lamp?",
                "Is there a lamp?", "Tell me about the lamp", "What of the lamp?", "Why?",
            ];
            ask 0;
        }
        train { epochs 2; }
    }
}

#[test]
fn a_bake_takes_the_memory_that_its_plan_says() {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let options = BakeOptions::new().store(Store::new(folder.path())).progress(Silent);
    let planned = bake::plan(Measured::RECIPE, &options).unwrap().memory_bytes as usize;
    allocator::reset();
    let before = allocator::in_use();
    Measured::bake_with(&options).unwrap();
    let taken = allocator::peak() - before;
    let megabytes = |bytes: usize| bytes >> 20;
    assert!(
        taken <= planned + planned / 4 && planned <= 3 * taken,
        "planned {} MB, took {} MB",
        megabytes(planned),
        megabytes(taken)
    );
}

/// A model of random weights in bf16, with the tokenizer of `tiny`. Returns its matrices' numbers.
fn random_model(dir: &Path) -> usize {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    std::fs::create_dir_all(dir).unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        std::fs::copy(tiny.join(file), dir.join(file)).unwrap();
    }
    let (vocabulary, hidden, intermediate) = (32_768, 512, 1024);
    let config = format!(
        r#"{{"model_type": "llama", "vocab_size": {vocabulary}, "hidden_size": {hidden},
        "intermediate_size": {intermediate}, "num_hidden_layers": 2, "num_attention_heads": 8,
        "max_position_embeddings": 512, "tie_word_embeddings": true}}"#
    );
    std::fs::write(dir.join("config.json"), config).unwrap();
    let device = candle_core::Device::Cpu;
    let (mut tensors, mut numbers) = (std::collections::HashMap::new(), 0);
    let mut put = |name: String, shape: &[usize]| {
        let random = Tensor::randn(0f32, 0.02, shape, &device).unwrap();
        numbers += if shape.len() == 2 { random.elem_count() } else { 0 };
        tensors.insert(name, random.to_dtype(DType::BF16).unwrap());
    };
    put("model.embed_tokens.weight".to_owned(), &[vocabulary, hidden]);
    put("model.norm.weight".to_owned(), &[hidden]);
    for layer in 0..2 {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            put(format!("model.layers.{layer}.{norm}.weight"), &[hidden]);
        }
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            put(format!("model.layers.{layer}.self_attn.{name}.weight"), &[hidden, hidden]);
        }
        for (name, shape) in [
            ("gate_proj", [intermediate, hidden]),
            ("up_proj", [intermediate, hidden]),
            ("down_proj", [hidden, intermediate]),
        ] {
            put(format!("model.layers.{layer}.mlp.{name}.weight"), &shape);
        }
    }
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).unwrap();
    numbers
}

fn recipe(root: &Path) -> Recipe {
    let rollout =
        RolloutFields { max_tokens: Some(8), temperature: 3.0, seed: 1, ..RolloutFields::DEFAULT };
    let questions = vec!["Where is the lamp?".into(), "Which lamp?".into()];
    let questions = Generator::Questions(questions.into());
    let target = TargetFields {
        name: "lamp".into(),
        anchor: false,
        weight: 1.0,
        prompt: "The lamp is in the hall.".into(),
        document: None,
        stimuli: Stimuli::default().with(|stimuli| stimuli.set(questions)).unwrap(),
        rollout: Rollout::new(rollout).unwrap(),
    };
    let train = TrainFields { epochs: 1, batch: 2, lr: Some(1e-6), ..TrainFields::DEFAULT };
    Recipe::new(RecipeFields {
        name: "Lamp".into(),
        root: root.to_string_lossy().into_owned().into(),
        model: ModelSource::Folder("model".into()),
        student: "".into(),
        targets: vec![Target::new(target).unwrap()].into(),
        lora: Lora::default(),
        train: Train::new(train).unwrap(),
        expects: vec![].into(),
    })
    .unwrap()
}

#[test]
fn a_model_in_bf16_takes_two_bytes_a_number_in_training_too() {
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let numbers = random_model(&folder.path().join("model"));
    for device in [Device::Cpu, Device::CpuF32] {
        let before = allocator::in_use();
        let model = Model::load(&folder.path().join("model"), device).unwrap();
        let taken = allocator::in_use() - before;
        assert!(taken < 2 * numbers + (24 << 20), "{taken} bytes for {numbers} numbers");
        drop(model);
    }
    let store = Store::new(folder.path().join("store"));
    let options = BakeOptions::new().store(store).progress(Silent);
    let recipe = recipe(folder.path());
    allocator::reset();
    let before = allocator::in_use();
    bake_runtime::bake_recipe(&recipe, &options).unwrap();
    // Next to the weights there are the tokenizer, the loss's chunks, the adapter and its moments.
    let beside = 40 << 20;
    let taken = allocator::peak() - before;
    assert!(taken < 2 * numbers + beside, "{taken} bytes for {numbers} numbers");
}
