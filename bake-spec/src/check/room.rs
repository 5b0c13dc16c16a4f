//! The token budget: whether document, question and answer fit the model's context.

use super::Checker;
use super::model::Model;
use super::target::Source;
use crate::diagnostics::Code;
use crate::lock::Locked;
use crate::model::Identity;
use crate::recipe::Recipe;

impl Checker<'_> {
    /// Checks the room of every target. A text of fewer bytes than there is room for tokens fits
    /// without being counted, since no token is made of less than a byte; and what was baked before
    /// has fitted.
    pub(super) fn room(&mut self, recipe: &Recipe, model: &Model, sources: &[Source]) {
        let Some(limits) = &model.limits else { return };
        let (context, mut tokenizer) =
            (limits.context, tokenizer::Tokenizer::new(self.package.root, &model.source));
        for source in sources {
            let target = &source.target;
            let prompt = target.teacher_prompt(source.document.as_deref());
            let answer = target.rollout.max_tokens(context);
            let expected = recipe
                .expects
                .iter()
                .filter(|expect| expect.target.as_deref().is_some_and(|name| name == target.name));
            let mut questions: Vec<&str> = target.stimuli.questions.iter().map(|q| &**q).collect();
            questions.extend(
                source
                    .questions
                    .iter()
                    .map(String::as_str)
                    .chain(expected.map(|expect| &*expect.question)),
            );
            questions.sort_by_key(|question| std::cmp::Reverse(question.len()));
            let bytes =
                prompt.len() + questions.first().map_or(0, |question| question.len()) + answer;
            if bytes <= context || self.was_baked(recipe, target) {
                continue;
            }
            let Some(prompt) = tokenizer.count(&prompt) else { return };
            let mut longest = 0;
            for question in questions {
                // Nor do the shorter ones have more tokens.
                if question.len() <= longest {
                    break;
                }
                longest = longest.max(tokenizer.count(question).unwrap_or(0));
            }
            if prompt + longest + answer > context {
                let what = target.document.as_ref().map_or_else(
                    || format!("the prompt of `{}`", target.name),
                    |d| format!("`{}`", d.path),
                );
                let message = format!(
                    "{what} does not fit the model's context of {context} tokens: {prompt} for it, \
                     {longest} for the longest question, and \
                     {answer} for an answer; shorten it, split it into several targets, or lower \
                     `max_tokens`"
                );
                self.report(Code::Room, source.span, message);
            }
        }
    }

    fn was_baked(&self, recipe: &Recipe, target: &crate::recipe::Target) -> bool {
        let locked: Option<&Locked> =
            self.package.lock.and_then(|lock| lock.bakes.get(&*recipe.name));
        locked.is_some_and(|locked| {
            let same_model = Identity::of(self.package.root, &recipe.model)
                .is_none_or(|identity| identity.matches(&locked.identity()));
            same_model && locked.has_target(target)
        })
    }
}

#[cfg(feature = "budget")]
mod tokenizer {
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;

    use crate::recipe::ModelSource;

    /// A model's tokenizer, read when it is first needed.
    pub(super) enum Tokenizer {
        Tiny,
        Folder(PathBuf, Option<Box<tokenizers::Tokenizer>>),
    }

    /// The tokenizer of `tiny`, read once for all declarations that the compiler comes to.
    fn tiny() -> Option<&'static tokenizers::Tokenizer> {
        static TINY: OnceLock<Option<tokenizers::Tokenizer>> = OnceLock::new();
        TINY.get_or_init(|| {
            tokenizers::Tokenizer::from_bytes(include_bytes!("../../../models/tiny/tokenizer.json"))
                .ok()
        })
        .as_ref()
    }

    impl Tokenizer {
        pub(super) fn new(root: &Path, model: &ModelSource) -> Self {
            match model {
                ModelSource::Tiny => Self::Tiny,
                ModelSource::Folder(folder) => {
                    Self::Folder(root.join(&**folder).join("tokenizer.json"), None)
                }
            }
        }

        /// The number of tokens of a text; none where the model has no tokenizer that can be read,
        /// which the engine says when it loads it.
        pub(super) fn count(&mut self, text: &str) -> Option<usize> {
            let tokenizer = match self {
                Self::Tiny => tiny()?,
                Self::Folder(path, read) => match read {
                    Some(tokenizer) => tokenizer,
                    None => read.insert(Box::new(tokenizers::Tokenizer::from_file(path).ok()?)),
                },
            };
            Some(tokenizer.encode_fast(text, false).ok()?.len())
        }
    }
}

#[cfg(not(feature = "budget"))]
mod tokenizer {
    use std::path::Path;

    use crate::recipe::ModelSource;

    /// Stands for the tokenizer that this build leaves out.
    pub(super) struct Tokenizer;

    impl Tokenizer {
        pub(super) fn new(_root: &Path, _model: &ModelSource) -> Self {
            Self
        }

        pub(super) fn count(&mut self, _text: &str) -> Option<usize> {
            None
        }
    }
}
