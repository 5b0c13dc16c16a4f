//! What an editor shows of the keywords of a declaration. Written from the table in
//! `bake-spec/src/settings/table.rs`.
#![allow(non_upper_case_globals, reason = "these are the keywords themselves")]

/// Settings of a bake.
pub mod bake {
    /// The folder of an adapter to bake on top of, such as `bakes/NAME` after `cargo bake vendor`:
    /// teacher and student are the model with that adapter, and the baked adapter contains it;
    /// `weight_decay` and `dropout` would change it, and cannot be used.
    ///
    /// `parent`, in a bake: `"…"`.
    pub const parent: () = ();
    /// What the baked model reads before a question: a system prompt, or several turns; by default
    /// nothing.
    ///
    /// `student`, in a bake: `"…"`, `from "…"`, or `{ … }`.
    pub const student: () = ();
    /// What the teacher reads besides the document: text before it, such as a role or rules, and
    /// turns before the question, such as worked examples.
    ///
    /// `prompt`, in a bake, a target: `"…"`, `from "…"`, or `{ … }`.
    pub const prompt: () = ();
    /// Where documents, datasets and prompt files may be: in the package, or anywhere.
    ///
    /// `documents`, in a bake: `package`, `anywhere`. Default: `package`.
    pub const documents: () = ();
    /// Which part of the document the teacher reads to answer a question: the passage that it was
    /// made from, the whole document, or the passages most similar to the question, including its
    /// own; by default its passage, or, for a question that was not made from one, the document, or
    /// the most similar passages if that does not fit.
    ///
    /// `context`, in a bake, a target's braces: `passage`, `document`, `retrieved`.
    pub const context: () = ();
    /// Questions with answers, here or in a JSON Lines file, which the teacher reads as earlier
    /// turns, so that it answers in the same way; by default probes find out whether bake's own
    /// examples help.
    ///
    /// `examples`, in a bake, a target's braces: `from "…"`, or `{ … }`.
    pub const examples: () = ();
    /// Questions written by hand, here or in a text file with one per line.
    ///
    /// `questions`, in a bake, a target's braces, an anchor's braces: `["…", …]`, or `from "…"`.
    pub const questions: () = ();
    /// How many questions are made from the document's outline (its headings, terms and other words
    /// that stand out), phrased as users would ask; 0 for none.
    ///
    /// `outline`, in a bake, a target's braces: a whole number from 0 to 100000, or nothing.
    pub const outline: () = ();
    /// Makes a question from each passage, or one for each line of the template, from its
    /// `heading`, `path` (the headings above it and its own), `text`, `document` (the name) and
    /// `index`, as in `"Tell me about {{ heading }}"`.
    ///
    /// `template`, in a bake, a target's braces: `"…"`.
    pub const template: () = ();
    /// How many questions the model writes about the document, spread evenly over its passages; the
    /// teacher reads a question's passage to answer it; 0 for none, the default for anchors.
    ///
    /// `ask`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to 100000, or
    /// nothing, and `{ … }`.
    pub const ask: () = ();
    /// How many questions the model writes as different people would ask them.
    ///
    /// `persona`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to
    /// 100000, or nothing, and `{ … }`. Default: `0`.
    pub const persona: () = ();
    /// How many paraphrases of other questions the model writes; those that the teacher answers
    /// differently are dropped.
    ///
    /// `rephrase`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to
    /// 100000, or nothing, and `{ … }`. Default: `0`.
    pub const rephrase: () = ();
    /// How many questions are asked on the same subject that the document does not answer, so that
    /// the baked model learns the limits of its knowledge; 0 for none.
    ///
    /// `unanswerable`, in a bake, a target's braces: a whole number from 0 to 100000, or nothing,
    /// and `{ … }`.
    pub const unanswerable: () = ();
    /// Whether a bake whose targets have documents, and that declares no `anchor`, gets one of
    /// everyday requests with 19 % of the loss, so that unrelated answers stay as they are.
    ///
    /// `anchors`, in a bake: `everyday`, `none`. Default: `everyday`.
    pub const anchors: () = ();
    /// Questions from a file: JSON Lines (.jsonl) or CSV with a header (.csv).
    ///
    /// `dataset`, in a bake, a target's braces, an anchor's braces: `"…"`, and `{ … }`.
    pub const dataset: () = ();
    /// How many answers the teacher gives to each question.
    ///
    /// `rollouts`, in a bake, a target's braces, an anchor's braces: a whole number from 1 to
    /// 10000. Default: `1`.
    pub const rollouts: () = ();
    /// The maximum number of tokens in an answer; by default 256, or a fifth of the context if that
    /// is smaller than 1280.
    ///
    /// `max_tokens`, in a bake, a target's braces, an anchor's braces: a whole number from 1 to
    /// 1048576.
    pub const max_tokens: () = ();
    /// The temperature at which the teacher's answers are sampled; 0 is greedy.
    ///
    /// `temperature`, in a bake, a target's braces, an anchor's braces: a number from 0 to 100.
    /// Default: `1.0`.
    pub const temperature: () = ();
    /// Sample only from the most likely tokens that together have this much probability.
    ///
    /// `top_p`, in a bake, a target's braces, an anchor's braces: a number above 0 and at most 1.
    /// Default: `1.0`.
    pub const top_p: () = ();
    /// Sample only from this many of the most likely tokens; 0 means all.
    ///
    /// `top_k`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to 1048576.
    /// Default: `0`.
    pub const top_k: () = ();
    /// Stop strings.
    ///
    /// `stop`, in a bake, a target's braces, an anchor's braces: `["…", …]`, or `from "…"`. Not
    /// supported yet; meanwhile, limit the answers with `max_tokens`.
    pub const stop: () = ();
    /// The share of questions that the student answers itself in a further round, to learn what the
    /// teacher would say at each of its tokens.
    ///
    /// `on_policy`, in a bake, a target's braces: a number from 0 to 1. Default: `0.0`.
    pub const on_policy: () = ();
    /// The random seed.
    ///
    /// `seed`, in a bake, a target's braces, an anchor's braces, `train`: a whole number from 0.
    /// Default: `42`.
    pub const seed: () = ();
    /// The adapter.
    ///
    /// `lora`, in a bake: `{ … }`.
    pub const lora: () = ();
    /// The training.
    ///
    /// `train`, in a bake: `{ … }`.
    pub const train: () = ();
    /// When the build script embeds the adapter in the program; release: only in release builds.
    ///
    /// `embed`, in a bake: `always`, `release`, `never`. Default: `always`.
    pub const embed: () = ();
    /// What a bake must reach to be recorded in bake.lock; by default it must meet no fewer
    /// expectations than the base model, and 80 % of those that the prompted model meets.
    ///
    /// `gate`, in a bake: `{ … }`.
    pub const gate: () = ();
}

/// Settings of a target.
pub mod target {
    /// A student prompt for this target only.
    ///
    /// `student`, in a target: `"…"`, `from "…"`, or `{ … }`. Not supported yet; meanwhile, set one
    /// `student` for the whole bake.
    pub const student: () = ();
    /// What the teacher reads besides the document: text before it, such as a role or rules, and
    /// turns before the question, such as worked examples.
    ///
    /// `prompt`, in a bake, a target: `"…"`, `from "…"`, or `{ … }`.
    pub const prompt: () = ();
    /// The share of the loss, relative to the other targets and anchors.
    ///
    /// `weight`, in a target, an anchor: a number above 0 and at most 1000000. Default: `1.0`.
    pub const weight: () = ();
    /// The path of the document, relative to the package; for a folder, all its Markdown files,
    /// ordered by name.
    ///
    /// `from`, in a target: `"…"`.
    pub const from: () = ();
}

/// Settings of a target's braces.
pub mod target_body {
    /// Which part of the document the teacher reads to answer a question: the passage that it was
    /// made from, the whole document, or the passages most similar to the question, including its
    /// own; by default its passage, or, for a question that was not made from one, the document, or
    /// the most similar passages if that does not fit.
    ///
    /// `context`, in a bake, a target's braces: `passage`, `document`, `retrieved`.
    pub const context: () = ();
    /// Questions with answers, here or in a JSON Lines file, which the teacher reads as earlier
    /// turns, so that it answers in the same way; by default probes find out whether bake's own
    /// examples help.
    ///
    /// `examples`, in a bake, a target's braces: `from "…"`, or `{ … }`.
    pub const examples: () = ();
    /// Questions written by hand, here or in a text file with one per line.
    ///
    /// `questions`, in a bake, a target's braces, an anchor's braces: `["…", …]`, or `from "…"`.
    pub const questions: () = ();
    /// How many questions are made from the document's outline (its headings, terms and other words
    /// that stand out), phrased as users would ask; 0 for none.
    ///
    /// `outline`, in a bake, a target's braces: a whole number from 0 to 100000, or nothing.
    pub const outline: () = ();
    /// Makes a question from each passage, or one for each line of the template, from its
    /// `heading`, `path` (the headings above it and its own), `text`, `document` (the name) and
    /// `index`, as in `"Tell me about {{ heading }}"`.
    ///
    /// `template`, in a bake, a target's braces: `"…"`.
    pub const template: () = ();
    /// How many questions the model writes about the document, spread evenly over its passages; the
    /// teacher reads a question's passage to answer it; 0 for none, the default for anchors.
    ///
    /// `ask`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to 100000, or
    /// nothing, and `{ … }`.
    pub const ask: () = ();
    /// How many questions the model writes as different people would ask them.
    ///
    /// `persona`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to
    /// 100000, or nothing, and `{ … }`. Default: `0`.
    pub const persona: () = ();
    /// How many paraphrases of other questions the model writes; those that the teacher answers
    /// differently are dropped.
    ///
    /// `rephrase`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to
    /// 100000, or nothing, and `{ … }`. Default: `0`.
    pub const rephrase: () = ();
    /// How many questions are asked on the same subject that the document does not answer, so that
    /// the baked model learns the limits of its knowledge; 0 for none.
    ///
    /// `unanswerable`, in a bake, a target's braces: a whole number from 0 to 100000, or nothing,
    /// and `{ … }`.
    pub const unanswerable: () = ();
    /// How many of bake's own everyday requests, unrelated to any document, are asked; 0 for none;
    /// by default all of them for an anchor that declares no questions, otherwise none.
    ///
    /// `everyday`, in a target's braces, an anchor's braces: a whole number from 0 to 100000, or
    /// nothing.
    pub const everyday: () = ();
    /// How many of bake's own general requests are asked to teach a behaviour: questions about the
    /// world, things to write, explain, list, compute or decide, small talk; 0 for none; by default
    /// all of them for a target without a document, otherwise none.
    ///
    /// `general`, in a target's braces: a whole number from 0 to 100000, or nothing.
    pub const general: () = ();
    /// Questions from a file: JSON Lines (.jsonl) or CSV with a header (.csv).
    ///
    /// `dataset`, in a bake, a target's braces, an anchor's braces: `"…"`, and `{ … }`.
    pub const dataset: () = ();
    /// How many answers the teacher gives to each question.
    ///
    /// `rollouts`, in a bake, a target's braces, an anchor's braces: a whole number from 1 to
    /// 10000. Default: `1`.
    pub const rollouts: () = ();
    /// The maximum number of tokens in an answer; by default 256, or a fifth of the context if that
    /// is smaller than 1280.
    ///
    /// `max_tokens`, in a bake, a target's braces, an anchor's braces: a whole number from 1 to
    /// 1048576.
    pub const max_tokens: () = ();
    /// The temperature at which the teacher's answers are sampled; 0 is greedy.
    ///
    /// `temperature`, in a bake, a target's braces, an anchor's braces: a number from 0 to 100.
    /// Default: `1.0`.
    pub const temperature: () = ();
    /// Sample only from the most likely tokens that together have this much probability.
    ///
    /// `top_p`, in a bake, a target's braces, an anchor's braces: a number above 0 and at most 1.
    /// Default: `1.0`.
    pub const top_p: () = ();
    /// Sample only from this many of the most likely tokens; 0 means all.
    ///
    /// `top_k`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to 1048576.
    /// Default: `0`.
    pub const top_k: () = ();
    /// Stop strings.
    ///
    /// `stop`, in a bake, a target's braces, an anchor's braces: `["…", …]`, or `from "…"`. Not
    /// supported yet; meanwhile, limit the answers with `max_tokens`.
    pub const stop: () = ();
    /// The share of questions that the student answers itself in a further round, to learn what the
    /// teacher would say at each of its tokens.
    ///
    /// `on_policy`, in a bake, a target's braces: a number from 0 to 1. Default: `0.0`.
    pub const on_policy: () = ();
    /// The random seed.
    ///
    /// `seed`, in a bake, a target's braces, an anchor's braces, `train`: a whole number from 0.
    /// Default: `42`.
    pub const seed: () = ();
}

/// Settings of an anchor.
pub mod anchor {
    /// The share of the loss, relative to the other targets and anchors.
    ///
    /// `weight`, in a target, an anchor: a number above 0 and at most 1000000. Default: `1.0`.
    pub const weight: () = ();
}

/// Settings of an anchor's braces.
pub mod anchor_body {
    /// Questions written by hand, here or in a text file with one per line.
    ///
    /// `questions`, in a bake, a target's braces, an anchor's braces: `["…", …]`, or `from "…"`.
    pub const questions: () = ();
    /// How many questions the model writes about the document, spread evenly over its passages; the
    /// teacher reads a question's passage to answer it; 0 for none, the default for anchors.
    ///
    /// `ask`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to 100000, or
    /// nothing, and `{ … }`.
    pub const ask: () = ();
    /// How many questions the model writes as different people would ask them.
    ///
    /// `persona`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to
    /// 100000, or nothing, and `{ … }`. Default: `0`.
    pub const persona: () = ();
    /// How many paraphrases of other questions the model writes; those that the teacher answers
    /// differently are dropped.
    ///
    /// `rephrase`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to
    /// 100000, or nothing, and `{ … }`. Default: `0`.
    pub const rephrase: () = ();
    /// How many of bake's own everyday requests, unrelated to any document, are asked; 0 for none;
    /// by default all of them for an anchor that declares no questions, otherwise none.
    ///
    /// `everyday`, in a target's braces, an anchor's braces: a whole number from 0 to 100000, or
    /// nothing.
    pub const everyday: () = ();
    /// Questions from a file: JSON Lines (.jsonl) or CSV with a header (.csv).
    ///
    /// `dataset`, in a bake, a target's braces, an anchor's braces: `"…"`, and `{ … }`.
    pub const dataset: () = ();
    /// How many answers the teacher gives to each question.
    ///
    /// `rollouts`, in a bake, a target's braces, an anchor's braces: a whole number from 1 to
    /// 10000. Default: `1`.
    pub const rollouts: () = ();
    /// The maximum number of tokens in an answer; by default 256, or a fifth of the context if that
    /// is smaller than 1280.
    ///
    /// `max_tokens`, in a bake, a target's braces, an anchor's braces: a whole number from 1 to
    /// 1048576.
    pub const max_tokens: () = ();
    /// The temperature at which the teacher's answers are sampled; 0 is greedy.
    ///
    /// `temperature`, in a bake, a target's braces, an anchor's braces: a number from 0 to 100.
    /// Default: `1.0`.
    pub const temperature: () = ();
    /// Sample only from the most likely tokens that together have this much probability.
    ///
    /// `top_p`, in a bake, a target's braces, an anchor's braces: a number above 0 and at most 1.
    /// Default: `1.0`.
    pub const top_p: () = ();
    /// Sample only from this many of the most likely tokens; 0 means all.
    ///
    /// `top_k`, in a bake, a target's braces, an anchor's braces: a whole number from 0 to 1048576.
    /// Default: `0`.
    pub const top_k: () = ();
    /// Stop strings.
    ///
    /// `stop`, in a bake, a target's braces, an anchor's braces: `["…", …]`, or `from "…"`. Not
    /// supported yet; meanwhile, limit the answers with `max_tokens`.
    pub const stop: () = ();
    /// The random seed.
    ///
    /// `seed`, in a bake, a target's braces, an anchor's braces, `train`: a whole number from 0.
    /// Default: `42`.
    pub const seed: () = ();
}

/// Settings of `ask`.
pub mod ask {
    /// The temperature at which the questions are sampled.
    ///
    /// `temperature`, in `ask`: a number from 0 to 100. Default: `0.5`.
    pub const temperature: () = ();
    /// The request that asks the model for one question.
    ///
    /// `template`, in `ask`: `"…"`.
    pub const template: () = ();
}

/// Settings of `persona`.
pub mod persona {
    /// Who asks, as in `["an impatient customer"]`; by default many kinds of people.
    ///
    /// `people`, in `persona`: `["…", …]`, or `from "…"`.
    pub const people: () = ();
    /// The temperature at which the questions are sampled.
    ///
    /// `temperature`, in `persona`, `rephrase`: a number from 0 to 100. Default: `0.7`.
    pub const temperature: () = ();
}

/// Settings of `rephrase`.
pub mod rephrase {
    /// The temperature at which the questions are sampled.
    ///
    /// `temperature`, in `persona`, `rephrase`: a number from 0 to 100. Default: `0.7`.
    pub const temperature: () = ();
}

/// Settings of `unanswerable`.
pub mod unanswerable {
    /// What the baked model answers to them; by default "I don't have that information.".
    ///
    /// `decline`, in `unanswerable`: `"…"`.
    pub const decline: () = ();
}

/// Settings of `dataset`.
pub mod dataset {
    /// The field or column that contains the question.
    ///
    /// `field`, in `dataset`: `"…"`. Default: `question`.
    pub const field: () = ();
    /// How many questions to use, from the start of the file; by default all.
    ///
    /// `take`, in `dataset`: a whole number from 1 to 4294967296.
    pub const take: () = ();
}

/// Settings of a prompt's braces.
pub mod turns {
    /// The system turn of a prompt, which comes first; the document follows it.
    ///
    /// `system`, in a prompt's braces: `"…"`, or `from "…"`.
    pub const system: () = ();
    /// A user turn before the question; an `assistant` turn follows it.
    ///
    /// `user`, in a prompt's braces, `examples`: `"…"`, or `from "…"`.
    pub const user: () = ();
    /// The answer to the `user` turn before it.
    ///
    /// `assistant`, in a prompt's braces, `examples`: `"…"`, or `from "…"`.
    pub const assistant: () = ();
}

/// Settings of `examples`.
pub mod examples {
    /// A user turn before the question; an `assistant` turn follows it.
    ///
    /// `user`, in a prompt's braces, `examples`: `"…"`, or `from "…"`.
    pub const user: () = ();
    /// The answer to the `user` turn before it.
    ///
    /// `assistant`, in a prompt's braces, `examples`: `"…"`, or `from "…"`.
    pub const assistant: () = ();
    /// The text with the answer to the `user` turn after it; optional.
    ///
    /// `passage`, in `examples`: `"…"`, or `from "…"`.
    pub const passage: () = ();
}

/// Settings of `lora`.
pub mod lora {
    /// The LoRA rank.
    ///
    /// `rank`, in `lora`: a whole number from 1 to 4096. Default: `32`.
    pub const rank: () = ();
    /// LoRA updates are scaled by alpha / rank.
    ///
    /// `alpha`, in `lora`: a number above 0 and at most 1000000. Default: `64.0`.
    pub const alpha: () = ();
    /// The LoRA dropout rate.
    ///
    /// `dropout`, in `lora`: a number of at least 0 and below 1. Default: `0.0`.
    pub const dropout: () = ();
    /// The linear layers to adapt; all means every one except the output head.
    ///
    /// `modules`, in `lora`: `all`, or a list of `q_proj`, `k_proj`, `v_proj`, `o_proj`,
    /// `gate_proj`, `up_proj`, `down_proj`. Default: `all`.
    pub const modules: () = ();
    /// The blocks to adapt, as in 4..12; by default all.
    ///
    /// `layers`, in `lora`: `first..end`.
    pub const layers: () = ();
}

/// Settings of `train`.
pub mod train {
    /// The random seed.
    ///
    /// `seed`, in a bake, a target's braces, an anchor's braces, `train`: a whole number from 0.
    /// Default: `42`.
    pub const seed: () = ();
    /// Passes over the training data.
    ///
    /// `epochs`, in `train`: a whole number from 1 to 1000000. Default: `16`.
    pub const epochs: () = ();
    /// The peak learning rate; by default 1.5 / the model's hidden size.
    ///
    /// `lr`, in `train`: a number above 0 and at most 1000000.
    pub const lr: () = ();
    /// The batch size, in answers.
    ///
    /// `batch`, in `train`: a whole number from 1 to 1048576. Default: `8`.
    pub const batch: () = ();
    /// Batches accumulated per optimizer step.
    ///
    /// `accumulate`, in `train`: a whole number from 1 to 1048576. Default: `1`.
    pub const accumulate: () = ();
    /// How the learning rate falls.
    ///
    /// `schedule`, in `train`: `constant`, `linear`, `cosine`. Default: `linear`.
    pub const schedule: () = ();
    /// The share of steps over which the learning rate rises.
    ///
    /// `warmup`, in `train`: a number of at least 0 and below 1. Default: `0.1`.
    pub const warmup: () = ();
    /// What is minimised: forward_kl, reverse_kl or jsd(β).
    ///
    /// `divergence`, in `train`: `forward_kl`, `reverse_kl`, `jsd(β)` with 0.001 ≤ β ≤ 0.999.
    /// Default: `forward_kl`.
    pub const divergence: () = ();
    /// The temperature of the distillation loss.
    ///
    /// `temperature`, in `train`: a number above 0 and at most 1000000. Default: `1.0`.
    pub const temperature: () = ();
    /// The gradient-norm clipping threshold.
    ///
    /// `clip`, in `train`: a number above 0 and at most 1000000. Default: `1.0`.
    pub const clip: () = ();
    /// Decoupled weight decay.
    ///
    /// `weight_decay`, in `train`: a number from 0 to 1000000. Default: `0.0`.
    pub const weight_decay: () = ();
    /// Steps between checkpoints, from which an interrupted bake resumes; by default one every ten
    /// seconds.
    ///
    /// `checkpoint_every`, in `train`: a whole number from 1 to 4294967296.
    pub const checkpoint_every: () = ();
    /// Epochs between numbered checkpoints, which are kept beside the adapter and can be loaded; by
    /// default none are kept.
    ///
    /// `keep_every`, in `train`: a whole number from 1 to 1000000.
    pub const keep_every: () = ();
    /// `checked`: stop before training if the model answers no better with the documents than
    /// without; `anyway`: only warn.
    ///
    /// `teacher`, in `train`: `checked`, `anyway`. Default: `checked`.
    pub const teacher: () = ();
    /// The share of each passage's generated stimuli that is held out of training, to tell whether
    /// it still helps.
    ///
    /// `held_out`, in `train`: a number from 0 to 0.5. Default: `0.1`.
    pub const held_out: () = ();
    /// Epochs without a new lowest held-out divergence before the learning rate falls to zero over
    /// as many epochs again, and training ends; immediately if the rate is constant.
    ///
    /// `patience`, in `train`: a whole number from 1 to 1000000. Default: `4`.
    pub const patience: () = ();
    /// Train on answers that are already close to the teacher, closer than the mean, only every Nth
    /// epoch; 4 roughly halves training time, and may cost some answers.
    ///
    /// `rehearse`, in `train`: a whole number from 1 to 1000000. Default: `1`.
    pub const rehearse: () = ();
    /// End training when the held-out divergence (forward KL at temperature 1, in nats per token)
    /// falls below this.
    ///
    /// `stop_at_kl`, in `train`: a number above 0 and at most 1000000.
    pub const stop_at_kl: () = ();
    /// The maximum number of further rounds; each writes more questions about passages with under
    /// half of their held-out questions right, and trains again.
    ///
    /// `until_covered`, in `train`: a whole number from 1 to 100.
    pub const until_covered: () = ();
}

/// Settings of `gate`.
pub mod gate {
    /// The largest allowed divergence from the teacher: forward KL at temperature 1, in nats per
    /// token.
    ///
    /// `kl`, in `gate`: a number above 0 and at most 1000000.
    pub const kl: () = ();
    /// The share of the expectations that must be met.
    ///
    /// `expects`, in `gate`: a number from 0 to 1.
    pub const expects: () = ();
}
