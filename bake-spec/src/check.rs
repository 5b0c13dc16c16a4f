//! From a [declaration as it is written](crate::syntax::ast) to its [recipe], with every mistake on the
//! way.

mod lookup;
mod model;
mod room;
mod state;
mod target;
mod values;

use std::path::Path;

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;
use syn::{Attribute, Visibility};

use crate::diagnostics::{Code, Diagnostic, Diagnostics, did_you_mean};
use crate::lock::Lock;
use crate::recipe::{self, Recipe, Schedule};
use crate::settings::Scope;
use crate::syntax::ast::{Answer, Bake, Expect, Item, Target, Value};
use lookup::Settings;
pub use state::{Mode, states};

/// The package that declarations stand in.
#[derive(Clone, Copy, Debug)]
pub struct Package<'a> {
    /// The folder of its `Cargo.toml`, which paths are relative to.
    pub root: &'a Path,
    /// Its lock, where it has one.
    pub lock: Option<&'a Lock>,
}

/// A declaration that was checked. Where it holds mistakes, the recipe is as near as can be, so
/// that the items made from it are there.
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
    /// When a build script puts the adapter into the program.
    pub embed: Embed,
    /// The keywords of its settings, where they stand, for editors.
    pub keywords: Vec<(Scope, Ident)>,
    /// What is baked.
    pub recipe: Recipe,
}

/// When a build script puts the adapter into the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embed {
    /// In every build.
    Always,
    /// In builds of the profile `release`; others read it where it lies.
    Release,
    /// Never: it is read where it lies.
    Never,
}

/// The name of a target.
#[derive(Clone, Debug)]
pub struct Name {
    /// As it is declared.
    pub declared: Ident,
    /// As a variant of an enum, at the same place.
    pub variant: Ident,
}

/// Checks declarations of a package, and adds what is wrong to `diagnostics`.
pub fn check(
    bakes: Vec<Bake>,
    package: Package<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Declared> {
    let mut checker = Checker { package, diagnostics };
    let mut declared: Vec<Declared> = Vec::new();
    for bake in bakes {
        // A second one of the same name would only make the compiler complain about each of its
        // items.
        if declared
            .iter()
            .any(|other| other.name == bake.name && other.cfgs().eq(cfgs(&bake.attributes)))
        {
            let message = format!(
                "the bake `{}` is declared twice; give each bake a name of its own",
                bake.name
            );
            checker.report(Code::SameName, bake.name.span(), message);
        } else {
            declared.push(checker.bake(bake));
        }
    }
    declared
}

impl Name {
    /// Whether the declaration calls it so.
    fn is(&self, name: &str) -> bool {
        self.declared.unraw() == name
    }
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
    package: Package<'a>,
    diagnostics: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn bake(&mut self, bake: Bake) -> Declared {
        let (mut libraries, mut models, mut targets, mut anchors) =
            (vec![], vec![], vec![], vec![]);
        let (mut expects, mut assignments) = (vec![], vec![]);
        let items = bake.items.clone();
        for item in &items {
            match item {
                Item::Crate { keyword, path } => libraries.push((keyword, path)),
                Item::Model { keyword, source } => models.push((keyword, source)),
                Item::Target(target) if target.is_anchor() => anchors.push(target),
                Item::Target(target) => targets.push(target),
                Item::Expect(expect) => expects.push((expect, expect.target.as_ref())),
                Item::Setting(assignment) => assignments.push(assignment),
            }
        }
        for keyword in
            libraries.iter().skip(1).map(|l| l.0).chain(models.iter().skip(1).map(|m| m.0))
        {
            self.repeated(keyword);
        }
        if targets.is_empty() && !bake.broken {
            let message = "nothing is baked; declare at least one target, as in `target name from \
                \"docs/name.md\";`";
            self.report(Code::Missing, bake.name.span(), message);
        }
        let settings = self.settings(assignments, Scope::Bake);
        let names = self.names(&targets, &anchors);
        for target in &targets {
            expects.extend(target.body.iter().filter_map(|item| match item {
                Item::Expect(expect) => Some((expect, Some(&target.name))),
                _ => None,
            }));
        }
        let mut files = Vec::new();
        let model = self.model(&bake, models.first().map(|(_, source)| *source), &mut files);
        let sources: Vec<_> = targets
            .iter()
            .chain(&anchors)
            .map(|target| self.target(target, &settings, &mut files))
            .collect();
        let lora =
            self.lora(&settings.block("lora", Scope::Lora), model.config.as_ref(), &bake.name);
        let expects = expects
            .into_iter()
            .filter_map(|(expect, target)| self.expect(expect, target, &names))
            .collect();
        let recipe = Recipe {
            name: bake.name.unraw().to_string().into(),
            root: self.package.root.to_string_lossy().into_owned().into(),
            model: model.source.clone(),
            student: settings.text("student").into(),
            targets: sources.iter().map(|source| source.target.clone()).collect(),
            lora,
            train: self.train(&settings.block("train", Scope::Train), &settings),
            expects,
        };
        self.something_to_learn(&recipe, &sources);
        self.questions_that_count(&recipe, &bake);
        self.documents_of_their_own(&sources);
        self.room(&recipe, &model, &sources);
        let keywords =
            bake.keywords().into_iter().map(|(scope, keyword)| (scope, keyword.clone())).collect();
        let Bake { attributes, visibility, name, .. } = bake;
        let library = libraries.first().map(|(_, path)| (*path).clone());
        let embed = match settings.word("embed").as_str() {
            "release" => Embed::Release,
            "never" => Embed::Never,
            _ => Embed::Always,
        };
        Declared {
            attributes,
            visibility,
            name,
            library,
            targets: names,
            files,
            embed,
            keywords,
            recipe,
        }
    }

    /// The targets' names in Rust. One that cannot be a name, or is one already, is replaced by one
    /// that can.
    fn names(&mut self, targets: &[&Target], anchors: &[&Target]) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        for (i, anchor) in anchors.iter().enumerate() {
            if targets
                .iter()
                .chain(&anchors[..i])
                .any(|other| other.name.unraw() == anchor.name.unraw())
            {
                let message = format!(
                    "there is already a target or an anchor `{}`; give each a name of its own",
                    anchor.name
                );
                self.report(Code::SameName, anchor.name.span(), message);
            }
        }
        for target in targets {
            let declared = target.name.unraw().to_string();
            let variant = upper_camel(&declared);
            let span = target.name.span();
            let same = names
                .iter()
                .find(|name| name.variant == variant)
                .map(|name| name.declared.to_string());
            if syn::parse_str::<Ident>(&variant).is_err() {
                self.report(
                    Code::Value,
                    span,
                    format!(
                        "`{declared}` cannot be the name of a target; use letters, as in `iphone`"
                    ),
                );
            } else if same.as_ref() == Some(&declared) {
                self.report(
                    Code::SameName,
                    span,
                    format!(
                        "the target `{declared}` is declared \
                    twice; give each target a name of its own"
                    ),
                );
            } else if let Some(other) = &same {
                let message = format!(
                    "the targets `{other}` and `{declared}` are both `{variant}` in Rust; rename \
                     one of them"
                );
                self.report(Code::SameName, span, message);
            } else {
                names.push(Name {
                    declared: target.name.clone(),
                    variant: Ident::new(&variant, span),
                });
                continue;
            }
            names.push(Name {
                declared: target.name.clone(),
                variant: Ident::new(&format!("Unnamed{}", names.len()), span),
            });
        }
        names
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
            checkpoint_every: train.optional_count("checkpoint_every").map(|count| count as usize),
        }
    }

    fn expect(
        &mut self,
        expect: &Expect,
        target: Option<&Ident>,
        names: &[Name],
    ) -> Option<recipe::Expect> {
        if let Some(target) = target
            && !names.iter().any(|name| name.declared.unraw() == target.unraw())
        {
            let known: Vec<String> =
                names.iter().map(|name| name.declared.unraw().to_string()).collect();
            let hint = did_you_mean(
                &target.unraw().to_string(),
                &known.iter().map(String::as_str).collect::<Vec<_>>(),
            );
            self.report(
                Code::UnknownName,
                target.span(),
                format!("there is no target `{target}`; {hint}"),
            );
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
            Answer::FromFile(word) => {
                let message = "expectations from a file are not there yet in this version; \
                    meanwhile, write each as an `expect` of its own";
                self.report(Code::NotYet, word.span(), message);
                return None;
            }
        };
        let target = target.map(|target| target.unraw().to_string().into());
        Some(recipe::Expect { target, question: expect.question.value().into(), answer })
    }

    fn repeated(&mut self, keyword: &Ident) {
        self.report(
            Code::Repeated,
            keyword.span(),
            format!("`{keyword}` is given twice; keep one of them"),
        );
    }

    fn report(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(code, span, message));
    }

    fn warn(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(code, span, message));
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
