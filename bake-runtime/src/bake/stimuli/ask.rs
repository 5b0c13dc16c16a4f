//! Questions that the model writes about a document, a number of them about each of its passages.
//!
//! Every passage has its turn before any has to make up for what another could not give.

mod source;

use bake_spec::recipe::GeneratorKind;

use super::quota::Quota;
use super::{Stimulus, StimulusList};
use crate::bake::inputs::Passage;
use crate::bake::report::GeneratorReport;
use crate::error::Result;
use crate::progress::{Monitor, Stage};
pub(in crate::bake) use source::SAMPLES;
pub(super) use source::{Candidates, Draw, Sample};
use source::{QuestionSource, accepted, spread};

/// Samples that are drawn in one call of the author.
const DRAWN_TOGETHER: usize = 256;

/// How often passages are asked for replacements of questions that were there already.
const TURNS: usize = 8;

/// Who writes questions about passages, and keeps what was written.
pub(super) trait Author {
    /// What was kept when this many questions were wanted from a passage.
    fn kept(&self, passage: usize, wanted: usize) -> Result<Option<Candidates>>;

    /// Keeps what was found when this many questions were wanted from a passage.
    fn keep(&self, passage: usize, wanted: usize, candidates: &Candidates) -> Result<()>;

    /// The question in each sample, or why there is none. A sample depends only on its passage and
    /// number.
    fn write(&mut self, draws: &[Draw], monitor: Monitor<'_>) -> Result<Vec<Sample>>;
}

/// What became of one `ask`.
pub(super) struct Asked {
    pub(super) report: GeneratorReport,
    /// Whether this is all that there can be: nothing was left out because it was not kept.
    pub(super) complete: bool,
}

/// What one `ask` wants.
pub(super) struct Asking<'a, A> {
    pub(super) author: A,
    pub(super) generator: GeneratorKind,
    /// The target's name.
    pub(super) target: &'a str,
    /// How many questions.
    pub(super) count: usize,
    pub(super) passages: &'a [Passage],
    /// Whether missing questions are written; otherwise this only looks.
    pub(super) writes: bool,
    pub(super) monitor: Monitor<'a>,
}

impl<A: Author> Asking<'_, A> {
    /// Adds the questions: from each passage its quota, and then what some passages could not give
    /// from the others.
    pub(super) fn run(mut self, stimuli: &mut StimulusList) -> Result<Asked> {
        let quota = Quota::new(self.count, self.passages.len());
        let mut sources: Vec<QuestionSource> = (0..self.passages.len())
            .map(|passage| QuestionSource::new(quota.of(passage)))
            .collect();
        for _ in 0..TURNS {
            let more = sources.iter().map(QuestionSource::owed).collect::<Vec<_>>();
            if !self.turn(&mut sources, &more, "", stimuli)? {
                break;
            }
        }
        let mut report = GeneratorReport {
            wanted: self.count,
            passages: sources.len(),
            short_passages: sources.iter().filter(|s| s.accepted < s.quota).count(),
            made: accepted(&sources),
            ..GeneratorReport::new(self.generator, true)
        };
        // What the others have to give is known only when it is known what is missing.
        if sources.iter().any(|source| source.unknown) {
            return Ok(Asked { report, complete: false });
        }
        for _ in 0..TURNS {
            let more = spread(&sources, self.count - accepted(&sources));
            if !self.turn(&mut sources, &more, ", from other passages", stimuli)? {
                break;
            }
        }
        report.elsewhere = accepted(&sources) - report.made;
        report.made += report.elsewhere;
        Ok(Asked { report, complete: !sources.iter().any(|source| source.unknown) })
    }

    /// Gets `more` further questions from each passage, and adds those that are new; returns
    /// whether any were wanted.
    fn turn(
        &mut self,
        sources: &mut [QuestionSource],
        more: &[usize],
        which: &str,
        stimuli: &mut StimulusList,
    ) -> Result<bool> {
        let mut to_write = Vec::new();
        for (passage, &more) in more.iter().enumerate().filter(|(_, more)| **more > 0) {
            let source = &mut sources[passage];
            source.wanted += more;
            match self.author.kept(passage, source.wanted)? {
                Some(candidates) => source.continue_from(candidates),
                None if self.writes => to_write.push(passage),
                None => source.unknown = true,
            }
        }
        if !to_write.is_empty() {
            self.write(sources, to_write, which)?;
        }
        for (source, passage) in sources.iter_mut().zip(self.passages) {
            for question in &source.candidates.found[source.offered..] {
                let stimulus = Stimulus::new(question, passage.span.clone(), self.generator);
                source.accepted += usize::from(stimuli.add(stimulus));
            }
            source.offered = source.candidates.found.len();
            for (text, why) in &source.candidates.dropped[source.told..] {
                let stimulus = Stimulus::new(text, passage.span.clone(), self.generator);
                stimuli.drop(stimulus, *why);
            }
            source.told = source.candidates.dropped.len();
        }
        Ok(more.iter().any(|&more| more > 0))
    }

    /// Samples until these passages have what is wanted from them, or no samples are left.
    fn write(
        &mut self,
        sources: &mut [QuestionSource],
        mut open: Vec<usize>,
        which: &str,
    ) -> Result<()> {
        let stage = Stage {
            name: &format!("stimuli on {} by `{}`{which}", self.target, self.generator),
            target: self.target,
            total: open.iter().map(|&passage| sources[passage].lacking()).sum(),
            unit: "stimuli",
        };
        self.monitor.stage(stage, |ticker| {
            while !open.is_empty() {
                let draws: Vec<Draw> =
                    open.iter().flat_map(|&passage| sources[passage].draws(passage)).collect();
                for draws in draws.chunks(DRAWN_TOGETHER) {
                    let samples = self.author.write(draws, self.monitor)?;
                    for (draw, sample) in draws.iter().zip(samples) {
                        let new = sources[draw.passage].take(sample);
                        ticker.advance(usize::from(new), "")?;
                    }
                }
                let mut left = Vec::new();
                for passage in open {
                    let source = &sources[passage];
                    if source.lacking() > 0 && source.samples_left() > 0 {
                        left.push(passage);
                    } else {
                        self.author.keep(passage, source.wanted, &source.candidates)?;
                    }
                }
                open = left;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;
    use crate::bake::stimuli::DropReason;
    use crate::progress::{Interrupt, Silent};

    const NONE: Sample = Sample::Dropped { text: String::new(), why: DropReason::Unended };

    /// Writes for each passage what `sample` says, and counts what it writes.
    #[derive(Default)]
    struct Script<F> {
        sample: F,
        kept: RefCell<HashMap<(usize, usize), Candidates>>,
        written: RefCell<Vec<usize>>,
    }

    impl<F: Fn(Draw) -> Sample> Script<F> {
        fn new(sample: F) -> Self {
            Self { sample, kept: RefCell::default(), written: RefCell::default() }
        }
    }

    impl<F: Fn(Draw) -> Sample> Author for &Script<F> {
        fn kept(&self, passage: usize, wanted: usize) -> Result<Option<Candidates>> {
            Ok(self.kept.borrow().get(&(passage, wanted)).cloned())
        }

        fn keep(&self, passage: usize, wanted: usize, candidates: &Candidates) -> Result<()> {
            self.kept.borrow_mut().insert((passage, wanted), candidates.clone());
            Ok(())
        }

        fn write(&mut self, draws: &[Draw], _: Monitor<'_>) -> Result<Vec<Sample>> {
            self.written.borrow_mut().extend(draws.iter().map(|draw| draw.passage));
            Ok(draws.iter().map(|draw| (self.sample)(*draw)).collect())
        }
    }

    /// The questions of each passage, and what is reported.
    fn ask<F: Fn(Draw) -> Sample>(
        script: &Script<F>,
        count: usize,
        sections: usize,
        held_out: &[&str],
    ) -> (Vec<Vec<String>>, GeneratorReport) {
        let passages: Vec<Passage> =
            (0..sections).map(|i| Passage { span: Some(i..i + 1), ..Passage::default() }).collect();
        let interrupt = Interrupt::new();
        let monitor = Monitor { progress: &Silent, interrupt: &interrupt };
        let mut stimuli = StimulusList::without(held_out.iter().copied());
        let asking = Asking {
            author: script,
            generator: GeneratorKind::Ask,
            target: "t",
            count,
            passages: &passages,
            writes: true,
            monitor,
        };
        let report = asking.run(&mut stimuli).unwrap().report;
        let mut of_passages = vec![Vec::new(); sections];
        for stimulus in stimuli.list {
            of_passages[stimulus.passage.unwrap().start].push(stimulus.text);
        }
        (of_passages, report)
    }

    fn question(draw: Draw) -> Sample {
        Sample::Question(format!("Passage {} number {}", draw.passage, draw.sample))
    }

    fn question_if(asked: bool, draw: Draw) -> Sample {
        if asked { question(draw) } else { NONE }
    }

    #[test]
    fn every_section_is_asked_about_whatever_their_number() {
        for sections in [1, 2, 26, 33, 60, 99, 100, 1000] {
            // Two of five samples cannot be used.
            let script = Script::new(|draw| question_if(draw.sample % 5 > 1, draw));
            let (of_passages, report) = ask(&script, 100, sections, &[]);
            let quota = Quota::new(100, sections);
            for (passage, questions) in of_passages.iter().enumerate() {
                assert_eq!(questions.len(), quota.of(passage), "{passage} of {sections}");
            }
            assert_eq!((report.wanted, report.made, report.elsewhere), (100, 100, 0));
            assert_eq!((report.passages, report.short_passages), (sections, 0));
        }
    }

    #[test]
    fn what_a_section_cannot_give_comes_from_others_after_all_had_their_turn() {
        // The first section gives a single question, the second none.
        let script = Script::new(|draw| match draw.passage {
            0 => Sample::Question("Always the same".to_owned()),
            1 => NONE,
            _ => question(draw),
        });
        let (of_passages, report) = ask(&script, 40, 10, &[]);
        assert_eq!((of_passages[0].len(), of_passages[1].len()), (1, 0));
        assert_eq!((report.made, report.elsewhere, report.short_passages), (40, 7, 2));
        // Seven more over eight sections.
        assert!(of_passages[2..].iter().all(|questions| (4..=5).contains(&questions.len())));
        let written = script.written.borrow();
        let last_first_turn = written.iter().rposition(|&passage| passage < 2).unwrap();
        assert_eq!(
            (2..10).filter(|passage| written[..last_first_turn].contains(passage)).count(),
            8,
            "all had their turn before"
        );
    }

    #[test]
    fn questions_that_no_section_can_give_are_reported_as_missing() {
        let script = Script::new(|draw| question_if(draw.sample == 0, draw));
        let (of_passages, report) = ask(&script, 30, 10, &[]);
        assert!(of_passages.iter().all(|questions| questions.len() == 1));
        assert_eq!((report.made, report.elsewhere, report.short_passages), (10, 0, 10));
        assert_eq!(report.missing(), 20);
    }

    #[test]
    fn a_section_replaces_what_is_held_out_or_was_asked_of_another() {
        let script = Script::new(|draw| match draw.sample {
            0 => Sample::Question("What is it?".to_owned()),
            _ => question(draw),
        });
        let (of_passages, report) = ask(&script, 20, 10, &["Passage 3 number 1"]);
        assert!(of_passages.iter().all(|questions| questions.len() == 2), "{of_passages:?}");
        assert!(!of_passages[3].contains(&"Passage 3 number 1".to_owned()));
        assert_eq!((report.made, report.elsewhere), (20, 0));
    }

    #[test]
    fn what_is_kept_is_not_written_again_and_gives_the_same() {
        let script = Script::new(|draw| question_if(draw.sample % 3 > 0, draw));
        let (first, _) = ask(&script, 30, 7, &["Passage 2 number 1"]);
        script.written.borrow_mut().clear();
        assert_eq!(ask(&script, 30, 7, &["Passage 2 number 1"]).0, first);
        assert!(script.written.borrow().is_empty());
        // A larger number starts with the questions of the smaller one.
        let (more, _) = ask(&script, 60, 7, &["Passage 2 number 1"]);
        for (more, first) in more.iter().zip(&first) {
            assert_eq!(&more[..first.len()], first);
        }
    }

    #[test]
    fn what_is_not_asked_is_mentioned_once_with_its_reason() {
        let script = Script::new(|draw| match draw.sample {
            0 => Sample::Question("How long does the lamp shine?".to_owned()),
            1 => Sample::Question("How long does it shine, the lamp?".to_owned()),
            2 => Sample::Question("how long does the lamp shine".to_owned()),
            3 | 4 => Sample::dropped("It shines. ", DropReason::NoQuestion),
            _ => question(draw),
        });
        let interrupt = Interrupt::new();
        let asking = Asking {
            author: &script,
            generator: GeneratorKind::Persona,
            target: "t",
            count: 3,
            passages: &[Passage { span: Some(0..1), ..Passage::default() }],
            writes: true,
            monitor: Monitor { progress: &Silent, interrupt: &interrupt },
        };
        let mut stimuli = StimulusList::without(std::iter::empty());
        assert_eq!(asking.run(&mut stimuli).unwrap().report.made, 3);
        let dropped: Vec<(&str, DropReason)> =
            stimuli.dropped.iter().map(|it| (it.stimulus.text.as_str(), it.why)).collect();
        assert_eq!(
            dropped,
            [
                ("How long does it shine, the lamp?", DropReason::Similar),
                ("how long does the lamp shine", DropReason::Repeated),
                ("It shines.", DropReason::NoQuestion),
            ]
        );
        assert!(stimuli.dropped.iter().all(|it| it.stimulus.generator == GeneratorKind::Persona));
    }
}
