//! What the files of a model say that changes what it computes.

use serde_json::json;

use super::testing::{Folder, logits};
use crate::generate::sample::Sampling;
use crate::handle::chat::Chat;
use crate::model::Model;
use crate::text::template::Message;

const CHANGED: &str = "model.layers.0.mlp.down_proj.weight";
const INDEX: &str = "model.safetensors.index.json";

/// The model's weights in two files that both contain one tensor, in two versions.
fn in_two_files(folder: &Folder, the_one: &str) {
    let mut first = folder.weights();
    let mut second = std::collections::HashMap::new();
    second.insert(CHANGED.to_owned(), first[CHANGED].neg().unwrap());
    let norm = first.remove("model.norm.weight").unwrap();
    second.insert("model.norm.weight".to_owned(), norm);
    let mut map: serde_json::Map<_, _> =
        first.keys().map(|name| (name.clone(), json!("a.safetensors"))).collect();
    map.insert("model.norm.weight".to_owned(), json!("b.safetensors"));
    map.insert(CHANGED.to_owned(), json!(the_one));
    folder.write_weights("a.safetensors", &first);
    folder.write_weights("b.safetensors", &second);
    folder.write(INDEX, &json!({"weight_map": map}).to_string());
    std::fs::remove_file(folder.path("model.safetensors")).unwrap();
}

#[test]
fn a_tensor_is_read_from_the_file_that_the_index_names() {
    let whole = Folder::of("llama-tied");
    let plain = logits(&whole.load());
    let mut weights = whole.weights();
    weights.insert(CHANGED.to_owned(), weights[CHANGED].neg().unwrap());
    whole.write_weights("model.safetensors", &weights);
    let changed = logits(&whole.load());
    assert_ne!(plain, changed);

    let (first, second) = (Folder::of("llama-tied"), Folder::of("llama-tied"));
    in_two_files(&first, "a.safetensors");
    in_two_files(&second, "b.safetensors");
    let (first, second) = (first.load(), second.load());
    assert_eq!(logits(&first), plain);
    assert_eq!(logits(&second), changed);
    assert_ne!(first.hash(), second.hash(), "they are not one model");
}

#[test]
fn an_index_that_names_the_wrong_file() {
    let folder = Folder::of("llama-tied");
    in_two_files(&folder, "a.safetensors");
    folder.edit(INDEX, |json| json["weight_map"]["model.norm.weight"] = json!("a.safetensors"));
    let error = folder.refused();
    assert!(error.contains("a.safetensors") && error.contains("`model.norm.weight`"), "{error}");
    assert!(error.contains("is not in that file"), "{error}");
}

#[test]
fn pointers_of_git_lfs_are_not_the_files() {
    for file in ["model.safetensors", "tokenizer.json"] {
        let folder = Folder::of("llama-tied");
        folder.write(file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
        let error = folder.refused();
        assert!(error.contains(file) && error.contains("`git lfs pull`"), "{error}");
    }
}

#[test]
fn a_head_of_its_own_is_the_head_whatever_the_flag_says() {
    let folder = Folder::of("llama-tied");
    let tied = logits(&folder.load());
    let mut weights = folder.weights();
    let embedding = weights["model.embed_tokens.weight"].clone();
    weights.insert("lm_head.weight".to_owned(), embedding.clone());
    folder.write_weights("model.safetensors", &weights);
    assert_eq!(logits(&folder.load()), tied);

    weights.insert("lm_head.weight".to_owned(), (embedding * 0.5).unwrap());
    folder.write_weights("model.safetensors", &weights);
    let with_flag = logits(&folder.load());
    folder.edit("config.json", |json| json["tie_word_embeddings"] = json!(false));
    assert_eq!(with_flag, logits(&folder.load()));
    assert_ne!(with_flag, tied);
}

#[test]
fn parts_that_the_configuration_does_not_ask_for_are_not_left_out() {
    for name in [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.3.mlp.up_proj.weight",
        "model.layers.0.mlp.gate_proj.weight_scale",
        "lm_head.bias",
        "lm_head.weight_scale",
    ] {
        let folder = Folder::of("llama-tied");
        let mut weights = folder.weights();
        weights.insert(name.to_owned(), weights["model.norm.weight"].clone());
        folder.write_weights("model.safetensors", &weights);
        let error = folder.refused();
        assert!(error.contains(&format!("`{name}`")), "{error}");
        assert!(error.contains("model.safetensors"), "{error}");
    }
    let folder = Folder::of("llama-tied");
    let plain = logits(&folder.load());
    let mut weights = folder.weights();
    for name in ["model.layers.0.self_attn.rotary_emb.inv_freq", "score.weight"] {
        weights.insert(name.to_owned(), weights["model.norm.weight"].clone());
    }
    folder.write_weights("model.safetensors", &weights);
    assert_eq!(logits(&folder.load()), plain);
}

#[test]
fn rope_scaling_beside_rope_parameters_is_what_counts() {
    let (both, alone) = (Folder::of("llama-tied"), Folder::of("llama-tied"));
    let plain = logits(&both.load());
    let scaling = json!({"rope_type": "linear", "factor": 4.0});
    both.edit("config.json", |json| json["rope_scaling"] = scaling.clone());
    alone.edit("config.json", |json| {
        json["rope_parameters"] = json!(null);
        json["rope_scaling"] = scaling;
    });
    let both = logits(&both.load());
    assert_eq!(both, logits(&alone.load()));
    assert_ne!(both, plain);
}

#[test]
fn a_long_context_costs_nothing_until_it_is_used() {
    let folder = Folder::of("llama-tied");
    let plain = logits(&folder.load());
    folder.edit("config.json", |json| json["max_position_embeddings"] = json!(1 << 24));
    assert_eq!(logits(&folder.load()), plain);
}

#[test]
fn files_that_are_not_there_leave_no_trace_in_the_hash() {
    let folder = Folder::of("llama-tied");
    let plain = *folder.load().hash();
    for (file, text) in [
        ("special_tokens_map.json", r#"{"sep_token": "<|im_end|>"}"#),
        ("added_tokens.json", r#"{"<|im_end|>": 2}"#),
        ("additional_chat_templates/default.jinja", "{{ messages[0].content }}"),
    ] {
        folder.write(file, text);
        assert_ne!(*folder.load().hash(), plain, "{file}");
        std::fs::remove_file(folder.path(file)).unwrap();
    }
    assert_eq!(*folder.load().hash(), plain);
}

#[test]
fn what_ends_an_answer() {
    let folder = Folder::of("llama-tied");
    folder.edit("generation_config.json", |json| json["eos_token_id"] = json!([7, 9]));
    let model = folder.load();
    let ends = |token| model.generation().ends(token);
    assert!([2, 7, 9].into_iter().all(ends) && !ends(8));
    for (key, value) in [
        ("eos_token_id", json!("2")),
        ("eos_token_id", json!([-1])),
        ("eos_token_id", json!([2, 1_000_000])),
        ("suppress_tokens", json!([5])),
        ("no_repeat_ngram_size", json!(3)),
        ("stop_strings", json!(["END"])),
        ("forced_bos_token_id", json!(4)),
        ("num_beams", json!(4)),
        ("guidance_scale", json!(1.5)),
        ("min_new_tokens", json!(3)),
        ("token_healing", json!(true)),
        ("dola_layers", json!("high")),
        ("watermarking_config", json!({"bias": 2.0})),
        ("repetition_penalty", json!(0)),
        ("repetition_penalty", json!("1.1")),
    ] {
        let folder = Folder::of("llama-tied");
        folder.edit("generation_config.json", |json| json[key] = value);
        let error = folder.refused();
        assert!(error.contains("generation_config.json") && error.contains(key), "{error}");
    }
    folder.edit("generation_config.json", |json| {
        for key in ["suppress_tokens", "stop_strings"] {
            json[key] = json!(null);
        }
        json["no_repeat_ngram_size"] = json!(0);
        for key in ["num_beams", "guidance_scale", "repetition_penalty"] {
            json[key] = json!(1);
        }
        json["token_healing"] = json!(false);
        json["temperature"] = json!(0.6);
    });
    folder.load();
}

/// transformers 5: `RepetitionPenaltyLogitsProcessor`.
#[test]
fn tokens_that_have_occurred_are_as_unlikely_as_a_model_says() {
    let folder = Folder::of("llama-tied");
    let mut logits = [3.0, -1.0, 0.5, -0.0, 2.0];
    folder.load().generation().repetition(&[0, 1, 3]).penalise(&mut logits);
    assert_eq!(logits, [3.0, -1.0, 0.5, -0.0, 2.0]);

    // Divided by 1.1, 3.3 has other bits than multiplied by its inverse.
    assert_ne!(3.3f32 / 1.1, 3.3 * (1.0 / 1.1));
    logits[0] = 3.3;
    folder.edit("generation_config.json", |json| json["repetition_penalty"] = json!(1.1));
    let mut repetition = folder.load().generation().repetition(&[1, 0, 1]);
    repetition.add(3);
    repetition.add(0);
    repetition.penalise(&mut logits);
    assert_eq!(logits, [3.3 / 1.1, -1.1, 0.5, 0.0, 2.0]);
}

/// In a conversation and among other answers, all tokens so far count, those of the prompt too.
#[test]
fn answers_repeat_as_little_as_a_model_says() {
    let folder = Folder::of("llama-tied");
    let answer = |model: &Model| {
        let chat = Chat::new(model.clone(), "").with_sampling(Sampling::greedy().max_tokens(24));
        let alone = chat.chat("Hello").unwrap().trim().to_owned();
        assert_eq!(chat.chat_all(&["Hello", "What now?"]).unwrap()[0].trim(), alone);
        alone
    };
    let free = answer(&folder.load());
    folder.edit("generation_config.json", |json| json["repetition_penalty"] = json!(1.7));
    let model = folder.load();
    let got = answer(&model);
    assert_ne!(got, free);

    let mut ids = model.encode(&Message::question(&"".into(), "Hello")).unwrap();
    let prompt = ids.len();
    while ids.len() < prompt + 24 {
        let logits = model.forward(&ids, None).unwrap().logits.to_vec2::<f32>().unwrap();
        let penalised =
            |(token, &logit): (usize, &f32)| match (ids.contains(&(token as u32)), logit < 0.0) {
                (false, _) => logit,
                (true, true) => logit * 1.7,
                (true, false) => logit / 1.7,
            };
        let logits: Vec<f32> = logits[ids.len() - 1].iter().enumerate().map(penalised).collect();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        if model.generation().ends(best as u32) {
            break;
        }
        ids.push(best as u32);
    }
    assert_eq!(got, model.decode(&ids[prompt..]).unwrap().trim());
}
