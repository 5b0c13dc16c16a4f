//! Addresses of recipes and of their parts.
//!
//! A recipe becomes a [`Record`] of the names and values of its settings, without those at their
//! defaults: so adding a setting later does not change the address of a recipe that does not use
//! it. The defaults are repeated here. If the default of a setting changes, the one here stays, so
//! that recipes with the old value keep their address and those with the new default get a new one.

use super::{
    Answer, Dataset, Divergence, Format, Generator, GeneratorKind, Lora, Recipe, Rollout, Schedule,
    Stimuli, Target, TeacherContext, Train,
};
use crate::hash::{Encode, Hash, KeyHasher, Record};

/// The version of how stimuli are gathered. Like the version of every stage, it is raised when the
/// same inputs give a different product. What only one generator does has a [version of its
/// own](GeneratorKind::version).
pub const STIMULI_VERSION: u32 = 1;

/// How the teacher answers.
pub const ROLLOUTS_VERSION: u32 = 3;

/// What the teacher's states are.
pub const STATES_VERSION: u32 = 2;

/// How an adapter is trained.
pub const TRAINING_VERSION: u32 = 6;

/// The stages of a bake and their versions, in order.
pub const STAGES: [(&str, u32); 4] = [
    ("stimuli", STIMULI_VERSION),
    ("rollouts", ROLLOUTS_VERSION),
    ("states", STATES_VERSION),
    ("training", TRAINING_VERSION),
];

/// The form of the address itself.
const VERSION: u32 = 3;

impl Recipe {
    /// The address of the adapter: everything that changes it, including the versions of the
    /// stages, and nothing else.
    ///
    /// Names, paths and expected answers do not change it; the questions of `expect` do, because
    /// they are held out of training, and so does the name of a document that a `template` puts
    /// into questions. `model` is the hash of the base model's files.
    pub fn hash(&self, model: &Hash) -> Hash {
        STAGES
            .iter()
            .fold(KeyHasher::new("recipe", VERSION), |key, (stage, version)| {
                key.field(stage, version)
            })
            .field("model", model)
            .field("recipe", self)
            .finish()
    }

    /// What decides whether a bake is good enough: the expectations, and the share of them that it
    /// must meet and the divergence that it may have, where a declaration says so. It does not
    /// change the adapter.
    pub fn judged_by(&self, share: Option<f64>, divergence: Option<f64>) -> Hash {
        let mut key =
            KeyHasher::new("judged by", 1).field("share", &share).field("divergence", &divergence);
        for expect in self.expects.iter() {
            key =
                key.field("target", &expect.target.as_deref()).field("question", &*expect.question);
            key = match &expect.answer {
                Answer::Contains(words) => key.field("contains", &**words),
                Answer::ContainsAny(words) => key.field("contains any", &**words),
                Answer::StartsWith(words) => key.field("starts_with", &**words),
                Answer::EndsWith(words) => key.field("ends_with", &**words),
                Answer::Matches(pattern) => key.field("matches", &**pattern),
                Answer::Equals(words) => key.field("equals", &**words),
                Answer::Declines => key.field("declines", ""),
            };
        }
        key.finish()
    }

    /// Whether this is the address of this recipe's adapter: its own, or the one that it had in
    /// locks of format 1.
    pub fn has_address(&self, model: &Hash, address: &Hash) -> bool {
        let legacy =
            || self.parent.is_none() && super::legacy::recipe_hash(self, model) == *address;
        self.hash(model) == *address || legacy()
    }

    /// The settings that all targets share and that are not at their defaults, by name.
    pub(crate) fn shared(&self) -> Record {
        let held_out: Vec<&str> = self.held_out().collect();
        let parent = self.parent.as_ref().map(|parent| parent.hash);
        Record::new()
            .unless(&Vec::new(), "expect", &held_out)
            .unless(&None, "parent", &parent)
            .within("", self.student.record("student"))
            .within("lora.", lora(&self.lora))
            .within("train.", train(&self.train))
    }
}

impl Target {
    /// Its own settings that are not at their defaults, without the document, by name.
    pub(crate) fn own(&self) -> Record {
        // An anchor has no questions by default.
        let asked = if self.anchor { None } else { Some(ASKED) };
        let own = stimuli(&self.stimuli, asked)
            .unless(&false, "anchor", &self.anchor)
            .unless(&1.0, "weight", &self.weight)
            .within("", self.prompt.record("prompt"))
            .unless(&None, "context", &self.context)
            .unless(&[][..], "examples", &*self.examples)
            .unless(&None, "template.document", &self.document_in_template());
        own.within("", rollout(&self.rollout))
    }

    /// The name of the document, if the template that makes questions says it.
    fn document_in_template(&self) -> Option<super::Text> {
        let template = self.stimuli.template().filter(|it| it.contains("document"));
        let document = template.and(self.document.as_ref());
        document.map(|document| document.name().to_owned().into())
    }
}

impl GeneratorKind {
    /// The version of how it makes questions, which only changes the addresses of recipes that have
    /// such a generator.
    pub const fn version(self) -> u32 {
        match self {
            Self::Outline => 5,
            Self::Unanswerable => 3,
            Self::Ask => 2,
            _ => 1,
        }
    }
}

/// How many questions the model wrote for a target, in the first version of addresses, unless
/// something else was declared.
const ASKED: usize = 100;

/// How many questions a generator makes; if nothing is declared, as many as the document calls for.
#[derive(Clone, Copy, PartialEq)]
struct Count(Option<usize>);

impl Encode for Count {
    fn encode(&self, out: &mut String) {
        match self.0 {
            Some(count) => count.encode(out),
            None => "auto".encode(out),
        }
    }
}

/// A generator that a target does not have leaves no trace, except that `ask 0` does where there is
/// no `ask`.
fn stimuli(stimuli: &Stimuli, asked: Option<usize>) -> Record {
    let datasets: Vec<&Dataset> = stimuli.datasets().collect();
    let count = stimuli.ask().map_or(Count(Some(0)), |ask| Count(ask.count));
    let record = Record::new().unless(&Vec::new(), "dataset", &datasets).unless(
        &Count(Some(asked.unwrap_or_default())),
        "ask",
        &count,
    );
    stimuli.generators.iter().fold(record, |record, it| record.within("", generator(it)))
}

/// All of it except how many questions the model writes, and except files.
fn generator(generator: &Generator) -> Record {
    let kind = generator.kind();
    let own = match generator {
        Generator::Questions(questions) => {
            return Record::new().field("questions", &**questions);
        }
        Generator::Dataset(_) => return Record::new(),
        Generator::Template(_) | Generator::Outline(_) => Record::new(),
        Generator::Everyday(_) | Generator::General(_) => Record::new(),
        Generator::Ask(ask) => {
            let record = Record::new().unless(&0.5, "temperature", &ask.temperature);
            record.unless(&None, "template", &ask.template)
        }
        Generator::Persona(persona) => Record::new()
            .unless(&0.7, "temperature", &persona.temperature)
            .unless(&[][..], "people", &*persona.people),
        Generator::Rephrase(rephrase) => {
            Record::new().unless(&0.7, "temperature", &rephrase.temperature)
        }
        Generator::Unanswerable(it) => Record::new().unless(&None, "decline", &it.decline),
    };
    let own = own.unless(&1, "version", &kind.version());
    let record = Record::new().within(&format!("{kind}."), own);
    match generator {
        Generator::Template(template) => record.field(kind.name(), &**template),
        Generator::Outline(it) => record.field(kind.name(), &Count(it.count)),
        Generator::Persona(it) => record.field(kind.name(), &Count(it.count)),
        Generator::Rephrase(it) => record.field(kind.name(), &Count(it.count)),
        Generator::Unanswerable(it) => record.field(kind.name(), &Count(it.count)),
        Generator::Everyday(it) => record.field(kind.name(), &Count(it.count)),
        Generator::General(it) => record.field(kind.name(), &Count(it.count)),
        Generator::Questions(_) | Generator::Dataset(_) | Generator::Ask(_) => record,
    }
}

fn rollout(rollout: &Rollout) -> Record {
    Record::new()
        .unless(&1, "rollouts", &rollout.answers)
        .unless(&None, "max_tokens", &rollout.max_tokens)
        .unless(&1.0, "temperature", &rollout.temperature)
        .unless(&1.0, "top_p", &rollout.top_p)
        .unless(&0, "top_k", &rollout.top_k)
        .unless(&42, "seed", &rollout.seed)
        .unless(&0.0, "on_policy", &rollout.on_policy)
        .unless(&1_u32, "on_policy.version", &if rollout.on_policy > 0.0 { 2 } else { 1 })
}

fn lora(lora: &Lora) -> Record {
    Record::new()
        .unless(&32, "rank", &lora.rank)
        .unless(&64.0, "alpha", &lora.alpha)
        .unless(&0.0, "dropout", &lora.dropout)
        .unless(&[][..], "modules", &*lora.modules)
        .unless(&None, "layers", &lora.layers)
}

fn train(train: &Train) -> Record {
    // What is reported is measured by forward KL at temperature 1, since version 2 for all.
    let as_trained = train.divergence == Divergence::ForwardKl && train.temperature == 1.0;
    Record::new()
        .unless(&1_u32, "measured.version", &if as_trained { 1 } else { 2 })
        .unless(&16, "epochs", &train.epochs)
        .unless(&None, "lr", &train.lr)
        .unless(&8, "batch", &train.batch)
        .unless(&1, "accumulate", &train.accumulate)
        .unless(&Schedule::Linear, "schedule", &train.schedule)
        .unless(&0.1, "warmup", &train.warmup)
        .unless(&Divergence::ForwardKl, "divergence", &train.divergence)
        .unless(&1.0, "temperature", &train.temperature)
        .unless(&1.0, "clip", &train.clip)
        .unless(&0.0, "weight_decay", &train.weight_decay)
        .unless(&42, "seed", &train.seed)
        .unless(&0.1, "held_out", &train.held_out)
        .unless(&4, "patience", &train.patience)
        .unless(&1, "rehearse", &train.rehearse)
        .unless(&None, "stop_at_kl", &train.stop_at_kl)
        .unless(&None, "until_covered", &train.until_covered)
}

impl Encode for Recipe {
    fn encode(&self, out: &mut String) {
        self.shared().field("targets", &*self.targets).encode(out);
    }
}

impl Encode for Target {
    fn encode(&self, out: &mut String) {
        let document = self.document.as_ref().map(|document| document.hash);
        self.own().unless(&None, "document", &document).encode(out);
    }
}

impl Encode for Stimuli {
    fn encode(&self, out: &mut String) {
        stimuli(self, Some(ASKED)).encode(out);
    }
}

impl Encode for Dataset {
    fn encode(&self, out: &mut String) {
        Record::new()
            .field("hash", &self.hash)
            .unless(&Format::Lines, "format", &self.format)
            .unless(&"", "field", &&*self.field)
            .unless(&None, "take", &self.take)
            .encode(out);
    }
}

impl Encode for Rollout {
    fn encode(&self, out: &mut String) {
        rollout(self).encode(out);
    }
}

impl Encode for Lora {
    fn encode(&self, out: &mut String) {
        lora(self).encode(out);
    }
}

impl Encode for Train {
    fn encode(&self, out: &mut String) {
        train(self).encode(out);
    }
}

impl Encode for TeacherContext {
    fn encode(&self, out: &mut String) {
        self.name().encode(out);
    }
}

impl Encode for Schedule {
    fn encode(&self, out: &mut String) {
        let word = match self {
            Self::Constant => "constant",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
        };
        word.encode(out);
    }
}

impl Encode for Divergence {
    fn encode(&self, out: &mut String) {
        match self {
            Self::ForwardKl => "forward_kl".encode(out),
            Self::ReverseKl => "reverse_kl".encode(out),
            Self::Jsd(beta) => format!("jsd({beta:?})").encode(out),
        }
    }
}

impl Encode for Format {
    fn encode(&self, out: &mut String) {
        let word = match self {
            Self::Lines => "lines",
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
        };
        word.encode(out);
    }
}

#[cfg(test)]
mod tests;
