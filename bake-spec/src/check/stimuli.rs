//! Generators: where the questions of targets and anchors come from.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use proc_macro2::{Ident, Span};
use syn::LitStr;
use syn::ext::IdentExt as _;

use super::Checker;
use super::expected::Expected;
use super::lookup::Settings;
use super::target::{ReadTarget, Shared};
use crate::dataset;
use crate::diagnostics::Code;
use crate::recipe::parts::{check_words, is_blank};
use crate::recipe::{self, Format, Generator, GeneratorKind, Mistake};
use crate::settings::Scope;
use crate::syntax::ast::{Item, Value, WrittenBake, WrittenTarget};
use crate::text::unwrap::unwrapped;
use crate::text::{normalised_question, section};

/// The share of the loss that everyday requests get in a bake that declares no anchor.
const EVERYDAY_SHARE: f64 = 0.19;

impl Checker<'_> {
    /// The anchor of everyday requests, which a bake whose targets have documents gets unless it
    /// declares an anchor or says `anchors none`.
    pub(super) fn everyday_anchor(
        &mut self,
        bake: &WrittenBake,
        shared: &Shared<'_>,
        sources: &[ReadTarget],
        files: &mut Vec<String>,
    ) -> Option<ReadTarget> {
        let anchored = sources.iter().any(|source| source.target.anchor);
        // A behaviour changes the answers to everyday requests, which an anchor would keep.
        let documents = sources.iter().all(|source| source.target.document.is_some());
        if anchored || !documents || shared.settings.word("anchors") == "none" {
            return None;
        }
        let free = |name: &String| sources.iter().all(|source| *source.target.name != **name);
        let names = (2..).map(|number| format!("everyday_{number}"));
        let name = std::iter::once("everyday".to_owned()).chain(names).find(free)?;
        let anchor = WrittenTarget {
            keyword: Ident::new("anchor", Span::call_site()),
            name: Ident::new(&name, bake.name.span()),
            head: Vec::new(),
            body: Vec::new(),
            broken: false,
        };
        let source = self.target(&anchor, shared, files);
        let others: f64 = sources.iter().map(|source| source.target.weight).sum();
        let weight = others * EVERYDAY_SHARE / (1.0 - EVERYDAY_SHARE);
        // More than the largest weight can only be where the others have it already.
        let target = source.target.with(|target| target.weight = weight.min(1e6)).ok()?;
        Some(ReadTarget { target, ..source })
    }

    /// Reports generators of a target that need a document, and settings that say how one is read,
    /// where there is none. Those of the bake are meant for targets that have one.
    pub(super) fn documents_for(&mut self, target: &WrittenTarget, body: &Settings<'_>) {
        let name = target.name.unraw().to_string();
        for assignment in &body.given {
            let made = !matches!(assignment.value, Value::Counted(Some(0), ..));
            let generator = assignment.setting.name;
            let kind = GeneratorKind::ALL.into_iter().find(|kind| kind.name() == generator);
            if made && !target.broken && kind.is_some_and(GeneratorKind::needs_document) {
                let mistake = Mistake::NeedsDocument { name: &name, generator };
                self.report_mistake(mistake, assignment.keyword.span());
            }
            let setting = assignment.setting.name;
            if !target.broken && ["context", "examples"].contains(&setting) {
                let mistake = Mistake::NothingToRead { name: &name, setting };
                self.report_mistake(mistake, assignment.keyword.span());
            }
        }
    }

    /// Where the questions come from, and those of files. A document that is declared may not have
    /// been read.
    pub(super) fn stimuli(
        &mut self,
        target: &WrittenTarget,
        body: &Settings<'_>,
        (declares_document, has_document): (bool, bool),
        shared: &Shared<'_>,
        files: &mut Vec<String>,
    ) -> (recipe::Stimuli, Vec<String>) {
        let (mut generators, datasets) = self.written(body, shared.anywhere, files);
        let (datasets, read): (Vec<_>, Vec<_>) = datasets.into_iter().unzip();
        generators.extend(datasets.into_iter().map(Generator::Dataset));
        if has_document {
            generators.extend(self.of_document(target, body));
        }
        generators.extend(self.by_model(target, body, declares_document, shared.anywhere, files));
        // A file without questions was reported where it is named.
        let given = ["questions", "dataset"].iter().any(|name| body.given(name).is_some());
        let everyday = target.is_anchor() && generators.is_empty() && !given;
        if let Some(count) = body.amount("everyday").count(everyday) {
            let everyday = recipe::Everyday::new(recipe::EverydayFields { count });
            generators.push(Generator::Everyday(self.part(everyday, target.name.span())));
        }
        if !target.is_anchor()
            && let Some(count) = body.amount("general").count(!declares_document)
        {
            let general = recipe::General::new(recipe::GeneralFields { count });
            generators.push(Generator::General(self.part(general, target.name.span())));
        }
        if generators.is_empty() {
            // What a document that cannot be read would be asked is not known.
            let readable = declares_document == has_document;
            if !given && !target.broken && readable {
                let name = target.name.to_string();
                let mistake = Mistake::NoQuestions { name: &name, anchor: target.is_anchor() };
                self.report_mistake(mistake, target.name.span());
            }
            generators.push(Generator::Ask(recipe::Ask::default()));
        }
        let mut fields = recipe::StimuliFields { generators: generators.into() };
        if fields.rephrases_nothing() {
            // A file without questions was reported where it is named. What is given for all
            // targets goes without saying for one that has nothing to rephrase.
            let readable = declares_document == has_document;
            if body.is_given_here("rephrase") && !given && !target.broken && readable {
                let name = target.name.to_string();
                self.report_mistake(Mistake::NothingToRephrase(&name), target.name.span());
            }
            fields.remove(GeneratorKind::Rephrase);
        }
        let stimuli = self.part(recipe::Stimuli::new(fields), target.name.span());
        (stimuli, read.concat())
    }

    /// Questions that are written by hand, and files of questions with what is in them.
    fn written(
        &mut self,
        body: &Settings<'_>,
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> (Vec<Generator>, Vec<(recipe::Dataset, Vec<String>)>) {
        let (mut generators, mut datasets) = (Vec::new(), Vec::new());
        match body.value("questions") {
            Some(Value::Texts(questions)) => {
                let texts = questions.iter().map(LitStr::value);
                let allowed = |text: &String| check_words(text, "").is_ok();
                let written: Vec<_> = texts.filter(allowed).map(Cow::Owned).collect();
                if !written.is_empty() {
                    generators.push(Generator::Questions(written.into()));
                }
            }
            Some(Value::FromFile(path)) => {
                datasets.extend(self.dataset(path, Format::Lines, "", None, anywhere, files));
            }
            _ => {}
        }
        if let Some(Value::File(path, _)) = body.value("dataset") {
            let settings = body.block("dataset", Scope::Dataset);
            let take = settings.optional_count("take").map(|count| count as usize);
            let field = settings.text("field");
            match Format::of(&path.value()) {
                Some(format) => {
                    datasets.extend(self.dataset(path, format, &field, take, anywhere, files));
                }
                None => {
                    self.report_mistake(Mistake::UnknownEnding(&path.value()), path.span());
                }
            }
        }
        (generators, datasets)
    }

    /// What makes questions from a document without the model.
    fn of_document(&mut self, target: &WrittenTarget, body: &Settings<'_>) -> Vec<Generator> {
        let (mut generators, span) = (Vec::new(), target.name.span());
        if let Some(count) = body.amount("outline").count(true) {
            let outline = recipe::Outline::new(recipe::OutlineFields { count });
            generators.push(Generator::Outline(self.part(outline, span)));
        }
        // What is wrong with it was reported where it is written.
        if let Ok(template) = recipe::Template::new(body.text("template")) {
            generators.push(Generator::Template(template));
        }
        if let Some(count) = body.amount("unanswerable").count(true) {
            let decline = body.block("unanswerable", Scope::Unanswerable).text("decline");
            let decline = Some(decline).filter(|text| !is_blank(text)).map(Cow::Owned);
            let fields = recipe::UnanswerableFields { count, decline };
            let unanswerable = self.part(recipe::Unanswerable::new(fields), span);
            generators.push(Generator::Unanswerable(unanswerable));
        }
        generators
    }

    /// Checks that a template makes questions of every passage of a document.
    pub(super) fn template_works(
        &mut self,
        stimuli: &recipe::Stimuli,
        body: &Settings<'_>,
        document: &recipe::Document,
        text: &str,
    ) {
        let (Some(template), Some(Value::Text(written))) =
            (stimuli.template(), body.value("template"))
        else {
            return;
        };
        // What is wrong with it was reported where it is written.
        let Ok(template) = template.read() else { return };
        let mut makes_some = false;
        for (number, section) in section::passages(text).iter().enumerate() {
            let passage = recipe::PassageVariables {
                path: section.titles().chain(section.heading()).collect(),
                text: &unwrapped(&section.passage()),
                document: document.name(),
                index: number + 1,
            };
            let heading = passage.path.last().copied().unwrap_or("without a heading").to_owned();
            match template.render(passage) {
                Ok(questions) => makes_some |= !questions.is_empty(),
                Err(why) => {
                    let why = format!("it fails on the passage `{heading}`: {why}");
                    self.report_mistake(Mistake::NotATemplate { why: &why }, written.span());
                    return;
                }
            }
        }
        if !makes_some {
            let why = "it makes no question about any passage";
            self.report_mistake(Mistake::NotATemplate { why }, written.span());
        }
    }

    /// What the model writes, by default about a document.
    fn by_model(
        &mut self,
        target: &WrittenTarget,
        body: &Settings<'_>,
        has_document: bool,
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> Vec<Generator> {
        let (mut generators, span) = (Vec::new(), target.name.span());
        if let Some(count) = body.amount("ask").count(has_document && !target.is_anchor()) {
            let settings = body.block("ask", Scope::Ask);
            let template = Some(settings.text("template")).filter(|text| !text.is_empty());
            let fields = recipe::AskFields {
                count,
                temperature: settings.number("temperature"),
                template: template.map(Cow::Owned),
            };
            generators.push(Generator::Ask(self.part(recipe::Ask::new(fields), span)));
        }
        if let Some(count) = body.amount("persona").count(false) {
            let settings = body.block("persona", Scope::Persona);
            let people = match settings.value("people") {
                Some(Value::Texts(people)) => people.iter().map(LitStr::value).collect(),
                Some(Value::FromFile(path)) => self
                    .dataset(path, Format::Lines, "", None, anywhere, files)
                    .map_or_else(Vec::new, |(_, lines)| lines),
                _ => Vec::new(),
            };
            let people = people.into_iter().filter(|who| !is_blank(who)).map(Cow::Owned);
            let fields = recipe::PersonaFields {
                count,
                temperature: settings.number("temperature"),
                people: people.collect::<Vec<_>>().into(),
            };
            generators.push(Generator::Persona(self.part(recipe::Persona::new(fields), span)));
        }
        if let Some(count) = body.amount("rephrase").count(false) {
            let temperature = body.block("rephrase", Scope::Rephrase).number("temperature");
            let fields = recipe::RephraseFields { count, temperature };
            generators.push(Generator::Rephrase(self.part(recipe::Rephrase::new(fields), span)));
        }
        generators
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

    /// Whether holding the questions of `expect` out leaves each target some; those that have none
    /// are reported.
    pub(super) fn something_to_learn(
        &mut self,
        expects: &[recipe::Expect],
        sources: &[ReadTarget],
    ) -> bool {
        let (held_out, mut all_learn) = (recipe::held_out(expects), true);
        for ReadTarget { target, questions, span, .. } in sources {
            if target.stimuli.is_held_out(questions, &held_out) {
                self.report_mistake(Mistake::AllHeldOut(&target.name), *span);
                all_learn = false;
            }
        }
        all_learn
    }

    /// Warns of questions that are listed twice, or that are listed although an `expect` holds them
    /// out.
    pub(super) fn questions_that_count(&mut self, expected: &[Expected], bake: &WrittenBake) {
        let asked = |one: &Expected| (normalised_question(&one.expect.question), one.place());
        // The first that asks is named.
        let held_out: HashMap<String, String> = expected.iter().rev().map(asked).collect();
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
            let mut seen = HashSet::new();
            for question in questions {
                let normalised = normalised_question(&question.value());
                if let Some(place) = held_out.get(&normalised) {
                    let message = format!(
                        "{place} also asks this question and so holds it out of training; remove \
                         one of the two"
                    );
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
}
