//! The table of settings.

use super::{Kind, Range, Scope, Setting};
use Scope::{
    AnchorBody, AnchorHead, Ask, Bake, Dataset, Gate, Lora, Persona, Rephrase, TargetBody,
    TargetHead, Train, Unanswerable,
};

/// The turns of a prompt.
const TURNS: Kind = Kind::Prompt(Scope::Prompt);

const STIM: &[Scope] = &[Bake, TargetBody, AnchorBody];

/// Where generators are declared that need a document.
const OF_DOCUMENTS: &[Scope] = &[Bake, TargetBody];

/// The most questions of a generator.
const MOST: u64 = 100_000;

/// All settings, in the order in which the documentation lists them.
pub const SETTINGS: &[Setting] = &[
    text(
        "parent",
        &[Bake],
        "",
        "the folder of an adapter to bake on top of, such as `bakes/NAME` after `cargo bake \
         vendor`: teacher and student are the model with that adapter, and the baked adapter \
         contains it; `weight_decay` and `dropout` would change it, and cannot be used",
    ),
    setting(
        "student",
        &[Bake],
        TURNS,
        "",
        "what the baked model reads before a question: a system prompt, or several turns; by \
         default nothing",
    ),
    setting("student", &[TargetHead], TURNS, "", "a student prompt for this target only")
        .later("set one `student` for the whole bake"),
    setting(
        "prompt",
        &[Bake, TargetHead],
        TURNS,
        "",
        "what the teacher reads besides the document: text before it, such as a role or rules, and \
         turns before the question, such as worked examples",
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
        &[Scope::Prompt, Scope::Examples],
        Kind::Words,
        "",
        "a user turn before the question; an `assistant` turn follows it",
    ),
    setting(
        "assistant",
        &[Scope::Prompt, Scope::Examples],
        Kind::Words,
        "",
        "the answer to the `user` turn before it",
    ),
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
        "the path of the document, relative to the package; for a folder, all its Markdown files, \
         ordered by name",
    ),
    setting(
        "documents",
        &[Bake],
        Kind::Word(&["package", "anywhere"]),
        "package",
        "where documents, datasets and prompt files may be: in the package, or anywhere",
    ),
    setting(
        "context",
        OF_DOCUMENTS,
        Kind::Word(&["passage", "document", "retrieved"]),
        "",
        "which part of the document the teacher reads to answer a question: the passage that it \
         was made from, the whole document, or the passages most similar to the question, \
         including its own; by default its passage, or, for a question that was not made from one, \
         the document, or the most similar passages if that does not fit",
    ),
    setting(
        "examples",
        OF_DOCUMENTS,
        Kind::Examples(Scope::Examples),
        "",
        "questions with answers, here or in a JSON Lines file, which the teacher reads as earlier \
         turns, so that it answers in the same way; by default probes find out whether bake's own \
         examples help",
    ),
    setting(
        "passage",
        &[Scope::Examples],
        Kind::Words,
        "",
        "the text with the answer to the `user` turn after it; optional",
    ),
    setting(
        "questions",
        STIM,
        Kind::Texts,
        "",
        "questions written by hand, here or in a text file with one per line",
    ),
    setting(
        "outline",
        OF_DOCUMENTS,
        Kind::Counted { max: MOST, scope: None },
        "",
        "how many questions are made from the document's outline (its headings, terms and other \
         words that stand out), phrased as users would ask; 0 for none",
    ),
    setting(
        "template",
        OF_DOCUMENTS,
        Kind::Text,
        "",
        "makes a question from each passage, or one for each line of the template, from its \
         `heading`, `path` (the headings above it and its own), `text`, `document` (the name) and \
         `index`, as in `\"Tell me about {{ heading }}\"`",
    ),
    setting(
        "ask",
        STIM,
        Kind::Counted { max: MOST, scope: Some(Ask) },
        "",
        "how many questions the model writes about the document, spread evenly over its passages; \
         the teacher reads a question's passage to answer it; 0 for none, the default for anchors",
    ),
    number(
        "temperature",
        &[Ask],
        Range::up_to(100.0),
        "0.5",
        "the temperature at which the questions are sampled",
    ),
    text("template", &[Ask], "", "the request that asks the model for one question"),
    setting(
        "persona",
        STIM,
        Kind::Counted { max: MOST, scope: Some(Persona) },
        "0",
        "how many questions the model writes as different people would ask them",
    ),
    setting(
        "people",
        &[Persona],
        Kind::Texts,
        "",
        "who asks, as in `[\"an impatient customer\"]`; by default many kinds of people",
    ),
    setting(
        "rephrase",
        STIM,
        Kind::Counted { max: MOST, scope: Some(Rephrase) },
        "0",
        "how many paraphrases of other questions the model writes; those that the teacher answers \
         differently are dropped",
    ),
    number(
        "temperature",
        &[Persona, Rephrase],
        Range::up_to(100.0),
        "0.7",
        "the temperature at which the questions are sampled",
    ),
    setting(
        "unanswerable",
        OF_DOCUMENTS,
        Kind::Counted { max: MOST, scope: Some(Unanswerable) },
        "",
        "how many questions are asked on the same subject that the document does not answer, so \
         that the baked model learns the limits of its knowledge; 0 for none",
    ),
    text(
        "decline",
        &[Unanswerable],
        "",
        "what the baked model answers to them; by default \"I don't have that information.\"",
    ),
    setting(
        "everyday",
        &[TargetBody, AnchorBody],
        Kind::Counted { max: MOST, scope: None },
        "",
        "how many of bake's own everyday requests, unrelated to any document, are asked; 0 for \
         none; by default all of them for an anchor that declares no questions, otherwise none",
    ),
    setting(
        "general",
        &[TargetBody],
        Kind::Counted { max: MOST, scope: None },
        "",
        "how many of bake's own general requests are asked to teach a behaviour: questions about \
         the world, things to write, explain, list, compute or decide, small talk; 0 for none; by \
         default all of them for a target without a document, otherwise none",
    ),
    setting(
        "anchors",
        &[Bake],
        Kind::Word(&["everyday", "none"]),
        "everyday",
        "whether a bake whose targets have documents, and that declares no `anchor`, gets one of \
         everyday requests with 19 % of the loss, so that unrelated answers stay as they are",
    ),
    setting(
        "dataset",
        STIM,
        Kind::File(Dataset),
        "",
        "questions from a file: JSON Lines (.jsonl) or CSV with a header (.csv)",
    ),
    text("field", &[Dataset], "question", "the field or column that contains the question"),
    count(
        "take",
        &[Dataset],
        1,
        1 << 32,
        "",
        "how many questions to use, from the start of the file; by default all",
    ),
    count("rollouts", STIM, 1, 10_000, "1", "how many answers the teacher gives to each question"),
    count(
        "max_tokens",
        STIM,
        1,
        1 << 20,
        "",
        "the maximum number of tokens in an answer; by default 256, or a fifth of the context if \
         that is smaller than 1280",
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
    setting("stop", STIM, Kind::Texts, "", "stop strings")
        .later("limit the answers with `max_tokens`"),
    number(
        "on_policy",
        &[Bake, TargetBody],
        Range::up_to(1.0),
        "0.0",
        "the share of questions that the student answers itself in a further round, to learn what \
         the teacher would say at each of its tokens",
    ),
    count("seed", &[Bake, TargetBody, AnchorBody, Train], 0, u64::MAX, "42", "the random seed"),
    setting("lora", &[Bake], Kind::Block(Lora), "", "the adapter"),
    count("rank", &[Lora], 1, 4096, "32", "the LoRA rank"),
    number("alpha", &[Lora], Range::positive(), "64.0", "LoRA updates are scaled by alpha / rank"),
    number("dropout", &[Lora], Range::below_one(), "0.0", "the LoRA dropout rate"),
    setting(
        "modules",
        &[Lora],
        Kind::Modules,
        "all",
        "the linear layers to adapt; all means every one except the output head",
    ),
    setting(
        "layers",
        &[Lora],
        Kind::Layers,
        "",
        "the blocks to adapt, as in 4..12; by default all",
    ),
    setting("train", &[Bake], Kind::Block(Train), "", "the training"),
    count("epochs", &[Train], 1, 1_000_000, "16", "passes over the training data"),
    number(
        "lr",
        &[Train],
        Range::positive(),
        "",
        "the peak learning rate; by default 1.5 / the model's hidden size",
    ),
    count("batch", &[Train], 1, 1 << 20, "8", "the batch size, in answers"),
    count("accumulate", &[Train], 1, 1 << 20, "1", "batches accumulated per optimizer step"),
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
        "the share of steps over which the learning rate rises",
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
        "the temperature of the distillation loss",
    ),
    number("clip", &[Train], Range::positive(), "1.0", "the gradient-norm clipping threshold"),
    number("weight_decay", &[Train], Range::up_to(Range::MOST), "0.0", "decoupled weight decay"),
    count(
        "checkpoint_every",
        &[Train],
        1,
        1 << 32,
        "",
        "steps between checkpoints, from which an interrupted bake resumes; by default one every \
         ten seconds",
    ),
    count(
        "keep_every",
        &[Train],
        1,
        1_000_000,
        "",
        "epochs between numbered checkpoints, which are kept beside the adapter and can be loaded; \
         by default none are kept",
    ),
    setting(
        "teacher",
        &[Train],
        Kind::Word(&["checked", "anyway"]),
        "checked",
        "`checked`: stop before training if the model answers no better with the documents than \
         without; `anyway`: only warn",
    ),
    number(
        "held_out",
        &[Train],
        Range::up_to(0.5),
        "0.1",
        "the share of each passage's generated stimuli that is held out of training, to tell \
         whether it still helps",
    ),
    count(
        "patience",
        &[Train],
        1,
        1_000_000,
        "4",
        "epochs without a new lowest held-out divergence before the learning rate falls to zero \
         over as many epochs again, and training ends; immediately if the rate is constant",
    ),
    count(
        "rehearse",
        &[Train],
        1,
        1_000_000,
        "1",
        "train on answers that are already close to the teacher, closer than the mean, only every \
         Nth epoch; 4 roughly halves training time, and may cost some answers",
    ),
    number(
        "stop_at_kl",
        &[Train],
        Range::positive(),
        "",
        "end training when the held-out divergence (forward KL at temperature 1, in nats per \
         token) falls below this",
    ),
    count(
        "until_covered",
        &[Train],
        1,
        100,
        "",
        "the maximum number of further rounds; each writes more questions about passages with \
         under half of their held-out questions right, and trains again",
    ),
    setting(
        "embed",
        &[Bake],
        Kind::Word(&["always", "release", "never"]),
        "always",
        "when the build script embeds the adapter in the program; release: only in release builds",
    ),
    setting(
        "gate",
        &[Bake],
        Kind::Block(Gate),
        "",
        "what a bake must reach to be recorded in bake.lock; by default it must meet no fewer \
         expectations than the base model, and 80 % of those that the prompted model meets",
    ),
    number(
        "kl",
        &[Gate],
        Range::positive(),
        "",
        "the largest allowed divergence from the teacher: forward KL at temperature 1, in nats per \
         token",
    ),
    number(
        "expects",
        &[Gate],
        Range::up_to(1.0),
        "",
        "the share of the expectations that must be met",
    ),
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
