//! Which stimuli are held out of training, to tell whether it still helps.

use std::collections::BTreeMap;

use bake_spec::recipe::GeneratorKind;
use bake_spec::{Hash, KeyHasher};

use super::stimuli::Stimulus;
use crate::error::{Error, ErrorKind, Result};

/// Whether each stimulus is held out: of those that were made from one passage, and of general
/// requests, this share, rounded down. What somebody wrote is never held out.
///
/// Which ones they are depends on the seed and their words, so that one more stimulus changes at
/// most one or two of them.
pub(super) fn held_out(stimuli: &[Stimulus], share: f64, seed: u64) -> Vec<bool> {
    /// The stimuli of one passage, or general ones, by what decides.
    type Keyed = Vec<(Hash, usize)>;
    let mut groups: BTreeMap<Option<(usize, usize)>, Keyed> = BTreeMap::new();
    for (number, stimulus) in stimuli.iter().enumerate() {
        let passage = stimulus.passage.as_ref().map(|passage| (passage.start, passage.end));
        let is_general = stimulus.generator == GeneratorKind::General;
        if is_general || passage.is_some() && !stimulus.generator.is_written() {
            let key = KeyHasher::new("held out", 1)
                .field("seed", &seed)
                .field("stimulus", &*stimulus.text)
                .finish();
            groups.entry(passage).or_default().push((key, number));
        }
    }
    let mut held_out = vec![false; stimuli.len()];
    for mut candidates in groups.into_values() {
        candidates.sort_unstable_by_key(|(key, _)| *key.as_bytes());
        let count = (candidates.len() as f64 * share) as usize;
        for (_, number) in &candidates[..count] {
            held_out[*number] = true;
        }
    }
    held_out
}

/// Refuses a target that leaves nothing to train on. `tokens` are those of the answers that are
/// trained on, and of those that are held out.
pub(super) fn check_trained_on(target: &str, tokens: [usize; 2]) -> Result<()> {
    let of = match tokens {
        [0, 0] => "no stimulus with a usable answer",
        [0, _] => "usable answers to held-out stimuli only",
        _ => return Ok(()),
    };
    let message = format!(
        "target `{target}` has {of}, so there is nothing to train on; raise `max_tokens`, ask more \
         questions, or set `held_out` to 0"
    );
    Err(Error::new(ErrorKind::Model, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stimuli(count: usize) -> Vec<Stimulus> {
        let asked = |i: usize| {
            let passage = if i.is_multiple_of(3) { 0..10 } else { 10..30 };
            Stimulus::new(&format!("What is {i}?"), Some(passage), GeneratorKind::Ask)
        };
        (0..count).map(asked).collect()
    }

    #[test]
    fn each_passage_loses_its_share_and_what_somebody_wrote_is_kept() {
        let mut stimuli = stimuli(60);
        stimuli.push(Stimulus::new("Written?", Some(0..10), GeneratorKind::Questions));
        stimuli.push(Stimulus::new("Of the document?", None, GeneratorKind::Ask));
        let held = held_out(&stimuli, 0.1, 1);
        let of = |start: usize| {
            let of_passage = |(stimulus, held): &(&Stimulus, &bool)| {
                **held && stimulus.passage.as_ref().is_some_and(|passage| passage.start == start)
            };
            stimuli.iter().zip(&held).filter(of_passage).count()
        };
        assert_eq!((of(0), of(10)), (2, 4));
        assert_eq!(held[60..], [false, false]);
        assert_eq!(held_out(&stimuli[..9], 0.1, 1), [false; 9]);
        assert_ne!(held_out(&stimuli, 0.1, 2), held);
    }

    #[test]
    fn a_behaviour_loses_its_share_of_general_requests() {
        let of = |generator| -> Vec<Stimulus> {
            (0..40).map(|i| Stimulus::new(&format!("Say {i}."), None, generator)).collect()
        };
        let count = |generator| {
            held_out(&of(generator), 0.1, 1).into_iter().filter(|held_out| *held_out).count()
        };
        assert_eq!((count(GeneratorKind::General), count(GeneratorKind::Everyday)), (4, 0));
    }

    #[test]
    fn one_more_stimulus_hardly_changes_which_ones_they_are() {
        let (few, many) = (held_out(&stimuli(60), 0.1, 1), held_out(&stimuli(61), 0.1, 1));
        let changed = few.iter().zip(&many).filter(|(few, many)| few != many).count();
        assert!(changed <= 2, "{changed}");
    }

    #[test]
    fn what_has_nothing_to_train_on_is_refused() {
        for tokens in [[5, 0], [5, 5]] {
            check_trained_on("polite", tokens).unwrap();
        }
        for (held_out, of) in [
            (5, "usable answers to held-out stimuli only"),
            (0, "no stimulus with a usable answer"),
        ] {
            let error = check_trained_on("polite", [0, held_out]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("target `polite` has {of}, so ")), "{error}");
        }
    }
}
