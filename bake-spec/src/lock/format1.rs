//! Locks of format 1, which named settings by their hashes and contained a model's whole
//! configuration.
//!
//! Their entries are kept as they are until they are baked again, under `format_1`: their hashes
//! can be compared with those of a declaration, but they do not say what a setting was set to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::entry::{Locked, LockedModel, LockedTarget};
use super::limits::Limits;
use crate::error::Error;
use crate::hash::Hash;
use crate::model::config::Config;
use crate::recipe::{Recipe, Target, legacy};

/// The hashes of settings that an entry of format 1 had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hashes {
    shared: BTreeMap<String, Hash>,
    targets: BTreeMap<String, Hash>,
}

impl Hashes {
    /// The shared settings that have changed.
    pub(super) fn changed(&self, recipe: &Recipe) -> Vec<String> {
        let now = legacy::shared_hashes(recipe).into_iter();
        let changed = now.filter(|(name, hash)| self.shared.get(*name) != Some(hash));
        changed
            .map(|(name, _)| match name {
                "expect" => {
                    "the questions of `expect`, which are held out, have changed".to_owned()
                }
                name => format!("`{name}` has changed"),
            })
            .collect()
    }

    /// Whether a target's settings are the baked ones.
    pub(super) fn same(&self, target: &Target) -> bool {
        self.targets.get(&*target.name) == Some(&legacy::settings_hash(target))
    }
}

/// The file of format 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Format1File {
    #[allow(dead_code, reason = "it was read before")]
    version: u32,
    #[serde(default, rename = "bake")]
    pub(super) bakes: Vec<Format1Bake>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Format1Bake {
    name: String,
    recipe: Hash,
    adapter: Hash,
    bytes: u64,
    kl_before: f64,
    kl_after: f64,
    shared: BTreeMap<String, Hash>,
    model: Format1Model,
    targets: BTreeMap<String, BakedTarget>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Format1Model {
    source: String,
    hash: Hash,
    files: Hash,
    #[serde(default)]
    weights: Option<Hash>,
    config: Configured,
}

/// What a model has room for, from its configuration.
#[derive(Deserialize)]
#[serde(try_from = "Sizes")]
struct Configured(Limits);

/// What is still needed of a configuration; all models were of the Llama family.
#[derive(Deserialize)]
struct Sizes {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    context: usize,
}

impl TryFrom<Sizes> for Configured {
    type Error = Error;

    fn try_from(sizes: Sizes) -> Result<Self, Error> {
        let json = json!({
            "model_type": "llama",
            "vocab_size": sizes.vocab_size,
            "hidden_size": sizes.hidden_size,
            "intermediate_size": sizes.intermediate_size,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.kv_heads,
            "head_dim": sizes.head_dim,
            "max_position_embeddings": sizes.context,
        });
        let config = Config::parse(&json.to_string(), "the configuration of its model")?;
        Ok(Self(Limits::of(&config)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BakedTarget {
    #[serde(default)]
    document: Option<Hash>,
    settings: Hash,
    prompt_tokens: usize,
    question_tokens: usize,
    questions: usize,
    answers: usize,
}

impl From<Format1Bake> for Locked {
    fn from(bake: Format1Bake) -> Self {
        let settings =
            bake.targets.iter().map(|(name, target)| (name.clone(), target.settings)).collect();
        let targets = bake.targets.into_iter().map(|(name, target)| {
            let target = LockedTarget {
                document: target.document,
                prompt_tokens: target.prompt_tokens,
                question_tokens: target.question_tokens,
                stimuli: target.questions,
                rollouts: target.answers,
                settings: BTreeMap::new(),
            };
            (name, target)
        });
        Self {
            name: bake.name,
            recipe: bake.recipe,
            adapter: bake.adapter,
            bytes: bake.bytes,
            kl_before: bake.kl_before,
            kl_after: bake.kl_after,
            judged: None,
            expects: None,
            recall: None,
            drift: None,
            stages: BTreeMap::new(),
            settings: BTreeMap::new(),
            model: LockedModel {
                source: bake.model.source,
                hash: bake.model.hash,
                files: bake.model.files,
                weights: bake.model.weights,
                limits: bake.model.config.0,
            },
            targets: targets.collect(),
            format_1: Some(Hashes { shared: bake.shared, targets: settings }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lock::Lock;

    #[test]
    fn a_configuration_that_no_model_has_is_damage() {
        let whole = include_str!("../../tests/fixtures/lock/format1.lock");
        let read = |text: &str| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("bake.lock"), text).unwrap();
            Lock::read(dir.path()).map_err(|e| e.to_string())
        };
        let lock = read(whole).unwrap().unwrap();
        let limits = &lock.bakes.values().next().unwrap().model.limits;
        assert_eq!((limits.context, limits.layers), (640, 6));
        assert_eq!((limits.narrowest["q_proj"], limits.narrowest["down_proj"]), (256, 256));
        for (line, other) in [
            ("heads = 8\nkv", "heads = 4611686018427387904\nkv"),
            ("head_dim = 32", "head_dim = 15"),
            ("kv_heads = 8", "kv_heads = 3"),
            ("kv_heads = 8", "kv_heads = 0"),
            ("layers = 6", "layers = 16777216"),
            ("vocab_size = 4096", "vocab_size = 16777217"),
        ] {
            assert!(whole.contains(line), "{line}");
            let error = read(&whole.replace(line, other)).unwrap_err();
            assert!(error.contains("is damaged on line"), "{other}: {error}");
            assert!(error.contains("its model has"), "{other}: {error}");
        }
    }
}
