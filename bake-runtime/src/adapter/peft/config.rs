//! What an `adapter_config.json` says, and which parts of it are obeyed.

use std::fmt;

use regex::Regex;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Keys that change nothing when an adapter is used: about its training, its start (see
/// [`check_start`]), and where it came from.
const HARMLESS: [&str; 20] = [
    "auto_mapping",
    "base_model_name_or_path",
    // How a start is found; `init_lora_weights` says whether the base was changed for it.
    "corda_config",
    "eva_config",
    "lora_ga_config",
    "loftq_config",
    "ensure_weight_tying",
    "ephemeral_gpu_offload",
    "inference_mode",
    "lora_dropout",
    "megatron_core",
    "modules_to_tie",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    // A way to save memory in training.
    "velora_config",
    // Checked by name below.
    "bias",
    "init_lora_weights",
];

/// The settings of an adapter.
#[derive(Deserialize)]
pub(super) struct PeftConfig {
    peft_type: String,
    #[serde(default = "eight")]
    r: usize,
    #[serde(default = "eight")]
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    rank_pattern: Option<Patterns<usize>>,
    #[serde(default)]
    alpha_pattern: Option<Patterns<f64>>,
    #[serde(default, deserialize_with = "target_modules")]
    target_modules: PeftModules,
    #[serde(default, deserialize_with = "exclude_modules")]
    exclude_modules: PeftModules,
    #[serde(default)]
    layers_to_transform: Value,
    #[serde(default)]
    layers_pattern: Value,
    /// Everything else.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// PEFT's default of both rank and alpha.
fn eight<T: From<u8>>() -> T {
    8.into()
}

impl PeftConfig {
    /// Parses the file. The error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let config: Self = serde_json::from_str(text)
            .map_err(|e| format!("is not the configuration of an adapter: {e}"))?;
        config.check()?;
        Ok(config)
    }

    /// The factor of the change of a block's module, whose matrices have this rank.
    pub(super) fn scale(&self, layer: usize, name: &str, rank: usize) -> Result<f64, String> {
        let wanted = self.rank_pattern.as_ref().and_then(|all| all.find(name)).unwrap_or(self.r);
        if wanted != rank {
            return Err(format!(
                "says rank {wanted} for `{name}`, but its matrices have rank {rank}; save the \
                 adapter again with its configuration"
            ));
        }
        if !self.is_target(layer, name) {
            return Err(format!(
                "does not name `{name}` in `target_modules` and `layers_to_transform`, but there \
                 are weights for it; save the adapter again with its configuration"
            ));
        }
        let alpha =
            self.alpha_pattern.as_ref().and_then(|all| all.find(name)).unwrap_or(self.lora_alpha);
        Ok(alpha / if self.use_rslora { (rank as f64).sqrt() } else { rank as f64 })
    }

    /// Whether PEFT would change this module (`check_target_module_exists` of its
    /// `tuners_utils.py`). An expression decides alone; names only within the layers.
    fn is_target(&self, layer: usize, name: &str) -> bool {
        let is_layer = |n: &Value| n.as_u64() == Some(layer as u64);
        let in_layers = || {
            let listed = match &self.layers_to_transform {
                Value::Array(layers) if !layers.is_empty() => layers.iter().any(is_layer),
                Value::Number(_) => is_layer(&self.layers_to_transform),
                _ => return true,
            };
            listed && self.is_in_pattern(layer, name)
        };
        let expression = matches!(self.target_modules, PeftModules::Matching(_));
        let target = self.target_modules.has(name).unwrap_or(true);
        let excluded = self.exclude_modules.has(name).unwrap_or(false);
        target && !excluded && (expression || in_layers())
    }

    /// Whether the list of layers, of which this is one, has a name that `layers_pattern` says.
    fn is_in_pattern(&self, layer: usize, name: &str) -> bool {
        let mut lists = self.layers_patterns().peekable();
        lists.peek().is_none() || lists.any(|list| name.contains(&format!(".{list}.{layer}.")))
    }

    fn layers_patterns(&self) -> impl Iterator<Item = &str> {
        let (one, several) = (self.layers_pattern.as_str(), self.layers_pattern.as_array());
        one.into_iter().chain(several.into_iter().flatten().filter_map(Value::as_str))
    }

    /// Refuses every kind of adapter that would not compute `W + scale · B A`.
    fn check(&self) -> Result<(), String> {
        if self.peft_type != "LORA" {
            return Err(format!(
                "describes an adapter of type {}; bake reads LORA",
                self.peft_type
            ));
        }
        if self.r == 0 || !self.lora_alpha.is_finite() {
            return Err(format!(
                "has rank {} and alpha {}; expected a rank above 0 and a finite alpha",
                self.r, self.lora_alpha
            ));
        }
        let ranks = self.rank_pattern.iter().flat_map(Patterns::names);
        let alphas = self.alpha_pattern.iter().flat_map(Patterns::names);
        if let Some(pattern) = ranks.chain(alphas).find(|pattern| !is_plain(pattern)) {
            return Err(format!(
                "has the pattern {pattern:?} in `rank_pattern` or `alpha_pattern`; bake reads \
                 names of layers, not expressions"
            ));
        }
        let is_or_lists = |value: &Value, is: fn(&Value) -> bool| {
            value.is_null() || is(value) || value.as_array().is_some_and(|all| all.iter().all(is))
        };
        if !is_or_lists(&self.layers_to_transform, Value::is_u64) {
            let value = &self.layers_to_transform;
            return Err(format!(
                "has `layers_to_transform` {value}, which is not a list of layers"
            ));
        }
        if !is_or_lists(&self.layers_pattern, Value::is_string) {
            let value = &self.layers_pattern;
            return Err(format!("has `layers_pattern` {value}, which is not a list of names"));
        }
        if let Some(pattern) = self.layers_patterns().find(|pattern| !is_plain(pattern)) {
            return Err(format!(
                "has the pattern {pattern:?} in `layers_pattern`; bake reads names, not expressions"
            ));
        }
        match self.rest.get("bias").unwrap_or(&Value::Null) {
            Value::Null => {}
            Value::String(none) if none == "none" => {}
            other => {
                return Err(format!("has bias {other}; bake reads adapters without biases"));
            }
        }
        check_start(self.rest.get("init_lora_weights").unwrap_or(&Value::Null))?;
        for (key, value) in &self.rest {
            if !HARMLESS.contains(&key.as_str()) && !is_off(value) {
                return Err(format!(
                    "has `{key}`, which bake does not read; export a plain LoRA adapter"
                ));
            }
        }
        Ok(())
    }
}

/// Which modules are meant.
#[derive(Default)]
enum PeftModules {
    /// Nothing is said: only the weights tell.
    #[default]
    Absent,
    /// Those that have one of these names, or end with it.
    Named(Vec<String>),
    /// Those whose whole names match an expression.
    Matching(Regex),
}

impl PeftModules {
    /// What the file says under a key: a list of names, or an expression.
    fn read(key: &str, value: &Value) -> Result<Self, String> {
        let wrong = || format!("`{key}` {value} is neither a list of modules nor an expression");
        match value {
            Value::Null => Ok(Self::Absent),
            // Every linear layer but the head.
            Value::String(text) if text.eq_ignore_ascii_case("all-linear") => Ok(Self::Absent),
            Value::String(text) => match Regex::new(&format!(r"\A(?:{text})\z")) {
                Ok(whole) => Ok(Self::Matching(whole)),
                Err(_) => Err(wrong()),
            },
            Value::Array(names) => {
                let name = |name: &Value| name.as_str().map(str::to_owned);
                names.iter().map(name).collect::<Option<_>>().map(Self::Named).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// Whether a module is one of them, if anything is said.
    fn has(&self, name: &str) -> Option<bool> {
        match self {
            Self::Absent => None,
            Self::Named(modules) => Some(modules.iter().any(|module| is_last(name, module))),
            Self::Matching(expression) => Some(expression.is_match(name)),
        }
    }
}

fn target_modules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PeftModules, D::Error> {
    PeftModules::read("target_modules", &Value::deserialize(deserializer)?)
        .map_err(de::Error::custom)
}

fn exclude_modules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PeftModules, D::Error> {
    PeftModules::read("exclude_modules", &Value::deserialize(deserializer)?)
        .map_err(de::Error::custom)
}

/// Refuses adapters whose training began with a change of the base, which PEFT repeats when it
/// loads them.
fn check_start(start: &Value) -> Result<(), String> {
    match start {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::String(kind) if ["gaussian", "eva", "orthogonal"].contains(&kind.as_str()) => Ok(()),
        other => Err(format!(
            "has `init_lora_weights` {other}, with which training changes the base model too; \
             convert the adapter with PEFT's `save_pretrained` and its \
             `path_initial_model_for_weight_conversion`"
        )),
    }
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    }
}

/// Values for layers by their names, in the order of the file: the first that matches counts.
struct Patterns<T>(Vec<(String, T)>);

impl<T: Copy> Patterns<T> {
    fn find(&self, layer_name: &str) -> Option<T> {
        let fits = |pattern: &str| match pattern.strip_prefix('^') {
            Some(whole) => layer_name == whole,
            None => is_last(layer_name, pattern),
        };
        self.0.iter().find(|(pattern, _)| fits(pattern)).map(|(_, value)| *value)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(pattern, _)| pattern.as_str())
    }
}

/// Whether a name, or its last parts, are these.
fn is_last(name: &str, part: &str) -> bool {
    name.strip_suffix(part).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether a pattern, which PEFT takes for an expression, is the name of layers.
fn is_plain(pattern: &str) -> bool {
    let name = pattern.strip_prefix('^').unwrap_or(pattern);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of patterns and numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Patterns(all))
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const QUERY: &str = "model.layers.1.self_attn.q_proj";

    fn parsed(keys: Value) -> Result<PeftConfig, String> {
        let mut config = json!({"peft_type": "LORA", "r": 8, "lora_alpha": 16});
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        PeftConfig::parse(&config.to_string())
    }

    #[test]
    fn the_first_pattern_of_the_file_counts() {
        let scale = |json: &str| {
            let config = PeftConfig::parse(json).unwrap();
            config.scale(1, QUERY, 8).unwrap()
        };
        let with = |patterns: &str| {
            scale(&format!(
                r#"{{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "alpha_pattern": {patterns}}}"#
            ))
        };
        assert_eq!(with("{}"), 2.0);
        // As `re.match(r"(.*\.)?(pattern)$", name)` finds them, in order.
        assert_eq!(with(r#"{"self_attn.q_proj": 64, "q_proj": 32}"#), 8.0);
        assert_eq!(with(r#"{"q_proj": 32, "self_attn.q_proj": 64}"#), 4.0);
        assert_eq!(with(r#"{"layers.1.self_attn.q_proj": 8, "q_proj": 32}"#), 1.0);
        assert_eq!(with(r#"{"layers.0.self_attn.q_proj": 8, "proj": 4, "q_proj": 32}"#), 4.0);
        assert_eq!(with(r#"{"^layers.1.self_attn.q_proj": 8, "q_proj": 32}"#), 4.0);
        assert_eq!(with(r#"{"^model.layers.1.self_attn.q_proj": 8, "q_proj": 32}"#), 1.0);
    }

    #[test]
    fn ranks_and_modules_are_those_of_the_weights() {
        let scale = |keys: Value, rank| parsed(keys).unwrap().scale(1, QUERY, rank);
        assert_eq!(scale(json!({}), 8), Ok(2.0));
        let error = scale(json!({}), 4).unwrap_err();
        assert!(error.contains("rank 8") && error.contains("rank 4"), "{error}");
        assert_eq!(scale(json!({"rank_pattern": {"q_proj": 4}}), 4), Ok(4.0));
        assert!(scale(json!({"rank_pattern": {"q_proj": 4}}), 8).is_err());
        assert_eq!(scale(json!({"target_modules": ["k_proj", "q_proj"]}), 8), Ok(2.0));
        assert_eq!(scale(json!({"target_modules": "all-linear"}), 8), Ok(2.0));
        assert_eq!(scale(json!({"layers_to_transform": [1, 2]}), 8), Ok(2.0));
        for pattern in [json!("layers"), json!(["blocks", "layers"]), json!([]), json!(null)] {
            let keys = json!({"layers_to_transform": 1, "layers_pattern": pattern});
            assert_eq!(scale(keys, 8), Ok(2.0));
        }
        // An expression decides alone.
        let unsloth = r"(?:.*?(?:self_attn|mlp).*?(?:q_proj|down_proj).*?)|(?:\bmodel\.x\b)";
        assert_eq!(
            scale(json!({"target_modules": unsloth, "layers_to_transform": [0]}), 8),
            Ok(2.0)
        );
        assert_eq!(
            scale(json!({"target_modules": r".*q_proj", "exclude_modules": "q_proj"}), 8),
            Ok(2.0)
        );
        for keys in [
            json!({"target_modules": "q_proj"}),
            json!({"target_modules": r".*\.k_proj|.*\.q_pro"}),
            json!({"target_modules": r".*q_proj", "exclude_modules": r".*\.1\.self_attn\..*"}),
            json!({"layers_to_transform": [1], "layers_pattern": "blocks"}),
            json!({"layers_to_transform": 1, "layers_pattern": ["model.layers"]}),
            json!({"target_modules": ["k_proj"]}),
            json!({"layers_to_transform": [0, 2]}),
            json!({"layers_to_transform": 0}),
            json!({"exclude_modules": ["q_proj"]}),
        ] {
            let error = scale(keys, 8).unwrap_err();
            assert!(error.contains("target_modules"), "{error}");
        }
    }

    #[test]
    fn what_a_plain_adapter_does_not_have_is_refused_by_name() {
        for (key, value) in [
            ("use_dora", json!(true)),
            ("use_qalora", json!(true)),
            ("use_bdlora", json!({"nblocks": 2})),
            ("fan_in_fan_out", json!(true)),
            ("lora_bias", json!(true)),
            ("bias", json!("all")),
            ("modules_to_save", json!(["lm_head"])),
            ("layer_replication", json!([[0, 2]])),
            ("trainable_token_indices", json!([1])),
            ("target_parameters", json!(["gate"])),
            ("alora_invocation_tokens", json!([1, 2])),
            ("arrow_config", json!({"top_k": 2})),
            ("megatron_config", json!({"a": 1})),
            ("monteclora_config", json!({"n": 4})),
            ("something_new", json!("on")),
            ("init_lora_weights", json!("pissa")),
            ("init_lora_weights", json!("pissa_niter_16")),
            ("init_lora_weights", json!("olora")),
            ("init_lora_weights", json!("loftq")),
            ("init_lora_weights", json!("corda")),
            ("init_lora_weights", json!("lora_ga")),
            ("target_modules", json!("(q_proj")),
            ("target_modules", json!({"q_proj": true})),
            ("exclude_modules", json!("*")),
            ("layers_pattern", json!("lay|ers")),
            ("layers_pattern", json!(3)),
            ("layers_to_transform", json!("1")),
            ("layers_to_transform", json!([0.5])),
            ("rank_pattern", json!({".*q_proj": 4})),
            ("alpha_pattern", json!({"q_proj|k_proj": 4})),
        ] {
            let error = parsed(json!({key: value})).err().unwrap_or_else(|| panic!("{key}"));
            let named = if key == "bias" { "bias \"all\"" } else { key };
            assert!(error.contains(named), "{key}: {error}");
        }
        let pissa = parsed(json!({"init_lora_weights": "pissa"})).err().unwrap();
        assert!(pissa.contains("path_initial_model_for_weight_conversion"), "{pissa}");
        let plain = json!({"use_dora": false, "modules_to_save": null, "loftq_config": {},
            "rank_pattern": {}, "alpha_pattern": null, "init_lora_weights": "gaussian",
            "runtime_config": {"ephemeral_gpu_offload": false}, "layer_replication": null});
        assert!(parsed(plain).is_ok());
    }
}
