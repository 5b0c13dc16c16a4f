//! The gate before a bake: whether there is anything to learn from a teacher.

use bake_spec::recipe::{Prompt, Target};

use super::layout::{Conversation, Layout};
use super::probe::{Probe, ProbeReport, Probed, Probing, Tried, best, right, try_layouts};
use super::rollout::check_ends;
use super::room::{self, described};
use super::stages::Stages;
use super::stimuli::general::GENERAL;
use super::stimuli::spread;
use crate::bake::inputs::Inputs;
use crate::error::{Error, ErrorKind, Result};

/// One probe in so many must be right with the document and wrong without it.
const CLEARLY: usize = 5;

/// Answers that an error shows.
const SHOWN: usize = 3;

/// What to do about a prompt that changes too little.
const NEXT_FOR_PROMPTS: &str = "use another model, rephrase the prompt, or show what is meant with \
                                worked examples (`prompt { user \"…\"; assistant \"…\"; }`)";

/// Probes that are tried to guess a layout.
const TRIED_TO_GUESS: usize = 6;

/// Stimuli of a prompt without a document that are asked, and general requests beside them.
const REQUESTS: usize = 6;

/// The layout in which a target is taught, and what the probes saw of it.
pub(super) struct Chosen {
    pub(super) layout: Layout,
    pub(super) report: Option<ProbeReport>,
}

/// Chooses the layout of a target's prompt by what the model gets right. Fails where that is
/// nothing.
pub(super) fn choose(stages: &Stages<'_>, target: &Target, inputs: &Inputs) -> Result<Chosen> {
    let probing = Probing { stages, target, inputs, makes: true };
    if target.anchor {
        return Ok(Chosen { layout: Layout::System, report: None });
    }
    if inputs.document.is_none() {
        changes_something(&probing)?;
        return Ok(Chosen { layout: Layout::System, report: None });
    }
    let (layouts, probes) = (room::layouts(stages, target, inputs)?, probing.of_passages());
    let tried = try_layouts(&probing, &layouts, &probes)?.unwrap_or_default();
    let counts = tried.iter().map(|tried| (tried.layout, right(&tried.answers))).collect();
    let Some(chosen) = best(tried) else {
        return Ok(Chosen { layout: layouts[0], report: None });
    };
    check_probes_end(&probing, &chosen.answers)?;
    let base = probing.base(&probes)?.unwrap_or_default();
    let report = ProbeReport {
        context: target.context,
        layout: chosen.layout,
        probes: probes.len(),
        right: counts,
        base: right(&base),
    };
    stages.monitor.note(&format!("target `{}`: {report}", target.name));
    let expects = probing.of_expects_with_room(chosen.layout)?;
    let mut all = ComparedAnswers { probes, teacher: chosen.answers, base };
    all.teacher.extend(probing.teacher(chosen.layout, &expects)?.unwrap_or_default());
    all.base.extend(probing.base(&expects)?.unwrap_or_default());
    all.probes.extend(expects);
    all.check(stages, target)?;
    Ok(Chosen { layout: chosen.layout, report: Some(report) })
}

/// The layout that was chosen, if what decided is in the store; otherwise the one that is tried
/// first.
pub(super) fn chosen(stages: &Stages<'_>, target: &Target, inputs: &Inputs) -> Result<Layout> {
    match decided(stages, target, inputs)? {
        Some(layout) => Ok(layout),
        None => Ok(room::layouts(stages, target, inputs)?[0]),
    }
}

/// The layout that was chosen, if what decided is in the store, or if there is no choice.
pub(super) fn decided(
    stages: &Stages<'_>,
    target: &Target,
    inputs: &Inputs,
) -> Result<Option<Layout>> {
    let probing = Probing { stages, target, inputs, makes: false };
    if target.anchor || inputs.document.is_none() {
        return Ok(Some(Layout::System));
    }
    let (layouts, probes) = (room::layouts(stages, target, inputs)?, probing.of_passages());
    let tried = try_layouts(&probing, &layouts, &probes)?.unwrap_or_default();
    Ok(best(tried).map(|tried| tried.layout))
}

/// Tries a few probes in the first layout without worked examples and in the last with them, for a
/// guess at the layout that will be chosen and at how long answers are; nothing is kept.
pub(super) fn try_some(
    stages: &Stages<'_>,
    target: &Target,
    inputs: &Inputs,
) -> Result<Vec<Tried>> {
    let probing = Probing { stages, target, inputs, makes: true };
    let (layouts, probes) =
        (room::layouts(stages, target, inputs)?, spread(probing.of_passages(), TRIED_TO_GUESS));
    let without = layouts.iter().find(|layout| !layout.has_examples());
    let with = layouts.iter().rfind(|layout| layout.has_examples());
    let mut tried = Vec::new();
    for &layout in without.into_iter().chain(with) {
        tried.push(probing.try_out(layout, &probes)?);
        if tried.last().is_some_and(Tried::is_right) {
            break;
        }
    }
    Ok(tried)
}

/// The tokens that are read for all probes whose answers are not in the store, if every layout is
/// tried; with what is expected, of which not all may be asked.
pub(super) fn missing(stages: &Stages<'_>, target: &Target, inputs: &Inputs) -> Result<Vec<usize>> {
    let probing = Probing { stages, target, inputs, makes: false };
    if target.anchor {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    let expects = probing.of_expects_with_room(Layout::System)?;
    if inputs.document.is_none() {
        let asked = requests(&probing, expects);
        for prompt in [&target.prompt, &stages.recipe.student] {
            missing.extend(probing.missing(&with_prompt(&asked, prompt))?);
        }
        return Ok(missing);
    }
    let (layouts, probes) = (room::layouts(stages, target, inputs)?, probing.of_passages());
    for &layout in &layouts {
        missing.extend(probing.missing(&probing.read(layout, &probes)?)?);
    }
    for some in [&probes, &expects] {
        missing.extend(probing.missing(&with_prompt(some, &stages.recipe.student))?);
    }
    missing.extend(probing.missing(&probing.read(layouts[0], &expects)?)?);
    Ok(missing)
}

/// A model whose answers do not end because of a token that is not known to end them cannot be
/// judged.
fn check_probes_end(probing: &Probing<'_>, answers: &[Probed]) -> Result<()> {
    let completions: Vec<_> = answers.iter().map(|answer| &answer.completion).collect();
    let Probing { stages, target, .. } = *probing;
    if stages.recipe.train.teacher_anyway {
        return Ok(());
    }
    // That they are long is not yet a mistake.
    check_ends(stages, target, "probes", probing.tokens(), &completions)?;
    Ok(())
}

/// Probes, answered by the teacher and by the base model.
struct ComparedAnswers<'a> {
    probes: Vec<Probe<'a>>,
    teacher: Vec<Probed>,
    base: Vec<Probed>,
}

impl ComparedAnswers<'_> {
    /// A teacher must be clearly better than the model without anything to read.
    fn check(&self, stages: &Stages<'_>, target: &Target) -> Result<()> {
        let (teacher, base, all) = (right(&self.teacher), right(&self.base), self.probes.len());
        if all == 0 || is_clearly_better(teacher, base, all) {
            return Ok(());
        }
        let what = format!(
            "the model {} answers {teacher} of {all} questions about {} correctly with the \
             relevant text in its prompt, and {base} without it, so there is almost nothing to \
             learn. {}",
            stages.model.name(),
            described(target),
            self.shown()
        );
        let next = "use another model, show it how to answer with worked examples (`examples { \
                    passage \"…\"; user \"…\"; assistant \"…\"; }`), or write shorter \
                    sections with headings";
        refuse(stages, &what, next)
    }

    /// A prompt without a document must bring about some of what is expected and the model does not
    /// do by itself.
    fn check_behaviour(mut self, stages: &Stages<'_>, target: &Target) -> Result<()> {
        let of_expects = self.probes.iter().take_while(|probe| probe.is_declared()).count();
        self.probes.truncate(of_expects);
        let missing = |(_, base): &(&Probed, &Probed)| !base.right;
        let pairs = || self.teacher.iter().zip(&self.base).take(of_expects);
        let new = pairs().filter(missing).count();
        let met = pairs().filter(missing).filter(|(teacher, _)| teacher.right).count();
        if new == 0 || is_clearly_better(met, 0, new) {
            return Ok(());
        }
        let what = format!(
            "the model {} does not follow {}: even with it, the model gives only {met} of the \
             {new} expected answers that it does not already give without it, so there is almost \
             nothing to learn. {}",
            stages.model.name(),
            described(target),
            self.shown()
        );
        refuse(stages, &what, NEXT_FOR_PROMPTS)
    }

    /// Some answers, those that are wrong first.
    fn shown(&self) -> String {
        let mut answers: Vec<_> = self.probes.iter().zip(&self.teacher).collect();
        answers.sort_by_key(|(_, answer)| answer.right);
        let mut shown = String::from("It answers:");
        for (probe, answer) in answers.iter().take(SHOWN) {
            shown += &format!("\n    {:?}: {:?}", probe.question, shortened(&answer.text));
        }
        shown + "\n"
    }
}

/// Whether so many right answers of some are clearly more than others.
fn is_clearly_better(teacher: usize, base: usize, all: usize) -> bool {
    teacher >= base + all.div_ceil(CLEARLY).max(1)
}

fn shortened(answer: &str) -> String {
    let mut words = answer.split_whitespace();
    let beginning: Vec<&str> = words.by_ref().take(24).collect();
    let end = if words.next().is_some() { " …" } else { "" };
    beginning.join(" ") + end
}

/// A prompt must clearly change what the model says.
fn changes_something(probing: &Probing<'_>) -> Result<()> {
    let Probing { stages, target, .. } = *probing;
    let asked = requests(probing, probing.of_expects_with_room(Layout::System)?);
    let answers = |prompt| probing.answers(&asked, &with_prompt(&asked, prompt));
    let prompted = answers(&target.prompt)?.unwrap_or_default();
    check_probes_end(probing, &prompted)?;
    let base = answers(&stages.recipe.student)?.unwrap_or_default();
    let differ = |(prompted, base): &(&Probed, &Probed)| prompted.text != base.text;
    let different = prompted.iter().zip(&base).filter(differ).count();
    let compared = ComparedAnswers { probes: asked, teacher: prompted, base };
    let all = compared.probes.len();
    if is_clearly_better(different, 0, all) {
        return compared.check_behaviour(stages, target);
    }
    let what = format!(
        "the model {} gives the same answer with and without {} to {} of {all} requests, so there \
         is almost nothing to learn. {}",
        stages.model.name(),
        described(target),
        all - different,
        compared.shown()
    );
    refuse(stages, &what, NEXT_FOR_PROMPTS)
}

/// What is asked of a prompt without a document: what is expected of it, and requests.
fn requests<'a>(probing: &Probing<'_>, mut expects: Vec<Probe<'a>>) -> Vec<Probe<'a>> {
    let Probing { target, inputs, .. } = *probing;
    let written = inputs.stimuli.iter().map(|stimulus| &*stimulus.text).collect();
    let general = GENERAL.some(Some(REQUESTS), target.rollout.seed);
    expects.extend(spread(written, REQUESTS).into_iter().chain(general).map(Probe::open));
    expects
}

/// The questions of probes with nothing but a prompt before each.
fn with_prompt(probes: &[Probe<'_>], prompt: &Prompt) -> Vec<Conversation> {
    probes.iter().map(|probe| Conversation::plain(prompt, &probe.question)).collect()
}

/// An error, unless the recipe wants to go on anyway.
fn refuse(stages: &Stages<'_>, what: &str, next: &str) -> Result<()> {
    if stages.recipe.train.teacher_anyway {
        stages.monitor.warn(what.trim_end());
        return Ok(());
    }
    let message =
        format!("{what}To continue, {next}; `train {{ teacher anyway; }}` bakes it anyway");
    Err(Error::new(ErrorKind::Model, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_teacher_must_be_clearly_better() {
        for (teacher, base, all) in [(1, 0, 1), (3, 0, 12), (12, 0, 12), (7, 4, 12)] {
            assert!(is_clearly_better(teacher, base, all), "{teacher} {base} {all}");
        }
        for (teacher, base, all) in [(0, 0, 1), (1, 1, 1), (2, 0, 12), (12, 10, 12), (1, 3, 12)] {
            assert!(!is_clearly_better(teacher, base, all), "{teacher} {base} {all}");
        }
    }
}
