//! Targets and anchors that are being declared.

use super::{
    AskBuilder, ExamplesBuilder, PersonaBuilder, RecipeBuilder, RephraseBuilder, TurnsBuilder,
    assignment, counted, here, text, turns, word,
};
use crate::recipe::TeacherContext;
use crate::settings::Scope;
use crate::syntax::ast::{Assignment, Item, Value};

/// A target that is being declared.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TargetBuilder {
    pub(super) head: Vec<Assignment>,
    pub(super) body: Vec<Item>,
}

/// An anchor that is being declared.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct AnchorBuilder {
    pub(super) head: Vec<Assignment>,
    pub(super) body: Vec<Item>,
}

/// Where questions come from, and how they are answered: in a bake, a target or an anchor.
macro_rules! questions_and_answers {
    ($builder:ident, $scope:ident) => {
        impl $builder {
            /// Questions written by hand.
            pub fn questions(self, questions: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
                let questions = questions.into_iter().map(|question| text(question.as_ref()));
                let value = Value::Texts(questions.collect());
                self.note(assignment(Scope::$scope, "questions", value))
            }

            /// The questions of a JSON Lines or a CSV file, from this field or column.
            pub fn dataset(self, path: &str, field: &str) -> Self {
                let field = assignment(Scope::Dataset, "field", Value::Text(text(field)));
                let value = Value::File(text(path), vec![field]);
                self.note(assignment(Scope::$scope, "dataset", value))
            }

            /// At most this many questions of a JSON Lines or a CSV file, from the first on.
            pub fn dataset_head(self, path: &str, field: &str, take: u64) -> Self {
                let field = assignment(Scope::Dataset, "field", Value::Text(text(field)));
                let take = assignment(Scope::Dataset, "take", Value::Count(take, here()));
                let value = Value::File(text(path), vec![field, take]);
                self.note(assignment(Scope::$scope, "dataset", value))
            }

            /// How many questions the model writes; `None` for as many as the document calls for.
            pub fn ask(self, count: impl Into<Option<u64>>) -> Self {
                self.ask_with(count, |ask| ask)
            }

            /// How many questions the model writes, and how.
            pub fn ask_with(
                self,
                count: impl Into<Option<u64>>,
                declare: impl FnOnce(AskBuilder) -> AskBuilder,
            ) -> Self {
                let AskBuilder { settings } = declare(AskBuilder::default());
                self.note(assignment(Scope::$scope, "ask", counted(count, settings)))
            }

            /// How many questions the model writes in the words of people of many kinds; `None` for
            /// as many as the document calls for.
            pub fn persona(
                self,
                count: impl Into<Option<u64>>,
                declare: impl FnOnce(PersonaBuilder) -> PersonaBuilder,
            ) -> Self {
                let PersonaBuilder { settings } = declare(PersonaBuilder::default());
                self.note(assignment(Scope::$scope, "persona", counted(count, settings)))
            }

            /// How many questions of others the model says in other words, and how.
            pub fn rephrase_with(
                self,
                count: impl Into<Option<u64>>,
                declare: impl FnOnce(RephraseBuilder) -> RephraseBuilder,
            ) -> Self {
                let RephraseBuilder { settings } = declare(RephraseBuilder::default());
                self.note(assignment(Scope::$scope, "rephrase", counted(count, settings)))
            }

            settings! {
                /// The questions of a text file, one per line.
                questions_from(path: &str) $scope "questions" => Value::FromFile(text(path));
                /// How many questions of others the model says in other words; `None` for as many
                /// as the document calls for.
                rephrase(count: impl Into<Option<u64>>) $scope "rephrase" =>
                    counted(count, Vec::new());
                /// How many answers the teacher gives to each question.
                rollouts(count: u64) $scope "rollouts" => Value::Count(count, here());
                /// The most tokens of an answer.
                max_tokens(count: u64) $scope "max_tokens" => Value::Count(count, here());
                /// The temperature at which the teacher's answers are sampled; 0 is greedy.
                temperature(number: f64) $scope "temperature" => Value::Number(number, here());
                /// Samples only from the most likely tokens that together have this much
                /// probability.
                top_p(number: f64) $scope "top_p" => Value::Number(number, here());
                /// Samples only from this many of the most likely tokens; 0 means all.
                top_k(count: u64) $scope "top_k" => Value::Count(count, here());
            }
        }
    };
}

/// What needs a document, and what only targets have: in a bake, for all its targets, or in one.
macro_rules! of_targets {
    ($builder:ident, $scope:ident) => {
        impl $builder {
            /// What of the document the teacher reads to answer a question.
            pub fn context(self, context: TeacherContext) -> Self {
                let value = Value::Word(word(context.name()));
                self.note(assignment(Scope::$scope, "context", value))
            }

            /// Questions with their answers, which the teacher reads as earlier turns.
            pub fn examples(
                self,
                declare: impl FnOnce(ExamplesBuilder) -> ExamplesBuilder,
            ) -> Self {
                let ExamplesBuilder { settings } = declare(ExamplesBuilder::default());
                self.note(assignment(Scope::$scope, "examples", Value::Block(settings)))
            }

            /// The same from a JSON Lines file, by its path relative to the root.
            pub fn examples_from(self, path: impl AsRef<str>) -> Self {
                let value = Value::FromFile(text(path.as_ref()));
                self.note(assignment(Scope::$scope, "examples", value))
            }

            /// A question of each passage, or one of each line, by a template in the language of
            /// minijinja.
            pub fn template(self, template: impl AsRef<str>) -> Self {
                let value = Value::Text(text(template.as_ref()));
                self.note(assignment(Scope::$scope, "template", value))
            }

            /// How many questions are asked that the document does not answer, and what the baked
            /// model answers to them.
            pub fn unanswerable_with(
                self,
                count: impl Into<Option<u64>>,
                decline: impl AsRef<str>,
            ) -> Self {
                let decline = Value::Text(text(decline.as_ref()));
                let settings = vec![assignment(Scope::Unanswerable, "decline", decline)];
                self.note(assignment(Scope::$scope, "unanswerable", counted(count, settings)))
            }

            settings! {
                /// How many questions are made of the document's outline; `None` for as many as the
                /// document calls for.
                outline(count: impl Into<Option<u64>>) $scope "outline" =>
                    counted(count, Vec::new());
                /// How many questions are asked that the document does not answer; `None` for as
                /// many as the document calls for.
                unanswerable(count: impl Into<Option<u64>>) $scope "unanswerable" =>
                    counted(count, Vec::new());
                /// The share of the questions that the student answers itself in a further round.
                on_policy(share: f64) $scope "on_policy" => Value::Number(share, here());
            }
        }
    };
}

/// What a target or an anchor says of itself, and no bake of all.
macro_rules! of_its_own {
    ($builder:ident, $head:ident, $body:ident) => {
        impl $builder {
            /// The share of the loss, relative to the other targets and anchors.
            pub fn weight(mut self, weight: f64) -> Self {
                let value = Value::Number(weight, here());
                self.head.push(assignment(Scope::$head, "weight", value));
                self
            }

            settings! {
                /// How many everyday requests are asked; `None` for all that there are.
                everyday(count: impl Into<Option<u64>>) $body "everyday" =>
                    counted(count, Vec::new());
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

questions_and_answers!(RecipeBuilder, Bake);
questions_and_answers!(TargetBuilder, TargetBody);
questions_and_answers!(AnchorBuilder, AnchorBody);
of_targets!(RecipeBuilder, Bake);
of_targets!(TargetBuilder, TargetBody);
of_its_own!(TargetBuilder, TargetHead, TargetBody);
of_its_own!(AnchorBuilder, AnchorHead, AnchorBody);

impl TargetBuilder {
    /// The document, by its path relative to the root: a file, or a folder of Markdown files.
    pub fn document(mut self, path: impl AsRef<str>) -> Self {
        let value = Value::Text(text(path.as_ref()));
        self.head.push(assignment(Scope::TargetHead, "from", value));
        self
    }

    settings! {
        /// How many general requests are asked, from which a behaviour is learned; `None` for all
        /// that there are.
        general(count: impl Into<Option<u64>>) TargetBody "general" => counted(count, Vec::new());
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
    /// # extern crate bake_spec as bake;
    /// use bake::Recipe;
    ///
    /// let bake = Recipe::builder().target("office", |target| {
    ///     target.prompt_turns(|turns| {
    ///         turns.system("You are a caretaker.").user("Is Ann in?").assistant("Until five.")
    ///     })
    /// });
    /// assert_eq!(bake.build()?.targets[0].prompt.turns.len(), 2);
    /// # Ok::<(), bake::Error>(())
    /// ```
    pub fn prompt_turns(self, declare: impl FnOnce(TurnsBuilder) -> TurnsBuilder) -> Self {
        self.prompted(turns(declare))
    }

    fn prompted(mut self, value: Value) -> Self {
        self.head.push(assignment(Scope::TargetHead, "prompt", value));
        self
    }
}
