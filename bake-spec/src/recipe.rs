//! The recipe: everything that a declaration says, as plain data.
//!
//! The macro writes it as a constant; tools that read the sources build the same value while they
//! run. The serde form of its parts holds what determines the outcome of a bake and nothing else:
//! it is what their hashes are made from.

use std::borrow::Cow;

use serde::Serialize;

use crate::hash::{Hash, KeyHasher};
pub use crate::text::dataset::{Dataset, Format};

/// Text of a recipe: a literal in generated code, owned where a tool has read it.
pub type Text = Cow<'static, str>;

/// A list of a recipe.
pub type List<T> = Cow<'static, [T]>;

/// Changes whenever the same declaration would be baked in another way.
const RECIPE_VERSION: u32 = 2;

/// Everything that determines a bake.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The name of the declaration.
    pub name: Text,
    /// The folder of the package's `Cargo.toml`, which paths are relative to.
    pub root: Text,
    /// The base model.
    pub model: ModelSource,
    /// The system prompt of the baked model; empty: no system message at all.
    pub student: Text,
    /// What is baked in, in the order of the declaration, and after it the anchors.
    pub targets: List<Target>,
    /// The adapter.
    pub lora: Lora,
    /// The training.
    pub train: Train,
    /// What the baked model must answer. These questions are held out of training.
    pub expects: List<Expect>,
}

/// Where a base model comes from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelSource {
    /// The small model inside the library.
    Tiny,
    /// A Hugging Face style folder, relative to the package.
    Folder(Text),
}

/// One document or prompt to bake in, or an anchor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// The name in the declaration.
    #[serde(skip)]
    pub name: Text,
    /// Whether the teacher has the student's prompt and no document, so that answers stay as they
    /// are.
    pub anchor: bool,
    /// The share of the loss, relative to the other targets' weights.
    pub weight: f64,
    /// The words before the document: the bake's prompt and the target's own, with an empty line
    /// between. Of an anchor, the student prompt.
    pub prompt: Text,
    /// The document.
    pub document: Option<Document>,
    /// Where the questions come from.
    pub stimuli: Stimuli,
    /// How the teacher answers them.
    pub rollout: Rollout,
}

/// A document, by its path and the hash of its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// The path, relative to the package.
    #[serde(skip)]
    pub path: Text,
    /// [`document::hash`](crate::text::document::hash) of the text, in hexadecimal.
    pub hash: Text,
}

/// Where a target's questions come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stimuli {
    /// Questions written by hand.
    pub questions: List<Text>,
    /// Questions of files.
    pub datasets: List<Dataset>,
    /// Questions that the model writes.
    pub ask: Option<Ask>,
}

/// Questions that the model writes about the document.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ask {
    /// How many different questions.
    pub count: usize,
    /// The temperature at which they are sampled.
    pub temperature: f64,
    /// The request put to the model; the standard ones where there is none.
    pub template: Option<Text>,
}

/// How the teacher answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollout {
    /// Answers to each question.
    pub answers: usize,
    /// The most tokens of an answer; where there is none, 256 or a fifth of the context, whichever
    /// is less.
    pub max_tokens: Option<usize>,
    /// The sampling temperature; 0 is greedy.
    pub temperature: f64,
    /// Nucleus sampling: only the likeliest tokens that hold this much probability.
    pub top_p: f64,
    /// Only this many of the likeliest tokens; 0: all.
    pub top_k: usize,
    /// Seeds questions and answers.
    pub seed: u64,
}

/// The adapter: low-rank changes of linear layers (Hu et al. 2021, arXiv 2106.09685).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lora {
    /// Rank of each change.
    pub rank: usize,
    /// A change is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Share of a change's inputs that is dropped in training.
    pub dropout: f64,
    /// Names of the projections; empty: all of them.
    pub modules: List<Text>,
    /// The blocks from the first to before the second; all where there are none.
    pub layers: Option<(usize, usize)>,
}

/// The training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Train {
    /// Passes over all answers.
    pub epochs: usize,
    /// The highest learning rate; where there is none, 0.75 / the model's hidden size.
    pub lr: Option<f64>,
    /// Answers in one forward and backward pass.
    pub batch: usize,
    /// Passes whose gradients are added up before a step.
    pub accumulate: usize,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Share of all steps over which the learning rate rises.
    pub warmup: f64,
    /// What is minimised.
    pub divergence: Divergence,
    /// Divides both models' logits in the loss.
    pub temperature: f64,
    /// The norm to which a longer gradient is cut.
    pub clip: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Seeds the adapter's first weights and the order of the answers.
    pub seed: u64,
    /// Steps between checkpoints; by default ten seconds pass. They do not change the result.
    #[serde(skip)]
    pub checkpoint_every: Option<usize>,
}

/// How the learning rate falls after its rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// In a straight line to zero.
    Linear,
    /// Along half a cosine to zero.
    Cosine,
}

/// A divergence of the student's distribution q from the teacher's p.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Divergence {
    /// KL(p ‖ q): the student covers all that the teacher says.
    ForwardKl,
    /// KL(q ‖ p): the student keeps to what the teacher says.
    ReverseKl,
    /// β KL(p ‖ m) + (1 − β) KL(q ‖ m) with m = β p + (1 − β) q, and 0 < β < 1.
    Jsd(f64),
}

/// A question and what its answer must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// The target whose document the prompted model gets.
    pub target: Option<Text>,
    /// The question.
    pub question: Text,
    /// What the answer must be.
    pub answer: Answer,
}

/// A check of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// Holds these words, whatever their case.
    Contains(Text),
    /// Is these words, whatever is around them.
    Equals(Text),
    /// Says that the model does not know.
    Declines,
}

impl Recipe {
    /// The address of the adapter: everything that changes it, and nothing else.
    ///
    /// Names, paths, and what an answer is expected to be, do not change it; the questions of
    /// `expect` do, because they are held out of training. `model` is the hash of the base model's
    /// files.
    pub fn hash(&self, model: &Hash) -> Hash {
        KeyHasher::new("recipe", RECIPE_VERSION)
            .field("model", model)
            .field("targets", &self.targets)
            .field("shared", &self.shared_hash())
            .finish()
    }

    /// The hash of what all targets share.
    fn shared_hash(&self) -> Hash {
        let parts = self.shared_hashes();
        parts
            .iter()
            .fold(KeyHasher::new("shared", RECIPE_VERSION), |hasher, (name, hash)| {
                hasher.field(name, hash)
            })
            .finish()
    }

    /// The hashes of what all targets share, by name: the student prompt, the adapter, the
    /// training, and the questions that are held out.
    pub fn shared_hashes(&self) -> [(&'static str, Hash); 4] {
        let part = || KeyHasher::new("part", RECIPE_VERSION);
        [
            ("expect", part().field("held_out", &self.held_out().collect::<Vec<_>>()).finish()),
            ("lora", part().field("lora", &self.lora).finish()),
            ("student", part().field("student", &self.student).finish()),
            ("train", part().field("train", &self.train).finish()),
        ]
    }

    /// The questions that must not be trained on.
    pub fn held_out(&self) -> impl Iterator<Item = &str> {
        self.expects.iter().map(|e| e.question.as_ref())
    }

    /// Each target's share of the loss, which sum to one.
    pub fn shares(&self) -> impl Iterator<Item = f64> {
        let total: f64 = self.targets.iter().map(|t| t.weight).sum();
        self.targets.iter().map(move |t| t.weight / total)
    }
}

impl Rollout {
    /// The most tokens of an answer of a model with this context: what is declared, else 256 or a
    /// fifth of the context, whichever is less.
    pub fn max_tokens(&self, context: usize) -> usize {
        self.max_tokens.unwrap_or_else(|| 256.min(context / 5)).max(1)
    }
}

impl Target {
    /// The hash of all that is its own but its document.
    pub fn settings_hash(&self) -> Hash {
        KeyHasher::new("target", RECIPE_VERSION)
            .field("target", &Self { document: None, ..self.clone() })
            .finish()
    }

    /// The teacher's system prompt: prompt and document, with an empty line between.
    pub fn teacher_prompt(&self, document: Option<&str>) -> String {
        join_paragraphs([self.prompt.as_ref(), document.unwrap_or_default()])
    }
}

/// The words of a question in lower case: questions that differ only in case, punctuation or spaces
/// are one.
pub fn normalised_question(question: &str) -> String {
    let words: String = question
        .chars()
        .filter(|c| *c != '\'' && *c != '’')
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    words.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The texts that are not empty, with an empty line between.
pub(crate) fn join_paragraphs<const N: usize>(texts: [&str; N]) -> String {
    texts.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// A declared bake: what `bake!` implements for the type it generates.
pub trait Declaration: 'static {
    /// The names of its targets.
    type Target: TargetName;
    /// What is baked.
    const RECIPE: &'static Recipe;
    /// Where its adapter is, as far as the program's build script knows.
    const ADAPTER: &'static AdapterSource = &AdapterSource::Store;
}

/// Where the adapter of a declaration is.
#[derive(Debug)]
#[non_exhaustive]
pub enum AdapterSource {
    /// In the user's store, under the hash of the recipe.
    Store,
    /// In the program.
    Embedded {
        /// The hash of the files.
        hash: &'static str,
        /// The [`Recipe::hash`] that it was made from.
        recipe: &'static str,
        /// Their names, in order, and their bytes.
        files: &'static [(&'static str, &'static [u8])],
    },
    /// In a folder of the machine that built the program.
    Folder {
        /// The hash of its files.
        hash: &'static str,
        /// The [`Recipe::hash`] that it was made from.
        recipe: &'static str,
        /// The folder.
        path: &'static str,
    },
    /// Nowhere, for this reason.
    Missing(&'static str),
}

/// The names of an adapter's files, in order.
pub const ADAPTER_FILES: [&str; 3] =
    ["adapter_config.json", "adapter_model.safetensors", "bake.json"];

/// Bytes where numbers of up to 64 bytes can be read in place.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Aligned<T: ?Sized>(pub T);

/// The environment variables by which a build script tells the macro what it has found.
pub mod variables {
    /// The [mode](crate::check::Mode) of the build.
    pub const MODE: &str = "BAKE_MODE";

    /// The folder of the adapter of a bake.
    pub fn folder(bake: &str) -> String {
        format!("BAKE_FOLDER_{bake}")
    }

    /// The hash of its files.
    pub fn hash(bake: &str) -> String {
        format!("BAKE_HASH_{bake}")
    }

    /// The hash of the recipe that it was made from.
    pub fn recipe(bake: &str) -> String {
        format!("BAKE_RECIPE_{bake}")
    }

    /// `embedded`, `folder`, or why there is none.
    pub fn kind(bake: &str) -> String {
        format!("BAKE_KIND_{bake}")
    }
}

/// The targets of a [`Declaration`], one variant each.
pub trait TargetName: Copy + std::fmt::Debug + Eq + Send + Sync + 'static {
    /// All targets, in the order of the declaration.
    const ALL: &'static [Self];

    /// The place in [`Recipe::targets`].
    fn index(self) -> usize;

    /// The name in the declaration.
    fn name(self) -> &'static str;
}
