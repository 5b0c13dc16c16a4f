//! The adapter and its training.

use super::parts::{items, part, str};
use super::{List, Mistake, Text};
use crate::model::config::Projection;
use crate::settings::{Scope, entry};
use crate::text::same;

part! {
    /// The adapter: low-rank changes of linear layers (Hu et al. 2021, arXiv 2106.09685).
    Lora of LoraFields
}

/// The fields of a [`Lora`].
#[derive(Clone, Debug, PartialEq)]
pub struct LoraFields {
    /// Rank of each change.
    pub rank: usize,
    /// A change is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Share of a change's inputs that is dropped during training.
    pub dropout: f64,
    /// Names of the projections; empty: all of them.
    pub modules: List<Text>,
    /// The blocks from the first up to but not including the second; all if there are none.
    pub layers: Option<(usize, usize)>,
}

impl LoraFields {
    /// The defaults.
    pub const DEFAULT: Self =
        Self { rank: 32, alpha: 64.0, dropout: 0.0, modules: List::Borrowed(&[]), layers: None };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = entry(Scope::Lora, "rank").check_count(self.rank as u64) {
            return Err(mistake);
        }
        if let Err(mistake) = entry(Scope::Lora, "alpha").check_number(self.alpha) {
            return Err(mistake);
        }
        if let Err(mistake) = entry(Scope::Lora, "dropout").check_number(self.dropout) {
            return Err(mistake);
        }
        let modules = items(&self.modules);
        let mut i = 0;
        while i < modules.len() {
            if let Err(mistake) = check_module(str(&modules[i])) {
                return Err(mistake);
            }
            let mut j = 0;
            while j < i {
                if same(str(&modules[i]), str(&modules[j])) {
                    return Err(Mistake::Repeated(str(&modules[i])));
                }
                j += 1;
            }
            i += 1;
        }
        match self.layers {
            Some((start, end)) => check_layers(start as u64, end as u64),
            None => Ok(()),
        }
    }
}

impl Default for Lora {
    fn default() -> Self {
        Self::declared(LoraFields::DEFAULT)
    }
}

/// Whether a linear layer has this name.
pub(crate) const fn check_module(name: &str) -> Result<(), Mistake<'_>> {
    let mut i = 0;
    while i < Projection::ALL.len() {
        if same(name, Projection::ALL[i].name()) {
            return Ok(());
        }
        i += 1;
    }
    Err(Mistake::UnknownModule(name))
}

/// Whether a range contains blocks.
pub(crate) const fn check_layers(start: u64, end: u64) -> Result<(), Mistake<'static>> {
    if start >= end || end > 10_000 { Err(Mistake::NoLayers { start, end }) } else { Ok(()) }
}

/// Whether a divergence can have this β.
pub(crate) const fn check_beta(beta: f64) -> Result<(), Mistake<'static>> {
    let (least, most) = Divergence::BETAS;
    if beta >= least && beta <= most { Ok(()) } else { Err(Mistake::Beta(beta)) }
}

part! {
    /// The training.
    Train of TrainFields
}

/// The fields of a [`Train`].
#[derive(Clone, Debug, PartialEq)]
pub struct TrainFields {
    /// Passes over all answers.
    pub epochs: usize,
    /// The highest learning rate; if there is none, 1.5 / the model's hidden size.
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
    /// The largest norm of a gradient; a larger one is scaled down to it.
    pub clip: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Seeds the adapter's first weights and the order of the answers.
    pub seed: u64,
    /// The share of the generated stimuli of each passage that is not trained on.
    pub held_out: f64,
    /// Epochs without a new lowest divergence on what is held out after which the learning rate
    /// falls to zero over as many epochs again, if there are more than that, and training ends; at
    /// once if the rate is constant.
    pub patience: usize,
    /// The epochs within which each answer is trained on at least once: one that the student gives
    /// nearer to the teacher than the mean of all is left out of the others. With 1 none is.
    pub rehearse: usize,
    /// Training ends when the divergence on what is held out, or where nothing is the mean of an
    /// epoch, is below this.
    pub stop_at_kl: Option<f64>,
    /// The most further rounds for passages that are not known after the training; if there is
    /// none, there are no further rounds.
    pub until_covered: Option<usize>,
    /// Steps between checkpoints; by default there is one every ten seconds. They do not change the
    /// result.
    pub checkpoint_every: Option<usize>,
    /// Epochs between numbered checkpoints, which are kept beside the adapter; if there is none, no
    /// checkpoint is kept. They do not change the result.
    pub keep_every: Option<usize>,
    /// Whether a teacher from which there seems to be nothing to learn is baked all the same. It
    /// does not change the result.
    pub teacher_anyway: bool,
}

impl TrainFields {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        epochs: 16,
        lr: None,
        batch: 8,
        accumulate: 1,
        schedule: Schedule::Linear,
        warmup: 0.1,
        divergence: Divergence::ForwardKl,
        temperature: 1.0,
        clip: 1.0,
        weight_decay: 0.0,
        seed: 42,
        held_out: 0.1,
        patience: 4,
        rehearse: 1,
        stop_at_kl: None,
        until_covered: None,
        checkpoint_every: None,
        keep_every: None,
        teacher_anyway: false,
    };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        let every = match self.checkpoint_every {
            Some(steps) => steps,
            None => 1,
        };
        let kept = match self.keep_every {
            Some(epochs) => epochs,
            None => 1,
        };
        let rounds = match self.until_covered {
            Some(rounds) => rounds,
            None => 1,
        };
        let counts = [
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("patience", self.patience),
            ("rehearse", self.rehearse),
            ("until_covered", rounds),
            ("checkpoint_every", every),
            ("keep_every", kept),
        ];
        let mut i = 0;
        while i < counts.len() {
            let (name, count) = counts[i];
            if let Err(mistake) = entry(Scope::Train, name).check_count(count as u64) {
                return Err(mistake);
            }
            i += 1;
        }
        let rate = match self.lr {
            Some(rate) => rate,
            None => 1.0,
        };
        let stop = match self.stop_at_kl {
            Some(divergence) => divergence,
            None => 1.0,
        };
        let numbers = [
            ("lr", rate),
            ("held_out", self.held_out),
            ("stop_at_kl", stop),
            ("warmup", self.warmup),
            ("temperature", self.temperature),
            ("clip", self.clip),
            ("weight_decay", self.weight_decay),
        ];
        let mut i = 0;
        while i < numbers.len() {
            let (name, number) = numbers[i];
            if let Err(mistake) = entry(Scope::Train, name).check_number(number) {
                return Err(mistake);
            }
            i += 1;
        }
        match self.divergence {
            Divergence::Jsd(beta) => check_beta(beta),
            Divergence::ForwardKl | Divergence::ReverseKl => Ok(()),
        }
    }
}

impl Default for Train {
    fn default() -> Self {
        Self::declared(TrainFields::DEFAULT)
    }
}

/// How the learning rate falls after its rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Divergence {
    /// KL(p ‖ q): the student covers all that the teacher says.
    ForwardKl,
    /// KL(q ‖ p): the student stays with what the teacher says.
    ReverseKl,
    /// β KL(p ‖ m) + (1 − β) KL(q ‖ m) with m = β p + (1 − β) q, and 0.001 ≤ β ≤ 0.999.
    Jsd(f64),
}

impl Divergence {
    /// The least and the largest β: closer to 0 and 1, where the divergence vanishes, f32 has too
    /// few digits.
    pub const BETAS: (f64, f64) = (0.001, 0.999);
}
