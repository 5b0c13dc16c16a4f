//! The settings of a declaration: one table, from which grammar, checks, defaults and documentation
//! come.

use crate::diagnostics::Mistake;
use crate::model::config::Projection;
use crate::recipe::parts::same;

/// A setting: a keyword and its value.
#[derive(Debug)]
pub struct Setting {
    /// The keyword.
    pub name: &'static str,
    /// Where it is allowed.
    pub scopes: &'static [Scope],
    /// What its value may be.
    pub kind: Kind,
    /// The value if it is not written, in the grammar's own form; empty if there is none.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// For a setting that the engine does not have yet: what to do meanwhile.
    pub later: Option<&'static str>,
}

/// A setting is one entry of the table.
impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.scopes) == (other.name, other.scopes)
    }
}

/// A place in a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The declaration itself.
    Bake,
    /// Between a target's name and its braces or semicolon.
    TargetHead,
    /// In a target's braces.
    TargetBody,
    /// Between an anchor's name and its braces or semicolon.
    AnchorHead,
    /// In an anchor's braces.
    AnchorBody,
    /// In `ask N { … }`.
    Ask,
    /// In `persona N { … }`.
    Persona,
    /// In `dataset "…" { … }`.
    Dataset,
    /// In `prompt { … }` and `student { … }`.
    Prompt,
    /// In `lora { … }`.
    Lora,
    /// In `train { … }`.
    Train,
    /// In `gate { … }`.
    Gate,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Bake,
        Self::TargetHead,
        Self::TargetBody,
        Self::AnchorHead,
        Self::AnchorBody,
        Self::Ask,
        Self::Persona,
        Self::Dataset,
        Self::Prompt,
        Self::Lora,
        Self::Train,
        Self::Gate,
    ];

    /// The place as a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bake => "bake",
            Self::TargetHead => "target",
            Self::TargetBody => "target_body",
            Self::AnchorHead => "anchor",
            Self::AnchorBody => "anchor_body",
            Self::Ask => "ask",
            Self::Persona => "persona",
            Self::Dataset => "dataset",
            Self::Prompt => "turns",
            Self::Lora => "lora",
            Self::Train => "train",
            Self::Gate => "gate",
        }
    }

    /// The place, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bake => "a bake",
            Self::TargetHead => "a target",
            Self::TargetBody => "a target's braces",
            Self::AnchorHead => "an anchor",
            Self::AnchorBody => "an anchor's braces",
            Self::Ask => "`ask`",
            Self::Persona => "`persona`",
            Self::Dataset => "`dataset`",
            Self::Prompt => "a prompt's braces",
            Self::Lora => "`lora`",
            Self::Train => "`train`",
            Self::Gate => "`gate`",
        }
    }
}

/// What the value of a setting may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A number.
    Number(Range),
    /// A string.
    Text,
    /// A list of strings, or the path of a file that contains them.
    Texts,
    /// What somebody says: a string, or the path of a file that contains it.
    Words,
    /// A system prompt, written or in a file, or the turns of a conversation in braces.
    Prompt(Scope),
    /// The path of a file, optionally with its own settings in braces.
    File(Scope),
    /// One of some words.
    Word(&'static [&'static str]),
    /// One of some words, or `jsd(β)`.
    Divergence,
    /// `all`, or a list of names of linear layers.
    Modules,
    /// A range of blocks such as `4..12`.
    Layers,
    /// Its own settings in braces.
    Block(Scope),
    /// A whole number, optionally with its own settings in braces.
    Counted {
        /// The most.
        max: u64,
        /// The settings in the braces.
        scope: Scope,
    },
}

/// The values, for people.
impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |words: &[&str]| {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Count { min, max: u64::MAX } => write!(f, "a whole number from {min}"),
            Self::Count { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Number(range) => write!(f, "{range}"),
            Self::Text => f.write_str("`\"…\"`"),
            Self::Texts => f.write_str("`[\"…\", …]`, or `from \"…\"`"),
            Self::Words => f.write_str("`\"…\"`, or `from \"…\"`"),
            Self::Prompt(_) => f.write_str("`\"…\"`, `from \"…\"`, or `{ … }`"),
            Self::File(_) => f.write_str("`\"…\"`, and `{ … }`"),
            Self::Word(known) => f.write_str(&words(known)),
            Self::Divergence => f.write_str("`forward_kl`, `reverse_kl`, `jsd(β)` with 0 < β < 1"),
            Self::Modules => {
                write!(f, "`all`, or a list of {}", words(&Projection::ALL.map(Projection::name)))
            }
            Self::Layers => f.write_str("`first..end`"),
            Self::Block(_) => f.write_str("`{ … }`"),
            Self::Counted { max, .. } => write!(f, "a whole number from 0 to {max}, and `{{ … }}`"),
        }
    }
}

/// The numbers between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The lower bound.
    pub min: f64,
    /// Whether the lower bound itself is one of them.
    pub min_included: bool,
    /// The upper bound.
    pub max: f64,
    /// Whether the upper bound itself is one of them.
    pub max_included: bool,
}

impl Range {
    /// More than any sensible setting, and far from what overflows.
    const MOST: f64 = 1e6;

    const fn positive() -> Self {
        Self { min: 0.0, min_included: false, max: Self::MOST, max_included: true }
    }

    const fn up_to(max: f64) -> Self {
        Self { min: 0.0, min_included: true, max, max_included: true }
    }

    const fn below_one() -> Self {
        Self { min: 0.0, min_included: true, max: 1.0, max_included: false }
    }

    /// Whether it contains a number. No range contains not-a-number or the infinities.
    pub const fn contains(&self, x: f64) -> bool {
        let above = if self.min_included { x >= self.min } else { x > self.min };
        let below = if self.max_included { x <= self.max } else { x < self.max };
        above && below
    }
}

/// The numbers, for messages.
impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { min, min_included, max, max_included } = self;
        match (min_included, max_included) {
            (true, true) => write!(f, "a number from {min} to {max}"),
            (true, false) => write!(f, "a number of at least {min} and below {max}"),
            (false, true) => write!(f, "a number above {min} and at most {max}"),
            (false, false) => write!(f, "a number above {min} and below {max}"),
        }
    }
}

use Scope::{
    AnchorBody, AnchorHead, Ask, Bake, Dataset, Gate, Lora, Persona, TargetBody, TargetHead, Train,
};

/// The turns of a prompt.
const TURNS: Kind = Kind::Prompt(Scope::Prompt);

const STIM: &[Scope] = &[Bake, TargetBody, AnchorBody];

/// Gates and early stops come with the report that they need.
const LOOK_AT_REPORT: &str =
    "look at the report of a bake, and at what `loader().load_switchable()?.evaluate()` returns";

/// All settings, in the order in which the documentation lists them.
pub const SETTINGS: &[Setting] = &[
    setting(
        "student",
        &[Bake],
        TURNS,
        "",
        "what the baked model reads before a question: a system prompt, or several turns; if it \
         is empty, nothing at all",
    ),
    setting("student", &[TargetHead], TURNS, "", "a student prompt for this target only")
        .later("set one `student` for the whole bake"),
    setting(
        "prompt",
        &[Bake, TargetHead],
        TURNS,
        "",
        "what the teacher reads beside the document: words before it, such as a role or rules, \
         and turns before the question, such as worked examples",
    ),
    setting(
        "system",
        &[Scope::Prompt],
        Kind::Words,
        "",
        "the system turn of a prompt, which comes first; the document follows it",
    ),
    setting(
        "user",
        &[Scope::Prompt],
        Kind::Words,
        "",
        "a turn of the user before the question; an `assistant` turn follows it",
    ),
    setting("assistant", &[Scope::Prompt], Kind::Words, "", "the answer to the `user` turn before"),
    number(
        "weight",
        &[TargetHead, AnchorHead],
        Range::positive(),
        "1.0",
        "the share of the loss, relative to the other targets and anchors",
    ),
    text(
        "from",
        &[TargetHead],
        "",
        "the path of the document, relative to the package; for a folder, all its Markdown files \
         in the order of their names",
    ),
    setting(
        "split",
        &[TargetHead],
        Kind::Word(&["sections"]),
        "",
        "bakes a document that is longer than the context section by section",
    )
    .later("split the document into several targets"),
    setting(
        "documents",
        &[Bake],
        Kind::Word(&["package", "anywhere"]),
        "package",
        "where documents and datasets may be: in the package, or anywhere",
    ),
    setting(
        "questions",
        STIM,
        Kind::Texts,
        "",
        "questions written by hand, here or in a text file with one per line",
    ),
    setting(
        "ask",
        STIM,
        Kind::Counted { max: 100_000, scope: Ask },
        "100",
        "how many questions the model writes about the document, spread evenly over its sections; \
         the teacher reads a question's section to answer it; an anchor has none unless this is \
         set",
    ),
    number(
        "temperature",
        &[Ask, Persona],
        Range::up_to(100.0),
        "0.5",
        "the temperature at which the questions are sampled",
    ),
    text("template", &[Ask, Persona], "", "the request put to the model for one question"),
    setting(
        "persona",
        STIM,
        Kind::Counted { max: 100_000, scope: Persona },
        "",
        "how many questions the model writes in the words of different people",
    )
    .later("write `questions` in the words of different people, or give `ask` a `template`"),
    setting(
        "dataset",
        STIM,
        Kind::File(Dataset),
        "",
        "questions from a file: JSON Lines (.jsonl) or CSV with a header (.csv)",
    ),
    text("field", &[Dataset], "question", "the field, or the column, that contains the question"),
    count(
        "take",
        &[Dataset],
        1,
        1 << 32,
        "",
        "how many of the questions to use, from the first on; by default all",
    ),
    count("rollouts", STIM, 1, 10_000, "1", "how many answers the teacher gives to each question"),
    count(
        "max_tokens",
        STIM,
        1,
        1 << 20,
        "",
        "the most tokens in an answer; by default 256, or a fifth of a context smaller than 1280",
    ),
    number(
        "temperature",
        STIM,
        Range::up_to(100.0),
        "1.0",
        "the temperature at which the teacher's answers are sampled; 0 is greedy",
    ),
    number(
        "top_p",
        STIM,
        Range { min: 0.0, min_included: false, max: 1.0, max_included: true },
        "1.0",
        "sample only from the most likely tokens that together have this much probability",
    ),
    count(
        "top_k",
        STIM,
        0,
        1 << 20,
        "0",
        "sample only from this many of the most likely tokens; 0 means all",
    ),
    setting("stop", STIM, Kind::Texts, "", "texts that end an answer")
        .later("bound the answers with `max_tokens`"),
    number(
        "on_policy",
        STIM,
        Range::up_to(1.0),
        "0.0",
        "the share of the answers that come from the student itself",
    )
    .later("the student learns from the teacher's answers"),
    count(
        "seed",
        &[Bake, TargetBody, AnchorBody, Train],
        0,
        u64::MAX,
        "42",
        "the seed of everything that is drawn at random",
    ),
    setting("lora", &[Bake], Kind::Block(Lora), "", "the adapter"),
    count("rank", &[Lora], 1, 4096, "32", "the rank of each layer's change"),
    number("alpha", &[Lora], Range::positive(), "64.0", "a change is scaled by alpha / rank"),
    number(
        "dropout",
        &[Lora],
        Range::below_one(),
        "0.0",
        "the share of a change's inputs that is dropped during training",
    ),
    setting(
        "modules",
        &[Lora],
        Kind::Modules,
        "all",
        "the linear layers that are changed; all means every one but the output head",
    ),
    setting(
        "layers",
        &[Lora],
        Kind::Layers,
        "",
        "the blocks that are changed, as in 4..12; by default all",
    ),
    setting("train", &[Bake], Kind::Block(Train), "", "the training"),
    count("epochs", &[Train], 1, 1_000_000, "16", "passes over all answers"),
    number(
        "lr",
        &[Train],
        Range::positive(),
        "",
        "the highest learning rate; by default 0.75 / the model's hidden size",
    ),
    count("batch", &[Train], 1, 1 << 20, "8", "answers in one forward and backward pass"),
    count(
        "accumulate",
        &[Train],
        1,
        1 << 20,
        "1",
        "passes whose gradients are added up before a step",
    ),
    setting(
        "schedule",
        &[Train],
        Kind::Word(&["constant", "linear", "cosine"]),
        "linear",
        "how the learning rate falls",
    ),
    number(
        "warmup",
        &[Train],
        Range::below_one(),
        "0.1",
        "the share of all steps over which the learning rate rises",
    ),
    setting(
        "divergence",
        &[Train],
        Kind::Divergence,
        "forward_kl",
        "what is minimised: forward_kl, reverse_kl or jsd(β)",
    ),
    number(
        "temperature",
        &[Train],
        Range::positive(),
        "1.0",
        "divides both models' logits in the loss",
    ),
    number(
        "clip",
        &[Train],
        Range::positive(),
        "1.0",
        "the largest norm of a gradient; a larger one is scaled down to it",
    ),
    number("weight_decay", &[Train], Range::up_to(Range::MOST), "0.0", "AdamW's weight decay"),
    count(
        "checkpoint_every",
        &[Train],
        1,
        1 << 32,
        "",
        "steps between checkpoints, from which a bake that was stopped resumes; by default one \
         every ten seconds",
    ),
    number(
        "stop_at_kl",
        &[Train],
        Range::positive(),
        "",
        "ends training when the divergence falls below this",
    )
    .later("set the number of `epochs`"),
    number(
        "until_covered",
        &[Train],
        Range::up_to(1.0),
        "",
        "trains on until this share of the documents is known",
    )
    .later("set the number of `epochs`"),
    setting(
        "embed",
        &[Bake],
        Kind::Word(&["always", "release", "never"]),
        "always",
        "when a build script puts the adapter into the program",
    ),
    setting("gate", &[Bake], Kind::Block(Gate), "", "what a bake must reach to be kept")
        .later(LOOK_AT_REPORT),
    number(
        "kl",
        &[Gate],
        Range::positive(),
        "",
        "the largest divergence from the teacher, in nats per token",
    )
    .later(LOOK_AT_REPORT),
    number(
        "expects",
        &[Gate],
        Range::up_to(1.0),
        "",
        "the smallest share of the expectations that must be met",
    )
    .later(LOOK_AT_REPORT),
];

impl Setting {
    /// Says that the engine does not have it yet, and what to do meanwhile.
    const fn later(self, meanwhile: &'static str) -> Self {
        Self { later: Some(meanwhile), ..self }
    }
}

const fn setting(
    name: &'static str,
    scopes: &'static [Scope],
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, scopes, kind, default, help, later: None }
}

const fn text(
    name: &'static str,
    scopes: &'static [Scope],
    default: &'static str,
    help: &'static str,
) -> Setting {
    setting(name, scopes, Kind::Text, default, help)
}

const fn count(
    name: &'static str,
    scopes: &'static [Scope],
    min: u64,
    max: u64,
    default: &'static str,
    help: &'static str,
) -> Setting {
    setting(name, scopes, Kind::Count { min, max }, default, help)
}

const fn number(
    name: &'static str,
    scopes: &'static [Scope],
    range: Range,
    default: &'static str,
    help: &'static str,
) -> Setting {
    setting(name, scopes, Kind::Number(range), default, help)
}

/// Keywords that are more than a setting, where they are allowed, and what they declare.
pub const ITEMS: &[(&str, &[Scope], &str)] = &[
    ("crate", &[Bake], "`crate = ::path;`: the path of this library, if it is renamed"),
    (
        "model",
        &[Bake],
        "`model tiny;`, `model smollm2;` (`cargo bake model` gets it) or `model \"path\";`, a \
         folder or a GGUF file: the base model",
    ),
    (
        "target",
        &[Bake],
        "`target NAME weight 1.0 from \"doc.md\" prompt \"…\" { … }`: a document, a prompt, or \
         both, to bake in",
    ),
    (
        "anchor",
        &[Bake],
        "`anchor NAME weight 1.0 { … }`: questions whose answers must stay as they are",
    ),
    (
        "expect",
        &[Bake, TargetBody],
        "`expect NAME \"question\" => contains \"words\";`: what the baked model must answer",
    ),
];

/// The setting that is known to be in the table under this name, in a place.
///
/// # Panics
/// When it is not there.
pub(crate) const fn entry(scope: Scope, name: &str) -> &'static Setting {
    let mut i = 0;
    while i < SETTINGS.len() {
        let Setting { name: this, scopes, .. } = &SETTINGS[i];
        let mut j = 0;
        while j < scopes.len() {
            if scopes[j] as u8 == scope as u8 && same(this, name) {
                return &SETTINGS[i];
            }
            j += 1;
        }
        i += 1;
    }
    panic!("the table of settings has no such entry")
}

/// The setting of this name in a place.
pub fn find(scope: Scope, name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.name == name && s.scopes.contains(&scope))
}

/// Every keyword that is allowed in a place.
pub fn keywords(scope: Scope) -> impl Iterator<Item = &'static str> {
    let settings = SETTINGS.iter().filter(move |s| s.scopes.contains(&scope)).map(|s| s.name);
    ITEMS
        .iter()
        .filter(move |(_, scopes, _)| scopes.contains(&scope))
        .map(|(name, ..)| *name)
        .chain(settings)
}

/// The table for people, in Markdown.
pub fn markdown() -> String {
    let mut table =
        String::from("| setting | in | value | default | what it does |\n|---|---|---|---|---|\n");
    for Setting { name, scopes, kind, default, help, later } in SETTINGS {
        let places: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let later = later.map(|_| " (not supported yet)").unwrap_or_default();
        table +=
            &format!("| `{name}` | {} | {kind} | {default} | {help}{later} |\n", places.join(", "));
    }
    table
}

impl Setting {
    /// Whether it can have this count.
    pub(crate) const fn check_count(&self, count: u64) -> Result<(), Mistake<'static>> {
        let (min, max) = match self.kind {
            Kind::Count { min, max } => (min, max),
            Kind::Counted { max, .. } => (0, max),
            _ => return Ok(()),
        };
        if min <= count && count <= max {
            Ok(())
        } else {
            Err(Mistake::Count { name: self.name, min, max, count })
        }
    }

    /// Whether it can have this number.
    pub(crate) const fn check_number(&self, number: f64) -> Result<(), Mistake<'static>> {
        match self.kind {
            Kind::Number(range) if !range.contains(number) => {
                Err(Mistake::Number { name: self.name, range, number })
            }
            _ => Ok(()),
        }
    }

    /// What an editor shows of it, and `cargo bake explain`.
    pub fn page(&self) -> String {
        let Self { name, scopes, kind, default, help, later } = self;
        let places = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ");
        let default =
            if default.is_empty() { String::new() } else { format!(" Default: `{default}`.") };
        let later = later
            .map(|meanwhile| format!(" Not supported yet; meanwhile, {meanwhile}."))
            .unwrap_or_default();
        let mut help = help.to_string();
        help[..1].make_ascii_uppercase();
        format!("{help}.\n\n`{name}`, in {places}: {kind}.{default}{later}")
    }
}

/// A line of a comment, broken where rustfmt breaks it.
fn comment(prefix: &str, line: &str) -> String {
    let (mut text, mut columns) = (String::from(prefix.trim_end()), prefix.len() - 1);
    for (i, word) in line.split(' ').enumerate() {
        let letters = word.chars().count();
        if i > 0 && columns + 1 + letters > 100 {
            text += "\n";
            text += prefix.trim_end();
            columns = prefix.len() - 1;
        }
        if letters > 0 {
            text += " ";
            text += word;
            columns += 1 + letters;
        }
    }
    text + "\n"
}

/// The table as the items that an editor finds for the keywords of a declaration.
pub fn rust() -> String {
    let mut text = comment(
        "//! ",
        "What an editor shows of the keywords of a declaration. Written from the table in \
         `bake-spec/src/settings.rs`.",
    );
    text += "#![allow(non_upper_case_globals, reason = \"these are the keywords themselves\")]\n";
    for scope in Scope::ALL {
        text += &format!("\n/// Settings of {}.\npub mod {} {{\n", scope.name(), scope.word());
        for setting in SETTINGS.iter().filter(|setting| setting.scopes.contains(&scope)) {
            for line in setting.page().lines() {
                text += &comment("    /// ", line);
            }
            text += &format!("    pub const {}: () = ();\n", setting.name);
        }
        text += "}\n";
    }
    text
}

#[cfg(test)]
mod tests;
