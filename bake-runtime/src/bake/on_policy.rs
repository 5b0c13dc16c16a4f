//! On-policy rounds: the student answers some stimuli itself, and learns what the teacher would
//! have said at each of its tokens (Agarwal et al. 2024, arXiv 2306.13649).
//!
//! Along the teacher's answers a student never sees its own mistakes. Along its own, the teacher,
//! who reads the passage, says at the first wrong word which one it would have been.

use bake_spec::KeyHasher;
use bake_spec::recipe::Target;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::answers::Answers;
use super::rollout::sampling;
use super::stages::Stages;
use super::stimuli::Stimulus;
use crate::adapter::Adapter;
use crate::error::Result;
use crate::generate::{Request, complete};
use crate::progress::Stage;
use crate::text::template::Message;

/// The student of a further round.
#[derive(Clone, Copy)]
pub(super) struct OnPolicy<'a> {
    /// What it has learned so far.
    pub(super) adapter: &'a Adapter,
    /// The number of the round, from 1 on.
    pub(super) round: usize,
}

impl OnPolicy<'_> {
    /// Puts the student's answers in the place of the teacher's for its share of a target's
    /// stimuli that are trained on. Returns how many there are. Answers that do not end are not
    /// learned, as the teacher's are not.
    ///
    /// They are not kept in the store: the adapter is there after the round before, and so are its
    /// answers, with the same bits.
    pub(super) fn replace(
        self,
        stages: &Stages<'_>,
        target: &Target,
        stimuli: &[Stimulus],
        held_out: &[bool],
        answers: &mut [Answers],
    ) -> Result<usize> {
        let own: Vec<usize> = (0..stimuli.len())
            .filter(|&i| !held_out[i] && !answers[i].learned.is_empty())
            .filter(|&i| self.answers(target, &stimuli[i]))
            .collect();
        if own.is_empty() {
            return Ok(0);
        }
        let mut prompts = Vec::with_capacity(own.len());
        for &i in &own {
            let asked = Message::question(&stages.recipe.student, &stimuli[i].text);
            prompts.push(stages.model.encode(&asked)?);
        }
        let sampling = sampling(stages, target);
        let random = |i: usize| random(self.round, target, "student's answer", &stimuli[i]);
        let requests = own.iter().zip(&prompts);
        let requests =
            requests.map(|(&i, prompt)| Request { prompt, rng: random(i) }).collect::<Vec<_>>();
        let view = stages.model.view(Some(self.adapter));
        let stage = Stage {
            name: &format!("student answers on {}", target.name),
            target: &target.name,
            total: requests.len(),
            unit: "answers",
        };
        let said = stages.monitor.stage(stage, |ticker| {
            complete(stages.model, requests, &sampling, view, |ended| ticker.advance(ended, ""))
        })?;
        let mut replaced = 0;
        for (i, said) in own.into_iter().zip(said) {
            if said.ended && !said.ids.is_empty() {
                answers[i].learned = vec![said.ids];
                replaced += 1;
            }
        }
        Ok(replaced)
    }

    /// Whether the student answers a stimulus itself in this round.
    fn answers(self, target: &Target, stimulus: &Stimulus) -> bool {
        let drawn: f64 = random(self.round, target, "student's share", stimulus).random();
        drawn < target.rollout.on_policy
    }
}

/// A random stream of its own for every stimulus of every document in every round.
fn random(round: usize, target: &Target, what: &str, stimulus: &Stimulus) -> ChaCha8Rng {
    // Not the target's name, which is not in the address of the adapter.
    let document = target.document.as_ref().map(|document| document.hash.to_string());
    let key = KeyHasher::new(what, 2)
        .field("seed", &target.rollout.seed)
        .field("document", &*document.unwrap_or_default())
        .field("round", &round)
        .field("question", &*stimulus.text)
        .finish();
    ChaCha8Rng::from_seed(*key.as_bytes())
}

#[cfg(test)]
mod tests {
    use bake_spec::Hash;
    use bake_spec::recipe::{Document, DocumentFields, GeneratorKind};

    use super::*;

    /// Recipes with one address give the same adapter.
    #[test]
    fn what_the_student_answers_does_not_depend_on_names() {
        let recipe = crate::bake::tests::recipe();
        let drawn = |name: &str, path: &str, text: &str| -> u64 {
            let (path, hash) = (path.to_owned().into(), Hash::of(text.as_bytes()));
            let document = Document::new(DocumentFields { path, hash }).unwrap();
            let target = recipe.targets[0].with(|target| {
                (target.name, target.document) = (name.to_owned().into(), Some(document));
            });
            let stimulus = Stimulus::new("I lost my key", None, GeneratorKind::Questions);
            random(1, &target.unwrap(), "student's share", &stimulus).random()
        };
        assert_eq!(drawn("keys", "keys.md", "A"), drawn("office", "office.md", "A"));
        assert_ne!(drawn("keys", "keys.md", "A"), drawn("keys", "keys.md", "B"));
    }
}
