//! What one passage has given so far, and what it can still give.

use std::collections::HashSet;

use bake_spec::recipe::normalised_question;
use serde::{Deserialize, Serialize};

use crate::bake::stimuli::DropReason;
use crate::bake::stimuli::filter::nearly_the_same;
use crate::bake::stimuli::quota::Quota;
use crate::bake::support::ContentWords;

/// Samples that are drawn at once for each question that a passage lacks.
pub(in crate::bake) const SAMPLES: usize = 2;

/// The most samples for each question that is wanted of a passage: a few lines do not give
/// unlimited questions.
const MOST_SAMPLES: usize = 16;

/// What the author wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::bake::stimuli) enum Sample {
    /// A question.
    Question(String),
    /// Something else.
    Dropped { text: String, why: DropReason },
}

impl Sample {
    pub(in crate::bake::stimuli) fn dropped(text: &str, why: DropReason) -> Self {
        Self::Dropped { text: text.trim().to_owned(), why }
    }
}

/// A sample of a passage.
#[derive(Clone, Copy, Debug)]
pub(in crate::bake::stimuli) struct Draw {
    pub(in crate::bake::stimuli) passage: usize,
    pub(in crate::bake::stimuli) sample: usize,
}

/// The different questions that one passage has given. Asked for fewer, it gives the first of those
/// that it would give if asked for more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::bake::stimuli) struct Candidates {
    /// The samples that were looked at.
    samples: usize,
    pub(super) found: Vec<String>,
    /// What was written and is not asked.
    pub(super) dropped: Vec<(String, DropReason)>,
}

/// A passage in progress.
pub(super) struct QuestionSource {
    /// Its share of the questions.
    pub(super) quota: usize,
    /// The questions wanted from it so far.
    pub(super) wanted: usize,
    pub(super) candidates: Candidates,
    /// The candidates, as [`normalised_question`] writes them, and their words.
    seen: HashSet<String>,
    words: Vec<ContentWords>,
    /// The candidates that were offered so far, and those of them that were new.
    pub(super) offered: usize,
    pub(super) accepted: usize,
    /// What was dropped and mentioned so far.
    pub(super) told: usize,
    /// Whether its questions were not kept and must not be written.
    pub(super) unknown: bool,
}

impl QuestionSource {
    pub(super) fn new(quota: usize) -> Self {
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

    pub(super) fn continue_from(&mut self, candidates: Candidates) {
        self.seen = candidates.found.iter().map(|found| normalised_question(found)).collect();
        self.words = candidates.found.iter().map(|found| ContentWords::of(found)).collect();
        self.candidates = candidates;
    }

    /// What it has to give to complete its share, if it can give any more.
    pub(super) fn owed(&self) -> usize {
        if self.exhausted() { 0 } else { self.quota.saturating_sub(self.accepted) }
    }

    /// What was wanted and has not been found.
    pub(super) fn lacking(&self) -> usize {
        self.wanted.saturating_sub(self.candidates.found.len())
    }

    /// Whether it has given all that it can.
    fn exhausted(&self) -> bool {
        self.unknown || self.lacking() > 0
    }

    /// The samples that may still be drawn for what is wanted from it.
    pub(super) fn samples_left(&self) -> usize {
        MOST_SAMPLES.saturating_mul(self.wanted).saturating_sub(self.candidates.samples)
    }

    /// The next samples of it.
    pub(super) fn draws(&self, passage: usize) -> impl Iterator<Item = Draw> + use<> {
        let first = self.candidates.samples;
        let count = SAMPLES.saturating_mul(self.lacking()).min(self.samples_left());
        (first..first + count).map(move |sample| Draw { passage, sample })
    }

    /// Looks at the next sample; returns whether it gave another question. Once everything wanted
    /// has been found, later samples are dropped as if they had not been drawn.
    pub(super) fn take(&mut self, sample: Sample) -> bool {
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

pub(super) fn accepted(sources: &[QuestionSource]) -> usize {
    sources.iter().map(|source| source.accepted).sum()
}

/// The shares in `missing` of the passages that can give more, in the order of the passages.
pub(super) fn spread(sources: &[QuestionSource], missing: usize) -> Vec<usize> {
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
