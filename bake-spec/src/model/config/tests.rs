//! What each family's configuration means, and what is refused.

use serde_json::json;

use super::*;

const LLAMA: &str = r#"{"model_type": "llama", "vocab_size": 512, "hidden_size": 64,
    "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "rope_theta": 500000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}"#;

#[test]
fn both_spellings_of_rope_mean_the_same() {
    let old = Config::parse(LLAMA, "config.json").unwrap();
    let new = LLAMA
        .replace(r#""rope_theta": 500000.0,"#, "")
        .replace("rope_scaling\": {", "rope_parameters\": {\"rope_theta\": 500000.0, ");
    assert_eq!(Config::parse(&new, "config.json").unwrap(), old);
    assert_eq!(old.ropes()[0].theta, 500_000.0);
    assert_eq!(old.projection_shape(Projection::Key), [32, 64]);
}

/// With these keys beside the others, which they replace.
fn with(keys: serde_json::Value) -> Result<Config, Error> {
    let mut json: serde_json::Value = serde_json::from_str(LLAMA).unwrap();
    json.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    Config::parse(&json.to_string(), "m/config.json")
}

/// What transformers 5.24 makes of them.
#[test]
fn a_key_given_twice_is_read_as_transformers_reads_it() {
    let rope = |keys| with(keys).unwrap().ropes()[0].clone();
    let linear = json!({"type": "linear", "factor": 4.0});
    let plain = json!({"rope_type": "default", "rope_theta": 3.0e4});
    let scaling = RopeScaling::Linear { factor: 4.0 };
    // `rope_scaling` takes the place of `rope_parameters`, with their base.
    assert_eq!(
        rope(json!({"rope_theta": null, "rope_parameters": plain, "rope_scaling": linear})),
        Rope { theta: 10_000.0, scaling: scaling.clone() }
    );
    assert_eq!(
        rope(json!({"rope_theta": 7.0, "rope_parameters": plain, "rope_scaling": linear})),
        Rope { theta: 7.0, scaling }
    );
    for nothing in [json!({}), json!(null)] {
        assert_eq!(
            rope(json!({"rope_theta": 7.0, "rope_parameters": plain, "rope_scaling": nothing})),
            Rope { theta: 3.0e4, scaling: RopeScaling::Unscaled }
        );
    }
    // A context of the first training beside the parameters is the one that counts.
    match rope(json!({"original_max_position_embeddings": 128})).scaling {
        RopeScaling::Llama3 { original_context: 128, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn rope_that_a_llama_model_does_not_have_is_refused() {
    let refused = |keys: serde_json::Value| with(keys).unwrap_err().to_string();
    let half = json!({"rope_type": "default", "partial_rotary_factor": 0.5});
    for keys in [json!({"partial_rotary_factor": 0.5}), json!({"rope_scaling": half})] {
        assert!(refused(keys).contains("`partial_rotary_factor` 0.5"));
    }
    assert!(with(json!({"partial_rotary_factor": 1.0})).is_ok());
    let layers = json!({"sliding_attention": {"rope_type": "default", "rope_theta": 1.0e4}});
    assert!(refused(json!({"rope_scaling": layers})).contains("`sliding_attention` layers"));
    assert!(refused(json!({"rope_scaling": 3})).contains("expected an object"));
}

#[test]
fn keys_of_other_families_are_refused_by_name() {
    let error = with(json!({"final_logit_softcapping": 30.0})).unwrap_err().to_string();
    assert!(error.contains("m/config.json") && error.contains("Gemma 2"), "{error}");
    assert!(error.contains("`final_logit_softcapping` 30.0"), "{error}");
    assert!(with(json!({"final_logit_softcapping": null, "logits_scaling": 1.0})).is_ok());
    let layer = json!({"0": {"intermediate_size": 80}});
    let error = with(json!({"per_layer_config": layer})).unwrap_err().to_string();
    assert!(error.contains("`per_layer_config` {"), "{error}");
    let error = with(json!({"is_causal": false})).unwrap_err().to_string();
    assert!(error.contains("`is_causal` false, which embedding models have"), "{error}");
    // What says nothing, as transformers writes it.
    let nothing = json!({"per_layer_config": {}, "is_causal": true, "is_encoder_decoder": false,
        "transformers_weights": null, "configuration_files": []});
    assert!(with(nothing).is_ok());
}

#[test]
fn sizes_that_no_model_has_are_refused() {
    for (keys, what) in [
        (json!({"head_dim": 1u64 << 40}), "`head_dim` 1099511627776"),
        (json!({"head_dim": 15}), "odd width 15"),
        (json!({"num_hidden_layers": 0}), "from 1 to 4096"),
        (json!({"num_hidden_layers": 4097}), "from 1 to 4096"),
        (json!({"vocab_size": (1u64 << 24) + 1}), "`vocab_size`"),
        (json!({"rms_norm_eps": 0.0}), "`rms_norm_eps` 0"),
        (json!({"rope_theta": -1.0}), "`rope_theta` -1"),
        // Both sizes are allowed, but not together.
        (
            json!({"num_attention_heads": 1 << 20, "num_key_value_heads": 1 << 20,
                "head_dim": 1 << 20}),
            "expected at most 16777216 together",
        ),
    ] {
        let error = with(keys).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn every_refusal_names_the_file_and_the_key() {
    let refused = [
        ("{", "not valid JSON"),
        ("{}", "no `model_type`"),
        (&LLAMA.replace("llama\",", "mamba\","), "`mamba`"),
        (&LLAMA.replace("\"hidden_size\": 64", "\"hidden_size\": 0"), "`hidden_size` 0"),
        (&LLAMA.replace("\"hidden_size\": 64", "\"hidden_size\": -4"), "`hidden_size` -4"),
        (&LLAMA.replace("\"hidden_size\": 64", "\"hidden_size\": 1e30"), "`hidden_size`"),
        (&LLAMA.replace("\"hidden_size\": 64", "\"hidden_size\": 66"), "not a multiple"),
        (&LLAMA.replace("\"vocab_size\": 512,", ""), "no `vocab_size`"),
        (&LLAMA.replace("heads\": 2", "heads\": 3"), "share evenly"),
        (&LLAMA.replace("\"llama3\"", "\"yarn\""), "`yarn`"),
        (&LLAMA.replace("\"factor\": 8.0", "\"factor\": 0"), "`factor` 0"),
        (
            &LLAMA.replace("\"rope_theta\"", "\"hidden_act\": \"gelu\", \"rope_theta\""),
            "`hidden_act`",
        ),
        (
            &LLAMA.replace("\"rope_theta\"", "\"attention_bias\": 3, \"rope_theta\""),
            "`attention_bias`",
        ),
        (
            &LLAMA.replace("\"rope_theta\"", "\"quantization_config\": {}, \"rope_theta\""),
            "`quantization_config`",
        ),
        (
            &LLAMA.replace("\"rope_theta\"", "\"transformers_weights\": \"a\", \"rope_theta\""),
            "`transformers_weights` \"a\"",
        ),
        (
            &LLAMA.replace("\"rope_theta\"", "\"configuration_files\": [1], \"rope_theta\""),
            "`configuration_files`",
        ),
    ];
    for (json, what) in refused {
        let error = Config::parse(json, "m/config.json").unwrap_err().to_string();
        assert!(error.contains("m/config.json") && error.contains(what), "{what}: {error}");
    }
}

fn parse(keys: serde_json::Value) -> Result<Config, Error> {
    let mut all = json!({"vocab_size": 512, "hidden_size": 64, "intermediate_size": 160,
        "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 2});
    all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    Config::parse(&all.to_string(), "m/config.json")
}

fn windows(keys: serde_json::Value) -> Vec<Option<usize>> {
    let config = parse(keys).unwrap();
    (0..config.layers()).map(|layer| config.layer(layer).window()).collect()
}

fn ropes(keys: serde_json::Value) -> Vec<Option<usize>> {
    let config = parse(keys).unwrap();
    (0..config.layers()).map(|layer| config.layer(layer).rope()).collect()
}

#[test]
fn windows_are_those_of_each_family() {
    let window = |of: &str| json!({"model_type": of, "sliding_window": 16});
    assert_eq!(windows(window("mistral")), [Some(16); 8]);
    assert_eq!(windows(json!({"model_type": "mistral"})), [Some(4096); 8]);
    assert_eq!(windows(json!({"model_type": "mistral", "sliding_window": null})), [None; 8]);
    assert_eq!(windows(window("phi3")), [Some(16); 8]);
    assert_eq!(windows(json!({"model_type": "phi3"})), [None; 8]);
    // Qwen's are off unless they are switched on.
    for of in ["qwen2", "qwen3"] {
        assert_eq!(windows(window(of)), [None; 8]);
        let mut on = window(of);
        on["use_sliding_window"] = json!(true);
        assert_eq!(windows(on.clone()), [None; 8]);
        on["max_window_layers"] = json!(6);
        let late = [None, None, None, None, None, None, Some(16), Some(16)];
        assert_eq!(windows(on.clone()), late);
        let types = ["full_attention", "sliding_attention"].repeat(4);
        on["layer_types"] = json!(types);
        assert_eq!(windows(on), [None, Some(16)].repeat(4));
    }
    // Gemma 3: five with a window, one without.
    let w = Some(16);
    assert_eq!(windows(window("gemma3_text")), [w, w, w, w, w, None, w, w]);
    let mut third = window("gemma3_text");
    third["sliding_window_pattern"] = json!(3);
    assert_eq!(windows(third), [w, w, None, w, w, None, w, w]);
}

#[test]
fn rotations_are_those_of_each_layer() {
    let gemma = json!({"model_type": "gemma3_text", "sliding_window_pattern": 2,
        "rope_theta": 5.0e5, "rope_local_base_freq": 3.0e4,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0}});
    assert_eq!(ropes(gemma.clone()), [Some(1), Some(0)].repeat(4));
    let linear = RopeScaling::Linear { factor: 8.0 };
    let want = [
        Rope { theta: 5.0e5, scaling: linear.clone() },
        Rope { theta: 3.0e4, scaling: RopeScaling::Unscaled },
    ];
    assert_eq!(parse(gemma).unwrap().ropes(), want);
    // transformers 5 writes them by the type of layer.
    let parameters = json!({
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5.0e5},
        "sliding_attention": {"rope_type": "default", "rope_theta": 3.0e4}});
    let gemma = json!({"model_type": "gemma3_text", "rope_parameters": parameters});
    assert_eq!(parse(gemma).unwrap().ropes(), want);
    let flat = json!({"rope_type": "default", "rope_theta": 1.0e4});
    let error = parse(json!({"model_type": "gemma3_text", "rope_parameters": flat})).unwrap_err();
    assert!(error.to_string().contains("rope parameters for `rope_"), "{error}");
    let plain = parse(json!({"model_type": "gemma3_text"})).unwrap();
    assert_eq!(plain.ropes().iter().map(|r| r.theta).collect::<Vec<_>>(), [1.0e6, 1.0e4]);

    // SmolLM3 turns nothing in every fourth layer.
    let r = Some(0);
    assert_eq!(ropes(json!({"model_type": "smollm3"})), [r, r, r, None, r, r, r, None]);
    let second = json!({"model_type": "smollm3", "no_rope_layer_interval": 2});
    assert_eq!(ropes(second), [r, None].repeat(4));
    let listed = json!({"model_type": "smollm3", "no_rope_layers": [0, 1, 1, 1, 1, 1, 1, 1, 0]});
    assert_eq!(ropes(listed), [None, r, r, r, r, r, r, r]);
    let windows = windows(json!({"model_type": "smollm3", "use_sliding_window": true,
        "sliding_window": 9, "no_rope_layer_interval": 2}));
    assert_eq!(windows, [None, Some(9)].repeat(4));
}

#[test]
fn biases_norms_and_scales_are_those_of_each_family() {
    let biased = |keys| {
        let config = parse(keys).unwrap();
        let biased = |p: &Projection| config.layer(0).has_bias(*p);
        Projection::ALL.into_iter().filter(biased).map(Projection::name).collect::<Vec<_>>()
    };
    let attention = ["q_proj", "k_proj", "v_proj", "o_proj"];
    assert_eq!(biased(json!({"model_type": "qwen2"})), attention[..3]);
    assert_eq!(biased(json!({"model_type": "qwen3", "attention_bias": true})), attention);
    assert_eq!(biased(json!({"model_type": "gemma3_text", "attention_bias": true})), attention);
    let all = Projection::ALL.map(Projection::name);
    let both = json!({"model_type": "smollm3", "attention_bias": true, "mlp_bias": true});
    assert_eq!(biased(both), all);
    for of in ["mistral", "phi3"] {
        assert!(biased(json!({"model_type": of})).is_empty());
        let error = parse(json!({"model_type": of, "attention_bias": true})).unwrap_err();
        assert!(error.to_string().contains("`attention_bias` true"), "{error}");
    }

    let gemma = parse(json!({"model_type": "gemma3_text", "query_pre_attn_scalar": 16})).unwrap();
    let layer = gemma.layer(0);
    assert!(Norm::ALL.into_iter().all(|norm| layer.has_norm(norm)));
    assert_eq!((layer.activation(), layer.attention_scale()), (Activation::GeluTanh, 0.25));
    assert_eq!((gemma.embedding_scale(), gemma.head_dim()), (8.0, 256));
    assert!(gemma.norms_from_one() && gemma.tied_head());
    let qwen = parse(json!({"model_type": "qwen3"})).unwrap();
    assert_eq!(qwen.head_dim(), 128);
    assert!(qwen.layer(0).has_norm(Norm::Key) && !qwen.layer(0).has_norm(Norm::AfterMlp));
    let llama = parse(json!({"model_type": "llama"})).unwrap();
    assert!(!llama.layer(0).has_norm(Norm::Query) && !llama.tied_head());
    assert_eq!(llama.layer(0).attention_scale(), 0.25);
    assert_eq!(llama.embedding_scale(), 1.0);
}

#[test]
fn what_a_family_does_not_say_is_what_transformers_takes() {
    let without = |of: &str| {
        let keys = json!({"model_type": of, "vocab_size": 512, "hidden_size": 64,
            "intermediate_size": 160, "num_hidden_layers": 1, "num_attention_heads": 32});
        let config = Config::parse(&keys.to_string(), "config.json").unwrap();
        (config.kv_heads(), config.context(), config.ropes()[0].theta)
    };
    assert_eq!(without("llama"), (32, 2048, 1.0e4));
    assert_eq!(without("mistral"), (8, 131_072, 1.0e4));
    assert_eq!(without("qwen2"), (32, 32_768, 1.0e4));
    assert_eq!(without("gemma3_text"), (4, 131_072, 1.0e6));
    assert_eq!(without("phi3"), (32, 4096, 1.0e4));
    assert_eq!(without("smollm3"), (4, 32_768, 2.0e6));
    let null = json!({"model_type": "mistral", "num_key_value_heads": null});
    assert_eq!(parse(null).unwrap().kv_heads(), 4);
}

#[test]
fn lists_and_types_of_layers_that_make_no_sense_are_refused() {
    let sliding = vec!["sliding_attention"; 8];
    for (keys, what) in [
        (json!({"model_type": "qwen3", "layer_types": sliding}), "that is in use"),
        (json!({"model_type": "gemma3_text", "sliding_window": null}), "that is in use"),
        (json!({"model_type": "gemma3_text", "sliding_window": 0}), "`sliding_window` 0"),
        (json!({"model_type": "gemma3_text", "layer_types": ["full_attention"]}), "8 layers"),
        (
            json!({"model_type": "gemma3_text", "layer_types": vec!["mamba"; 8]}),
            "`sliding_attention`",
        ),
        (json!({"model_type": "gemma3_text", "sliding_window_pattern": 0}), "_pattern` 0"),
        (json!({"model_type": "gemma3_text", "query_pre_attn_scalar": 0}), "_scalar` 0"),
        (json!({"model_type": "gemma3_text", "hidden_activation": "gelu"}), "`hidden_activation`"),
        (json!({"model_type": "gemma3_text", "hidden_act": "silu"}), "`hidden_act` \"silu\""),
        (
            json!({"model_type": "gemma3_text", "attn_logit_softcapping": 50.0}),
            "`attn_logit_softcapping` 50.0",
        ),
        (json!({"model_type": "smollm3", "no_rope_layers": [1, 0]}), "`no_rope_layers`"),
        (json!({"model_type": "smollm3", "no_rope_layer_interval": 0}), "_interval` 0"),
        (json!({"model_type": "phi3", "partial_rotary_factor": 0.75}), "0.75"),
        (
            json!({"model_type": "phi3", "rope_scaling": {"type": "longrope"}}),
            "rope type `longrope`",
        ),
        (json!({"model_type": "gemma2"}), "`gemma3_text`, `phi3`"),
    ] {
        let error = parse(keys.clone()).unwrap_err().to_string();
        assert!(error.contains("m/config.json") && error.contains(what), "{keys}: {error}");
    }
}

#[test]
fn the_tensors_of_a_checkpoint() {
    let phi = parse(json!({"model_type": "phi3"})).unwrap();
    let stored = phi.stored_rows(3, Projection::Value);
    assert_eq!(stored.module, "model.layers.3.self_attn.qkv_proj");
    assert_eq!((stored.rows, stored.of), (96..128, 128));
    let up = phi.stored_rows(0, Projection::Up);
    assert_eq!(
        (up.module.as_str(), up.rows, up.of),
        ("model.layers.0.mlp.gate_up_proj", 160..320, 320)
    );
    let names = |config: &Config| -> Vec<String> {
        let prefix = "model.layers.7.";
        let names = config.tensors().into_iter();
        names.filter_map(|t| Some(t.name.strip_prefix(prefix)?.to_owned())).collect()
    };
    assert_eq!(
        names(&phi),
        [
            "input_layernorm.weight",
            "post_attention_layernorm.weight",
            "self_attn.qkv_proj.weight",
            "self_attn.o_proj.weight",
            "mlp.gate_up_proj.weight",
            "mlp.down_proj.weight",
        ]
    );
    assert_eq!(phi.tensors().len(), 8 * 6 + 3);
    let gemma = parse(json!({"model_type": "gemma3_text"})).unwrap();
    assert_eq!(
        names(&gemma)[..6],
        [
            "input_layernorm.weight",
            "post_attention_layernorm.weight",
            "pre_feedforward_layernorm.weight",
            "post_feedforward_layernorm.weight",
            "self_attn.q_norm.weight",
            "self_attn.k_norm.weight",
        ]
    );
    let qwen = parse(json!({"model_type": "qwen2"})).unwrap();
    let biases = ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"];
    assert_eq!(names(&qwen)[9..], biases);
    assert_eq!(qwen.tensors().last().unwrap().shape, [512, 64]);
}
