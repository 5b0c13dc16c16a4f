//! More stimuli about some passages than their share: what is asked in further rounds.

use bake_spec::recipe::{GeneratorKind, Outline, Target};

use super::ask::Asking;
use super::author::{Teacher, Writing};
use super::outline::Outlines;
use super::quota::Quota;
use super::{ASKED_OF_PASSAGE, Collecting, Stimulus};
use crate::bake::inputs::Passage;
use crate::error::Result;

impl Collecting<'_> {
    /// Adds more questions about passages, as many for each of these rounds as their share: those
    /// that follow in the outline, and those that the model writes with another seed. They come
    /// after all others, round by round. Returns how many they are.
    pub(super) fn further(&mut self, rounds: &[usize]) -> Result<usize> {
        let (first, told) = (self.stimuli.list.len(), self.stimuli.dropped.len());
        for round in 1..=rounds.iter().copied().max().unwrap_or_default() {
            let passages: Vec<usize> =
                (0..rounds.len()).filter(|&passage| rounds[passage] >= round).collect();
            if let Some(outline) = self.target.stimuli.outline() {
                self.further_outline(outline, round, &passages);
            }
            if let Some(ask) = self.target.stimuli.ask() {
                self.further_by_model(Writing::Ask(ask), ask.count, round, &passages)?;
            }
            if let Some(persona) = self.target.stimuli.persona() {
                self.further_by_model(Writing::Persona(persona), persona.count, round, &passages)?;
            }
        }
        // What was tried again is not news.
        self.stimuli.dropped.truncate(told);
        Ok(self.stimuli.list.len() - first)
    }

    fn further_outline(&mut self, outline: &Outline, round: usize, numbers: &[usize]) {
        let passages = &self.inputs.passages;
        let outlines = Outlines::of(passages, self.target.rollout.seed);
        let quota = outline.count.map(|count| Quota::new(count, passages.len()));
        for &number in numbers {
            let share = quota.map_or_else(|| outlines.size(number), |quota| quota.of(number));
            let mut left = share;
            for question in outlines.questions(number, share * (round + 1)) {
                if left > 0 && self.stimuli.is_new(&question) {
                    let span = passages[number].span.clone();
                    self.stimuli.add(Stimulus::new(&question, span, GeneratorKind::Outline));
                    left -= 1;
                }
            }
        }
    }

    fn further_by_model(
        &mut self,
        writing: Writing<'_>,
        declared: Option<usize>,
        round: usize,
        numbers: &[usize],
    ) -> Result<()> {
        let all = &self.inputs.passages;
        let share = declared.map_or(ASKED_OF_PASSAGE, |count| count.div_ceil(all.len()));
        let passages: Vec<Passage> = numbers.iter().map(|&number| all[number].clone()).collect();
        let target = with_seed(self.target, round as u64)?;
        let asking = Asking {
            author: Teacher::new(self.stages, writing, &target, &passages),
            generator: writing.kind(),
            target: &self.target.name,
            count: share * passages.len(),
            passages: &passages,
            writes: self.writes,
            monitor: self.stages.monitor,
        };
        self.complete &= asking.run(&mut self.stimuli)?.complete;
        Ok(())
    }
}

/// The same target with a seed that is so much higher.
fn with_seed(target: &Target, more: u64) -> Result<Target> {
    let seed = target.rollout.seed.wrapping_add(more);
    let rollout = target.rollout.with(|rollout| rollout.seed = seed)?;
    Ok(target.with(|target| target.rollout = rollout)?)
}
