//! Rollouts: the teacher answers the questions, with the document before it.

use bake_spec::KeyHasher;
use bake_spec::recipe::Rollout;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, ErrorKind, Result};
use crate::generate::sample::Sampling;
use crate::generate::{Completion, Request, complete};
use crate::model::Model;
use crate::model::block::WeightView;
use crate::progress::Monitor;
use crate::text::template::Message;

/// Answers of the teacher, `answers` to each question and in the order of the questions. Their
/// tokens are kept as they were sampled.
pub(crate) fn roll_out(
    model: &Model,
    name: &str,
    rollout: &Rollout,
    teacher_prompt: &str,
    questions: &[String],
    monitor: Monitor<'_>,
) -> Result<Vec<Completion>> {
    let prompts: Vec<Vec<u32>> = questions
        .iter()
        .map(|question| model.encode(&Message::question(teacher_prompt, question)))
        .collect::<Result<_>>()?;
    let sampling = Sampling {
        temperature: rollout.temperature,
        top_p: rollout.top_p,
        top_k: rollout.top_k,
        seed: rollout.seed,
        max_tokens: Some(rollout.max_tokens(model.config().context())),
    };
    let requests: Vec<Request<'_>> = prompts
        .iter()
        .zip(questions)
        .flat_map(|(prompt, question)| {
            (0..rollout.answers).map(move |sample| {
                // A stream of its own for every sample: more questions or answers leave the others
                // as they were.
                let key = KeyHasher::new("answer", 1)
                    .field("seed", &rollout.seed)
                    .field("question", question)
                    .field("sample", &sample);
                Request { prompt, rng: ChaCha8Rng::from_seed(*key.finish().as_bytes()) }
            })
        })
        .collect();
    let total = requests.len();
    monitor.stage(&format!("answers on {name}"), total, "answers", |ticker| {
        complete(model, requests, &sampling, WeightView::default(), |ended| {
            ticker.advance(ended, "")
        })
    })
}

/// Checks that a system prompt, the longest question and an answer fit the model's context.
pub(crate) fn check_room(
    model: &Model,
    what: &str,
    rollout: &Rollout,
    prompt: &str,
    questions: &[String],
) -> Result<()> {
    let context = model.config().context();
    let answer = rollout.max_tokens(context);
    let refused = |tokens: String| {
        let message = format!(
            "{what} does not fit the model's context of {context} tokens: {tokens}, and {answer} \
             for an answer; shorten it, split it into \
             several targets, or lower `max_tokens`"
        );
        Err(Error::new(ErrorKind::Document, message))
    };
    // Far too long a text need not be cut into tokens, which takes long too.
    let at_least = prompt.len() / model.tokenizer().longest_token();
    if at_least > context {
        return refused(format!("at least {at_least} for it"));
    }
    let tokens =
        |question: &str| Ok::<_, Error>(model.encode(&Message::question(prompt, question))?.len());
    let alone = tokens("")?;
    let longest =
        questions.iter().map(|q| tokens(q)).collect::<Result<Vec<_>>>()?.into_iter().max();
    match longest {
        _ if longest.unwrap_or(alone) + answer <= context => Ok(()),
        Some(longest) => {
            let question = longest.saturating_sub(alone);
            refused(format!("{alone} for it, {question} for the longest question"))
        }
        None => refused(format!("{alone} for it")),
    }
}
