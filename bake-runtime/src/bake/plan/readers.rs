//! What teachers read before they answer, and how much of it several answers share.

use super::lengths::Lengths;
use crate::bake::products::KeptOfTarget;
use crate::bake::reading::Reading;
use crate::bake::rollout::Teachers;
use crate::bake::stimuli::Stimulus;
use crate::error::Result;
use crate::generate::prefix::{ReadTokens, common_start};

/// Prompts with questions that have yet to be written, of which it is looked at what they share.
const MOST_COUNTED: usize = 1024;

/// Teachers that read the same before each question, or something of their own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readers {
    /// Tokens that several prompts begin with, and the most of them before any.
    pub(super) shared: usize,
    pub(super) before: usize,
    /// The prompts of all stimuli, without what they share with others.
    pub(super) own: Lengths,
    /// The same without what all of them share.
    pub(super) prompts: Lengths,
    /// Stimuli without rollouts.
    pub(super) missing: usize,
}

impl Readers {
    /// Tokens that are read before the answers to so many of the stimuli.
    pub(super) fn read(&self, stimuli: usize) -> f64 {
        self.shared_by(stimuli) as f64 + stimuli as f64 * self.own.mean
    }

    /// Tokens that several of so many stimuli share.
    pub(super) fn shared_by(&self, stimuli: usize) -> usize {
        match stimuli {
            0 => 0,
            _ => (self.shared * stimuli / self.own.count.max(1)).clamp(self.before, self.shared),
        }
    }
}

/// The teachers that share the whole document, and those that read passages.
pub(super) fn readers(
    teachers: &Teachers<'_>,
    shared: impl Fn(&Stimulus) -> Result<bool>,
    kept: &KeptOfTarget,
    stand_ins: &[Stimulus],
    reading: &Reading<'_>,
) -> Result<[Readers; 2]> {
    let (mut known, mut missing) = ([Vec::new(), Vec::new()], [0, 0]);
    let answered = kept.answered.iter().map(|(stimulus, _)| (stimulus, 0));
    for (stimulus, lacks) in answered.chain(kept.unanswered.iter().map(|stimulus| (stimulus, 1))) {
        let group = usize::from(!shared(stimulus)?);
        known[group].push(teachers.prompt(stimulus)?);
        missing[group] += lacks;
    }
    let mut guessed = [Vec::new(), Vec::new()];
    for stimulus in stand_ins {
        guessed[usize::from(!shared(stimulus)?)].push(stimulus);
    }
    let mut readers = [Readers::default(); 2];
    for (group, readers) in readers.iter_mut().enumerate() {
        let of = |stimulus: &&Stimulus| teachers.prompt(stimulus);
        let written: Vec<_> = guessed[group].iter().map(of).collect::<Result<_>>()?;
        // Questions that are not known yet have no word in common.
        let other = guessed[group]
            .first()
            .map(|stimulus| Stimulus { text: String::from("Yes"), ..(*stimulus).clone() });
        let other = other.as_ref().map(|stimulus| teachers.prompt(stimulus)).transpose()?;
        let start = start_of(known[group].iter().chain(&written).chain(&other)).len();
        let (mut prompts, mut unknown) = (std::mem::take(&mut known[group]), 0);
        let all_known = prompts.len();
        if let (Some(first), Some(other)) = (written.first(), &other) {
            let question = match reading.reads_excerpts() {
                // Each question has its own excerpt.
                true => first.len() - start,
                false => first.len() - common_start(first, other),
            };
            unknown = kept.stimuli.to_make;
            prompts.extend(unwritten(&written, question, unknown));
        }
        let lengths = |all: &[usize]| {
            let (known, some) = all.split_at(all_known);
            let of = |lengths: &[usize]| Lengths::of(lengths.iter().copied());
            of(known).and(of(some).times(unknown))
        };
        let beyond: Vec<usize> = prompts.iter().map(|prompt| prompt.len() - start).collect();
        let ReadTokens { shared, before, own } = ReadTokens::of(&prompts);
        *readers = Readers {
            shared: shared * (all_known + unknown) / prompts.len().max(1),
            before,
            own: lengths(&own),
            prompts: lengths(&beyond),
            missing: missing[group] + if reading.reads_excerpts() { 0 } else { unknown },
        };
    }
    Ok(readers)
}

/// What stands for so many prompts with questions that are not known yet, and as long, or for the
/// first of them: those of each passage have no token of their last ones in common.
fn unwritten(written: &[Vec<u32>], question: usize, count: usize) -> Vec<Vec<u32>> {
    let mut prompts = Vec::with_capacity(count.min(MOST_COUNTED));
    for number in 0..count.min(MOST_COUNTED) {
        let mut prompt = written[number * written.len() / count].clone();
        if let Some(place) = prompt.len().checked_sub(question.max(1)) {
            prompt[place] = u32::MAX - number as u32;
        }
        prompts.push(prompt);
    }
    prompts
}

/// The tokens that all of these begin with.
pub(super) fn start_of<'a>(mut prompts: impl Iterator<Item = &'a Vec<u32>>) -> Vec<u32> {
    let mut start = prompts.next().cloned().unwrap_or_default();
    prompts.for_each(|prompt| start.truncate(common_start(&start, prompt)));
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_are_not_known_share_their_passage_and_nothing_else() {
        let written = vec![vec![1, 2, 3, 7, 7], vec![1, 2, 4, 7, 7]];
        let prompts = unwritten(&written, 2, 4);
        assert!(prompts.iter().all(|prompt| prompt.len() == 5 && prompt[4] == 7), "{prompts:?}");
        let starts: Vec<&[u32]> = prompts.iter().map(|prompt| &prompt[..3]).collect();
        assert_eq!(starts, [[1, 2, 3], [1, 2, 3], [1, 2, 4], [1, 2, 4]]);
        assert_eq!(start_of(prompts[..2].iter()), [1, 2, 3]);
        // Of many, the first passages have as many as they would have.
        let many = unwritten(&written, 2, 4 * MOST_COUNTED);
        assert_eq!((many.len(), &start_of(many.iter())[..]), (MOST_COUNTED, &[1, 2, 3][..]));
    }

    #[test]
    fn readers_read_what_they_share_once() {
        let own = Lengths::of([10; 20]);
        let readers = Readers { shared: 200, before: 60, own, ..Readers::default() };
        assert_eq!((readers.read(20), readers.read(10)), (400.0, 200.0));
        // One still reads what stands before it.
        assert_eq!((readers.read(1), readers.read(0)), (70.0, 0.0));
    }
}
