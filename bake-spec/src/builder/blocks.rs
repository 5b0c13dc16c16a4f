//! What is declared in braces: turns, questions, adapter and training.

use super::{assignment, here, module, text, word};
use crate::recipe::{Divergence, Schedule};
use crate::settings::Scope;
use crate::syntax::ast::{Assignment, Value};

macro_rules! block {
    ($(#[$meta:meta])* $builder:ident { $($settings:tt)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        #[must_use]
        pub struct $builder {
            pub(super) settings: Vec<Assignment>,
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

block! {
    /// Worked examples that are being declared: a question and its answer, before them the passage
    /// that has the answer, if there is one; then those of the next.
    ExamplesBuilder {
        /// The text that has the answer to the question that follows.
        passage(words: &str) Examples "passage" => Value::Text(text(words));
        /// The same from a file, by its path relative to the root.
        passage_from(path: &str) Examples "passage" => Value::FromFile(text(path));
        /// A question.
        user(words: &str) Examples "user" => Value::Text(text(words));
        /// The same from a file.
        user_from(path: &str) Examples "user" => Value::FromFile(text(path));
        /// The answer to the question before it.
        assistant(words: &str) Examples "assistant" => Value::Text(text(words));
        /// The same from a file.
        assistant_from(path: &str) Examples "assistant" => Value::FromFile(text(path));
    }
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
    /// How the model writes questions in the words of people of many kinds.
    PersonaBuilder {
        /// The temperature at which they are sampled.
        temperature(number: f64) Persona "temperature" => Value::Number(number, here());
        /// Who asks, such as "an impatient customer"; people of many kinds unless it is set.
        people(who: &[&str]) Persona "people" =>
            Value::Texts(who.iter().map(|who| text(who)).collect());
        /// The same from a text file, one per line.
        people_from(path: &str) Persona "people" => Value::FromFile(text(path));
    }
}

block! {
    /// How the model says questions in other words.
    RephraseBuilder {
        /// The temperature at which they are sampled.
        temperature(number: f64) Rephrase "temperature" => Value::Number(number, here());
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
        schedule(schedule: Schedule) Train "schedule" => Value::Word(word(match schedule {
            Schedule::Constant => "constant",
            Schedule::Linear => "linear",
            Schedule::Cosine => "cosine",
        }));
        /// The share of all steps over which the learning rate rises.
        warmup(share: f64) Train "warmup" => Value::Number(share, here());
        /// What is minimised.
        divergence(divergence: Divergence) Train "divergence" => match divergence {
            Divergence::ForwardKl => Value::Word(word("forward_kl")),
            Divergence::ReverseKl => Value::Word(word("reverse_kl")),
            Divergence::Jsd(beta) => Value::Call(word("jsd"), beta, here()),
        };
        /// Divides both models' logits in the loss.
        temperature(number: f64) Train "temperature" => Value::Number(number, here());
        /// The largest norm of a gradient; a larger one is scaled down to it.
        clip(norm: f64) Train "clip" => Value::Number(norm, here());
        /// Decoupled weight decay.
        weight_decay(number: f64) Train "weight_decay" => Value::Number(number, here());
        /// Seeds the adapter's first weights and the order of the answers.
        seed(seed: u64) Train "seed" => Value::Count(seed, here());
        /// The share of the generated stimuli of each passage that is not trained on.
        held_out(share: f64) Train "held_out" => Value::Number(share, here());
        /// Epochs without a new lowest divergence on what is held out after which the learning rate
        /// falls to zero over as many epochs again, and training ends.
        patience(epochs: u64) Train "patience" => Value::Count(epochs, here());
        /// The epochs within which each answer is trained on at least once.
        rehearse(epochs: u64) Train "rehearse" => Value::Count(epochs, here());
        /// Ends training when the divergence falls below this.
        stop_at_kl(divergence: f64) Train "stop_at_kl" => Value::Number(divergence, here());
        /// At most so many further rounds for passages that are not known after the training.
        until_covered(rounds: u64) Train "until_covered" => Value::Count(rounds, here());
        /// Steps between checkpoints.
        checkpoint_every(steps: u64) Train "checkpoint_every" => Value::Count(steps, here());
        /// Epochs between numbered checkpoints, which are kept beside the adapter.
        keep_every(epochs: u64) Train "keep_every" => Value::Count(epochs, here());
        /// Whether a teacher from which there seems to be nothing to learn is baked all the same.
        teacher_anyway(anyway: bool) Train "teacher" => {
            Value::Word(word(if anyway { "anyway" } else { "checked" }))
        };
    }
}
