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
         vendor`: teacher and student are the model with it, and what is baked contains it; \
         `weight_decay` and `dropout`, which would act on it, cannot be used then",
    ),
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
        &[Scope::Prompt, Scope::Examples],
        Kind::Words,
        "",
        "a turn of the user before the question; an `assistant` turn follows it",
    ),
    setting(
        "assistant",
        &[Scope::Prompt, Scope::Examples],
        Kind::Words,
        "",
        "the answer to the `user` turn before",
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
        "the path of the document, relative to the package; for a folder, all its Markdown files \
         in the order of their names",
    ),
    setting(
        "documents",
        &[Bake],
        Kind::Word(&["package", "anywhere"]),
        "package",
        "where documents, datasets and files of prompts may be: in the package, or anywhere",
    ),
    setting(
        "context",
        OF_DOCUMENTS,
        Kind::Word(&["passage", "document", "retrieved"]),
        "",
        "which part of the document the teacher reads to answer a question: the passage that it \
         was made from, the whole document, or the passages that have the most in common with the \
         question, its own among them; by default its passage; for a question that was not made \
         from one, the document, or, where that does not fit, the passages that have the most in \
         common with it",
    ),
    setting(
        "examples",
        OF_DOCUMENTS,
        Kind::Examples(Scope::Examples),
        "",
        "questions with their answers, which the teacher reads as earlier turns, so that it \
         answers in the same way, here or in a JSON Lines file; by default probes find out whether \
         bake's own examples help",
    ),
    setting(
        "passage",
        &[Scope::Examples],
        Kind::Words,
        "",
        "the text with the answer to the `user` turn after it; there may be none",
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
        "how many questions are made of the document's own outline: its headings, terms and other \
         words that stand out, in the sentences of people who ask; 0 for none",
    ),
    setting(
        "template",
        OF_DOCUMENTS,
        Kind::Text,
        "",
        "makes a question of each passage, or one of each line, from its `heading`, `path` (the \
         headings above it and its own), `text`, `document` (the name) and `index`, as in \
         `\"Tell me about {{ heading }}\"`",
    ),
    setting(
        "ask",
        STIM,
        Kind::Counted { max: MOST, scope: Some(Ask) },
        "",
        "how many questions the model writes about the document, spread evenly over its passages; \
         the teacher reads a question's passage to answer it; 0 for none, which is what an anchor \
         has by default",
    ),
    number(
        "temperature",
        &[Ask],
        Range::up_to(100.0),
        "0.5",
        "the temperature at which the questions are sampled",
    ),
    text("template", &[Ask], "", "the request put to the model for one question"),
    setting(
        "persona",
        STIM,
        Kind::Counted { max: MOST, scope: Some(Persona) },
        "0",
        "how many questions the model writes in the words of different people",
    ),
    setting(
        "people",
        &[Persona],
        Kind::Texts,
        "",
        "who asks, as in `[\"an impatient customer\"]`; by default people of many kinds",
    ),
    setting(
        "rephrase",
        STIM,
        Kind::Counted { max: MOST, scope: Some(Rephrase) },
        "0",
        "how many questions the model makes of others by saying them in other words; those that \
         the teacher answers differently are dropped",
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
        "how many questions on the same subject are asked that the document does not answer, so \
         that the baked model learns where its knowledge ends; 0 for none",
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
        "how many of bake's own everyday requests are asked, which have nothing to do with any \
         document; 0 for none; by default all of them for an anchor that declares no questions, \
         and otherwise none",
    ),
    setting(
        "general",
        &[TargetBody],
        Kind::Counted { max: MOST, scope: None },
        "",
        "how many of bake's own general requests are asked, from which a behaviour is learned: \
         questions about the world, things to write, explain, list, compute or decide, small talk; \
         0 for none; by default all of them for a target without a document, and otherwise none",
    ),
    setting(
        "anchors",
        &[Bake],
        Kind::Word(&["everyday", "none"]),
        "everyday",
        "whether a bake whose targets have documents, and that declares no `anchor`, gets one of \
         everyday requests with 19 % of the loss, so that answers that have nothing to do \
         with the documents stay as they are",
    ),
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
        &[Bake, TargetBody],
        Range::up_to(1.0),
        "0.0",
        "the share of the questions that the student answers itself in a further round, to learn \
         what the teacher would say at each of its words",
    ),
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
        "the highest learning rate; by default 1.5 / the model's hidden size",
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
    number("weight_decay", &[Train], Range::up_to(Range::MOST), "0.0", "decoupled weight decay"),
    count(
        "checkpoint_every",
        &[Train],
        1,
        1 << 32,
        "",
        "steps between checkpoints, from which a bake that was stopped resumes; by default one \
         every ten seconds",
    ),
    count(
        "keep_every",
        &[Train],
        1,
        1_000_000,
        "",
        "epochs between numbered checkpoints, which are kept beside the adapter and can be loaded; \
         by default none is kept",
    ),
    setting(
        "teacher",
        &[Train],
        Kind::Word(&["checked", "anyway"]),
        "checked",
        "whether a bake ends before it trains if the model, reading the documents, answers no \
         better than without them; anyway: it goes on with a warning",
    ),
    number(
        "held_out",
        &[Train],
        Range::up_to(0.5),
        "0.1",
        "the share of the generated stimuli of each passage that is not trained on, but tells \
         whether training still helps",
    ),
    count(
        "patience",
        &[Train],
        1,
        1_000_000,
        "4",
        "epochs without a new lowest held-out divergence after which the learning rate falls to \
         zero over as many epochs again, and training ends; at once if the rate is constant",
    ),
    count(
        "rehearse",
        &[Train],
        1,
        1_000_000,
        "1",
        "the epochs within which each answer is trained on at least once; one that is nearer to \
         the teacher than the mean of all is left out of the others: with 4, training takes about \
         half the time, and on some documents fewer questions are answered",
    ),
    number(
        "stop_at_kl",
        &[Train],
        Range::positive(),
        "",
        "ends training when the held-out divergence (forward KL at temperature 1, in nats per \
         token) falls below this",
    ),
    count(
        "until_covered",
        &[Train],
        1,
        100,
        "",
        "the most further rounds; each asks more about the passages of which fewer than half of \
         the held-out questions are answered as the teacher does, and trains again",
    ),
    setting(
        "embed",
        &[Bake],
        Kind::Word(&["always", "release", "never"]),
        "always",
        "when a build script puts the adapter into the program",
    ),
    setting(
        "gate",
        &[Bake],
        Kind::Block(Gate),
        "",
        "what a bake must reach before bake.lock names it; by default it must meet no fewer \
         expectations than the base model, and 80 % of those that the prompted model meets",
    ),
    number(
        "kl",
        &[Gate],
        Range::positive(),
        "",
        "the largest divergence from the teacher: forward KL at temperature 1, in nats per token",
    ),
    number(
        "expects",
        &[Gate],
        Range::up_to(1.0),
        "",
        "the smallest share of the expectations that must be met",
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
