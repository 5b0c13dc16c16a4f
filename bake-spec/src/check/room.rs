//! The token budget: whether document, question and answer fit the model's context.

use super::Checker;
use super::model::DeclaredModel;
use super::target::ReadTarget;
use crate::diagnostics::Code;
use crate::lock::Locked;
use crate::model::Identity;
use crate::recipe::{Recipe, TeacherContext, WorkedExample};
use crate::room::{FEWER_EXAMPLES, Needed, WITHOUT_CONTEXT};
use crate::text::unwrap::unwrapped;
use tokenizer::TokenCounter;

/// The tokens of a passage that a model must have room for at least.
const PASSAGE_TOKENS: usize = 64;

/// Tokens of most texts have fewer bytes than this in the mean; a text of others is counted whole.
const TOKEN_BYTES: usize = 8;

/// The tokens of a text.
#[derive(Debug, PartialEq)]
struct Counted {
    tokens: usize,
    /// Whether it may have more.
    at_least: bool,
}

impl Checker<'_> {
    /// Checks the room of every target, in which a document is read passage by passage. A text of
    /// fewer bytes than there is room for tokens fits without being counted, since no token is
    /// shorter than a byte; and what was baked before fitted.
    pub(super) fn room(&mut self, recipe: &Recipe, model: &DeclaredModel, sources: &[ReadTarget]) {
        let Some(limits) = &model.limits else { return };
        let (context, mut tokenizer) =
            (limits.context, TokenCounter::new(self.package.root, &model.source));
        for source in sources {
            let target = &source.target;
            let answer = target.rollout.max_tokens(context);
            let expected = recipe
                .expects
                .iter()
                .filter(|expect| expect.target.as_deref().is_some_and(|name| name == target.name));
            let mut questions: Vec<&str> =
                target.stimuli.questions().iter().map(|question| &**question).collect();
            questions.extend(
                source
                    .questions
                    .iter()
                    .map(String::as_str)
                    .chain(expected.map(|expect| &*expect.question)),
            );
            questions.sort_by_key(|question| std::cmp::Reverse(question.len()));
            let unwrapped = source.document.as_deref().map(unwrapped).unwrap_or_default();
            let document = unwrapped.as_str();
            let examples = || target.examples.iter().flat_map(WorkedExample::texts);
            let bytes = target.prompt.bytes()
                + examples().map(str::len).sum::<usize>()
                + document.len()
                + questions.first().map_or(0, |question| question.len())
                + answer;
            if bytes <= context || self.was_baked(recipe, target) {
                continue;
            }
            let counted: Option<Vec<usize>> =
                target.prompt.texts().chain(examples()).map(|text| tokenizer.count(text)).collect();
            // What does not fit as a whole is read passage by passage.
            let whole = target.context == Some(TeacherContext::Document);
            let enough = if whole { context } else { PASSAGE_TOKENS };
            let (Some(counted), Some(document)) =
                (counted, tokenizer.count_up_to(document, enough))
            else {
                return;
            };
            let Counted { tokens: document, at_least } = document;
            let read = if whole { document } else { document.min(PASSAGE_TOKENS) };
            let prompt = counted.iter().sum::<usize>() + read;
            let mut longest = 0;
            for question in questions {
                // The shorter ones do not have more tokens either.
                if question.len() <= longest {
                    break;
                }
                longest = longest.max(tokenizer.count(question).unwrap_or(0));
            }
            if prompt + longest + answer > context {
                let what = target.document.as_ref().map_or_else(
                    || format!("the prompt of `{}`", target.name),
                    |d| match document > read {
                        true => format!("a passage of `{}`", d.path),
                        false => format!("`{}`", d.path),
                    },
                );
                let question = (longest > 0).then_some(longest);
                let at_least = at_least && whole;
                let needed = Needed { prompt, question, answer, at_least };
                let mut message = needed.refusal(&what, context);
                if whole {
                    message += WITHOUT_CONTEXT;
                }
                if !target.examples.is_empty() {
                    message += FEWER_EXAMPLES;
                }
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

impl TokenCounter {
    /// The number of tokens of a text, as far as it matters whether there are more than `enough`: a
    /// manual of megabytes is not counted to its end.
    fn count_up_to(&mut self, text: &str, enough: usize) -> Option<Counted> {
        let beginning = beginning(text, enough.saturating_mul(TOKEN_BYTES));
        if beginning.len() < text.len() {
            let tokens = self.count(beginning)?;
            if tokens > enough {
                return Some(Counted { tokens, at_least: true });
            }
        }
        Some(Counted { tokens: self.count(text)?, at_least: false })
    }
}

/// At most so many bytes of a text, which end where a word does, if there are words.
fn beginning(text: &str, bytes: usize) -> &str {
    let some = &text[..text.floor_char_boundary(bytes)];
    match some.rfind(char::is_whitespace) {
        Some(end) if some.len() < text.len() => &some[..end],
        _ => some,
    }
}

#[cfg(feature = "budget")]
mod tokenizer {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;

    use crate::model::{gguf, read_text};
    use crate::recipe::ModelSource;

    /// A model's tokenizer, read when it is first needed.
    pub(super) enum TokenCounter {
        Tiny,
        File(PathBuf, Option<Box<tokenizers::Tokenizer>>),
        /// One that is not read here; baking counts.
        Elsewhere,
    }

    /// The tokenizer of `tiny`, read once for all declarations that are compiled.
    fn tiny() -> Option<&'static tokenizers::Tokenizer> {
        static TINY: OnceLock<Option<tokenizers::Tokenizer>> = OnceLock::new();
        TINY.get_or_init(|| parse(include_bytes!("../../../models/tiny/tokenizer.json"))).as_ref()
    }

    /// A tokenizer that neither truncates nor pads texts, like the engine's. None where it drops
    /// merges at random: the engine refuses it, and the count would be another each time.
    fn parse(json: &[u8]) -> Option<tokenizers::Tokenizer> {
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(json).ok()?;
        if let tokenizers::ModelWrapper::BPE(bpe) = tokenizer.get_model()
            && bpe.dropout.is_some_and(|dropout| dropout > 0.0)
        {
            return None;
        }
        tokenizer.with_truncation(None).ok()?;
        tokenizer.with_padding(None);
        Some(tokenizer)
    }

    /// The `tokenizer.json` of a model: of its own, or of what the header of a GGUF file says.
    fn json(path: &Path) -> Option<Vec<u8>> {
        match gguf::is_gguf(path) {
            true => gguf::read_header(path).and_then(|header| header.tokenizer()).ok(),
            false => read_text(path).ok()?.map(String::into_bytes),
        }
    }

    impl TokenCounter {
        pub(super) fn new(root: &Path, model: &ModelSource) -> Self {
            match model {
                ModelSource::Tiny => Self::Tiny,
                ModelSource::Folder(folder) => {
                    Self::File(root.join(&**folder).join("tokenizer.json"), None)
                }
                ModelSource::Gguf(file) => Self::File(root.join(&**file), None),
                // Its file is not in the package: a declaration must compile the same without it.
                ModelSource::Named(_) => Self::Elsewhere,
            }
        }

        /// The number of tokens of a text; none if the model has no readable tokenizer, which the
        /// engine reports when it loads it.
        pub(super) fn count(&mut self, text: &str) -> Option<usize> {
            let tokenizer = match self {
                Self::Tiny => tiny()?,
                Self::File(path, read) => match read {
                    Some(tokenizer) => tokenizer,
                    None => read.insert(Box::new(parse(&json(path)?)?)),
                },
                Self::Elsewhere => return None,
            };
            // The regex engine of a tokenizer panics if a pattern takes too many steps.
            let tokens = AssertUnwindSafe(|| tokenizer.encode_fast(text, false));
            Some(catch_unwind(tokens).ok()?.ok()?.len())
        }
    }
}

#[cfg(not(feature = "budget"))]
mod tokenizer {
    use std::path::Path;

    use crate::recipe::ModelSource;

    /// A stand-in for the tokenizer that this build leaves out.
    pub(super) struct TokenCounter;

    impl TokenCounter {
        pub(super) fn new(_root: &Path, _model: &ModelSource) -> Self {
            Self
        }

        pub(super) fn count(&mut self, _text: &str) -> Option<usize> {
            None
        }
    }
}

#[cfg(all(test, feature = "budget"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::recipe::ModelSource;

    #[test]
    fn texts_are_counted_without_padding_truncation_and_dropout() {
        let text = "Who has the key to the room on the second floor?";
        let tiny = TokenCounter::new(Path::new(""), &ModelSource::Tiny).count(text).unwrap();
        let mut json: serde_json::Value =
            serde_json::from_str(include_str!("../../../models/tiny/tokenizer.json")).unwrap();
        json["padding"] = serde_json::json!({"strategy": {"Fixed": 512}, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"});
        json["truncation"] = serde_json::json!({"direction": "Right", "max_length": 4,
            "strategy": "LongestFirst", "stride": 0});
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
        let folder = ModelSource::Folder(dir.path().display().to_string().into());
        let count = || TokenCounter::new(Path::new(""), &folder).count(text);
        assert_eq!(count(), Some(tiny));
        for (dropout, counted) in [(0.0, Some(tiny)), (0.1, None)] {
            json["model"]["dropout"] = serde_json::json!(dropout);
            std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
            assert_eq!(count(), counted, "{dropout}");
        }
    }

    #[test]
    fn a_long_text_is_not_counted_to_its_end() {
        let mut tiny = TokenCounter::new(Path::new(""), &ModelSource::Tiny);
        let long = "Ask Bob in the blue office. ".repeat(40);
        let all = tiny.count(&long).unwrap();
        let Counted { tokens, at_least } = tiny.count_up_to(&long, 20).unwrap();
        assert!(at_least && tokens > 20 && tokens < all, "{tokens} of {all}");
        assert_eq!(tiny.count_up_to(&long, all), Some(Counted { tokens: all, at_least: false }));
        // Few tokens of many bytes.
        let rare = "information ".repeat(40);
        let few = tiny.count(&rare).unwrap();
        assert!(few * TOKEN_BYTES < rare.len(), "{few}");
        assert_eq!(tiny.count_up_to(&rare, few), Some(Counted { tokens: few, at_least: false }));
    }

    #[test]
    fn a_beginning_ends_where_a_word_does() {
        assert_eq!(beginning("Ask Bob.", 7), "Ask");
        assert_eq!(beginning("Ask Bob.", 8), "Ask Bob.");
        assert_eq!(beginning("ééé", 5), "éé");
    }
}
