//! Stimuli: the questions whose answers are baked in, with where they came from.

mod ask;
mod author;
pub(crate) mod everyday;
mod filter;
mod further;
pub(crate) mod general;
mod outline;
mod phrases;
mod quota;
mod rephrase;
mod table;
pub(crate) mod unanswerable;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use bake_spec::recipe::{
    GeneratorKind, Outline, PassageVariables, Rephrase, Target, Template, Unanswerable,
    normalised_question,
};
use serde::{Deserialize, Serialize};

use super::reading::Reading;
use super::report::GeneratorReport;
use super::stages::Stages;
use crate::bake::inputs::{Inputs, Passage};
use crate::error::{Error, ErrorKind, Result};
use ask::Asking;
pub(super) use ask::SAMPLES;
use author::{Teacher, Writing};
use outline::Outlines;
pub(super) use outline::lexicon::is_english;
pub(super) use phrases::Phrases;
use quota::Quota;
pub(super) use quota::spread;
use rephrase::{Originals, Rephraser};

/// Questions that the model writes about each passage of a document, and without a document, where
/// the declaration does not say how many.
const ASKED_OF_PASSAGE: usize = 4;
const ASKED_WITHOUT_DOCUMENT: usize = 40;

/// Questions about each passage that no passage answers, and the fewest about a document, where the
/// declaration does not say how many.
const UNANSWERABLE_OF_PASSAGE: usize = 5;
const FEWEST_UNANSWERABLE: usize = 20;

/// A question, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stimulus {
    /// The question.
    pub text: String,
    /// The bytes of the document's text that it was made from. The teacher that answers it reads
    /// these; where there are none, it reads the whole document.
    pub passage: Option<Range<usize>>,
    /// What made it.
    pub generator: GeneratorKind,
}

impl Stimulus {
    pub(crate) fn new(text: &str, passage: Option<Range<usize>>, generator: GeneratorKind) -> Self {
        Self { text: text.trim().to_owned(), passage, generator }
    }
}

/// A question that is not asked, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The question.
    #[serde(flatten)]
    pub stimulus: Stimulus,
    /// Why it is not asked.
    pub why: DropReason,
}

/// Why a question is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// An `expect` holds it out.
    HeldOut,
    /// It is there already, but for case, punctuation and spaces.
    Repeated,
    /// It has no words.
    Empty,
    /// The model did not end it.
    Unended,
    /// It asks nothing.
    NoQuestion,
    /// It has no word of its passage.
    OffTopic,
    /// Another question of the same passage has nearly the same words.
    Similar,
    /// The teacher does not answer it as the question that it says in other words.
    OtherAnswer,
}

/// For people, of one question.
impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::HeldOut => "asked by an `expect`",
            Self::Repeated => "duplicate",
            Self::Empty => "empty",
            Self::Unended => "unfinished",
            Self::NoQuestion => "not a question",
            Self::OffTopic => "off topic",
            Self::Similar => "near-duplicate",
            Self::OtherAnswer => "answered differently than the original question",
        })
    }
}

impl DropReason {
    /// So many of them, for people: `7 duplicates`.
    pub(super) fn counted(self, count: usize) -> String {
        match self {
            Self::Repeated if count != 1 => format!("{count} duplicates"),
            Self::NoQuestion if count != 1 => format!("{count} not questions"),
            Self::Similar if count != 1 => format!("{count} near-duplicates"),
            _ => format!("{count} {self}"),
        }
    }
}

/// The stimuli of a target.
pub(super) struct Collected {
    pub(super) list: Vec<Stimulus>,
    /// How many of them, the last ones, were made for further rounds.
    pub(super) further: usize,
    /// What was made and is not asked.
    pub(super) dropped: Vec<Dropped>,
    /// What became of each generator that makes questions.
    pub(super) reports: Vec<GeneratorReport>,
    /// Whether these are all: otherwise some have yet to be written.
    pub(super) complete: bool,
}

/// The stimuli of a target, generator by generator. No two are the same, and none is one that the
/// recipe holds out.
///
/// `rounds` are, for each passage, the further rounds for which it has more than its share; there
/// are none where it is empty. Unless `writes` is set, those that the model writes are only those
/// that are kept in the store.
pub(super) fn collect(
    stages: &Stages<'_>,
    target: &Target,
    inputs: &Inputs,
    reading: &Reading<'_>,
    rounds: &[usize],
    writes: bool,
) -> Result<Collected> {
    let span = tracing::info_span!("stimuli", bake.target = &*target.name);
    let _entered = span.enter();
    let mut collecting = Collecting {
        stages,
        target,
        inputs,
        writes,
        stimuli: StimulusList::without(stages.recipe.held_out()),
        reports: Vec::new(),
        complete: true,
    };
    for stimulus in &inputs.stimuli {
        collecting.stimuli.add(stimulus.clone());
    }
    if let Some(outline) = target.stimuli.outline() {
        collecting.outline(outline);
    }
    if let Some(template) = target.stimuli.template() {
        collecting.template(template)?;
    }
    if let Some(ask) = target.stimuli.ask() {
        collecting.by_model(Writing::Ask(ask), ask.count)?;
    }
    if let Some(persona) = target.stimuli.persona() {
        collecting.by_model(Writing::Persona(persona), persona.count)?;
    }
    if let Some(rephrase) = target.stimuli.rephrase() {
        collecting.rephrase(rephrase, reading)?;
    }
    if let Some(unanswerable) = target.stimuli.unanswerable() {
        collecting.unanswerable(unanswerable);
    }
    let further = collecting.further(rounds)?;
    let Collecting { stimuli, mut reports, complete, .. } = collecting;
    let StimulusList { list, dropped, .. } = stimuli;
    for report in &mut reports {
        let own = dropped.iter().filter(|it| it.stimulus.generator == report.generator);
        for Dropped { why, .. } in own {
            *report.dropped.entry(*why).or_default() += 1;
        }
    }
    Ok(Collected { list, further, dropped, reports, complete })
}

/// The stimuli of a target as far as they were made.
struct Collecting<'a> {
    stages: &'a Stages<'a>,
    target: &'a Target,
    inputs: &'a Inputs,
    writes: bool,
    stimuli: StimulusList,
    reports: Vec<GeneratorReport>,
    complete: bool,
}

impl Collecting<'_> {
    fn outline(&mut self, outline: &Outline) {
        let passages = &self.inputs.passages;
        let outlines = Outlines::of(passages, self.target.rollout.seed);
        let quota = outline.count.map(|count| Quota::new(count, passages.len()));
        let mut report = GeneratorReport::new(GeneratorKind::Outline, outline.count.is_some());
        report.passages = passages.len();
        for (number, passage) in passages.iter().enumerate() {
            let wanted = quota.map_or_else(|| outlines.size(number), |quota| quota.of(number));
            let made = report.made;
            for question in outlines.questions(number, wanted) {
                let span = passage.span.clone();
                let stimulus = Stimulus::new(&question, span, GeneratorKind::Outline);
                report.made += usize::from(self.stimuli.add(stimulus));
            }
            report.short_passages += usize::from(report.made - made < wanted);
            report.wanted += wanted;
        }
        self.reports.push(report);
    }

    /// Questions that a template makes of each passage.
    fn template(&mut self, template: &Template) -> Result<()> {
        // Who has none has no template either.
        let Some(document) = &self.target.document else { return Ok(()) };
        let template = template.read()?;
        let mut report = GeneratorReport::new(GeneratorKind::Template, false);
        report.passages = self.inputs.passages.len();
        for (number, passage) in self.inputs.passages.iter().enumerate() {
            let made = report.made;
            let variables = PassageVariables {
                path: passage.titles.iter().chain(&passage.heading).map(String::as_str).collect(),
                text: &passage.text,
                document: document.name(),
                index: number + 1,
            };
            for question in template.questions(variables)? {
                let span = passage.span.clone();
                let stimulus = Stimulus::new(&question, span, GeneratorKind::Template);
                report.made += usize::from(self.stimuli.add(stimulus));
            }
            report.short_passages += usize::from(report.made == made);
        }
        report.wanted = report.made;
        self.reports.push(report);
        Ok(())
    }

    /// Questions that the model writes, as many as are declared.
    fn by_model(&mut self, writing: Writing<'_>, declared: Option<usize>) -> Result<()> {
        let passages = &self.inputs.passages;
        let standard = match self.target.document {
            Some(_) => ASKED_OF_PASSAGE * passages.len(),
            None => ASKED_WITHOUT_DOCUMENT,
        };
        let asking = Asking {
            author: Teacher::new(self.stages, writing, self.target, passages),
            generator: writing.kind(),
            target: &self.target.name,
            count: declared.unwrap_or(standard),
            passages,
            writes: self.writes,
            monitor: self.stages.monitor,
        };
        let result = asking.run(&mut self.stimuli)?;
        self.complete &= result.complete;
        self.reports.push(GeneratorReport { declared: declared.is_some(), ..result.report });
        Ok(())
    }

    /// What there is so far in other words.
    fn rephrase(&mut self, rephrase: &Rephrase, reading: &Reading<'_>) -> Result<()> {
        let mut before = Vec::with_capacity(self.stimuli.list.len());
        for stimulus in &self.stimuli.list {
            if rephrase::has_room(self.stages, self.target, reading, stimulus)? {
                before.push(stimulus.clone());
            }
        }
        let originals = Originals::of(&before, &self.inputs.passages);
        let passages: Vec<Passage> = originals.iter().map(|it| it.passage.clone()).collect();
        let count = rephrase.count.unwrap_or(ASKED_OF_PASSAGE * passages.len());
        if !self.complete {
            // What others have yet to write is to be said in other words too.
            let mut report =
                GeneratorReport::new(GeneratorKind::Rephrase, rephrase.count.is_some());
            (report.wanted, report.passages) = (count, passages.len());
            self.reports.push(report);
            return Ok(());
        }
        let of = (self.target, self.inputs);
        let asking = Asking {
            author: Rephraser::new(self.stages, rephrase, of, reading, &originals),
            generator: GeneratorKind::Rephrase,
            target: &self.target.name,
            count,
            passages: &passages,
            writes: self.writes,
            monitor: self.stages.monitor,
        };
        let result = asking.run(&mut self.stimuli)?;
        self.complete &= result.complete;
        let declared = rephrase.count.is_some();
        self.reports.push(GeneratorReport { declared, ..result.report });
        Ok(())
    }

    fn unanswerable(&mut self, unanswerable: &Unanswerable) {
        let Inputs { passages, others, told, .. } = self.inputs;
        let standard = (UNANSWERABLE_OF_PASSAGE * passages.len()).max(FEWEST_UNANSWERABLE);
        let count = unanswerable.count.unwrap_or(standard);
        let seed = self.target.rollout.seed;
        let mut report =
            GeneratorReport::new(GeneratorKind::Unanswerable, unanswerable.count.is_some());
        (report.wanted, report.passages) = (count, passages.len());
        for it in unanswerable::unanswered(passages, others, told, count, seed) {
            let span = passages[it.passage].span.clone();
            let stimulus = Stimulus::new(&it.question, span, GeneratorKind::Unanswerable);
            report.made += usize::from(self.stimuli.add(stimulus));
        }
        self.reports.push(report);
    }
}

/// It is an error if there are none.
pub(super) fn check_any(
    target: &Target,
    stimuli: &[Stimulus],
    reports: &[GeneratorReport],
) -> Result<()> {
    if !stimuli.is_empty() {
        return Ok(());
    }
    let name = &target.name;
    let asked = |report: &&GeneratorReport| report.generator.is_by_model() && report.wanted > 0;
    let message = match reports.iter().find(asked) {
        Some(GeneratorReport { generator, wanted, .. }) => format!(
            "the model wrote none of the {wanted} questions that `{generator}` requests for target \
             `{name}`; check its chat template and `eos_token_id`, or add `questions [\"…\"];`"
        ),
        None => {
            format!("target `{name}` has no questions; add `questions [\"…\"];` or `ask 40;` to it")
        }
    };
    Err(Error::new(ErrorKind::Recipe, message))
}

/// Stimuli in the order in which they came, each once.
pub(super) struct StimulusList {
    list: Vec<Stimulus>,
    dropped: Vec<Dropped>,
    held_out: HashSet<String>,
    seen: HashSet<String>,
}

impl StimulusList {
    /// None yet, and never any of these.
    fn without<'a>(held_out: impl Iterator<Item = &'a str>) -> Self {
        let held_out = held_out.map(normalised_question).collect();
        Self { list: Vec::new(), dropped: Vec::new(), held_out, seen: HashSet::new() }
    }

    /// Whether a question can still be added.
    fn is_new(&self, question: &str) -> bool {
        let key = normalised_question(question);
        !key.is_empty() && !self.held_out.contains(&key) && !self.seen.contains(&key)
    }

    /// Adds a stimulus unless it, or one that differs only in case, punctuation or spaces, is there
    /// already or held out; returns whether it was added.
    fn add(&mut self, stimulus: Stimulus) -> bool {
        let key = normalised_question(&stimulus.text);
        let why = if key.is_empty() {
            DropReason::Empty
        } else if self.held_out.contains(&key) {
            DropReason::HeldOut
        } else if !self.seen.insert(key) {
            DropReason::Repeated
        } else {
            self.list.push(stimulus);
            return true;
        };
        self.drop(stimulus, why);
        false
    }

    /// Notes a stimulus that is not asked.
    fn drop(&mut self, stimulus: Stimulus, why: DropReason) {
        self.dropped.push(Dropped { stimulus, why });
    }
}

/// How many questions were dropped, by reason.
pub(super) type DropCounts = BTreeMap<DropReason, usize>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_counts_once_and_held_out_ones_never() {
        let mut stimuli = StimulusList::without(["How do I reset it?"].into_iter());
        let mut add = |text| stimuli.add(Stimulus::new(text, None, GeneratorKind::Questions));
        assert!(add("My iPhone won't turn on"));
        assert!(!add("  my iphone won’t turn on!"));
        assert!(!add("how do I reset it"));
        assert!(!add("?!"));
        assert!(add(" Why? "));
        let why: Vec<DropReason> = stimuli.dropped.iter().map(|dropped| dropped.why).collect();
        assert_eq!(why, [DropReason::Repeated, DropReason::HeldOut, DropReason::Empty]);
        let texts: Vec<String> = stimuli.list.into_iter().map(|s| s.text).collect();
        assert_eq!(texts, ["My iPhone won't turn on", "Why?"]);
    }
}
