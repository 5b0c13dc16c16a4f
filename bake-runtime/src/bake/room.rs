//! What is checked before any work is done: that prompts fit the model's context, and that the
//! template shows them to the model.

use std::ops::Range;

use bake_spec::recipe::{Prompt, Rollout, Target};
use bake_spec::room::Needed;

use super::stages::Stages;
use super::stimuli::Stimulus;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::Inputs;
use crate::model::Model;
use crate::text::template::Message;

/// Checks what the teachers and the student of a target read.
pub(super) fn check_target(stages: &Stages<'_>, target: &Target, inputs: &Inputs) -> Result<()> {
    check_template(stages, target, &inputs.prompt)?;
    let written: Vec<&str> = inputs.stimuli.iter().map(|stimulus| &*stimulus.text).collect();
    if inputs.reads_whole_document() {
        check_room(stages.model, &described(target), &target.rollout, &inputs.prompt, &written)?;
    }
    for (number, passage) in inputs.passages.iter().enumerate() {
        if reads_passages(target) {
            let what = format!("passage {} of {}", number + 1, described(target));
            check_room(stages.model, &what, &target.rollout, &passage.prompt, &[])?;
        }
    }
    let student = &stages.recipe.student;
    check_room(stages.model, "the student prompt", &target.rollout, student, &written)
}

/// Whether any teacher of a target reads its passages: questions that are made from one do.
fn reads_passages(target: &Target) -> bool {
    target.stimuli.generators.iter().any(|generator| !generator.kind().is_written())
}

/// Checks what the teachers and the student read for stimuli that were made.
pub(super) fn check_made(
    stages: &Stages<'_>,
    target: &Target,
    inputs: &Inputs,
    stimuli: &[Stimulus],
) -> Result<()> {
    let of = |span: Option<&Range<usize>>| -> Vec<&str> {
        let made = stimuli.iter().filter(|stimulus| !stimulus.generator.is_written());
        let own = made.filter(|stimulus| stimulus.passage.as_ref() == span);
        own.map(|stimulus| &*stimulus.text).collect()
    };
    if !reads_passages(target) {
        return Ok(());
    }
    for (number, passage) in inputs.passages.iter().enumerate() {
        let questions = of(passage.span.as_ref());
        let what = format!("passage {} of {}", number + 1, described(target));
        check_room(stages.model, &what, &target.rollout, &passage.prompt, &questions)?;
        let student = &stages.recipe.student;
        check_room(stages.model, "the student prompt", &target.rollout, student, &questions)?;
    }
    Ok(())
}

/// A teacher whose prompt the template does not show to the model knows no more than the student.
fn check_template(stages: &Stages<'_>, target: &Target, prompt: &Prompt) -> Result<()> {
    let (model, student) = (stages.model, &stages.recipe.student);
    let asked = |prompt| Message::question(prompt, "Why?");
    model.template().check_shows(&asked(student), "the student prompt")?;
    model.template().check_shows(&asked(prompt), &described(target))?;
    if prompt == student || far_too_long(model, prompt).is_some() {
        return Ok(());
    }
    if model.encode(&asked(prompt))? != model.encode(&asked(student))? {
        return Ok(());
    }
    let message = format!(
        "the chat template of {} makes the same of a conversation with {} and without, so there is \
         nothing to learn; use another model, or correct the template",
        model.template().name(),
        described(target)
    );
    Err(Error::new(ErrorKind::Tokenizer, message))
}

/// The least number of tokens that a prompt can have, if that is too many. Such a prompt need not
/// be tokenized, which would also take long.
fn far_too_long(model: &Model, prompt: &Prompt) -> Option<usize> {
    let at_least = prompt.bytes() / model.tokenizer().longest_token();
    (at_least > model.config().context()).then_some(at_least)
}

/// Checks that a prompt, the longest question and an answer fit the model's context.
pub(super) fn check_room(
    model: &Model,
    what: &str,
    rollout: &Rollout,
    prompt: &Prompt,
    questions: &[&str],
) -> Result<()> {
    let context = model.config().context();
    let answer = rollout.max_tokens(context);
    let refused =
        |needed: Needed| Err(Error::new(ErrorKind::Document, needed.refusal(what, context)));
    if let Some(at_least) = far_too_long(model, prompt) {
        return refused(Needed { prompt: at_least, question: None, answer, at_least: true });
    }
    let alone = model.encode(&Message::question(prompt, ""))?.len();
    let mut longest = None;
    for question in questions {
        longest = longest.max(Some(model.encode(&Message::question(prompt, question))?.len()));
    }
    if longest.unwrap_or(alone) + answer <= context {
        return Ok(());
    }
    // A template can write more for an empty question than for a real one.
    let question = longest.map(|longest| longest.saturating_sub(alone));
    refused(Needed { prompt: alone, question, answer, at_least: false })
}

/// A target as messages name it: by its document where it has one.
pub(super) fn described(target: &Target) -> String {
    match &target.document {
        _ if target.anchor => format!("the student prompt of anchor `{}`", target.name),
        Some(document) => format!("{} (target `{}`)", document.path, target.name),
        None => format!("the prompt of target `{}`", target.name),
    }
}
