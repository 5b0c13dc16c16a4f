//! Recipes of bakes that are known only while a program runs.

use std::path::{Path, PathBuf};

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::{LitStr, Visibility};

use super::{Answer, NamedModel, Recipe};
use crate::check::{Package, check};
use crate::diagnostics::{Code, Diagnostic, Diagnostics};
use crate::error::{Error, ErrorKind};
use crate::settings::{Scope, entry};
use crate::syntax::ast::{self, Assignment, At, Bake, Expect, Item, ModelSource, Target, Value};

impl Recipe {
    /// A builder for a bake that is known only while the program runs: `bake!` as methods. It makes
    /// what the macro makes of the same words, and refuses what the macro refuses.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("office.md"), "Ask Bob for a key.")?;
    /// use bake_spec::Recipe;
    /// use bake_spec::recipe::Answer;
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
    /// assert_eq!(recipe.targets[0].stimuli.questions.len(), 1);
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
#[derive(Clone, Debug)]
#[must_use]
pub struct RecipeBuilder {
    name: String,
    root: PathBuf,
    items: Vec<Item>,
    mistakes: Diagnostics,
}

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
        let source = ModelSource::Path(text(path.as_ref()));
        self.items.push(Item::Model { keyword: word("model"), source });
        self
    }

    /// A base model that has a [name](crate::model::named).
    pub fn named_model(mut self, model: &'static NamedModel) -> Self {
        let source = ModelSource::Named(word(model.name()));
        self.items.push(Item::Model { keyword: word("model"), source });
        self
    }

    settings! {
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

    /// Lets documents and files of questions be outside the root.
    pub fn documents_anywhere(self) -> Self {
        self.note(assignment(Scope::Bake, "documents", Value::Word(word("anywhere"))))
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
        let target = target.map(|name| self.named(name, "target", "iphone"));
        let expect = Expect {
            keyword: word("expect"),
            target,
            question: text(question),
            answer: match answer {
                Answer::Contains(words) => ast::Answer::Contains(text(&words)),
                Answer::Equals(words) => ast::Answer::Equals(text(&words)),
                Answer::Declines => ast::Answer::Declines(word("declines")),
            },
        };
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
        let name = self.named(&declared, "bake", "Support");
        let bake = Bake {
            attributes: Vec::new(),
            visibility: Visibility::Inherited,
            name,
            items: self.items,
            broken: false,
        };
        let package = Package { root: Path::new(&self.root), lock: None };
        let mut declared = check(vec![bake], package, &mut self.mistakes);
        (declared.remove(0).recipe, self.mistakes)
    }

    fn push(&mut self, keyword: &str, name: &str, head: Vec<Assignment>, body: Vec<Item>) {
        let name = self.named(name, keyword, "iphone");
        let keyword = word(keyword);
        self.items.push(Item::Target(Target { keyword, name, head, body, broken: false }));
    }

    /// A name, which must be valid in Rust.
    fn named(&mut self, name: &str, what: &str, example: &str) -> Ident {
        Ident::parse_any.parse_str(name).unwrap_or_else(|_| {
            let message =
                format!("`{name}` cannot be the name of a {what}; use letters, as in `{example}`");
            self.mistakes.push(Diagnostic::new(Code::Value, Span::call_site(), message));
            word(&format!("unnamed_{}", self.items.len()))
        })
    }

    fn note(mut self, assignment: Assignment) -> Self {
        self.items.push(Item::Setting(assignment));
        self
    }
}

/// A target that is being declared.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TargetBuilder {
    head: Vec<Assignment>,
    body: Vec<Item>,
}

/// An anchor that is being declared.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct AnchorBuilder {
    head: Vec<Assignment>,
    body: Vec<Item>,
}

macro_rules! questions_and_answers {
    ($builder:ident, $head:ident, $body:ident) => {
        impl $builder {
            /// The share of the loss, relative to the other targets and anchors.
            pub fn weight(mut self, weight: f64) -> Self {
                let value = Value::Number(weight, here());
                self.head.push(assignment(Scope::$head, "weight", value));
                self
            }

            /// Questions written by hand.
            pub fn questions(self, questions: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
                let questions = questions.into_iter().map(|question| text(question.as_ref()));
                let value = Value::Texts(questions.collect());
                self.note(assignment(Scope::$body, "questions", value))
            }

            /// The questions of a JSON Lines or a CSV file, from this field or column.
            pub fn dataset(self, path: &str, field: &str) -> Self {
                let field = assignment(Scope::Dataset, "field", Value::Text(text(field)));
                let value = Value::File(text(path), vec![field]);
                self.note(assignment(Scope::$body, "dataset", value))
            }

            /// At most this many questions of a JSON Lines or a CSV file, from the first on.
            pub fn dataset_head(self, path: &str, field: &str, take: u64) -> Self {
                let field = assignment(Scope::Dataset, "field", Value::Text(text(field)));
                let take = assignment(Scope::Dataset, "take", Value::Count(take, here()));
                let value = Value::File(text(path), vec![field, take]);
                self.note(assignment(Scope::$body, "dataset", value))
            }

            /// How many questions the model writes.
            pub fn ask(self, count: u64) -> Self {
                self.ask_with(count, |ask| ask)
            }

            /// How many questions the model writes, and how.
            pub fn ask_with(
                self,
                count: u64,
                declare: impl FnOnce(AskBuilder) -> AskBuilder,
            ) -> Self {
                let AskBuilder { settings } = declare(AskBuilder::default());
                let value = Value::Counted(count, here(), settings);
                self.note(assignment(Scope::$body, "ask", value))
            }

            settings! {
                /// The questions of a text file, one per line.
                questions_from(path: &str) $body "questions" => Value::FromFile(text(path));
                /// How many answers the teacher gives to each question.
                rollouts(count: u64) $body "rollouts" => Value::Count(count, here());
                /// The most tokens of an answer.
                max_tokens(count: u64) $body "max_tokens" => Value::Count(count, here());
                /// The temperature at which the teacher's answers are sampled; 0 is greedy.
                temperature(number: f64) $body "temperature" => Value::Number(number, here());
                /// Samples only from the most likely tokens that together have this much
                /// probability.
                top_p(number: f64) $body "top_p" => Value::Number(number, here());
                /// Samples only from this many of the most likely tokens; 0 means all.
                top_k(count: u64) $body "top_k" => Value::Count(count, here());
                /// Seeds questions and answers.
                seed(seed: u64) $body "seed" => Value::Count(seed, here());
            }

            fn note(mut self, assignment: Assignment) -> Self {
                self.body.push(Item::Setting(assignment));
                self
            }
        }
    };
}

questions_and_answers!(TargetBuilder, TargetHead, TargetBody);
questions_and_answers!(AnchorBuilder, AnchorHead, AnchorBody);

impl TargetBuilder {
    /// The document, by its path relative to the root: a file, or a folder of Markdown files.
    pub fn document(mut self, path: impl AsRef<str>) -> Self {
        let value = Value::Text(text(path.as_ref()));
        self.head.push(assignment(Scope::TargetHead, "from", value));
        self
    }

    /// Words before the document in the teacher's prompt.
    pub fn prompt(self, words: impl AsRef<str>) -> Self {
        self.prompted(Value::Text(text(words.as_ref())))
    }

    /// The same from a file, by its path relative to the root.
    pub fn prompt_from(self, path: impl AsRef<str>) -> Self {
        self.prompted(Value::FromFile(text(path.as_ref())))
    }

    /// The turns that the teacher reads before a question. The document follows the system turn.
    ///
    /// ```
    /// use bake_spec::Recipe;
    ///
    /// let bake = Recipe::builder().target("office", |target| {
    ///     target.prompt_turns(|turns| {
    ///         turns.system("You are a caretaker.").user("Is Ann in?").assistant("Until five.")
    ///     })
    /// });
    /// assert_eq!(bake.build()?.targets[0].prompt.turns.len(), 2);
    /// # Ok::<(), bake_spec::Error>(())
    /// ```
    pub fn prompt_turns(self, declare: impl FnOnce(TurnsBuilder) -> TurnsBuilder) -> Self {
        self.prompted(turns(declare))
    }

    fn prompted(mut self, value: Value) -> Self {
        self.head.push(assignment(Scope::TargetHead, "prompt", value));
        self
    }
}

macro_rules! block {
    ($(#[$meta:meta])* $builder:ident { $($settings:tt)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        #[must_use]
        pub struct $builder {
            settings: Vec<Assignment>,
        }

        impl $builder {
            settings! { $($settings)* }

            fn note(mut self, assignment: Assignment) -> Self {
                self.settings.push(assignment);
                self
            }
        }
    };
}

block! {
    /// A conversation that is being declared.
    TurnsBuilder {
        /// The system turn, which comes first.
        system(words: &str) Prompt "system" => Value::Text(text(words));
        /// The same from a file, by its path relative to the root.
        system_from(path: &str) Prompt "system" => Value::FromFile(text(path));
        /// A turn of the user.
        user(words: &str) Prompt "user" => Value::Text(text(words));
        /// The same from a file.
        user_from(path: &str) Prompt "user" => Value::FromFile(text(path));
        /// The answer to the turn of the user before it.
        assistant(words: &str) Prompt "assistant" => Value::Text(text(words));
        /// The same from a file.
        assistant_from(path: &str) Prompt "assistant" => Value::FromFile(text(path));
    }
}

fn turns(declare: impl FnOnce(TurnsBuilder) -> TurnsBuilder) -> Value {
    Value::Block(declare(TurnsBuilder::default()).settings)
}

block! {
    /// How the model writes questions.
    AskBuilder {
        /// The temperature at which they are sampled.
        temperature(number: f64) Ask "temperature" => Value::Number(number, here());
        /// The request put to the model for one question.
        template(words: &str) Ask "template" => Value::Text(text(words));
    }
}

block! {
    /// An adapter that is being declared.
    LoraBuilder {
        /// The rank of each layer's change.
        rank(rank: u64) Lora "rank" => Value::Count(rank, here());
        /// A change is scaled by alpha / rank.
        alpha(alpha: f64) Lora "alpha" => Value::Number(alpha, here());
        /// The share of a change's inputs that is dropped during training.
        dropout(share: f64) Lora "dropout" => Value::Number(share, here());
        /// The blocks that are changed; all unless it is set.
        layers(blocks: std::ops::Range<u64>) Lora "layers" =>
            Value::Span(blocks.start, blocks.end, here());
        /// The linear layers that are changed, by their names; all unless it is set.
        modules(names: &[&str]) Lora "modules" =>
            Value::Words(names.iter().map(|name| module(name)).collect());
    }
}

block! {
    /// A training that is being declared.
    TrainBuilder {
        /// Passes over all answers.
        epochs(count: u64) Train "epochs" => Value::Count(count, here());
        /// The highest learning rate.
        lr(rate: f64) Train "lr" => Value::Number(rate, here());
        /// Answers in one forward and backward pass.
        batch(count: u64) Train "batch" => Value::Count(count, here());
        /// Passes whose gradients are added up before a step.
        accumulate(count: u64) Train "accumulate" => Value::Count(count, here());
        /// How the learning rate falls.
        schedule(schedule: super::Schedule) Train "schedule" => Value::Word(word(match schedule {
            super::Schedule::Constant => "constant",
            super::Schedule::Linear => "linear",
            super::Schedule::Cosine => "cosine",
        }));
        /// The share of all steps over which the learning rate rises.
        warmup(share: f64) Train "warmup" => Value::Number(share, here());
        /// What is minimised.
        divergence(divergence: super::Divergence) Train "divergence" => match divergence {
            super::Divergence::ForwardKl => Value::Word(word("forward_kl")),
            super::Divergence::ReverseKl => Value::Word(word("reverse_kl")),
            super::Divergence::Jsd(beta) => Value::Call(word("jsd"), beta, here()),
        };
        /// Divides both models' logits in the loss.
        temperature(number: f64) Train "temperature" => Value::Number(number, here());
        /// The largest norm of a gradient; a larger one is scaled down to it.
        clip(norm: f64) Train "clip" => Value::Number(norm, here());
        /// AdamW's weight decay.
        weight_decay(number: f64) Train "weight_decay" => Value::Number(number, here());
        /// Seeds the adapter's first weights and the order of the answers.
        seed(seed: u64) Train "seed" => Value::Count(seed, here());
        /// Steps between checkpoints.
        checkpoint_every(steps: u64) Train "checkpoint_every" => Value::Count(steps, here());
    }
}

fn assignment(scope: Scope, keyword: &str, value: Value) -> Assignment {
    Assignment { keyword: word(keyword), setting: entry(scope, keyword), value }
}

/// A word of the grammar, which is also a name in Rust.
fn word(word: &str) -> Ident {
    Ident::new(word, Span::call_site())
}

/// The name of a linear layer. One that is not a word is turned into a word, which is not the name
/// of a layer either.
fn module(name: &str) -> Ident {
    Ident::parse_any.parse_str(name).unwrap_or_else(|_| {
        let letter = |c: char| if c.is_alphanumeric() { c } else { '_' };
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
