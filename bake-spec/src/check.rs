//! From a [declaration as it is written](crate::ast) to its [recipe], with every mistake on the way.

mod lookup;
mod values;

use std::borrow::Cow;
use std::path::Path;

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;
use syn::{Attribute, LitStr, Visibility};

use crate::ast::{Answer, Bake, Expect, Item, ModelSource, Target, Value};
use crate::config::{Config, Projection};
use crate::diagnostics::{Code, Diagnostic, Diagnostics, did_you_mean, similar};
use crate::document;
use crate::recipe::{self, Recipe, Schedule, join_paragraphs};
use crate::settings::Scope;
use lookup::Settings;

/// The configuration of the model `tiny`.
const TINY: &str = include_str!("../../models/tiny/config.json");

/// A declaration that was checked. Where it holds mistakes, the recipe is as near as can be, so that the items made from it are there.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Attributes and documentation before it.
    pub attributes: Vec<Attribute>,
    /// Its visibility.
    pub visibility: Visibility,
    /// Its name.
    pub name: Ident,
    /// Where this library is found, if the declaration says so.
    pub library: Option<syn::Path>,
    /// The targets' names, in the order of the recipe.
    pub targets: Vec<Name>,
    /// The paths of the files that it was checked against: documents, and a model's configuration.
    pub files: Vec<String>,
    /// What is baked.
    pub recipe: Recipe,
}

/// The name of a target.
#[derive(Clone, Debug)]
pub struct Name {
    /// As it is declared.
    pub declared: Ident,
    /// As a variant of an enum, at the same place.
    pub variant: Ident,
}

/// Checks declarations, whose paths are relative to `root`, and adds what is wrong to `diagnostics`.
pub fn check(bakes: Vec<Bake>, root: &Path, diagnostics: &mut Diagnostics) -> Vec<Declared> {
    let mut checker = Checker { root, diagnostics };
    let mut declared: Vec<Declared> = Vec::new();
    for bake in bakes {
        // A second one of the same name would only make the compiler complain about each of its items.
        if declared.iter().any(|other| other.name == bake.name && other.cfgs().eq(cfgs(&bake.attributes))) {
            let message = format!("the bake `{}` is declared twice; give each bake a name of its own", bake.name);
            checker.report(Code::SameName, bake.name.span(), message);
        } else {
            declared.push(checker.bake(bake));
        }
    }
    declared
}

impl Declared {
    /// The conditions under which it is there at all.
    pub fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        cfgs(&self.attributes)
    }
}

fn cfgs(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"))
}

struct Checker<'a> {
    root: &'a Path,
    diagnostics: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn bake(&mut self, bake: Bake) -> Declared {
        let (mut libraries, mut models, mut targets, mut expects, mut assignments) = (vec![], vec![], vec![], vec![], vec![]);
        for item in &bake.items {
            match item {
                Item::Crate { keyword, path } => libraries.push((keyword, path)),
                Item::Model { keyword, source } => models.push((keyword, source)),
                Item::Target(target) => targets.push(target),
                Item::Expect(expect) => expects.push((expect, expect.target.as_ref())),
                Item::Setting(assignment) => assignments.push(assignment),
            }
        }
        for keyword in libraries.iter().skip(1).map(|l| l.0).chain(models.iter().skip(1).map(|m| m.0)) {
            self.repeated(keyword);
        }
        if targets.is_empty() && !bake.broken {
            let message = "nothing is baked; declare at least one target, as in `target name from \"docs/name.md\";`";
            self.report(Code::Missing, bake.name.span(), message);
        }
        let settings = self.settings(assignments, Scope::Bake);
        let names = self.names(&targets);
        for target in &targets {
            expects.extend(target.body.iter().filter_map(|item| match item {
                Item::Expect(expect) => Some((expect, Some(&target.name))),
                _ => None,
            }));
        }
        let mut files = Vec::new();
        let model = match models.first() {
            Some((_, ModelSource::Folder(folder))) => self.model(folder, &mut files),
            _ => Config::parse(TINY, "models/tiny/config.json").ok(),
        };
        let recipe = Recipe {
            name: bake.name.unraw().to_string().into(),
            root: self.root.to_string_lossy().into_owned().into(),
            model: match models.first() {
                Some((_, ModelSource::Folder(folder))) => recipe::ModelSource::Folder(folder.value().into()),
                _ => recipe::ModelSource::Tiny,
            },
            student: settings.text("student").into(),
            targets: targets.iter().map(|target| self.target(target, &settings, &mut files)).collect(),
            lora: self.lora(&settings.block("lora", Scope::Lora), model.as_ref(), &bake.name),
            train: self.train(&settings.block("train", Scope::Train), &settings),
            expects: expects.into_iter().map(|(expect, target)| self.expect(expect, target, &names)).collect(),
        };
        self.something_to_learn(&recipe, &targets);
        let Bake { ref attributes, ref visibility, ref name, .. } = bake;
        Declared {
            attributes: attributes.clone(),
            visibility: visibility.clone(),
            name: name.clone(),
            library: libraries.first().map(|(_, path)| (*path).clone()),
            targets: names,
            files,
            recipe,
        }
    }

    /// The targets' names in Rust. One that cannot be a name, or is one already, is replaced by one that can.
    fn names(&mut self, targets: &[&Target]) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        for target in targets {
            let declared = target.name.unraw().to_string();
            let variant = upper_camel(&declared);
            let span = target.name.span();
            let same = names.iter().find(|name| name.variant == variant).map(|name| name.declared.to_string());
            if syn::parse_str::<Ident>(&variant).is_err() {
                self.report(Code::Value, span, format!("`{declared}` cannot be the name of a target; use letters, as in `iphone`"));
            } else if same.as_ref() == Some(&declared) {
                self.report(Code::SameName, span, format!("the target `{declared}` is declared twice; give each target a name of its own"));
            } else if let Some(other) = &same {
                let message = format!("the targets `{other}` and `{declared}` are both `{variant}` in Rust; rename one of them");
                self.report(Code::SameName, span, message);
            } else {
                names.push(Name { declared: target.name.clone(), variant: Ident::new(&variant, span) });
                continue;
            }
            names.push(Name { declared: target.name.clone(), variant: Ident::new(&format!("Unnamed{}", names.len()), span) });
        }
        names
    }

    fn target(&mut self, target: &Target, bake: &Settings<'_>, files: &mut Vec<String>) -> recipe::Target {
        let head = self.settings(target.head.iter().collect(), Scope::TargetHead);
        let body = target.body.iter().filter_map(|item| match item {
            Item::Setting(assignment) => Some(assignment),
            _ => None,
        });
        let mut body = self.settings(body.collect(), Scope::TargetBody);
        body.around = Some(bake);
        let document = match head.value("from") {
            Some(Value::Text(path)) => self.document(path, files),
            _ => None,
        };
        if !target.broken && head.given("from").is_none() && head.text("prompt").trim().is_empty() {
            let message = format!(
                "the target `{}` has nothing to learn; give it a document, as in `from \"docs/name.md\"`, or a `prompt`",
                target.name
            );
            self.report(Code::Missing, target.name.span(), message);
        }
        let stimuli = self.stimuli(&body);
        if stimuli.ask.is_none() && stimuli.questions.is_empty() {
            let message =
                format!("the target `{}` has no questions; write `ask` with a number above 0, or `questions [\"…\"]`", target.name);
            self.report(Code::Missing, target.name.span(), message);
        }
        recipe::Target {
            name: target.name.unraw().to_string().into(),
            weight: head.number("weight"),
            prompt: join_paragraphs([&bake.text("prompt"), &head.text("prompt")]).into(),
            document,
            stimuli,
            rollout: recipe::Rollout {
                answers: body.count("rollouts"),
                max_tokens: body.optional_count("max_tokens").map(|count| count as usize),
                temperature: body.number("temperature"),
                top_p: body.number("top_p"),
                top_k: body.count("top_k"),
                seed: body.optional_count("seed").unwrap_or_default(),
            },
        }
    }

    /// The configuration of the model in a folder.
    fn model(&mut self, folder: &LitStr, files: &mut Vec<String>) -> Option<Config> {
        let declared = folder.value();
        let file = format!("{}/config.json", declared.trim_end_matches('/'));
        let config = match std::fs::read_to_string(self.root.join(&file)) {
            _ if declared.trim().is_empty() => Err("the path of the model's folder is empty".to_owned()),
            Ok(json) => Config::parse(&json, &file).map_err(|e| e.to_string()),
            Err(_) => Err(format!("`{file}` cannot be read; name the folder of a model in the Hugging Face format")),
        };
        if self.root.join(&file).is_file() && Path::new(&file).is_relative() {
            files.push(file);
        }
        config.map_err(|what| self.report(Code::Model, folder.span(), what)).ok()
    }

    /// Checks that holding the questions of `expect` out leaves each target some.
    fn something_to_learn(&mut self, recipe: &Recipe, targets: &[&Target]) {
        let held_out: Vec<String> = recipe.held_out().map(recipe::normalised_question).collect();
        for (target, declared) in recipe.targets.iter().zip(targets) {
            let recipe::Stimuli { questions, ask } = &target.stimuli;
            let learned = |question: &recipe::Text| !held_out.contains(&recipe::normalised_question(question));
            if ask.is_none() && !questions.is_empty() && !questions.iter().any(learned) {
                let message = format!("all questions of the target `{}` are held out by `expect`; add some that are not", target.name);
                self.report(Code::Missing, declared.name.span(), message);
            }
        }
    }

    fn document(&mut self, path: &LitStr, files: &mut Vec<String>) -> Option<recipe::Document> {
        let declared = path.value();
        if declared.trim().is_empty() {
            self.report(Code::Document, path.span(), "the path of the document is empty; write it relative to the folder of Cargo.toml");
            return None;
        }
        if Path::new(&declared).is_absolute() {
            let message = format!("the document `{declared}` is an absolute path; write it relative to the folder of Cargo.toml");
            self.report(Code::Document, path.span(), message);
            return None;
        }
        let file = self.root.join(&declared);
        if file.is_file() {
            files.push(declared.clone());
        }
        match document::read(&file, format_args!("`{declared}`")) {
            Ok(text) => Some(recipe::Document { path: declared.into(), hash: document::hash(&text).to_string().into() }),
            Err(e) => {
                let meant = if file.exists() { None } else { neighbour(self.root, &declared) };
                let hint = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
                self.report(Code::Document, path.span(), format!("{e}{hint}"));
                None
            }
        }
    }

    fn stimuli(&mut self, body: &Settings<'_>) -> recipe::Stimuli {
        let questions = match body.value("questions") {
            Some(Value::Texts(questions)) => questions.iter().map(|q| q.value().into()).collect(),
            _ => Vec::new(),
        };
        let count = match body.value("ask") {
            Some(Value::Counted(count, ..)) => *count,
            _ => body.setting("ask").default.parse().unwrap_or_default(),
        };
        let settings = body.block("ask", Scope::Ask);
        let template = Some(settings.text("template")).filter(|text| !text.is_empty());
        let ask = recipe::Ask { count: count as usize, temperature: settings.number("temperature"), template: template.map(Cow::Owned) };
        recipe::Stimuli { questions: Cow::Owned(questions), ask: (count > 0).then_some(ask) }
    }

    /// The adapter, which must fit the model's layers.
    fn lora(&mut self, lora: &Settings<'_>, model: Option<&Config>, bake: &Ident) -> recipe::Lora {
        let modules = match lora.value("modules") {
            Some(Value::Words(words)) => words.iter().map(|word| word.to_string().into()).collect(),
            _ => Vec::new(),
        };
        let layers = match lora.value("layers") {
            Some(Value::Span(start, end, _)) => Some((*start as usize, *end as usize)),
            _ => None,
        };
        if let Some(model) = model {
            let changed = |p: &Projection| modules.is_empty() || modules.iter().any(|name: &recipe::Text| name == p.name());
            let narrowest = Projection::ALL.into_iter().filter(changed).flat_map(|p| model.projection_shape(p)).min();
            let (rank, span) = match lora.value("rank") {
                Some(Value::Count(rank, span)) => (*rank, *span),
                _ => (lora.count("rank") as u64, bake.span()),
            };
            if let Some(narrowest) = narrowest.filter(|narrowest| rank > *narrowest as u64) {
                let message = format!("rank {rank} is more than {narrowest}, the narrowest side of the model's layers that are changed");
                self.report(Code::Value, span, message);
            }
            if let (Some((_, end)), Some(Value::Span(.., span))) = (layers, lora.value("layers"))
                && end > model.layers
            {
                self.report(Code::Value, *span, format!("the model has the blocks 0..{}, and no {}", model.layers, end - 1));
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

    /// The training, whose seed is the bake's where it has none of its own.
    fn train(&mut self, train: &Settings<'_>, bake: &Settings<'_>) -> recipe::Train {
        let seeded = if train.given("seed").is_some() { train } else { bake };
        recipe::Train {
            epochs: train.count("epochs"),
            lr: train.optional_number("lr"),
            batch: train.count("batch"),
            accumulate: train.count("accumulate"),
            schedule: match train.word("schedule").as_str() {
                "constant" => Schedule::Constant,
                "cosine" => Schedule::Cosine,
                _ => Schedule::Linear,
            },
            warmup: train.number("warmup"),
            divergence: match (train.word("divergence").as_str(), train.value("divergence")) {
                ("jsd", Some(Value::Call(_, beta, _))) => recipe::Divergence::Jsd(*beta),
                ("reverse_kl", _) => recipe::Divergence::ReverseKl,
                _ => recipe::Divergence::ForwardKl,
            },
            temperature: train.number("temperature"),
            clip: train.number("clip"),
            weight_decay: train.number("weight_decay"),
            seed: seeded.optional_count("seed").unwrap_or_default(),
        }
    }

    fn expect(&mut self, expect: &Expect, target: Option<&Ident>, names: &[Name]) -> recipe::Expect {
        if let Some(target) = target
            && !names.iter().any(|name| name.declared.unraw() == target.unraw())
        {
            let known: Vec<String> = names.iter().map(|name| name.declared.unraw().to_string()).collect();
            let hint = did_you_mean(&target.unraw().to_string(), &known.iter().map(String::as_str).collect::<Vec<_>>());
            self.report(Code::UnknownName, target.span(), format!("there is no target `{target}`; {hint}"));
        }
        self.not_blank(&expect.question, "a question");
        let answer = match &expect.answer {
            Answer::Contains(words) => {
                self.not_blank(words, "the words that an answer must hold");
                recipe::Answer::Contains(words.value().into())
            }
            Answer::Equals(words) => {
                self.not_blank(words, "the answer");
                recipe::Answer::Equals(words.value().into())
            }
            Answer::Declines(_) => recipe::Answer::Declines,
        };
        let target = target.map(|target| target.unraw().to_string().into());
        recipe::Expect { target, question: expect.question.value().into(), answer }
    }

    fn repeated(&mut self, keyword: &Ident) {
        self.report(Code::Repeated, keyword.span(), format!("`{keyword}` is given twice; keep one of them"));
    }

    fn report(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(code, span, message));
    }
}

/// `air_pods` as `AirPods`.
fn upper_camel(name: &str) -> String {
    let capitalised = |part: &str| {
        let mut letters = part.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    name.split('_').map(capitalised).collect()
}

/// A file beside the one that is not there, with a name like it.
fn neighbour(root: &Path, declared: &str) -> Option<String> {
    let (folder, name) = declared.rsplit_once('/').map_or(("", declared), |(folder, name)| (folder, name));
    let entries = std::fs::read_dir(root.join(folder)).ok()?;
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let meant = similar(name, names.iter().map(String::as_str))?;
    Some(if folder.is_empty() { meant.to_owned() } else { format!("{folder}/{meant}") })
}
