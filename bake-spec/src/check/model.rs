//! The base model: its shape, and whether the adapter fits it.

use std::borrow::Cow;
use std::path::Path;

use proc_macro2::Ident;
use syn::LitStr;
use syn::ext::IdentExt as _;

use super::Checker;
use super::lookup::Settings;
use crate::diagnostics::Code;
use crate::model::config::{Config, Projection};
use crate::model::{TEXT_FILES, TINY_CONFIG};
use crate::recipe;
use crate::syntax::ast::{At, Bake, ModelSource, Value};

/// What is known of a base model.
pub(super) struct Model {
    pub(super) source: recipe::ModelSource,
    /// Its shape, unless it is not known for a mistake that was reported.
    pub(super) config: Option<Config>,
}

impl Checker<'_> {
    pub(super) fn model(
        &mut self,
        bake: &Bake,
        source: Option<&ModelSource>,
        files: &mut Vec<String>,
    ) -> Model {
        match source {
            Some(ModelSource::Folder(folder)) => {
                let config = self.config(bake, folder, files);
                Model { source: recipe::ModelSource::Folder(folder.value().into()), config }
            }
            Some(ModelSource::Hub { keyword, name, revision }) => {
                for text in [Some(name), revision.as_ref()].into_iter().flatten() {
                    self.not_blank(text, "the name of a model");
                }
                let message = "models from the hub are not there yet in this version; fetch the \
                    model, and write the path of its folder";
                self.report(Code::NotYet, keyword.span(), message);
                Model { source: recipe::ModelSource::Tiny, config: None }
            }
            _ => Model {
                source: recipe::ModelSource::Tiny,
                config: Config::parse(TINY_CONFIG, "models/tiny/config.json").ok(),
            },
        }
    }

    /// The configuration of the model in a folder; where the folder is not on this machine, what
    /// the lock has kept of it.
    fn config(&mut self, bake: &Bake, folder: &LitStr, files: &mut Vec<String>) -> Option<Config> {
        let declared = folder.value();
        let file = format!("{}/config.json", declared.trim_end_matches('/'));
        let path = self.package.root.join(&file);
        if let Some(locked) =
            self.package.lock.and_then(|lock| lock.bakes.get(&bake.name.unraw().to_string()))
            && !path.exists()
            && locked.model.source == declared
        {
            return Some(locked.model.config.clone());
        }
        if Path::new(&file).is_relative() {
            let files_of_model =
                TEXT_FILES.iter().map(|name| format!("{}/{name}", declared.trim_end_matches('/')));
            files.extend(files_of_model.filter(|file| self.package.root.join(file).is_file()));
        }
        let config = match std::fs::read_to_string(&path) {
            _ if declared.trim().is_empty() => {
                Err("the path of the model's folder is empty".to_owned())
            }
            Ok(json) => Config::parse(&json, &file).map_err(|e| e.to_string()),
            Err(_) => Err(format!(
                "`{file}` cannot be read; name the folder of a model in the Hugging Face format"
            )),
        };
        config.map_err(|what| self.report(Code::Model, folder.span(), what)).ok()
    }

    /// The adapter, which must fit the model's layers.
    pub(super) fn lora(
        &mut self,
        lora: &Settings<'_>,
        model: Option<&Config>,
        bake: &Ident,
    ) -> recipe::Lora {
        let modules = match lora.value("modules") {
            Some(Value::Words(words)) => words.iter().map(|word| word.to_string().into()).collect(),
            _ => Vec::new(),
        };
        let layers = match lora.value("layers") {
            Some(Value::Span(start, end, _)) => Some((*start as usize, *end as usize)),
            _ => None,
        };
        if let Some(model) = model {
            let changed = |p: &Projection| {
                modules.is_empty() || modules.iter().any(|name: &recipe::Text| name == p.name())
            };
            let narrowest = Projection::ALL
                .into_iter()
                .filter(changed)
                .flat_map(|p| model.projection_shape(p))
                .min();
            let (rank, span) = match lora.value("rank") {
                Some(Value::Count(rank, At(span))) => (*rank, *span),
                _ => (lora.count("rank") as u64, bake.span()),
            };
            if let Some(narrowest) = narrowest.filter(|narrowest| rank > *narrowest as u64) {
                let message = format!(
                    "rank {rank} is more than {narrowest}, the narrowest side of the model's \
                     layers that are changed"
                );
                self.report(Code::Fit, span, message);
            }
            if let (Some((_, end)), Some(Value::Span(.., At(span)))) =
                (layers, lora.value("layers"))
                && end > model.layers()
            {
                self.report(
                    Code::Fit,
                    *span,
                    format!("the model has the blocks 0..{}, and no {}", model.layers(), end - 1),
                );
            }
        }
        recipe::Lora {
            rank: lora.count("rank"),
            alpha: lora.number("alpha"),
            dropout: lora.number("dropout"),
            modules: Cow::Owned(modules),
            layers,
        }
    }
}
