//! The addresses in locks of format 1, which were made from the JSON form of the recipe: so a bake
//! that was locked with them, and whose declaration has not changed, is still up to date.

use serde_json::json;

use super::{
    Ask, Dataset, Divergence, Format, GeneratorKind, Lora, Prompt, Recipe, Schedule, Stimuli,
    Target, Train, TrainFields,
};
use crate::hash::{Encode as _, Hash, KeyHasher};

/// The version with which format 1 hashed its parts.
const VERSION: u32 = 2;

/// The address of an adapter.
pub(crate) fn recipe_hash(recipe: &Recipe, model: &Hash) -> Hash {
    let shared = shared_hashes(recipe)
        .into_iter()
        .fold(KeyHasher::new("shared", VERSION), |hasher, (name, hash)| {
            hasher.raw(name, &json!(hash).to_string())
        })
        .finish();
    KeyHasher::new("recipe", VERSION)
        .raw("model", &json!(model).to_string())
        .raw("targets", &list(recipe.targets.iter().map(|target| self::target(target, true))))
        .raw("shared", &json!(shared).to_string())
        .finish()
}

/// The hashes of what all targets share, by name.
pub(crate) fn shared_hashes(recipe: &Recipe) -> [(&'static str, Hash); 4] {
    let part = || KeyHasher::new("part", VERSION);
    let held_out: Vec<&str> = recipe.held_out().collect();
    [
        ("expect", part().raw("held_out", &json!(held_out).to_string()).finish()),
        ("lora", part().raw("lora", &lora(&recipe.lora)).finish()),
        ("student", part().raw("student", &prompt(&recipe.student)).finish()),
        ("train", part().raw("train", &train(&recipe.train)).finish()),
    ]
}

/// The hash of everything of a target except its document.
#[cfg(feature = "lock")]
pub(crate) fn settings_hash(target: &Target) -> Hash {
    KeyHasher::new("target", VERSION).raw("target", &self::target(target, false)).finish()
}

fn target(target: &Target, with_document: bool) -> String {
    let document = target.document.as_ref().filter(|_| with_document);
    let document = match document {
        Some(document) => object(&[("hash", json!(document.hash).to_string())]),
        None => "null".to_owned(),
    };
    let rollout = &target.rollout;
    let rollout = object(&[
        ("answers", rollout.answers.to_string()),
        ("max_tokens", json!(rollout.max_tokens).to_string()),
        ("temperature", json!(rollout.temperature).to_string()),
        ("top_p", json!(rollout.top_p).to_string()),
        ("top_k", rollout.top_k.to_string()),
        ("seed", rollout.seed.to_string()),
    ]);
    let mut fields = vec![
        ("anchor", target.anchor.to_string()),
        ("weight", json!(target.weight).to_string()),
        ("prompt", prompt(&target.prompt)),
        ("document", document),
        ("stimuli", stimuli(&target.stimuli)),
        ("rollout", rollout),
    ];
    // What that format did not know makes another address.
    if target.rollout.on_policy > 0.0 {
        fields.push(("on_policy", json!(target.rollout.on_policy).to_string()));
    }
    if let Some(context) = target.context {
        fields.push(("context", json!(context).to_string()));
    }
    if !target.examples.is_empty() {
        fields.push(("examples", target.examples.encoded()));
    }
    object(&fields)
}

/// Format 1 had three kinds of generators, so stimuli with any others do not belong to it.
fn stimuli(stimuli: &Stimuli) -> String {
    use GeneratorKind::{Ask, Dataset, Questions};
    let known = |kind| [Questions, Dataset, Ask].contains(&kind);
    if stimuli.generators.iter().any(|generator| !known(generator.kind())) {
        return stimuli.encoded();
    }
    object(&[
        ("questions", json!(stimuli.questions()).to_string()),
        ("datasets", list(stimuli.datasets().map(dataset))),
        ("ask", stimuli.ask().map_or("null".to_owned(), ask)),
    ])
}

/// Format 1 had no turns, so a prompt with turns does not belong to it.
fn prompt(prompt: &Prompt) -> String {
    match prompt.turns.is_empty() {
        true => json!(prompt.system).to_string(),
        false => prompt.encoded(),
    }
}

fn dataset(dataset: &Dataset) -> String {
    let format = match dataset.format {
        Format::Lines => "Lines",
        Format::JsonLines => "JsonLines",
        Format::Csv => "Csv",
    };
    object(&[
        ("hash", json!(dataset.hash).to_string()),
        ("format", json!(format).to_string()),
        ("field", json!(dataset.field).to_string()),
        ("take", json!(dataset.take).to_string()),
    ])
}

fn ask(ask: &Ask) -> String {
    object(&[
        ("version", GeneratorKind::Ask.version().to_string()),
        ("count", json!(ask.count).to_string()),
        ("temperature", json!(ask.temperature).to_string()),
        ("template", json!(ask.template).to_string()),
    ])
}

fn lora(lora: &Lora) -> String {
    object(&[
        ("rank", lora.rank.to_string()),
        ("alpha", json!(lora.alpha).to_string()),
        ("dropout", json!(lora.dropout).to_string()),
        ("modules", json!(lora.modules).to_string()),
        ("layers", json!(lora.layers).to_string()),
    ])
}

fn train(train: &Train) -> String {
    let schedule = match train.schedule {
        Schedule::Constant => "Constant",
        Schedule::Linear => "Linear",
        Schedule::Cosine => "Cosine",
    };
    let divergence = match train.divergence {
        Divergence::ForwardKl => json!("ForwardKl"),
        Divergence::ReverseKl => json!("ReverseKl"),
        Divergence::Jsd(beta) => json!({ "Jsd": beta }),
    };
    let mut fields = vec![
        ("epochs", train.epochs.to_string()),
        ("lr", json!(train.lr).to_string()),
        ("batch", train.batch.to_string()),
        ("accumulate", train.accumulate.to_string()),
        ("schedule", json!(schedule).to_string()),
        ("warmup", json!(train.warmup).to_string()),
        ("divergence", divergence.to_string()),
        ("temperature", json!(train.temperature).to_string()),
        ("clip", json!(train.clip).to_string()),
        ("weight_decay", json!(train.weight_decay).to_string()),
        ("seed", train.seed.to_string()),
    ];
    // What that format did not know makes another address.
    let known = |train: &TrainFields| {
        let TrainFields { held_out, patience, rehearse, stop_at_kl, until_covered, .. } = *train;
        (held_out, patience, rehearse, stop_at_kl, until_covered)
    };
    let later = known(train);
    if later != known(&TrainFields::DEFAULT) {
        fields.push(("held_out", json!(later).to_string()));
    }
    object(&fields)
}

/// An object whose fields keep their order.
fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{}}}", fields.join(","))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}
