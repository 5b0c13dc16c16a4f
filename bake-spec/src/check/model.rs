//! The base model: its shape, and whether the adapter fits it.

use std::borrow::Cow;
use std::path::Path;

use proc_macro2::Ident;
use syn::LitStr;
use syn::ext::IdentExt as _;

use super::Checker;
use super::lookup::Settings;
use super::sources::leaves;
use crate::diagnostics::Code;
use crate::hash::Hash;
use crate::lock::Limits;
use crate::model::config::Config;
use crate::model::named::NamedModel;
use crate::model::{TEXT_FILES, TINY_CONFIG, gguf, read_text};
use crate::recipe::parent::vendored;
use crate::recipe::training::{check_layers, check_module};
use crate::recipe::{self, Mistake};
use crate::settings::Scope;
use crate::store::{ADAPTER_FILES, VENDOR_DIR, hash_adapter};
use crate::syntax::ast::{At, Value, WrittenBake, WrittenModel};

/// What is known of a base model.
pub(super) struct DeclaredModel {
    pub(super) source: recipe::ModelSource,
    /// What it has room for, unless that is unknown because of a mistake that was reported.
    pub(super) limits: Option<Limits>,
}

impl Checker<'_> {
    pub(super) fn model(
        &mut self,
        bake: &WrittenBake,
        source: Option<&WrittenModel>,
        files: &mut Vec<String>,
    ) -> DeclaredModel {
        match source {
            Some(WrittenModel::Path(path)) => {
                let source = recipe::ModelSource::at(path.value());
                let limits = match &source {
                    recipe::ModelSource::Gguf(_) => self.limits_of_gguf(bake, path),
                    _ => self.limits(bake, path, files),
                };
                DeclaredModel { source, limits }
            }
            Some(WrittenModel::Named(model, _)) => {
                let config = Config::parse(model.config(), model.name());
                let limits = config.ok().map(|config| Limits::of(&config));
                DeclaredModel { source: recipe::ModelSource::Named(model), limits }
            }
            Some(WrittenModel::Hub { keyword, name, revision }) => {
                for text in [Some(name), revision.as_ref()].into_iter().flatten() {
                    self.not_blank(text, "the name of a model");
                }
                let message = "models from the hub are not supported yet; download the model and \
                               give the path of its folder";
                self.report(Code::NotYet, keyword.span(), message);
                DeclaredModel { source: recipe::ModelSource::Tiny, limits: None }
            }
            _ => DeclaredModel {
                source: recipe::ModelSource::Tiny,
                limits: Config::parse(TINY_CONFIG, "models/tiny/config.json")
                    .ok()
                    .map(|config| Limits::of(&config)),
            },
        }
    }

    /// The limits of the model in a folder; if the folder is not on this machine, what the lock
    /// says of it.
    fn limits(
        &mut self,
        bake: &WrittenBake,
        folder: &LitStr,
        files: &mut Vec<String>,
    ) -> Option<Limits> {
        let declared = folder.value();
        let file = format!("{}/config.json", declared.trim_end_matches('/'));
        let path = self.package.root.join(&file);
        if let Some(limits) = self.locked_limits(bake, &path, &declared) {
            return Some(limits);
        }
        if Path::new(&file).is_relative() {
            let files_of_model =
                TEXT_FILES.iter().map(|name| format!("{}/{name}", declared.trim_end_matches('/')));
            files.extend(files_of_model.filter(|file| self.package.root.join(file).is_file()));
        }
        let config = match read_text(&path) {
            _ if declared.trim().is_empty() => Err("the path of the model is empty".to_owned()),
            Ok(Some(json)) => Config::parse(&json, &file).map_err(|e| e.to_string()),
            Err(e) if path.is_file() => Err(e.to_string()),
            _ => Err(no_model_in(&self.package.root.join(&declared), &declared)),
        };
        let limits = config.map(|config| Limits::of(&config));
        limits.map_err(|what| self.report(Code::Model, folder.span(), what)).ok()
    }

    /// The limits of the model in a GGUF file, of which only the header is read; if it is not on
    /// this machine, what the lock says of it.
    fn limits_of_gguf(&mut self, bake: &WrittenBake, file: &LitStr) -> Option<Limits> {
        let declared = file.value();
        let path = self.package.root.join(&declared);
        if let Some(limits) = self.locked_limits(bake, &path, &declared) {
            return Some(limits);
        }
        let config = match path.exists() {
            true => gguf::read_header(&path)
                .and_then(|header| header.config())
                .map_err(|e| e.to_string()),
            false => Err(format!(
                "`{declared}` does not exist; write the path of a GGUF file (paths are relative \
                 to the folder of Cargo.toml)"
            )),
        };
        let limits = config.map(|config| Limits::of(&config));
        limits.map_err(|what| self.report(Code::Model, file.span(), what)).ok()
    }

    /// The adapter on top of which something is baked.
    pub(super) fn parent(
        &mut self,
        bake: &Ident,
        settings: &Settings<'_>,
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> Option<recipe::Parent> {
        let Some(Value::Text(folder)) = settings.value("parent") else { return None };
        let declared = self.path(folder, "parent", anywhere)?;
        let mut wrong = false;
        for (block, scope, name) in
            [("train", Scope::Train, "weight_decay"), ("lora", Scope::Lora, "dropout")]
        {
            let inside = settings.block(block, scope);
            if let Some(given) = inside.given(name).filter(|_| inside.number(name) > 0.0) {
                self.report_mistake(Mistake::NotWithParent(name), given.keyword.span());
                wrong = true;
            }
        }
        match self.parent_in(bake, &declared) {
            Ok(hash) => {
                let [configuration, weights, _] =
                    ADAPTER_FILES.map(|name| format!("{}/{name}", declared.trim_end_matches('/')));
                let root = self.package.root;
                if !anywhere && !leaves(&declared) {
                    let inside = [&configuration, &weights].map(|file| root.join(file));
                    self.follow_links(&inside, "parent", folder.span());
                }
                let inside = [configuration, weights].into_iter();
                files.extend(inside.filter(|file| root.join(file).is_file()));
                let fields = recipe::ParentFields { path: declared.into(), hash };
                recipe::Parent::new(fields).ok().filter(|_| !wrong)
            }
            Err(why) => {
                self.report(Code::Model, folder.span(), why);
                None
            }
        }
    }

    /// The hash of the adapter on top of which a bake is declared.
    fn parent_in(&self, bake: &Ident, declared: &str) -> Result<Hash, String> {
        let (path, configuration) = (self.package.root.join(declared), ADAPTER_FILES[0]);
        let (vendored, name) = (vendored(declared), bake.unraw().to_string());
        if vendored == Some(name.as_str()) {
            return Err(Mistake::OnTopOfItself { name: &name, folder: declared }.to_string());
        }
        if !path.join(configuration).is_file() {
            let advice = match vendored {
                Some(name) => {
                    format!("run `cargo bake {name}`, and then `cargo bake vendor {name}`")
                }
                None => format!(
                    "name a folder that contains one, such as `{VENDOR_DIR}/NAME` after `cargo \
                     bake vendor NAME`"
                ),
            };
            return Err(format!("`{declared}` contains no adapter ({configuration}); {advice}"));
        }
        hash_adapter(&path).map_err(|e| e.to_string())
    }

    /// What the lock says of a model that is not on this machine.
    fn locked_limits(&self, bake: &WrittenBake, path: &Path, declared: &str) -> Option<Limits> {
        let name = bake.name.unraw().to_string();
        let locked = self.package.lock.and_then(|lock| lock.bakes.get(&name))?;
        let there = path.exists() || locked.model.source != declared;
        (!there).then(|| locked.model.limits.clone())
    }

    /// The adapter, which must fit the model's layers.
    pub(super) fn lora(
        &mut self,
        lora: &Settings<'_>,
        model: Option<&Limits>,
        bake: &Ident,
    ) -> recipe::Lora {
        let modules = match lora.value("modules") {
            Some(Value::Words(words)) => known_modules(words),
            _ => Vec::new(),
        };
        let layers = match lora.value("layers") {
            Some(Value::Span(start, end, _)) if check_layers(*start, *end).is_ok() => {
                Some((*start as usize, *end as usize))
            }
            _ => None,
        };
        if let Some(model) = model {
            let narrowest = model.most_rank(&modules);
            let (rank, span) = match lora.value("rank") {
                Some(Value::Count(rank, At(span))) => (*rank, *span),
                _ => (lora.count("rank") as u64, bake.span()),
            };
            if let Some(narrowest) = narrowest.filter(|narrowest| rank > *narrowest as u64) {
                let message = format!(
                    "rank {rank} is more than {narrowest}, the narrowest side of the layers that \
                     the adapter changes"
                );
                self.report(Code::Fit, span, message);
            }
            if let (Some((_, end)), Some(Value::Span(.., At(span)))) =
                (layers, lora.value("layers"))
                && end > model.layers
            {
                self.report(
                    Code::Fit,
                    *span,
                    format!(
                        "the model has only blocks 0..{}, so there is no block {}",
                        model.layers,
                        end - 1
                    ),
                );
            }
        }
        let fields = recipe::LoraFields {
            rank: lora.count("rank"),
            alpha: lora.number("alpha"),
            dropout: lora.number("dropout"),
            modules: Cow::Owned(modules),
            layers,
        };
        self.part(recipe::Lora::new(fields), bake.span())
    }
}

/// Why there is no model in a folder: it does not exist, or is something else.
fn no_model_in(path: &Path, declared: &str) -> String {
    if !path.exists() && NamedModel::names().any(|name| name == declared) {
        return format!(
            "`{declared}` is a built-in name; write `model {declared};` without quotes"
        );
    }
    if path.join(ADAPTER_FILES[0]).is_file() {
        return format!(
            "`{declared}` contains an adapter and no model; name it as `parent`, and its base \
             model here"
        );
    }
    if !path.exists() {
        let names: Vec<String> = NamedModel::names().map(|name| format!("`{name}`")).collect();
        return format!(
            "`{declared}` does not exist (paths are relative to the folder of Cargo.toml); \
             built-in models are written without quotes: {}",
            names.join(", ")
        );
    }
    let what =
        if path.is_dir() { "has no config.json" } else { "is neither a folder nor a .gguf file" };
    format!("`{declared}` {what}; name the folder of a model in the Hugging Face format")
}

/// The names of linear layers that exist, each once.
fn known_modules(words: &[Ident]) -> Vec<recipe::Text> {
    let mut modules: Vec<recipe::Text> = Vec::new();
    for word in words.iter().map(Ident::to_string) {
        if check_module(&word).is_ok() && !modules.iter().any(|module| *module == word) {
            modules.push(word.into());
        }
    }
    modules
}
