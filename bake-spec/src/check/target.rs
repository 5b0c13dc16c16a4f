//! Targets and anchors: what they are learned from.

use std::borrow::Cow;

use proc_macro2::Span;
use syn::LitStr;
use syn::ext::IdentExt as _;

use super::Checker;
use super::lookup::Settings;
use super::prompt::Reading;
use super::sources::leaves;
use crate::diagnostics::{Code, Mistake};
use crate::recipe::parts::is_blank;
use crate::recipe::{self, Format, Prompt, Recipe, normalised_question};
use crate::settings::Scope;
use crate::syntax::ast::{Bake, Item, Target, Value};
use crate::text::{dataset, document};

/// What a bake says about the questions of its targets. Anchors do not inherit it: they would
/// preserve the old answers to the very questions that the targets teach.
const OF_TARGETS: &[&str] = &["questions", "dataset", "ask"];

/// What a bake says about all of its targets.
pub(super) struct Shared<'a> {
    pub(super) settings: &'a Settings<'a>,
    /// What the student reads before a question.
    pub(super) student: Prompt,
    /// What every teacher reads before its own prompt.
    pub(super) prompt: Prompt,
    /// Whether documents, datasets and prompts may be outside the package.
    anywhere: bool,
}

/// A target, and what was read for it.
pub(super) struct Source {
    pub(super) target: recipe::Target,
    /// The document's text.
    pub(super) document: Option<String>,
    /// The questions of its files.
    pub(super) questions: Vec<String>,
    /// Where its document is named, or else where it is.
    pub(super) span: Span,
}

impl Checker<'_> {
    pub(super) fn shared<'a>(
        &mut self,
        settings: &'a Settings<'a>,
        broken: bool,
        files: &mut Vec<String>,
    ) -> Shared<'a> {
        let anywhere = settings.word("documents") == "anywhere";
        let mut reading = Reading { anywhere, broken, files };
        let [student, prompt] =
            ["student", "prompt"].map(|name| self.prompt(settings, name, &mut reading));
        Shared { settings, student, prompt, anywhere }
    }

    pub(super) fn target(
        &mut self,
        target: &Target,
        shared: &Shared<'_>,
        files: &mut Vec<String>,
    ) -> Source {
        let (head_scope, body_scope) = target.scopes();
        let head = self.settings(target.head.iter().collect(), head_scope);
        let body = target.body.iter().filter_map(|item| match item {
            Item::Setting(assignment) => Some(assignment),
            _ => None,
        });
        let mut body = self.settings(body.collect(), body_scope);
        body.around = Some(shared.settings);
        if target.is_anchor() {
            body.own = OF_TARGETS;
        }
        let path = match head.value("from") {
            Some(Value::Text(path)) => Some(path),
            _ => None,
        };
        let anywhere = shared.anywhere;
        let read = path.and_then(|path| self.document(path, anywhere, files));
        let own = match target.is_anchor() {
            true => Prompt::default(),
            false => {
                let mut reading = Reading { anywhere, broken: target.broken, files };
                self.prompt(&head, "prompt", &mut reading)
            }
        };
        let prompt = match target.is_anchor() {
            true => shared.student.clone(),
            false => shared.prompt.and(&own),
        };
        // A prompt that could not be read was reported; the bake's is the target's too.
        let has_prompt = match head.value("prompt") {
            None | Some(Value::Text(_)) => !is_blank(&prompt.system) || !prompt.turns.is_empty(),
            Some(_) => true,
        };
        if !target.is_anchor() && !target.broken && path.is_none() && !has_prompt {
            let name = target.name.to_string();
            self.report_mistake(Mistake::NothingToLearn(&name), target.name.span());
        }
        let (stimuli, questions) = self.stimuli(target, &body, anywhere, files);
        let (document, text) = read.unzip();
        let name = target.name.unraw().to_string();
        let rollout = recipe::RolloutFields {
            answers: body.count("rollouts"),
            max_tokens: body.optional_count("max_tokens").map(|count| count as usize),
            temperature: body.number("temperature"),
            top_p: body.number("top_p"),
            top_k: body.count("top_k"),
            seed: body.optional_count("seed").unwrap_or_default(),
        };
        // A target with nothing to learn was reported.
        let prompt = match &document {
            None if !target.is_anchor() && is_blank(&prompt.system) && prompt.turns.is_empty() => {
                name.as_str().into()
            }
            _ => prompt,
        };
        let fields = recipe::TargetFields {
            name: name.into(),
            anchor: target.is_anchor(),
            weight: head.number("weight"),
            prompt,
            document,
            stimuli,
            rollout: self.part(recipe::Rollout::new(rollout), target.name.span()),
        };
        let target_recipe = self.part(recipe::Target::new(fields), target.name.span());
        Source {
            target: target_recipe,
            document: text,
            questions,
            span: path.map_or(target.name.span(), LitStr::span),
        }
    }

    fn document(
        &mut self,
        path: &LitStr,
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> Option<(recipe::Document, String)> {
        let declared = self.path(path, "document", anywhere)?;
        let file = self.package.root.join(&declared);
        let parts = if file.is_dir() {
            document::files(&file, "").unwrap_or_default()
        } else {
            vec![file.clone()]
        };
        files.extend(parts.iter().filter(|part| part.is_file()).filter_map(|part| {
            Some(part.strip_prefix(self.package.root).ok()?.to_str()?.replace('\\', "/"))
        }));
        if !anywhere && !leaves(&declared) {
            self.follow_links(&parts, "document", path.span());
        }
        match document::read(&file, format_args!("`{declared}`")) {
            Ok(text) => {
                let fields =
                    recipe::DocumentFields { path: declared.into(), hash: document::hash(&text) };
                Some((recipe::Document::new(fields).ok()?, text))
            }
            Err(e) => self.unreadable(Code::Document, path.span(), &declared, &e),
        }
    }

    /// Where the questions come from, and those of files.
    fn stimuli(
        &mut self,
        target: &Target,
        body: &Settings<'_>,
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> (recipe::Stimuli, Vec<String>) {
        let (mut written, mut from_files) = (Vec::new(), Vec::new());
        match body.value("questions") {
            Some(Value::Texts(questions)) => {
                let texts = questions.iter().map(LitStr::value);
                written = texts.filter(|text| !is_blank(text)).map(Cow::Owned).collect();
            }
            Some(Value::FromFile(path)) => {
                from_files.extend(self.dataset(path, Format::Lines, "", None, anywhere, files));
            }
            _ => {}
        }
        if let Some(Value::File(path, _)) = body.value("dataset") {
            let settings = body.block("dataset", Scope::Dataset);
            let take = settings.optional_count("take").map(|count| count as usize);
            match Format::of(&path.value()) {
                Some(format) => from_files.extend(self.dataset(
                    path,
                    format,
                    &settings.text("field"),
                    take,
                    anywhere,
                    files,
                )),
                None => {
                    let message = format!(
                        "the dataset `{}` is neither .jsonl nor .csv; rename it, or write \
                         `questions from`",
                        path.value()
                    );
                    self.report(Code::Dataset, path.span(), message);
                }
            }
        }
        let (datasets, read): (Vec<_>, Vec<_>) = from_files.into_iter().unzip();
        let count = match body.value("ask") {
            Some(Value::Counted(count, ..)) if body.setting("ask").check_count(*count).is_ok() => {
                *count
            }
            // There is no document to ask about.
            _ if target.is_anchor() => 0,
            _ => body.setting("ask").default.parse().unwrap_or_default(),
        };
        let settings = body.block("ask", Scope::Ask);
        let template = Some(settings.text("template")).filter(|text| !text.is_empty());
        let ask = recipe::AskFields {
            count: count as usize,
            temperature: settings.number("temperature"),
            template: template.map(Cow::Owned),
        };
        let ask = (count > 0).then(|| self.part(recipe::Ask::new(ask), target.name.span()));
        let given = ["questions", "dataset"].iter().any(|name| body.given(name).is_some());
        let none = ask.is_none() && written.is_empty() && datasets.is_empty();
        if ask.is_none() && !given && !target.broken {
            let name = target.name.to_string();
            let mistake = Mistake::NoQuestions { name: &name, anchor: target.is_anchor() };
            self.report_mistake(mistake, target.name.span());
        }
        let fields = recipe::StimuliFields {
            questions: Cow::Owned(written),
            datasets: Cow::Owned(datasets),
            // A file without questions was reported, here or where it is named.
            ask: if none { Some(recipe::Ask::default()) } else { ask },
        };
        let stimuli = self.part(recipe::Stimuli::new(fields), target.name.span());
        (stimuli, read.concat())
    }

    /// A file of questions and its content.
    fn dataset(
        &mut self,
        path: &LitStr,
        format: Format,
        field: &str,
        take: Option<usize>,
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> Option<(recipe::Dataset, Vec<String>)> {
        let (declared, file) = self.file(path, "dataset", anywhere, files)?;
        match dataset::read(&file, format_args!("`{declared}`"), format, field, take) {
            Ok(read) => {
                let fields = recipe::DatasetFields {
                    path: declared.into(),
                    hash: read.hash,
                    format,
                    field: field.to_owned().into(),
                    take,
                };
                Some((recipe::Dataset::new(fields).ok()?, read.questions))
            }
            Err(e) => self.unreadable(Code::Dataset, path.span(), &declared, &e),
        }
    }

    /// Checks that holding the questions of `expect` out leaves each target some.
    pub(super) fn something_to_learn(&mut self, recipe: &Recipe, sources: &[Source]) {
        let held_out: Vec<String> = recipe.held_out().map(normalised_question).collect();
        for Source { target, questions: read, span, .. } in sources {
            let recipe::StimuliFields { questions, ask, .. } = &*target.stimuli;
            let all = || questions.iter().map(|q| &**q).chain(read.iter().map(String::as_str));
            if ask.is_none()
                && all().next().is_some()
                && all().all(|question| held_out.contains(&normalised_question(question)))
            {
                let message = format!(
                    "all questions of the target `{}` are held out by `expect`; add some that are \
                     not",
                    target.name
                );
                self.report(Code::Missing, *span, message);
            }
        }
    }

    /// Warns of questions that are listed twice, or that are listed although an `expect` holds them
    /// out.
    pub(super) fn questions_that_count(&mut self, recipe: &Recipe, bake: &Bake) {
        let held_out: Vec<String> = recipe.held_out().map(normalised_question).collect();
        let in_targets = bake.items.iter().flat_map(|item| match item {
            Item::Target(target) => &target.body[..],
            _ => &[],
        });
        for item in bake.items.iter().chain(in_targets) {
            let Item::Setting(assignment) = item else { continue };
            let (true, Value::Texts(questions)) =
                (assignment.setting.name == "questions", &assignment.value)
            else {
                continue;
            };
            let mut seen = std::collections::HashSet::new();
            for question in questions {
                let normalised = normalised_question(&question.value());
                if held_out.contains(&normalised) {
                    let message = "an `expect` asks this question, so it is held out of training; \
                                   remove it from one of the two";
                    self.warn(Code::Question, question.span(), message);
                } else if !seen.insert(normalised) {
                    self.warn(
                        Code::Question,
                        question.span(),
                        "this question is listed twice but counts once; remove one of them",
                    );
                }
            }
        }
    }

    /// Warns of targets that learn the same.
    pub(super) fn documents_of_their_own(&mut self, sources: &[Source]) {
        for (i, source) in sources.iter().enumerate() {
            let Some(document) = &source.target.document else { continue };
            let same = |other: &&Source| {
                other.target.prompt == source.target.prompt
                    && other.target.document.as_ref().is_some_and(|d| d.hash == document.hash)
            };
            if let Some(other) = sources[..i].iter().find(same) {
                let message = format!(
                    "the targets `{}` and `{}` have the same document; remove one of them, and \
                     give the other more `weight` if it should count more",
                    other.target.name, source.target.name
                );
                self.warn(Code::SameDocument, source.span, message);
            }
        }
    }
}
