//! The room in a model's context, and what is checked before any work is done: that prompts fit it,
//! and that the template shows them to the model.

use bake_spec::recipe::{Rollout, Target, TeacherContext};
use bake_spec::room::{FEWER_EXAMPLES, Needed, WITHOUT_CONTEXT};
use rayon::prelude::*;

use super::layout::{Conversation, Layout, worked};
use super::reading::Reading;
use super::stages::Stages;
use super::stimuli::Stimulus;
use crate::bake::inputs::Inputs;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::text::template::Message;

/// Tokens that are left for a question that is not known yet.
const QUESTION_TOKENS: usize = 48;

/// What a model has room for beside an answer of the length that a recipe allows.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    model: &'a Model,
    answer: usize,
}

impl<'a> Room<'a> {
    pub(super) fn of(model: &'a Model, rollout: &Rollout) -> Self {
        Self { model, answer: rollout.max_tokens(model.config().context()) }
    }

    /// Whether there is room for a conversation and an answer.
    pub(super) fn holds(&self, conversation: &Conversation) -> Result<bool> {
        self.holds_with(conversation, 0)
    }

    /// Whether there is room for a conversation, the question that is missing in it, and an answer.
    pub(super) fn holds_with_question(&self, conversation: &Conversation) -> Result<bool> {
        self.holds_with(conversation, QUESTION_TOKENS)
    }

    /// Whether there is room for a conversation, so many further tokens, and an answer.
    pub(super) fn holds_with(&self, conversation: &Conversation, more: usize) -> Result<bool> {
        if far_too_long(self.model, conversation).is_some() {
            return Ok(false);
        }
        let tokens = conversation.encode(self.model)?.len();
        Ok(tokens + more + self.answer <= self.model.config().context())
    }

    /// Checks that there is room for a conversation and an answer; without its question, it is
    /// `alone`.
    fn check(&self, what: &str, conversation: &Conversation, alone: &Conversation) -> Result<()> {
        if self.holds(conversation)? {
            return Ok(());
        }
        if far_too_long(self.model, conversation).is_some() {
            return self.refused(what, conversation, None);
        }
        let (whole, prompt) =
            (conversation.encode(self.model)?.len(), alone.encode(self.model)?.len());
        // A template can write more for an empty question than for a real one.
        self.refused(what, alone, Some(whole.saturating_sub(prompt)))
    }

    /// The error where there is no room for what the teacher of a target reads before any question,
    /// and what to do about what the declaration says of it.
    fn refused_of(&self, target: &Target, what: &str, alone: &Conversation) -> Result<()> {
        let whole = target.context == Some(TeacherContext::Document);
        let mut next = if whole { WITHOUT_CONTEXT.to_owned() } else { String::new() };
        if !target.examples.is_empty() {
            next += FEWER_EXAMPLES;
        }
        let refusal = self.refusal(what, alone, Some(QUESTION_TOKENS))?;
        Err(Error::new(ErrorKind::Document, refusal + &next))
    }

    /// The error where there is no room for a conversation, a question of so many tokens, and an
    /// answer.
    fn refused(
        &self,
        what: &str,
        conversation: &Conversation,
        question: Option<usize>,
    ) -> Result<()> {
        Err(Error::new(ErrorKind::Document, self.refusal(what, conversation, question)?))
    }

    /// What that error says.
    fn refusal(
        &self,
        what: &str,
        conversation: &Conversation,
        question: Option<usize>,
    ) -> Result<String> {
        let (context, answer) = (self.model.config().context(), self.answer);
        let needed = match far_too_long(self.model, conversation) {
            Some(prompt) => Needed { prompt, question: None, answer, at_least: true },
            None => {
                let prompt = conversation.encode(self.model)?.len();
                Needed { prompt, question, answer, at_least: false }
            }
        };
        Ok(needed.refusal(what, context))
    }
}

/// Checks what the student and the teachers of a target read, as far as it is known before there
/// are stimuli.
pub(super) fn check_target(stages: &Stages<'_>, target: &Target, inputs: &Inputs) -> Result<()> {
    let room = Room::of(stages.model, &target.rollout);
    check_template(stages, target, inputs)?;
    let student = |question: &str| Conversation::plain(&stages.recipe.student, question);
    let mut written: Vec<&str> = inputs.stimuli.iter().map(|stimulus| &*stimulus.text).collect();
    if written.is_empty() {
        written.push("");
    }
    for question in &written {
        room.check("the student prompt", &student(question), &student(""))?;
    }
    if inputs.document.is_none() {
        let own = |question: &str| Conversation::plain(&target.prompt, question);
        for question in &written {
            room.check(&described(target), &own(question), &own(""))?;
        }
        return Ok(());
    }
    check_says_something(target, inputs)?;
    let (layout, examples) = (Layout::of(target)[0], worked(target));
    for (number, passage) in inputs.passages.iter().enumerate() {
        let alone = layout.conversation(&target.prompt, &passage.text, "", &examples);
        if !room.holds_with_question(&alone)? {
            let what = format!("passage {} of {}", number + 1, described(target));
            return room.refused_of(target, &what, &alone);
        }
    }
    if target.context == Some(TeacherContext::Document) {
        layouts(stages, target, inputs)?;
    }
    Ok(())
}

/// Of a document of headings, and without a prompt, nothing can be learned but to decline.
fn check_says_something(target: &Target, inputs: &Inputs) -> Result<()> {
    let is_empty = |text: &str| !text.contains(char::is_alphanumeric);
    if target.prompt.bytes() > 0 || !inputs.passages.iter().all(|passage| is_empty(&passage.body)) {
        return Ok(());
    }
    let message = format!(
        "{} has no text below its headings, so there is nothing to learn from it; write what the \
         model must know below them",
        described(target)
    );
    Err(Error::new(ErrorKind::Document, message))
}

/// The layouts in which there is room for whatever the teacher of a target reads, and which the
/// template shows.
pub(super) fn layouts(
    stages: &Stages<'_>,
    target: &Target,
    inputs: &Inputs,
) -> Result<Vec<Layout>> {
    let Some(document) = &inputs.read else { return Ok(vec![Layout::System]) };
    let texts: Vec<&str> = match target.context {
        Some(TeacherContext::Document) => vec![document],
        _ => inputs.passages.iter().map(|passage| &*passage.text).collect(),
    };
    let (room, examples, mut fitting) =
        (Room::of(stages.model, &target.rollout), worked(target), Vec::new());
    let written = match target.context {
        Some(TeacherContext::Document) => {
            longest(inputs.stimuli.iter().map(|stimulus| &*stimulus.text))
        }
        _ => None,
    };
    let model = stages.model;
    let fits = |layout: Layout, text: &str| -> Result<bool> {
        let with = |question| layout.conversation(&target.prompt, text, question, &examples);
        let asked = with("");
        let shown = model.template().check_shows(&asked.messages(), "").is_ok();
        if !shown || !room.holds_with_question(&asked)? {
            return Ok(false);
        }
        written.map_or(Ok(true), |written| room.holds(&with(written)))
    };
    for &layout in Layout::of(target) {
        // An excerpt is one of a passage.
        let of_passage = matches!(target.context, None | Some(TeacherContext::Passage));
        if layout.is_excerpt() && !of_passage {
            continue;
        }
        let each = texts.par_iter().map(|text| fits(layout, text));
        match each.find_first(|fits| !matches!(fits, Ok(true))) {
            None => fitting.push(layout),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
        }
    }
    if fitting.is_empty() && target.context == Some(TeacherContext::Document) {
        let alone = Layout::of(target)[0].conversation(&target.prompt, document, "", &examples);
        room.refused_of(target, &described(target), &alone)?;
    }
    Ok(if fitting.is_empty() { vec![Layout::of(target)[0]] } else { fitting })
}

/// Checks what the teacher and the student read for each stimulus.
pub(super) fn check_stimuli(
    stages: &Stages<'_>,
    target: &Target,
    reading: &Reading<'_>,
    stimuli: &[Stimulus],
) -> Result<()> {
    let room = Room::of(stages.model, &target.rollout);
    let student = |question: &str| Conversation::plain(&stages.recipe.student, question);
    for stimulus in stimuli {
        let asked = reading.conversation(stimulus)?;
        let alone = reading.with(&reading.context(stimulus)?, "");
        let what = format!("{}, asked {:?},", described(target), stimulus.text);
        room.check(&what, &asked, &alone)?;
        room.check("the student prompt", &student(&stimulus.text), &student(""))?;
    }
    Ok(())
}

/// The longest of some questions.
pub(super) fn longest<'q>(questions: impl Iterator<Item = &'q str>) -> Option<&'q str> {
    questions.max_by_key(|question| question.len())
}

/// A teacher whose prompt the template does not show to the model knows no more than the student.
fn check_template(stages: &Stages<'_>, target: &Target, inputs: &Inputs) -> Result<()> {
    let (model, student) = (stages.model, &stages.recipe.student);
    let asked = |prompt| Message::question(prompt, "Why?");
    model.template().check_shows(&asked(student), "the student prompt")?;
    model.template().check_shows(&asked(&target.prompt), &described(target))?;
    let Some(passage) = inputs.passages.first().filter(|_| inputs.document.is_some()) else {
        return check_differs(stages, target, &Conversation::plain(&target.prompt, "Why?"));
    };
    // A text that is in no turn that the template shows can still be in the user's.
    let in_system =
        Layout::of(target)[0].conversation(&target.prompt, &passage.text, "Why?", &worked(target));
    match model.template().check_shows(&in_system.messages(), "") {
        Ok(()) => check_differs(stages, target, &in_system),
        Err(_) => Ok(()),
    }
}

/// A template that renders both conversations identically leaves nothing to learn.
fn check_differs(stages: &Stages<'_>, target: &Target, asked: &Conversation) -> Result<()> {
    let (model, student) = (stages.model, &stages.recipe.student);
    let without = Conversation::plain(student, &asked.question);
    if *asked == without
        || far_too_long(model, asked).is_some()
        || asked.encode(model)? != without.encode(model)?
    {
        return Ok(());
    }
    let message = format!(
        "the chat template of {} renders a conversation identically with and without {}, so there \
         is nothing to learn; use another model, or correct the template",
        model.template().name(),
        described(target)
    );
    Err(Error::new(ErrorKind::Tokenizer, message))
}

/// The least number of tokens that a conversation can have, if that is too many. Such a text need
/// not be tokenized, which would also take long.
fn far_too_long(model: &Model, conversation: &Conversation) -> Option<usize> {
    let at_least = conversation.bytes() / model.tokenizer().longest_token();
    (at_least > model.config().context()).then_some(at_least)
}

/// A target as messages name it: by its document where it has one.
pub(super) fn described(target: &Target) -> String {
    match &target.document {
        _ if target.anchor => format!("the student prompt of anchor `{}`", target.name),
        Some(document) => format!("{} (target `{}`)", document.path, target.name),
        None => format!("the prompt of target `{}`", target.name),
    }
}
