//! Recipes of bakes that are known only while a program runs.

use std::path::{Path, PathBuf};

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::{LitStr, Visibility};

use crate::check::{DeclaringPackage, check};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::error::{Error, ErrorKind};
use crate::recipe::{Answer, Mistake, NamedModel, Recipe, names};
use crate::settings::{Scope, entry};
use crate::syntax::ast::{
    Assignment, At, Item, Value, WrittenAnswer, WrittenBake, WrittenExpect, WrittenModel,
    WrittenTarget,
};

/// Methods that record a setting.
macro_rules! settings {
    ($($(#[$meta:meta])* $method:ident($value:ident: $type:ty) $scope:ident $keyword:literal =>
        $note:expr;)*) => {$(
        $(#[$meta])*
        pub fn $method(self, $value: $type) -> Self {
            let value = $note;
            self.note(assignment(Scope::$scope, $keyword, value))
        }
    )*};
}

mod blocks;
mod targets;

pub use blocks::{
    AskBuilder, ExamplesBuilder, LoraBuilder, PersonaBuilder, RephraseBuilder, TrainBuilder,
    TurnsBuilder,
};
pub use targets::{AnchorBuilder, TargetBuilder};

impl Recipe {
    /// A builder for a bake that is known only while the program runs: `bake!` as methods. It makes
    /// what the macro makes of the same words, and refuses what the macro refuses.
    ///
    /// ```
    /// # extern crate bake_spec as bake;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("office.md"), "Ask Bob for a key.")?;
    /// use bake::Recipe;
    /// use bake::recipe::Answer;
    ///
    /// let recipe = Recipe::builder()
    ///     .name("Office")
    ///     .root(dir.path())
    ///     .target("office", |target| {
    ///         target.document("office.md").questions(["I lost my key"]).ask(0)
    ///     })
    ///     .expect(Some("office"), "Where is a key?", Answer::Contains("Bob".into()))
    ///     .train(|train| train.epochs(4))
    ///     .build()?;
    /// assert_eq!(recipe.targets[0].stimuli.questions().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> RecipeBuilder {
        RecipeBuilder {
            name: "Bake".to_owned(),
            root: PathBuf::from("."),
            items: Vec::new(),
            mistakes: Vec::new(),
        }
    }
}

/// A recipe that is being declared; made by [`Recipe::builder`].
///
/// What it says of questions and answers holds for the targets that do not say it themselves; of
/// that, anchors have what it says of answers.
#[derive(Clone, Debug)]
#[must_use]
pub struct RecipeBuilder {
    name: String,
    root: PathBuf,
    items: Vec<Item>,
    mistakes: Diagnostics,
}

impl RecipeBuilder {
    /// The name of the bake, which must be valid for a Rust type. `Bake` unless it is set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The folder to which paths are relative. The current one unless it is set.
    pub fn root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.root = folder.into();
        self
    }

    /// A base model by its path: a folder in the Hugging Face format, or a GGUF file. The one in
    /// the library unless it is set.
    pub fn model(mut self, path: impl AsRef<str>) -> Self {
        let source = WrittenModel::Path(text(path.as_ref()));
        self.items.push(Item::Model { keyword: word("model"), source });
        self
    }

    /// A base model that has a [name](crate::model::named).
    pub fn named_model(mut self, model: &'static NamedModel) -> Self {
        let source = WrittenModel::Named(model, word(model.name()));
        self.items.push(Item::Model { keyword: word("model"), source });
        self
    }

    settings! {
        /// An adapter to bake on top of, by the path of its folder relative to the root.
        parent(folder: &str) Bake "parent" => Value::Text(text(folder));
        /// The system prompt of the baked model.
        student(words: &str) Bake "student" => Value::Text(text(words));
        /// The same from a file, by its path relative to the root.
        student_from(path: &str) Bake "student" => Value::FromFile(text(path));
        /// Words before the documents in the teacher's prompt.
        prompt(words: &str) Bake "prompt" => Value::Text(text(words));
        /// The same from a file, by its path relative to the root.
        prompt_from(path: &str) Bake "prompt" => Value::FromFile(text(path));
        /// Seeds all that is drawn at random.
        seed(seed: u64) Bake "seed" => Value::Count(seed, here());
    }

    /// The turns that the baked model reads before a question.
    pub fn student_turns(self, declare: impl FnOnce(TurnsBuilder) -> TurnsBuilder) -> Self {
        self.note(assignment(Scope::Bake, "student", turns(declare)))
    }

    /// The turns that the teacher reads before a question. The documents follow the system turn.
    pub fn prompt_turns(self, declare: impl FnOnce(TurnsBuilder) -> TurnsBuilder) -> Self {
        self.note(assignment(Scope::Bake, "prompt", turns(declare)))
    }

    /// Lets documents, and files of questions and of prompts, be outside the root.
    pub fn documents_anywhere(self) -> Self {
        self.note(assignment(Scope::Bake, "documents", Value::Word(word("anywhere"))))
    }

    /// Leaves out the anchor of everyday requests that a bake with a document otherwise has unless
    /// it declares an anchor.
    pub fn no_anchors(self) -> Self {
        self.note(assignment(Scope::Bake, "anchors", Value::Word(word("none"))))
    }

    /// A document, a prompt, or both, to bake in.
    pub fn target(
        mut self,
        name: &str,
        declare: impl FnOnce(TargetBuilder) -> TargetBuilder,
    ) -> Self {
        let TargetBuilder { head, body } = declare(TargetBuilder::default());
        self.push("target", name, head, body);
        self
    }

    /// Questions whose answers must stay as they are.
    pub fn anchor(
        mut self,
        name: &str,
        declare: impl FnOnce(AnchorBuilder) -> AnchorBuilder,
    ) -> Self {
        let AnchorBuilder { head, body } = declare(AnchorBuilder::default());
        self.push("anchor", name, head, body);
        self
    }

    /// What the baked model must answer. With the name of a target, the prompted model is asked too
    /// when the bake is evaluated.
    pub fn expect(mut self, target: Option<&str>, question: &str, answer: Answer) -> Self {
        let target = target.map(|name| self.target_name(name, names::TARGET));
        let expect = WrittenExpect {
            keyword: word("expect"),
            target,
            question: text(question),
            answer: match answer {
                Answer::Contains(words) => WrittenAnswer::Contains(text(&words)),
                Answer::ContainsAny(any) => {
                    WrittenAnswer::ContainsAny(any.iter().map(|words| text(words)).collect())
                }
                Answer::StartsWith(words) => WrittenAnswer::StartsWith(text(&words)),
                Answer::EndsWith(words) => WrittenAnswer::EndsWith(text(&words)),
                Answer::Matches(pattern) => WrittenAnswer::Matches(text(&pattern)),
                Answer::Equals(words) => WrittenAnswer::Equals(text(&words)),
                Answer::Declines => WrittenAnswer::Declines(word("declines")),
            },
        };
        self.items.push(Item::Expect(expect));
        self
    }

    /// The expectations of a JSON Lines file, which are about this target where one is named.
    pub fn expect_from(mut self, target: Option<&str>, path: &str) -> Self {
        let target = target.map(|name| self.target_name(name, names::TARGET));
        let answer = WrittenAnswer::FromFile(word("from"));
        let expect =
            WrittenExpect { keyword: word("expect"), target, question: text(path), answer };
        self.items.push(Item::Expect(expect));
        self
    }

    /// The adapter.
    pub fn lora(self, declare: impl FnOnce(LoraBuilder) -> LoraBuilder) -> Self {
        let LoraBuilder { settings } = declare(LoraBuilder::default());
        self.note(assignment(Scope::Bake, "lora", Value::Block(settings)))
    }

    /// The training.
    pub fn train(self, declare: impl FnOnce(TrainBuilder) -> TrainBuilder) -> Self {
        let TrainBuilder { settings } = declare(TrainBuilder::default());
        self.note(assignment(Scope::Bake, "train", Value::Block(settings)))
    }

    /// The recipe.
    ///
    /// # Errors
    /// With everything that is wrong, one line each, in the words of the macro and with its codes.
    pub fn build(self) -> Result<Recipe, Error> {
        let (recipe, diagnostics) = self.checked();
        let wrong = lines(diagnostics.iter().filter(|diagnostic| !diagnostic.warning));
        match wrong.is_empty() {
            true => Ok(recipe),
            false => Err(Error::new(ErrorKind::Recipe, wrong.join("\n"))),
        }
    }

    /// Warnings about a recipe that can be baked as it is, in the words of the macro.
    pub fn warnings(&self) -> Vec<String> {
        let (_, diagnostics) = self.clone().checked();
        lines(diagnostics.iter().filter(|diagnostic| diagnostic.warning))
    }

    fn checked(mut self) -> (Recipe, Diagnostics) {
        let declared = self.name.clone();
        // A type has this name, so it must not be a word of the language.
        let name = self.named(syn::parse_str(&declared), &declared, names::BAKE);
        let bake = WrittenBake {
            attributes: Vec::new(),
            visibility: Visibility::Inherited,
            name,
            items: self.items,
            broken: false,
        };
        let package = DeclaringPackage { root: Path::new(&self.root), lock: None };
        let mut declared = check(vec![bake], package, &mut self.mistakes);
        (declared.remove(0).recipe, self.mistakes)
    }

    fn push(&mut self, keyword: &str, name: &str, head: Vec<Assignment>, body: Vec<Item>) {
        let of = if keyword == "anchor" { names::ANCHOR } else { names::TARGET };
        let name = self.target_name(name, of);
        let keyword = word(keyword);
        self.items.push(Item::Target(WrittenTarget { keyword, name, head, body, broken: false }));
    }

    /// The name of a target or an anchor.
    fn target_name(&mut self, name: &str, of: &'static str) -> Ident {
        self.named(Ident::parse_any.parse_str(name), name, of)
    }

    /// A name, if it was read as one.
    fn named(&mut self, read: syn::Result<Ident>, name: &str, of: &'static str) -> Ident {
        read.unwrap_or_else(|_| {
            let mistake = Mistake::NotAName { name, of };
            let (code, message) = (mistake.code(), mistake.to_string());
            self.mistakes.push(Diagnostic::new(code, Span::call_site(), message));
            word(&format!("unnamed_{}", self.items.len()))
        })
    }

    fn note(mut self, assignment: Assignment) -> Self {
        self.items.push(Item::Setting(assignment));
        self
    }
}

fn turns(declare: impl FnOnce(TurnsBuilder) -> TurnsBuilder) -> Value {
    Value::Block(declare(TurnsBuilder::default()).settings)
}

fn assignment(scope: Scope, keyword: &str, value: Value) -> Assignment {
    Assignment { keyword: word(keyword), setting: entry(scope, keyword), value }
}

fn counted(count: impl Into<Option<u64>>, settings: Vec<Assignment>) -> Value {
    Value::Counted(count.into(), here(), settings)
}

/// A word of the grammar, which is also a name in Rust.
fn word(word: &str) -> Ident {
    Ident::new(word, Span::call_site())
}

/// The name of a linear layer. One that is not a word is turned into a word, which is not the name
/// of a layer either.
fn module(name: &str) -> Ident {
    Ident::parse_any.parse_str(name).unwrap_or_else(|_| {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        Ident::new(&format!("_{}", name.chars().map(letter).collect::<String>()), here().0)
    })
}

fn text(text: &str) -> LitStr {
    LitStr::new(text, Span::call_site())
}

fn here() -> At {
    At(Span::call_site())
}

fn lines<'a>(diagnostics: impl Iterator<Item = &'a Diagnostic>) -> Vec<String> {
    diagnostics.map(|diagnostic| format!("{} [{}]", diagnostic.message, diagnostic.code)).collect()
}
