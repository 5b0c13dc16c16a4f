//! What there is to do for a target, and how long its sequences are.

use bake_spec::recipe::{GeneratorKind, Target};

use super::lengths::Lengths;
use super::readers::{Readers, readers, start_of};
use super::speed::Speed;
use super::{PlannedSeconds, TargetPlan};
use crate::bake::gate::{chosen, decided, missing, try_some};
use crate::bake::inputs::{Inputs, Passage};
use crate::bake::probe::best;
use crate::bake::products::{KeptOfTarget, count_kept, learned_of_each};
use crate::bake::reading::Reading;
use crate::bake::recall::MOST_ASKED;
use crate::bake::rollout::Teachers;
use crate::bake::room::check_target;
use crate::bake::stages::Stages;
use crate::bake::stimuli::{SAMPLES, Stimulus};
use crate::error::Result;
use crate::generate::Completion;
use crate::generate::size::GroupSize;
use crate::model::Model;
use crate::text::template::Message;

/// Rollouts that are made to see how long they become, and the most tokens of each.
const TRIED: usize = 16;
const TRIED_TOKENS: usize = 128;

/// What stands for questions that the model has yet to write.
const STAND_IN: &str = "What does it say about this?";

/// The tokens of a sample, from which a question is read.
const QUESTION: usize = 12;

/// The work on a target.
pub(super) struct TargetWork {
    pub(super) plan: TargetPlan,
    /// What is read before the answers to probes that are missing, and some of these answers.
    probes: Lengths,
    probe_answers: Lengths,
    /// What teachers read that share the whole document, and those that read a passage each.
    readers: [Readers; 2],
    /// What the model reads to write a question.
    writers: Lengths,
    /// What the student reads before an answer.
    pub(super) student: Lengths,
    /// The tokens that all of it begins with.
    pub(super) start: Vec<u32>,
    /// All rollouts, and what passages say where that is learned.
    pub(super) answers: Lengths,
    /// About how many of them are not trained on.
    pub(super) held_out: usize,
    /// About how many of them are asked when the bake is done.
    examined: usize,
    /// Whether the whole document is read for that, for which there may be no room.
    examines_document: bool,
    /// Rollouts of a stimulus.
    times: usize,
    /// Answers to a stimulus that are learned.
    learned_of_each: usize,
}

impl TargetWork {
    /// Looks at what exists. Where rollouts are missing and it `tries`, some are made, or some
    /// probes are answered, and nothing of it is kept.
    pub(super) fn of(
        stages: &Stages<'_>,
        target: &Target,
        inputs: &Inputs,
        tries: bool,
    ) -> Result<Self> {
        let prompt_tokens = stages.model.encode(&Message::question(&inputs.prompt, ""))?.len();
        if tries {
            check_target(stages, target, inputs)?;
        }
        let decided = decided(stages, target, inputs)?;
        let probed = match decided {
            None if tries => try_some(stages, target, inputs)?,
            _ => Vec::new(),
        };
        let probe_answers = probed.iter().flat_map(|tried| &tried.answers);
        let probe_answers = Lengths::of(probe_answers.map(|answer| answer.completion.ids.len()));
        let (layout, probed) = match best(probed) {
            Some(best) => (best.layout, best.answers),
            None => {
                let layout = decided.map_or_else(|| chosen(stages, target, inputs), Ok)?;
                (layout, Vec::new())
            }
        };
        let reading = Reading::new(stages, target, inputs, layout)?;
        let kept = count_kept(stages, target, inputs, &reading)?;
        let teachers = Teachers::new(stages, target, &reading);
        let stand_ins: Vec<Stimulus> = match kept.stimuli.to_make {
            0 => Vec::new(),
            _ => inputs.passages.iter().map(stand_in).collect(),
        };
        let max_tokens = target.rollout.max_tokens(stages.model.config().context());
        let tried = match tries {
            true if !probed.is_empty() => {
                probed.into_iter().map(|answer| answer.completion).collect()
            }
            true => {
                let asked = stand_ins.iter().filter(|stimulus| !reading.is_verbatim(stimulus));
                let sample = spread(kept.unanswered.iter().chain(asked), TRIED);
                teachers.try_out(&sample, TRIED_TOKENS)?
            }
            false => Vec::new(),
        };
        let made = (kept.stimuli.kept + kept.stimuli.to_make).saturating_sub(inputs.stimuli.len());
        let held_out = held_out(stages, inputs, made);
        let shared = |stimulus: &Stimulus| {
            Ok(inputs.document.is_none() || reading.reads_document(stimulus)?)
        };
        let readers = readers(&teachers, shared, &kept, &stand_ins, &reading)?;
        let (student_lengths, start) = student(stages, &kept, &stand_ins)?;
        let mut work = Self {
            probes: Lengths::of(missing(stages, target, inputs)?),
            probe_answers,
            writers: writers(stages, inputs, readers[1])?,
            readers,
            student: student_lengths,
            start,
            answers: answers(&kept, &tried, max_tokens),
            held_out: held_out * learned_of_each(target, inputs),
            examined: if inputs.document.is_some() { held_out.min(MOST_ASKED) } else { 0 },
            examines_document: prompt_tokens + student_lengths.longest
                < stages.model.config().context(),
            times: target.rollout.answers,
            learned_of_each: learned_of_each(target, inputs),
            plan: TargetPlan {
                name: target.name.to_string(),
                prompt_tokens,
                written: inputs.stimuli.len(),
                made,
                max_tokens,
                stimuli: kept.stimuli,
                rollouts: kept.rollouts,
                states: kept.states,
                learned: kept.learned,
            },
        };
        if work.probe_answers.count == 0 {
            work.probe_answers = work.answers;
        }
        work.answers = work.answers.times(work.answers.count.max(work.plan.rollouts()));
        Ok(work)
    }

    /// What the student learns from.
    pub(super) fn sequences(&self) -> Lengths {
        let trained_on = self.plan.learned.saturating_sub(self.held_out);
        self.student.times(trained_on).followed_by(self.answers.times(self.plan.learned))
    }

    /// The most tokens that teachers read before a question.
    pub(super) fn before(&self) -> usize {
        let longest = |readers: &Readers| readers.before + readers.own.mean as usize;
        self.readers.iter().map(longest).max().unwrap_or(0)
    }

    /// Rollouts that are made together, where there are any to make.
    pub(super) fn together(&self) -> usize {
        GroupSize::answers_together(self.plan.rollouts.to_make)
    }

    /// Seconds for what is missing, without the training.
    pub(super) fn seconds(&self, speed: &Speed) -> PlannedSeconds {
        let samples = SAMPLES * self.plan.stimuli.to_make;
        let [document, passages] = self.readers;
        // Each passage is read with a few requests, however many samples are drawn.
        let stimuli = grown(speed, samples, QUESTION as f64, QUESTION)
            + samples as f64 * self.writers.mean * speed.read / 4.0;
        let mut rollouts = 0.0;
        for readers in [document, passages] {
            let made = readers.missing * self.times;
            rollouts += readers.read(readers.missing) * speed.read
                + grown(speed, made, self.answers.mean, self.answers.longest);
        }
        let all = document.own.count + passages.own.count;
        let states_of = |readers: Readers| {
            let stimuli = self.plan.states.to_make * readers.own.count / all.max(1);
            readers.read(stimuli) + stimuli as f64 * self.answers.mean
        };
        let states = states_of(document) + states_of(passages);
        let answered = |read: f64, answers: usize, lengths: Lengths| {
            read * speed.read + grown(speed, answers, lengths.mean, lengths.longest)
        };
        // The base model and the baked one read what the student reads; another reads the document,
        // and another a passage.
        let examined = self.examined as f64;
        let document = if self.examines_document { self.plan.prompt_tokens } else { 0 };
        let asked = (document + self.writers.mean as usize) as f64 + 3.0 * self.student.mean;
        PlannedSeconds {
            probes: answered(self.probes.sum(), self.probes.count, self.probe_answers),
            stimuli,
            rollouts,
            states: states * speed.read,
            training: 0.0,
            held_out: answered(examined * asked, 4 * self.examined, self.answers),
        }
    }

    /// The largest groups of answers that are made together: questions, and rollouts.
    pub(super) fn groups(&self, model: &Model) -> Vec<GroupSize> {
        let mut groups = Vec::new();
        let samples = GroupSize::answers_together(SAMPLES * self.plan.stimuli.to_make);
        if samples > 0 {
            groups.push(GroupSize {
                prefix: 0,
                prompts: samples,
                prompt_tokens: self.writers.times(samples).largest_sum(samples),
                answers: samples,
                answer_tokens: 2 * QUESTION * samples,
            });
        }
        for readers in self.readers {
            let answers = GroupSize::answers_together(readers.missing * self.times);
            if answers == 0 {
                continue;
            }
            let different = answers.div_ceil(self.times);
            groups.push(GroupSize {
                prefix: readers.shared_by(different),
                prompts: different,
                prompt_tokens: readers.own.largest_sum(different),
                answers,
                answer_tokens: self.answers.largest_sum(answers),
            });
        }
        // What is held out is asked in the end, also with the whole document and with a passage.
        let (examined, document) =
            (GroupSize::answers_together(self.examined), self.plan.prompt_tokens);
        for (prefix, prompts) in [(document, self.student), (0, self.writers)] {
            if examined > 0 && prefix + prompts.longest < model.config().context() {
                groups.push(GroupSize {
                    prefix,
                    prompts: examined,
                    prompt_tokens: prompts.times(examined).largest_sum(examined),
                    answers: examined,
                    answer_tokens: self.answers.times(examined).largest_sum(examined),
                });
            }
        }
        groups
    }

    /// What teachers read to compute states: the tokens that they share, those of all sequences,
    /// and those of the longest.
    pub(super) fn taught(&self) -> [[usize; 3]; 2] {
        self.readers.map(|Readers { before, own, .. }| {
            let learned = own.count * self.learned_of_each;
            let all = own.times(learned).followed_by(self.answers.times(self.plan.learned));
            [before, all.sum() as usize, all.longest]
        })
    }
}

/// The stimuli that are held out where each passage gives as many questions as the others, and
/// general requests their share.
fn held_out(stages: &Stages<'_>, inputs: &Inputs, made: usize) -> usize {
    let passages = inputs.passages.iter().filter(|passage| passage.span.is_some()).count();
    let of_each = (made / passages.max(1)) as f64 * stages.recipe.train.held_out;
    let is_general = |stimulus: &&Stimulus| stimulus.generator == GeneratorKind::General;
    let general = inputs.stimuli.iter().filter(is_general).count() as f64;
    of_each as usize * passages + (general * stages.recipe.train.held_out) as usize
}

/// Seconds in which so many answers grow.
fn grown(speed: &Speed, answers: usize, mean: f64, longest: usize) -> f64 {
    let groups = answers.div_ceil(GroupSize::answers_together(answers).max(1));
    (groups * longest) as f64 * speed.step + answers as f64 * mean * speed.token
}

fn stand_in(passage: &Passage) -> Stimulus {
    Stimulus::new(STAND_IN, passage.span.clone(), GeneratorKind::Ask)
}

/// At most so many of them, evenly spread.
fn spread<'a>(all: impl Iterator<Item = &'a Stimulus>, most: usize) -> Vec<Stimulus> {
    let all: Vec<&Stimulus> = all.collect();
    let count = all.len().min(most);
    (0..count).map(|i| all[i * all.len() / count].clone()).collect()
}

/// What the model reads to write a question: about what a teacher reads of one passage.
fn writers(stages: &Stages<'_>, inputs: &Inputs, readers: Readers) -> Result<Lengths> {
    if readers.prompts.count > 0 {
        return Ok(readers.prompts);
    }
    let mut lengths = Vec::with_capacity(inputs.passages.len());
    for passage in &inputs.passages {
        lengths.push(stages.model.encode(&Message::question(&passage.prompt, STAND_IN))?.len());
    }
    Ok(Lengths::of(lengths))
}

/// What the student reads before an answer, and the tokens that all of it begins with.
fn student(
    stages: &Stages<'_>,
    kept: &KeptOfTarget,
    stand_ins: &[Stimulus],
) -> Result<(Lengths, Vec<u32>)> {
    let prompt = |text: &str| stages.model.encode(&Message::question(&stages.recipe.student, text));
    let known = kept.answered.iter().map(|(stimulus, _)| stimulus).chain(&kept.unanswered);
    let known: Vec<_> = known.map(|s| prompt(&s.text)).collect::<Result<_>>()?;
    let guessed: Vec<_> = stand_ins.iter().map(|s| prompt(&s.text)).collect::<Result<_>>()?;
    // Questions that are not known yet have no word in common.
    let other = if guessed.is_empty() { None } else { Some(prompt("Yes")?) };
    let start = start_of(known.iter().chain(&guessed).chain(&other));
    let [known, guessed] =
        [known, guessed].map(|prompts| Lengths::of(prompts.iter().map(Vec::len)));
    Ok((known.and(guessed.times(kept.stimuli.to_make)), start))
}

/// The lengths of answers: those that exist, and answers that were tried out, of which one that
/// was cut before it had to end counts as half of what was left to it longer.
fn answers(kept: &KeptOfTarget, tried: &[Completion], max_tokens: usize) -> Lengths {
    let known = Lengths::of(kept.answered.iter().flat_map(|(_, lengths)| lengths).copied());
    let whole = |rollout: &Completion| match rollout.ended || rollout.ids.len() >= max_tokens {
        true => rollout.ids.len(),
        false => (rollout.ids.len() + max_tokens) / 2,
    };
    let tried = Lengths::of(tried.iter().map(whole)).times(match tried.is_empty() {
        true => 0,
        false => kept.rollouts.to_make,
    });
    match known.and(tried) {
        Lengths { count: 0, .. } => Lengths::of([max_tokens]),
        some => some,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::products::Kept;

    fn kept(rollouts: &[usize], to_make: usize) -> KeptOfTarget {
        let stimulus =
            |i: usize| Stimulus::new(&format!("Why {i}?"), None, GeneratorKind::Questions);
        let answered = |(i, &length): (usize, &usize)| (stimulus(i), vec![length]);
        KeptOfTarget {
            stimuli: Kept { kept: rollouts.len(), to_make: 0 },
            rollouts: Kept { kept: rollouts.len(), to_make },
            states: Kept::default(),
            learned: rollouts.len() + to_make,
            answered: rollouts.iter().enumerate().map(answered).collect(),
            unanswered: Vec::new(),
        }
    }

    fn rollout(length: usize, ended: bool) -> Completion {
        Completion { ids: vec![1; length], ended }
    }

    #[test]
    fn rollouts_that_exist_count_as_they_are_and_others_as_those_that_were_tried() {
        let lengths = answers(&kept(&[10, 20], 0), &[], 100);
        assert_eq!((lengths.count, lengths.mean, lengths.longest), (2, 15.0, 20));
        let tried = [rollout(40, true), rollout(60, true)];
        let lengths = answers(&kept(&[10, 20], 6), &tried, 100);
        assert_eq!((lengths.count, lengths.sum(), lengths.longest), (8, 330.0, 60));
        // Cut by the trial, and cut by the recipe.
        let tried = [rollout(TRIED_TOKENS, false)];
        assert_eq!(answers(&kept(&[], 1), &tried, 2 * TRIED_TOKENS).longest, 3 * TRIED_TOKENS / 2);
        assert_eq!(answers(&kept(&[], 1), &tried, TRIED_TOKENS).longest, TRIED_TOKENS);
        // Nothing is known.
        assert_eq!(answers(&kept(&[], 0), &[], 100).longest, 100);
    }

    #[test]
    fn a_sample_is_spread_evenly() {
        let all: Vec<Stimulus> =
            (0..10).map(|i| Stimulus::new(&i.to_string(), None, GeneratorKind::Ask)).collect();
        let texts = |most| {
            let sample = spread(all.iter(), most);
            sample.into_iter().map(|stimulus| stimulus.text).collect::<Vec<_>>().concat()
        };
        assert_eq!([texts(3), texts(5), texts(20)], ["036", "02468", "0123456789"]);
    }
}
