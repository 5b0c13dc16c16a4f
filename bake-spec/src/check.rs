//! From a [declaration as written](crate::syntax::ast) to its [recipe], reporting every mistake.

mod examples;
mod expected;
mod lookup;
mod model;
mod prompt;
mod room;
mod sources;
mod state;
mod stimuli;
mod target;
mod values;

use std::path::Path;

use proc_macro2::{Ident, Span};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::{Attribute, Visibility};

use crate::diagnostics::{Code, Diagnostic, Diagnostics};
use crate::lock::Lock;
use crate::recipe::parts::is_blank;
use crate::recipe::training::check_beta;
use crate::recipe::{self, Mistake, Recipe, RecipeFields, Schedule, names};
use crate::settings::Scope;
use crate::syntax::ast::{Item, Value, WrittenBake, WrittenTarget};
use expected::Expected;
use lookup::Settings;
pub use state::{Mode, states};
use target::{ReadTarget, Shared};

/// The package that contains the declarations.
#[derive(Clone, Copy, Debug)]
pub struct DeclaringPackage<'a> {
    /// The folder of its `Cargo.toml`, to which paths are relative.
    pub root: &'a Path,
    /// Its lock, if it has one.
    pub lock: Option<&'a Lock>,
}

/// A declaration that was checked. If it has mistakes, the recipe is the closest one possible, so
/// that its items can still be generated.
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
    /// What the bake must reach before `bake.lock` names it.
    pub gate: Gate,
    /// The keywords of its settings and where they are, for editors.
    pub keywords: Vec<(Scope, Ident)>,
    /// What is baked.
    pub recipe: Recipe,
}

/// When a build script puts the adapter into the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embed {
    /// In every build.
    Always,
    /// In builds of the profile `release`; other builds read it from its folder.
    Release,
    /// Never: it is read from its folder.
    Never,
}

/// What a bake must reach. It does not change the adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// The share of the expectations that the baked model must meet.
    pub expects: Option<f64>,
    /// The most that it may diverge from the teacher, in nats per token.
    pub kl: Option<f64>,
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
    bakes: Vec<WrittenBake>,
    package: DeclaringPackage<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Declared> {
    let mut checker = Checker { package, diagnostics };
    let mut declared: Vec<Declared> = Vec::new();
    for bake in bakes {
        // The lock has one entry for a name, whatever the conditions are, and `r#Office` is no
        // other name than `Office`.
        match declared.iter().find(|other| other.name.unraw() == bake.name.unraw()) {
            Some(first) => checker.declared_twice(first, &bake),
            None => declared.push(checker.bake(bake)),
        }
    }
    declared
}

impl Name {
    /// The name of a target that is declared like this, unless it cannot be a variant.
    pub fn new(declared: &Ident) -> Option<Self> {
        let variant = names::variant(&declared.unraw().to_string())?;
        let variant = Ident::new(&variant, declared.span());
        Some(Self { declared: declared.clone(), variant })
    }

    /// Whether this is its name in the declaration.
    fn is(&self, name: &str) -> bool {
        self.declared.unraw() == name
    }
}

impl Declared {
    /// The conditions under which it exists at all.
    pub fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        cfgs(&self.attributes)
    }

    /// The same as text, such as `#[cfg(feature="office")]`.
    pub fn conditions(&self) -> Vec<String> {
        self.cfgs().map(shown).collect()
    }
}

/// A placeholder for a part of a declaration with mistakes.
trait StandIn {
    fn stand_in() -> Self;
}

macro_rules! stand_in {
    ($($part:ty => $value:expr,)*) => {$(
        impl StandIn for $part {
            fn stand_in() -> Self {
                $value
            }
        }
    )*};
}

stand_in! {
    Recipe => Self::STAND_IN,
    recipe::Target => Recipe::STAND_IN.targets[0].clone(),
    recipe::Stimuli => Self::default(),
    recipe::Outline => Self::default(),
    recipe::Ask => Self::default(),
    recipe::Persona => Self::default(),
    recipe::Rephrase => Self::default(),
    recipe::Unanswerable => Self::default(),
    recipe::Everyday => Self::default(),
    recipe::General => Self::default(),
    recipe::Rollout => Self::default(),
    recipe::Lora => Self::default(),
    recipe::Train => Self::default(),
}

fn cfgs(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"))
}

/// An attribute as written.
fn shown(attribute: &Attribute) -> String {
    attribute.to_token_stream().to_string().replace(" ", "")
}

/// What a bake changes: a model, with an adapter or without.
struct BegunWith {
    model: recipe::ModelSource,
    parent: Option<recipe::Parent>,
}

struct Checker<'a> {
    package: DeclaringPackage<'a>,
    diagnostics: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn declared_twice(&mut self, first: &Declared, second: &WrittenBake) {
        let name = second.name.unraw();
        let conditions = |cfgs: Vec<String>| match cfgs.is_empty() {
            true => "always".to_owned(),
            false => format!("under `{}`", cfgs.join(" ")),
        };
        let (one, two) = (
            conditions(first.conditions()),
            conditions(cfgs(&second.attributes).map(shown).collect()),
        );
        let message = match one == two {
            true => {
                format!("the bake `{name}` is declared twice; give each bake its own name")
            }
            false => format!(
                "the bake `{name}` is declared twice, {one} and {two}; bake.lock has one entry per \
                 name, so give each bake its own name"
            ),
        };
        self.report(Code::SameName, name.span(), message);
    }

    fn bake(&mut self, bake: WrittenBake) -> Declared {
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
        if let Err(mistake) = names::check_bake(&bake.name.unraw().to_string()) {
            self.report_mistake(mistake, bake.name.span());
        }
        if targets.is_empty() && !bake.broken {
            self.report_mistake(Mistake::NothingBaked, bake.name.span());
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
        let shared = self.shared(&settings, bake.broken, &mut files);
        let mut sources: Vec<_> = targets
            .iter()
            .chain(&anchors)
            .map(|target| self.target(target, &shared, &mut files))
            .collect();
        sources.extend(self.everyday_anchor(&bake, &shared, &sources, &mut files));
        let lora =
            self.lora(&settings.block("lora", Scope::Lora), model.limits.as_ref(), &bake.name);
        let mut expected: Vec<Expected> = Vec::new();
        for (expect, target) in expects {
            let anywhere = shared.anywhere;
            expected.extend(self.expect(expect, target, &names, anywhere, &mut files));
        }
        let expects = expected.iter().map(|one| one.expect.clone()).collect();
        let parent = self.parent(&bake.name, &settings, shared.anywhere, &mut files);
        let begun = BegunWith { model: model.source.clone(), parent };
        let recipe = self.recipe(&bake, begun, &shared, &sources, expects, lora);
        self.questions_that_count(&expected, &bake);
        self.expected_once(&expected);
        self.documents_of_their_own(&sources);
        self.room(&recipe, &model, &sources);
        let keywords =
            bake.keywords().into_iter().map(|(scope, keyword)| (scope, keyword.clone())).collect();
        let WrittenBake { attributes, visibility, name, .. } = bake;
        let library = libraries.first().map(|(_, path)| (*path).clone());
        let embed = match settings.word("embed").as_str() {
            "release" => Embed::Release,
            "never" => Embed::Never,
            _ => Embed::Always,
        };
        let gate = settings.block("gate", Scope::Gate);
        let gate =
            Gate { expects: gate.optional_number("expects"), kl: gate.optional_number("kl") };
        Declared {
            attributes,
            visibility,
            name,
            library,
            targets: names,
            files,
            embed,
            gate,
            keywords,
            recipe,
        }
    }

    /// The recipe. What was reported is left out, or replaced by something valid.
    fn recipe(
        &mut self,
        bake: &WrittenBake,
        BegunWith { model, parent }: BegunWith,
        shared: &Shared<'_>,
        sources: &[ReadTarget],
        mut expects: Vec<recipe::Expect>,
        lora: recipe::Lora,
    ) -> Recipe {
        let mut targets: Vec<recipe::Target> = Vec::new();
        for ReadTarget { target, .. } in sources {
            let variant =
                |target: &recipe::Target| names::variant(&target.name).filter(|_| !target.anchor);
            let same = |other: &recipe::Target| {
                let variants = variant(target).zip(variant(other));
                other.name == target.name || variants.is_some_and(|(one, two)| one == two)
            };
            if !targets.iter().any(same) {
                targets.push(target.clone());
            }
        }
        if targets.first().is_none_or(|target| target.anchor) {
            targets.splice(0..0, Recipe::STAND_IN.targets.iter().cloned());
        }
        expects.retain(|expect| {
            let named = |target: &recipe::Target| expect.target.as_ref() == Some(&target.name);
            expect.target.is_none() || targets.iter().any(|t| named(t) && !t.anchor)
        });
        if !self.something_to_learn(&expects, sources) {
            expects.clear();
        }
        let model = match model {
            recipe::ModelSource::Folder(path) | recipe::ModelSource::Gguf(path)
                if is_blank(&path) =>
            {
                recipe::ModelSource::Tiny
            }
            model => model,
        };
        let settings = shared.settings;
        let train = self.train(&settings.block("train", Scope::Train), settings, &bake.name);
        let name = bake.name.unraw().to_string();
        let fields = RecipeFields {
            name: if names::check_bake(&name).is_ok() { name.into() } else { "Unnamed".into() },
            root: self.package.root.to_string_lossy().into_owned().into(),
            model,
            parent,
            student: shared.student.clone(),
            targets: targets.into(),
            lora,
            train,
            expects: expects.into(),
        };
        self.part(Recipe::new(fields), bake.name.span())
    }

    /// A part of the recipe. Whatever is not allowed in it was reported in its place; if not, it is
    /// reported here.
    fn part<T: StandIn>(&mut self, part: Result<T, crate::error::Error>, span: Span) -> T {
        part.unwrap_or_else(|e| {
            if self.diagnostics.iter().all(|diagnostic| diagnostic.warning) {
                self.report(Code::Value, span, e.to_string());
            }
            T::stand_in()
        })
    }

    /// The targets' names in Rust. One that cannot be a name, or is taken already, is replaced by
    /// one that can.
    fn names(&mut self, targets: &[&WrittenTarget], anchors: &[&WrittenTarget]) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        for (i, anchor) in anchors.iter().enumerate() {
            if targets
                .iter()
                .chain(&anchors[..i])
                .any(|other| other.name.unraw() == anchor.name.unraw())
            {
                let name = anchor.name.to_string();
                self.report_mistake(Mistake::SameAnchor(&name), anchor.name.span());
            }
        }
        for target in targets {
            let declared = target.name.unraw().to_string();
            let name = Name::new(&target.name);
            let same = name.as_ref().and_then(|name| {
                let taken = names.iter().find(|other| other.variant == name.variant)?;
                Some(taken.declared.unraw().to_string())
            });
            let mistake = match (name, &same) {
                (Some(name), None) => {
                    names.push(name);
                    continue;
                }
                (None, _) => Mistake::NotAName { name: &declared, of: names::TARGET },
                (_, Some(other)) if *other == declared => Mistake::SameTarget(&declared),
                (_, Some(other)) => Mistake::SameVariant { other, name: &declared },
            };
            self.report_mistake(mistake, target.name.span());
            names.push(Name {
                declared: target.name.clone(),
                variant: Ident::new(&format!("Unnamed{}", names.len()), target.name.span()),
            });
        }
        names
    }

    /// The training, whose seed is the bake's unless it has its own.
    fn train(&mut self, train: &Settings<'_>, bake: &Settings<'_>, name: &Ident) -> recipe::Train {
        let seeded = if train.given("seed").is_some() { train } else { bake };
        let fields = recipe::TrainFields {
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
                ("jsd", Some(Value::Call(_, beta, _))) if check_beta(*beta).is_ok() => {
                    recipe::Divergence::Jsd(*beta)
                }
                ("reverse_kl", _) => recipe::Divergence::ReverseKl,
                _ => recipe::Divergence::ForwardKl,
            },
            temperature: train.number("temperature"),
            clip: train.number("clip"),
            weight_decay: train.number("weight_decay"),
            seed: seeded.optional_count("seed").unwrap_or_default(),
            held_out: train.number("held_out"),
            patience: train.count("patience"),
            rehearse: train.count("rehearse"),
            stop_at_kl: train.optional_number("stop_at_kl"),
            until_covered: train.optional_count("until_covered").map(|count| count as usize),
            checkpoint_every: train.optional_count("checkpoint_every").map(|count| count as usize),
            keep_every: train.optional_count("keep_every").map(|count| count as usize),
            teacher_anyway: train.word("teacher") == "anyway",
        };
        self.part(recipe::Train::new(fields), name.span())
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
