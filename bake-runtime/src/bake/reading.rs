//! What the teacher of a target reads before it answers a question.

use std::borrow::Cow;

use bake_spec::recipe::{GeneratorKind, Target, TeacherContext};

use super::excerpt::{READ_WORDS, excerpt};
use super::layout::{Conversation, Layout, Worked, worked};
use super::retrieval::Index;
use super::room::{self, Room};
use super::spans::with_headings;
use super::stages::Stages;
use super::stimuli::Stimulus;
use crate::bake::inputs::Inputs;
use crate::error::Result;

/// The most passages that are found for a question.
const MOST_FOUND: usize = 3;

/// How a question is declined where the declaration does not say.
const DECLINE: &str = "I don't have that information.";

/// The text with which a question is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// None: there is no document, or it does not have the answer.
    Nothing,
    /// The passages with these numbers, in the order of the document.
    Passages(Vec<usize>),
    /// The whole document.
    Document,
}

/// What the teacher of a target reads, in a layout.
pub(super) struct Reading<'a> {
    stages: &'a Stages<'a>,
    target: &'a Target,
    inputs: &'a Inputs,
    layout: Layout,
    examples: Vec<Worked<'a>>,
    index: Index,
    /// Whether the whole document leaves room for the longest question that is written down.
    document_fits: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        stages: &'a Stages<'a>,
        target: &'a Target,
        inputs: &'a Inputs,
        layout: Layout,
    ) -> Result<Self> {
        let index = Index::new(inputs.passages.iter().map(|passage| &*passage.text));
        let mut reading = Self {
            stages,
            target,
            inputs,
            layout,
            examples: worked(target),
            index,
            document_fits: false,
        };
        reading.document_fits = reading.has_room_for_document()?;
        Ok(reading)
    }

    /// With what a stimulus is answered.
    pub(super) fn context(&self, stimulus: &Stimulus) -> Result<Context> {
        let own = self.inputs.passage_of(stimulus).map(|(number, _)| number);
        self.context_of(&stimulus.text, own)
    }

    /// With what a question is answered: as the declaration says, or else with the passage that it
    /// was made from. One that does not say where its answer is found is answered with the whole
    /// document, or, where that does not fit, with the passages that have most in common with it.
    pub(super) fn context_of(&self, question: &str, own: Option<usize>) -> Result<Context> {
        if self.inputs.document.is_none() {
            return Ok(Context::Nothing);
        }
        match (self.target.context, own) {
            (Some(TeacherContext::Document), _) => Ok(Context::Document),
            (Some(TeacherContext::Retrieved), own) => {
                Ok(Context::Passages(self.found(question, own)?))
            }
            (_, Some(own)) => Ok(Context::Passages(vec![own])),
            (None, None) if self.document_fits => Ok(Context::Document),
            (_, None) => Ok(Context::Passages(self.found(question, None)?)),
        }
    }

    /// Whether the whole document is read before a stimulus.
    pub(super) fn reads_document(&self, stimulus: &Stimulus) -> Result<bool> {
        // One that nothing answers is declined without it.
        let answered = stimulus.generator != GeneratorKind::Unanswerable;
        Ok(answered && self.context(stimulus)? == Context::Document)
    }

    /// The text of a context, without what an excerpt leaves out.
    fn shown(&self, context: &Context, question: &str) -> Option<Cow<'a, str>> {
        let Context::Passages(numbers) = context else { return self.text(context) };
        if !self.layout.is_excerpt() {
            return self.text(context);
        }
        let mut texts = Vec::with_capacity(numbers.len());
        for &number in numbers {
            let passage = &self.inputs.passages[number];
            texts.push(with_headings(passage, &excerpt(passage, question, READ_WORDS)));
        }
        Some(Cow::Owned(texts.join("\n\n")))
    }

    /// The text of a context.
    pub(super) fn text(&self, context: &Context) -> Option<Cow<'a, str>> {
        let passages = &self.inputs.passages;
        match context {
            Context::Nothing => None,
            Context::Document => self.inputs.read.as_deref().map(Cow::Borrowed),
            Context::Passages(numbers) => match &numbers[..] {
                [one] => Some(Cow::Borrowed(&passages[*one].text)),
                several => {
                    let texts: Vec<&str> = several.iter().map(|&i| &*passages[i].text).collect();
                    Some(Cow::Owned(texts.join("\n\n")))
                }
            },
        }
    }

    /// Whether it reads the few sentences of a passage that a question is about.
    pub(super) fn reads_excerpts(&self) -> bool {
        self.layout.is_excerpt()
    }

    /// Whether the answer to a stimulus is what its passage says, word for word, and the teacher is
    /// not asked: a model that reads nothing longer than excerpts says too often in its own words
    /// what is not in them.
    pub(super) fn is_verbatim(&self, stimulus: &Stimulus) -> bool {
        self.reads_excerpts()
            && stimulus.passage.is_some()
            && stimulus.generator != GeneratorKind::Unanswerable
    }

    /// How a question is declined that nothing answers.
    pub(super) fn decline(&self) -> &'a str {
        let declared = self.target.stimuli.unanswerable();
        declared.and_then(|unanswerable| unanswerable.decline.as_deref()).unwrap_or(DECLINE)
    }

    /// What the teacher reads to answer a stimulus. One that nothing answers is declined in the
    /// words that it is told: a teacher that takes it for answerable would teach the same mistake.
    pub(super) fn conversation(&self, stimulus: &Stimulus) -> Result<Conversation> {
        if stimulus.generator == GeneratorKind::Unanswerable {
            return self.told(stimulus, self.decline());
        }
        Ok(self.with(&self.context(stimulus)?, &stimulus.text))
    }

    /// What a teacher reads that is told an answer, in the words of the document, so that it gives
    /// this one: a text of nothing else under the question as its heading, and, where there is room
    /// for it, the same question answered before. A teacher that did not find the answer by itself
    /// would otherwise not expect it, and what it would rather say is learned with it.
    pub(super) fn told(&self, stimulus: &Stimulus, answer: &str) -> Result<Conversation> {
        let (prompt, asked) = (&self.target.prompt, &*stimulus.text);
        let text = format!("## {asked}\n{answer}");
        let told = self.layout.told(prompt, &text, asked, answer);
        if Room::of(self.stages.model, &self.target.rollout).holds(&told)? {
            return Ok(told);
        }
        Ok(self.layout.conversation(prompt, &text, asked, &self.examples))
    }

    /// What the teacher reads to answer a question with a context.
    pub(super) fn with(&self, context: &Context, question: &str) -> Conversation {
        let prompt = &self.target.prompt;
        match self.shown(context, question) {
            Some(text) => self.layout.conversation(prompt, &text, question, &self.examples),
            None => Conversation::plain(prompt, question),
        }
    }

    /// The passages that have most in common with a question, after its own, as many as are read
    /// and there is room for, in the order of the document.
    fn found(&self, question: &str, own: Option<usize>) -> Result<Vec<usize>> {
        let room = Room::of(self.stages.model, &self.target.rollout);
        let mut ranked = self.index.ranked(question);
        if let Some(own) = own {
            ranked.retain(|&number| number != own);
            ranked.insert(0, own);
        }
        let one = self.layout.is_excerpt() || self.target.context == Some(TeacherContext::Passage);
        ranked.truncate(if one { 1 } else { MOST_FOUND });
        let mut found = vec![ranked.first().copied().unwrap_or_default()];
        for &next in ranked.iter().skip(1) {
            let mut more = found.clone();
            more.push(next);
            more.sort_unstable();
            if room.holds(&self.with(&Context::Passages(more.clone()), question))? {
                found = more;
            }
        }
        Ok(found)
    }

    fn has_room_for_document(&self) -> Result<bool> {
        let room = Room::of(self.stages.model, &self.target.rollout);
        // A model that reads excerpts of passages loses its way in a document.
        if self.inputs.document.is_none() || self.layout.is_excerpt() {
            return Ok(false);
        }
        let whole = |question: &str| self.with(&Context::Document, question);
        // Questions are a few words: the document alone decides most of the time.
        if !room.holds(&whole(""))? {
            return Ok(false);
        }
        match room::longest(self.inputs.stimuli.iter().map(|stimulus| &*stimulus.text)) {
            Some(longest) => room.holds(&whole(longest)),
            None => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests;
