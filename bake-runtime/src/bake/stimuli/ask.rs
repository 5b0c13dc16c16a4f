//! Questions that the model writes about a document, a number of them about each of its passages.
//!
//! Every passage has its turn before any has to make up for what another could not give.

use std::collections::HashSet;

use bake_spec::recipe::{GeneratorKind, normalised_question};
use serde::{Deserialize, Serialize};

use super::filter::nearly_the_same;
use super::quota::Quota;
use super::{DropReason, Stimuli, Stimulus};
use crate::bake::report::GeneratorReport;
use crate::bake::support::ContentWords;
use crate::error::Result;
use crate::inputs::Passage;
use crate::progress::{Monitor, Stage};

/// Samples that are drawn at once for each question that a passage lacks.
const SAMPLES: usize = 2;

/// The most samples for each question that is wanted of a passage: a few lines do not give
/// unlimited questions.
const MOST_SAMPLES: usize = 16;

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

/// What the author wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Sample {
    /// A question.
    Question(String),
    /// Something else.
    Dropped { text: String, why: DropReason },
}

impl Sample {
    pub(super) fn dropped(text: &str, why: DropReason) -> Self {
        Self::Dropped { text: text.trim().to_owned(), why }
    }
}

/// A sample of a passage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub(super) passage: usize,
    pub(super) sample: usize,
}

/// The different questions that one passage has given. Asked for fewer, it gives the first of those
/// that it would give if asked for more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Candidates {
    /// The samples that were looked at.
    samples: usize,
    found: Vec<String>,
    /// What was written and is not asked.
    dropped: Vec<(String, DropReason)>,
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
    pub(super) fn run(mut self, stimuli: &mut Stimuli) -> Result<Asked> {
        let quota = Quota::new(self.count, self.passages.len());
        let mut sources: Vec<Source> =
            (0..self.passages.len()).map(|passage| Source::new(quota.of(passage))).collect();
        for _ in 0..TURNS {
            let more = sources.iter().map(Source::owed).collect::<Vec<_>>();
            if !self.turn(&mut sources, &more, "", stimuli)? {
                break;
            }
        }
        let mut report = GeneratorReport {
            wanted: self.count,
            passages: sources.len(),
            short_passages: sources.iter().filter(|s| s.accepted < s.quota).count(),
            made: accepted(&sources),
            ..GeneratorReport::new(self.generator, Some(self.count))
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
        sources: &mut [Source],
        more: &[usize],
        which: &str,
        stimuli: &mut Stimuli,
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
    fn write(&mut self, sources: &mut [Source], mut open: Vec<usize>, which: &str) -> Result<()> {
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

/// A passage in progress.
struct Source {
    /// Its share of the questions.
    quota: usize,
    /// The questions wanted from it so far.
    wanted: usize,
    candidates: Candidates,
    /// The candidates, as [`normalised_question`] writes them, and their words.
    seen: HashSet<String>,
    words: Vec<ContentWords>,
    /// The candidates that were offered so far, and those of them that were new.
    offered: usize,
    accepted: usize,
    /// What was dropped and mentioned so far.
    told: usize,
    /// Whether its questions were not kept and must not be written.
    unknown: bool,
}

impl Source {
    fn new(quota: usize) -> Self {
        Self {
            quota,
            wanted: 0,
            candidates: Candidates::default(),
            seen: HashSet::new(),
            words: Vec::new(),
            offered: 0,
            accepted: 0,
            told: 0,
            unknown: false,
        }
    }

    fn continue_from(&mut self, candidates: Candidates) {
        self.seen = candidates.found.iter().map(|found| normalised_question(found)).collect();
        self.words = candidates.found.iter().map(|found| ContentWords::of(found)).collect();
        self.candidates = candidates;
    }

    /// What it has to give to complete its share, if it can give any more.
    fn owed(&self) -> usize {
        if self.exhausted() { 0 } else { self.quota.saturating_sub(self.accepted) }
    }

    /// What was wanted and has not been found.
    fn lacking(&self) -> usize {
        self.wanted.saturating_sub(self.candidates.found.len())
    }

    /// Whether it has given all that it can.
    fn exhausted(&self) -> bool {
        self.unknown || self.lacking() > 0
    }

    /// The samples that may still be drawn for what is wanted from it.
    fn samples_left(&self) -> usize {
        MOST_SAMPLES.saturating_mul(self.wanted).saturating_sub(self.candidates.samples)
    }

    /// The next samples of it.
    fn draws(&self, passage: usize) -> impl Iterator<Item = Draw> + use<> {
        let first = self.candidates.samples;
        let count = SAMPLES.saturating_mul(self.lacking()).min(self.samples_left());
        (first..first + count).map(move |sample| Draw { passage, sample })
    }

    /// Looks at the next sample; returns whether it gave another question. Once everything wanted
    /// has been found, later samples are dropped as if they had not been drawn.
    fn take(&mut self, sample: Sample) -> bool {
        if self.lacking() == 0 {
            return false;
        }
        self.candidates.samples += 1;
        let (text, why) = match sample {
            Sample::Dropped { text, why } => (text, why),
            Sample::Question(question) => {
                let words = ContentWords::of(&question);
                if !self.seen.insert(normalised_question(&question)) {
                    (question, DropReason::Repeated)
                } else if self.words.iter().any(|other| nearly_the_same(other, &words)) {
                    (question, DropReason::Similar)
                } else {
                    self.candidates.found.push(question);
                    self.words.push(words);
                    return true;
                }
            }
        };
        // Each is mentioned once.
        if !self.candidates.dropped.iter().any(|(other, _)| *other == text) {
            self.candidates.dropped.push((text, why));
        }
        false
    }
}

fn accepted(sources: &[Source]) -> usize {
    sources.iter().map(|source| source.accepted).sum()
}

/// The shares in `missing` of the passages that can give more, in the order of the passages.
fn spread(sources: &[Source], missing: usize) -> Vec<usize> {
    let open = sources.iter().filter(|source| !source.exhausted()).count();
    let (quota, mut place, mut shares) = (Quota::new(missing, open), 0, Vec::new());
    for source in sources {
        if source.exhausted() {
            shares.push(0);
        } else {
            shares.push(quota.of(place));
            place += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;
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
        let mut stimuli = Stimuli::without(held_out.iter().copied());
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
        for stimulus in stimuli.into_list() {
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
        let mut stimuli = Stimuli::without(std::iter::empty());
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
