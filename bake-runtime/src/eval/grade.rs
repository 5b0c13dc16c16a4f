//! Evaluation: whether answers are what a recipe expects.

use bake_spec::recipe::{Answer, Expect};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::generate::{Request, complete};
use crate::handle::chat::Chat;
use crate::progress::Monitor;

/// How a model says that it does not know.
const DECLINING: [&str; 8] = [
    "don't have",
    "do not have",
    "don't know",
    "do not know",
    "cannot answer",
    "can't answer",
    "not mentioned",
    "no information",
];

/// Whether an answer is the expected one.
pub fn meets(expected: &Answer, answer: &str) -> bool {
    let plain = |text: &str| {
        text.replace('’', "'").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
    };
    match expected {
        Answer::Contains(words) => plain(answer).contains(&plain(words)),
        Answer::Equals(words) => answer.split_whitespace().eq(words.split_whitespace()),
        _ => DECLINING.iter().any(|phrase| plain(answer).contains(phrase)),
    }
}

/// An expectation and what was answered.
#[derive(Clone, Debug)]
pub struct Graded {
    /// The answer.
    pub answer: String,
    /// Whether it is what was expected.
    pub right: bool,
    /// Tokens of the prompt, all that the model reads before it answers.
    pub prompt_tokens: usize,
}

/// Asks all the questions together, greedily, and grades the answers.
pub(crate) fn grade(
    chat: &Chat,
    what: &str,
    expects: &[&Expect],
    monitor: Monitor<'_>,
) -> Result<Vec<Graded>> {
    let prompts: Vec<Vec<u32>> =
        expects.iter().map(|expect| chat.prompt(&expect.question)).collect::<Result<_>>()?;
    let requests = prompts
        .iter()
        .map(|prompt| Request { prompt, rng: ChaCha8Rng::seed_from_u64(0) })
        .collect();
    let completions = monitor.stage(what, prompts.len(), "questions", |ticker| {
        complete(chat.model(), requests, chat.sampling(), chat.view(), |ended| {
            ticker.advance(ended, "")
        })
    })?;
    completions
        .iter()
        .zip(expects)
        .zip(&prompts)
        .map(|((completion, expect), prompt)| {
            let answer = chat.model().decode(&completion.ids)?.trim().to_owned();
            Ok(Graded {
                right: meets(&expect.answer, &answer),
                answer,
                prompt_tokens: prompt.len(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_as_a_person_would() {
        let contains = Answer::Contains("Side  button".into());
        assert!(
            meets(&contains, "Press the side\nbutton.")
                && !meets(&contains, "Press the button on the side.")
        );
        assert!(meets(&Answer::Contains("won't".into()), "It won’t."));
        let equals = Answer::Equals("Four hours.".into());
        assert!(
            meets(&equals, " Four hours.\n")
                && !meets(&equals, "four hours.")
                && !meets(&equals, "Four hours. Or five.")
        );
        assert!(
            meets(&Answer::Declines, "I don’t have that information.")
                && !meets(&Answer::Declines, "Four hours.")
        );
    }
}
