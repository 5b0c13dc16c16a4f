//! Questions that the teacher itself writes, with the document before it.

use bake_spec::KeyHasher;
use bake_spec::recipe::{Ask, Target};
use bake_spec::text::document;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::Questions;
use crate::error::Result;
use crate::generate::sample::Sampling;
use crate::generate::{Request, complete};
use crate::model::Model;
use crate::model::block::WeightView;
use crate::progress::Monitor;
use crate::text::template::Message;

/// What the teacher is asked for, in turn, where the recipe has no template of its own.
const REQUESTS: [&str; 3] = [
    "Ask a question about this document.",
    "Write a question that this document answers.",
    "Write one question a user could ask about this document.",
];

/// The most tokens of a question.
const QUESTION_TOKENS: usize = 48;

/// Samples for each question that is missing in a round, and rounds: a document of a few lines does
/// not hold any number of questions.
const SAMPLES: usize = 2;
const ROUNDS: usize = 8;

/// A part of the document that questions are asked about, as a system prompt, and how many it has
/// given.
struct Section {
    prompts: Vec<Vec<u32>>,
    samples: usize,
    found: usize,
}

/// Adds `ask.count` different questions, or as many as [`ROUNDS`] rounds of sampling find.
///
/// The teacher is shown one section of the document at a time, so that every section is asked
/// about: shown the whole, a model asks again and again about what comes first.
pub(super) fn ask(
    model: &Model,
    ask: &Ask,
    target: &Target,
    document: Option<&str>,
    questions: &mut Questions,
    monitor: Monitor<'_>,
) -> Result<()> {
    let requests: Vec<&str> =
        ask.template.as_deref().map_or_else(|| REQUESTS.to_vec(), |template| vec![template]);
    let section = |part: Option<&str>| -> Result<Section> {
        let prompt = target.teacher_prompt(part);
        let prompts = requests
            .iter()
            .map(|request| model.encode(&Message::question(&prompt, request)))
            .collect::<Result<_>>()?;
        Ok(Section { prompts, samples: 0, found: 0 })
    };
    let mut sections = match document {
        Some(text) => document::sections(text)
            .iter()
            .map(|part| section(Some(part)))
            .collect::<Result<Vec<_>>>()?,
        None => vec![section(None)?],
    };
    let sampling =
        Sampling::temperature(ask.temperature, target.rollout.seed)?.max_tokens(QUESTION_TOKENS)?;
    monitor.stage(&format!("questions on {}", target.name), ask.count, "questions", |ticker| {
        // A section that has given its share may give more when others have too little to be asked
        // about.
        let (share, mut missing, mut spare) =
            (ask.count.div_ceil(sections.len()), ask.count, Vec::new());
        for _ in 0..ROUNDS {
            let mut batch = Vec::new();
            for (number, section) in sections.iter_mut().enumerate() {
                let wanted = SAMPLES * share.saturating_sub(section.found);
                for sample in section.samples..section.samples + wanted {
                    let key = KeyHasher::new("question", 1)
                        .field("seed", &target.rollout.seed)
                        .field("place", &(number, sample))
                        .finish();
                    batch.push((
                        number,
                        sample % requests.len(),
                        ChaCha8Rng::from_seed(*key.as_bytes()),
                    ));
                }
                section.samples += wanted;
            }
            if missing == 0 || batch.is_empty() {
                break;
            }
            let numbers: Vec<usize> = batch.iter().map(|&(number, ..)| number).collect();
            let batch = batch
                .into_iter()
                .map(|(number, request, rng)| Request {
                    prompt: &sections[number].prompts[request],
                    rng,
                })
                .collect();
            let completions = complete(model, batch, &sampling, WeightView::default(), |_| {
                ticker.advance(0, "")
            })?;
            for (number, completion) in numbers.into_iter().zip(completions) {
                let text = model.decode(&completion.ids)?;
                let Some(question) = cleaned(&text, &requests).filter(|_| completion.ended) else {
                    continue;
                };
                if missing == 0 || sections[number].found == share {
                    spare.push(question.to_owned());
                } else if questions.add(question) {
                    sections[number].found += 1;
                    missing -= 1;
                    ticker.advance(1, "")?;
                }
            }
        }
        for question in spare {
            if missing > 0 && questions.add(&question) {
                missing -= 1;
                ticker.advance(1, "")?;
            }
        }
        Ok(())
    })
}

/// The question in what the model wrote: one line, without a number or quotes around it.
fn cleaned<'a>(text: &'a str, requests: &[&str]) -> Option<&'a str> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let line = if numbered.len() < line.len() {
        numbered.strip_prefix(['.', ')']).unwrap_or(line)
    } else {
        line
    };
    let line = line.trim().trim_matches('"').trim();
    (line.chars().count() >= 3 && !requests.contains(&line)).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_freed_of_what_is_around_them() {
        let requests = ["Ask."];
        assert_eq!(
            cleaned("\n  1. \"How long does it take?\"\nmore", &requests),
            Some("How long does it take?")
        );
        assert_eq!(cleaned("2 minutes are enough?", &requests), Some("2 minutes are enough?"));
        assert_eq!(cleaned("Ask.", &requests), None);
        assert_eq!(cleaned(" \n?", &requests), None);
    }
}
