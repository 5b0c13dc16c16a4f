//! What the targets of a recipe are learned from: documents, their passages, and what is written
//! down to be asked.

use std::ops::Range;
use std::sync::Arc;

use bake_spec::recipe::{GeneratorKind, Prompt, Recipe, Target};
use bake_spec::text::section;
use bake_spec::text::unwrap::unwrapped;

use super::stimuli::unanswerable::{Told, things};
use super::stimuli::{Stimulus, everyday::EVERYDAY, general::GENERAL};
use crate::error::Result;
use crate::inputs::{read_dataset, read_document};

/// What a target is learned from.
pub(crate) struct Inputs {
    /// What a teacher that reads the whole document in its system turn reads before a question.
    pub(crate) prompt: Prompt,
    /// The text of the document.
    pub(crate) document: Option<String>,
    /// The same as a teacher reads it.
    pub(crate) read: Option<String>,
    /// The passages that questions are made from and teachers read, in the order of the document.
    pub(crate) passages: Vec<Passage>,
    /// The stimuli that are written down, in the recipe, in files and in the tables of everyday and
    /// general requests.
    pub(crate) stimuli: Vec<Stimulus>,
    /// What the passages of all targets tell.
    pub(crate) told: Arc<Told>,
    /// What the passages of other targets are about.
    pub(crate) others: Vec<String>,
}

/// A section of a document, or a part of a long one, as a teacher reads it by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Passage {
    /// Its bytes in the document's text; none where the target has no document.
    pub(crate) span: Option<Range<usize>>,
    /// The words of the headings above it, from the document's title down, and of its own.
    pub(crate) titles: Vec<String>,
    /// The words of its heading.
    pub(crate) heading: Option<String>,
    /// Its own text, which begins with its heading.
    pub(crate) own: String,
    /// The headings above it and its own, as written.
    pub(crate) headings: String,
    /// Its text below its heading.
    pub(crate) body: String,
    /// Its headings and its text: what a model reads of it.
    pub(crate) text: String,
    /// What a teacher that reads it reads before a question: the target's prompt, with the headings
    /// above it, and its text, in the system turn.
    pub(crate) prompt: Prompt,
}

impl Inputs {
    /// The passage that a stimulus was made from, and its number.
    pub(crate) fn passage_of(&self, stimulus: &Stimulus) -> Option<(usize, &Passage)> {
        let span = stimulus.passage.as_ref()?;
        let of = |(_, passage): &(usize, &Passage)| passage.span.as_ref() == Some(span);
        self.passages.iter().enumerate().find(of)
    }

    /// The inputs of all targets of a recipe.
    ///
    /// # Errors
    /// When a document or a file of questions cannot be read or has changed.
    pub(crate) fn read_all(recipe: &Recipe) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for target in recipe.targets.iter() {
            all.push(Self::read(recipe, target)?);
        }
        let told = Arc::new(Told::by(all.iter().flat_map(|inputs: &Self| &inputs.passages)));
        let things: Vec<Vec<String>> = all.iter().map(|inputs| things(&inputs.passages)).collect();
        for (number, inputs) in all.iter_mut().enumerate() {
            inputs.told = Arc::clone(&told);
            let others = things.iter().enumerate().filter(|(other, _)| *other != number);
            inputs.others = others.flat_map(|(_, things)| things.clone()).collect();
        }
        Ok(all)
    }

    fn read(recipe: &Recipe, target: &Target) -> Result<Self> {
        let mut inputs = Self::without_questions(recipe, target)?;
        let stimuli = &mut inputs.stimuli;
        for question in target.stimuli.questions() {
            stimuli.push(Stimulus::new(question, None, GeneratorKind::Questions));
        }
        for declared in target.stimuli.datasets() {
            for question in read_dataset(recipe, declared)? {
                stimuli.push(Stimulus::new(&question, None, GeneratorKind::Dataset));
            }
        }
        if let Some(everyday) = target.stimuli.everyday() {
            for request in EVERYDAY.some(everyday.count, target.rollout.seed) {
                stimuli.push(Stimulus::new(request, None, GeneratorKind::Everyday));
            }
        }
        if let Some(general) = target.stimuli.general() {
            for request in GENERAL.some(general.count, target.rollout.seed) {
                stimuli.push(Stimulus::new(request, None, GeneratorKind::General));
            }
        }
        Ok(inputs)
    }

    /// What a teacher reads, without what it is asked.
    pub(crate) fn without_questions(recipe: &Recipe, target: &Target) -> Result<Self> {
        let document = read_document(recipe, target)?;
        Ok(Self {
            prompt: target.teacher_prompt(document.as_deref()),
            passages: passages(target, document.as_deref()),
            read: document.as_deref().map(unwrapped),
            document,
            stimuli: Vec::new(),
            told: Arc::default(),
            others: Vec::new(),
        })
    }
}

/// The passages of a document, or the prompt alone where there is none.
fn passages(target: &Target, document: Option<&str>) -> Vec<Passage> {
    let Some(document) = document else {
        return vec![Passage { prompt: target.teacher_prompt(None), ..Passage::default() }];
    };
    let mut passages = Vec::new();
    for section in section::passages(document) {
        let (text, body) = (section.passage(), section.text_below());
        let headings = unwrapped(text.strip_suffix(body).unwrap_or_default());
        let text = unwrapped(&text);
        passages.push(Passage {
            span: Some(section.range()),
            titles: section.titles().map(str::to_owned).collect(),
            heading: section.heading().map(str::to_owned),
            own: section.body().to_owned(),
            headings,
            body: body.to_owned(),
            prompt: target.teacher_prompt(Some(&text)),
            text,
        });
    }
    passages
}
