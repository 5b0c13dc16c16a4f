//! The room in a model's context.

/// What to say further where `context document` is declared.
pub const WITHOUT_CONTEXT: &str = "; without `context document` it is read passage by passage";

/// What to say further where worked examples are declared.
pub const FEWER_EXAMPLES: &str =
    "; the worked examples are part of it, so fewer or shorter ones help too";

/// The tokens that a prompt, a question and an answer need.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    /// For the prompt with the document.
    pub prompt: usize,
    /// For the longest question, if one is known.
    pub question: Option<usize>,
    /// For an answer, at most.
    pub answer: usize,
    /// Whether the prompt has this many tokens or more.
    pub at_least: bool,
}

impl Needed {
    /// What to say if they do not fit the context: what is too long, and what helps. A shorter
    /// answer is suggested only if that makes everything fit.
    ///
    /// ```
    /// use bake_spec::room::Needed;
    /// let needed = Needed { prompt: 500, question: Some(20), answer: 200, at_least: false };
    /// assert!(needed.refusal("`a.md`", 640).ends_with("or lower `max_tokens`"));
    /// ```
    pub fn refusal(&self, what: &str, context: usize) -> String {
        let at_least = if self.at_least { "at least " } else { "" };
        let question = self
            .question
            .map(|question| format!(", the longest question {question},"))
            .unwrap_or_default();
        format!(
            "{what} does not fit in the model's context: it needs {at_least}{} tokens{question} \
             and an answer up to {}, but the context has only {context}; {}",
            self.prompt,
            self.answer,
            self.help(context)
        )
    }

    /// What makes it fit, or has to be done first.
    fn help(&self, context: usize) -> &'static str {
        let question = self.question.unwrap_or(0);
        let answer_helps = !self.at_least && self.prompt + question < context;
        if self.answer >= context {
            "lower `max_tokens`"
        } else if question + self.answer >= context {
            if answer_helps {
                "shorten the question, or lower `max_tokens`"
            } else {
                "shorten the question"
            }
        } else if answer_helps {
            "shorten it, split it into several targets, or lower `max_tokens`"
        } else {
            "shorten it, or split it into several targets"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_answer_is_suggested_only_if_it_helps() {
        let needed = Needed { prompt: 787, question: Some(9), answer: 64, at_least: false };
        let text = needed.refusal("`docs/a.md`", 640);
        assert!(text.contains("787 tokens, the longest question 9, and an answer up to 64, but"));
        assert!(!text.contains("max_tokens"), "{text}");
        let text = Needed { prompt: 600, ..needed }.refusal("`docs/a.md`", 640);
        assert!(text.ends_with("or lower `max_tokens`"), "{text}");
        let text = Needed { question: None, at_least: true, ..needed }.refusal("it", 640);
        assert!(text.contains("at least 787 tokens and an answer up to 64, but"), "{text}");
    }

    #[test]
    fn what_is_too_long_by_itself_is_what_is_to_be_shortened() {
        let help = |prompt, question, answer| {
            let needed = Needed { prompt, question: Some(question), answer, at_least: false };
            needed.refusal("it", 640).rsplit("; ").next().unwrap().to_owned()
        };
        assert_eq!(help(4, 902, 64), "shorten the question");
        assert_eq!(help(4, 600, 64), "shorten the question, or lower `max_tokens`");
        assert_eq!(help(500, 20, 640), "lower `max_tokens`");
        assert_eq!(help(620, 20, 64), "shorten it, or split it into several targets");
    }
}
