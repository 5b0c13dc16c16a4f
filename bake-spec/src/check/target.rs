//! Targets and anchors: what they are learned from.

use proc_macro2::Span;
use syn::LitStr;
use syn::ext::IdentExt as _;

use super::Checker;
use super::lookup::Settings;
use super::prompt::FileReading;
use super::sources::leaves;
use crate::diagnostics::Code;
use crate::recipe::parts::is_blank;
use crate::recipe::{self, Mistake, Prompt, WorkedExample};
use crate::syntax::ast::{Item, Value, WrittenTarget};
use crate::text::document;

/// What a bake says about the questions of its targets. Anchors do not inherit it: they would
/// preserve the old answers to the very questions that the targets teach.
const OF_TARGETS: &[&str] = &["questions", "dataset", "ask", "persona", "rephrase"];

/// What a bake says about all of its targets.
pub(super) struct Shared<'a> {
    pub(super) settings: &'a Settings<'a>,
    /// What the student reads before a question.
    pub(super) student: Prompt,
    /// What every teacher reads before its own prompt.
    pub(super) prompt: Prompt,
    /// The worked examples of targets that declare none.
    pub(super) examples: Vec<WorkedExample>,
    /// Whether documents, datasets and prompts may be outside the package.
    pub(super) anywhere: bool,
}

/// A target, and what was read for it.
pub(super) struct ReadTarget {
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
        let mut reading = FileReading { anywhere, broken, files };
        let [student, prompt] =
            ["student", "prompt"].map(|name| self.prompt(settings, name, &mut reading));
        let examples = self.examples(settings.given("examples"), &mut reading);
        Shared { settings, student, prompt, examples, anywhere }
    }

    pub(super) fn target(
        &mut self,
        target: &WrittenTarget,
        shared: &Shared<'_>,
        files: &mut Vec<String>,
    ) -> ReadTarget {
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
                let mut reading = FileReading { anywhere, broken: target.broken, files };
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
        if path.is_none() {
            self.documents_for(target, &body);
        }
        let own = body.given.iter().find(|given| given.setting.name == "examples").copied();
        let mut examples = match own {
            Some(own) => {
                let mut reading = FileReading { anywhere, broken: target.broken, files };
                self.examples(Some(own), &mut reading)
            }
            None => shared.examples.clone(),
        };
        // Like generators, what the bake says of reading is meant for targets that have a document.
        let context = path.and_then(|_| {
            let word = body.word("context");
            recipe::TeacherContext::ALL.into_iter().find(|context| context.name() == word)
        });
        let (stimuli, questions) =
            self.stimuli(target, &body, (path.is_some(), read.is_some()), shared, files);
        if let Some((document, text)) = &read {
            self.template_works(&stimuli, &body, document, text);
        }
        let (document, text) = read.unzip();
        if document.is_none() {
            examples.clear();
        }
        let name = target.name.unraw().to_string();
        let rollout = recipe::RolloutFields {
            answers: body.count("rollouts"),
            max_tokens: body.optional_count("max_tokens").map(|count| count as usize),
            temperature: body.number("temperature"),
            top_p: body.number("top_p"),
            top_k: body.count("top_k"),
            seed: body.optional_count("seed").unwrap_or_default(),
            on_policy: if target.is_anchor() { 0.0 } else { body.number("on_policy") },
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
            context: context.filter(|_| document.is_some()),
            examples: examples.into(),
            document,
            stimuli,
            rollout: self.part(recipe::Rollout::new(rollout), target.name.span()),
        };
        let target_recipe = self.part(recipe::Target::new(fields), target.name.span());
        ReadTarget {
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

    /// Warns of targets that learn the same.
    pub(super) fn documents_of_their_own(&mut self, sources: &[ReadTarget]) {
        for (i, source) in sources.iter().enumerate() {
            let Some(document) = &source.target.document else { continue };
            let same = |other: &&ReadTarget| {
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
