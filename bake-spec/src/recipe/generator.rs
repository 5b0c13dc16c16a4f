//! Generators: where the questions of a target come from.

mod kind;

use std::collections::HashSet;

use super::parts::{check_path, check_words, is_blank, items, part, str};
use super::{Format, List, Mistake, Template, Text};
use crate::hash::Hash;
use crate::settings::{Scope, entry};
use crate::text::normalised_question;
pub use kind::GeneratorKind;

part! {
    /// Where a target's questions come from.
    #[derive(Default)]
    Stimuli of StimuliFields
}

/// The fields of [`Stimuli`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StimuliFields {
    /// What makes the questions. Their order does not matter; there may be several datasets, and
    /// one of every other kind.
    pub generators: List<Generator>,
}

impl StimuliFields {
    const fn check(&self) -> Result<(), Mistake<'_>> {
        let generators = items(&self.generators);
        let mut i = 0;
        while i < generators.len() {
            let kind = generators[i].kind();
            let mut j = 0;
            while j < i {
                let several = matches!(kind, GeneratorKind::Dataset);
                if !several && generators[j].kind() as u8 == kind as u8 {
                    return Err(Mistake::Repeated(kind.name()));
                }
                j += 1;
            }
            if let Generator::Questions(questions) = &generators[i]
                && let Err(mistake) = check_questions(items(questions))
            {
                return Err(mistake);
            }
            i += 1;
        }
        Ok(())
    }

    /// The first generator that cannot do without a document, in constant functions.
    pub(super) const fn of_a_document(&self) -> Option<GeneratorKind> {
        let generators = items(&self.generators);
        let mut i = 0;
        while i < generators.len() {
            let kind = generators[i].kind();
            if kind.needs_document() {
                return Some(kind);
            }
            i += 1;
        }
        None
    }

    /// Whether there is a generator of a kind, in constant functions.
    pub(super) const fn has(&self, kind: GeneratorKind) -> bool {
        let generators = items(&self.generators);
        let mut i = 0;
        while i < generators.len() {
            if generators[i].kind() as u8 == kind as u8 {
                return true;
            }
            i += 1;
        }
        false
    }

    /// Whether there is a generator that says questions of others in other words, and no others, in
    /// constant functions.
    pub(crate) const fn rephrases_nothing(&self) -> bool {
        let generators = items(&self.generators);
        let (mut rephrases, mut i) = (false, 0);
        while i < generators.len() {
            let kind = generators[i].kind();
            if kind.can_be_rephrased() {
                return false;
            }
            rephrases |= matches!(kind, GeneratorKind::Rephrase);
            i += 1;
        }
        rephrases
    }

    /// Whether all questions, with those that were `read` from files, are written by hand and held
    /// out.
    pub(crate) fn is_held_out(&self, read: &[String], held_out: &HashSet<String>) -> bool {
        let written = self.questions().iter().map(|question| &**question);
        let mut all = written.chain(read.iter().map(String::as_str)).peekable();
        self.generators.iter().all(|it| it.kind().is_written())
            && all.peek().is_some()
            && all.all(|question| held_out.contains(&normalised_question(question)))
    }

    /// Puts a generator in the place of those of its kind, or adds it.
    pub fn set(&mut self, generator: Generator) {
        self.remove(generator.kind());
        self.generators.to_mut().push(generator);
    }

    /// Removes the generators of a kind.
    pub fn remove(&mut self, kind: GeneratorKind) {
        self.generators.to_mut().retain(|generator| generator.kind() != kind);
    }

    /// The questions that are written by hand.
    pub fn questions(&self) -> &[Text] {
        let found = self.generators.iter().find_map(|generator| match generator {
            Generator::Questions(questions) => Some(&**questions),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// The files of questions.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        self.generators.iter().filter_map(|generator| match generator {
            Generator::Dataset(dataset) => Some(dataset),
            _ => None,
        })
    }
}

/// Functions that find the generator of a kind.
macro_rules! of_kind {
    ($($(#[$meta:meta])* $method:ident: $kind:ident;)*) => {
        impl StimuliFields {
            $(
                $(#[$meta])*
                pub fn $method(&self) -> Option<&$kind> {
                    self.generators.iter().find_map(|generator| match generator {
                        Generator::$kind(it) => Some(it),
                        _ => None,
                    })
                }
            )*
        }
    };
}

of_kind! {
    /// What is made from the outline of the document.
    outline: Outline;
    /// What is made by a template.
    template: Template;
    /// What the model writes.
    ask: Ask;
    /// What the model writes as people of many kinds.
    persona: Persona;
    /// What says the same in other words.
    rephrase: Rephrase;
    /// What the document does not answer.
    unanswerable: Unanswerable;
    /// What has nothing to do with any document.
    everyday: Everyday;
    /// What a behaviour is learned from.
    general: General;
}

const fn check_questions(questions: &[Text]) -> Result<(), Mistake<'_>> {
    if questions.is_empty() {
        return Err(Mistake::Blank("the list of `questions`"));
    }
    let mut i = 0;
    while i < questions.len() {
        if let Err(mistake) = check_words(str(&questions[i]), "a question") {
            return Err(mistake);
        }
        i += 1;
    }
    Ok(())
}

/// What makes questions.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Generator {
    /// Questions that are written by hand.
    Questions(List<Text>),
    /// A file of questions.
    Dataset(Dataset),
    /// The outline of the document: its headings, terms and other words that stand out, in the
    /// sentences of people who ask.
    Outline(Outline),
    /// A template for each passage.
    Template(Template),
    /// The model, which reads a passage.
    Ask(Ask),
    /// The model, which reads a passage and speaks as people of many kinds.
    Persona(Persona),
    /// The model, which says in other words what other generators made.
    Rephrase(Rephrase),
    /// Questions of the same subject that the document does not answer.
    Unanswerable(Unanswerable),
    /// Requests that have nothing to do with any document.
    Everyday(Everyday),
    /// Requests of many kinds, from which a behaviour is learned.
    General(General),
}

impl Generator {
    /// What kind it is.
    pub const fn kind(&self) -> GeneratorKind {
        match self {
            Self::Questions(_) => GeneratorKind::Questions,
            Self::Dataset(_) => GeneratorKind::Dataset,
            Self::Outline(_) => GeneratorKind::Outline,
            Self::Template(_) => GeneratorKind::Template,
            Self::Ask(_) => GeneratorKind::Ask,
            Self::Persona(_) => GeneratorKind::Persona,
            Self::Rephrase(_) => GeneratorKind::Rephrase,
            Self::Unanswerable(_) => GeneratorKind::Unanswerable,
            Self::Everyday(_) => GeneratorKind::Everyday,
            Self::General(_) => GeneratorKind::General,
        }
    }
}

/// Checks how many questions a generator makes.
const fn check_count(kind: GeneratorKind, count: Option<usize>) -> Result<(), Mistake<'static>> {
    match count {
        Some(0) => Err(Mistake::ForNone(kind.name())),
        Some(count) => entry(Scope::TargetBody, kind.name()).check_count(count as u64),
        None => Ok(()),
    }
}

part! {
    /// Some questions from a file.
    Dataset of DatasetFields, then check_ending
}

/// The fields of a [`Dataset`].
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetFields {
    /// The path, relative to the package.
    pub path: Text,
    /// The hash of the file's text.
    pub hash: Hash,
    /// How the file is written.
    pub format: Format,
    /// The field, or the column, that contains the question.
    pub field: Text,
    /// At most this many, from the first on.
    pub take: Option<usize>,
}

impl DatasetFields {
    const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = check_path(str(&self.path), "dataset") {
            return Err(mistake);
        }
        match self.take {
            Some(take) => entry(Scope::Dataset, "take").check_count(take as u64),
            None => Ok(()),
        }
    }

    /// A declaration finds the format by the ending, but for lines.
    fn check_ending(&self) -> Result<(), Mistake<'_>> {
        match self.format != Format::Lines && Format::of(&self.path).is_none() {
            true => Err(Mistake::UnknownEnding(&self.path)),
            false => Ok(()),
        }
    }
}

part! {
    /// Questions made from the outline of the document.
    Outline of OutlineFields
}

/// The fields of an [`Outline`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutlineFields {
    /// How many questions; by default as many as the passages of the document call for.
    pub count: Option<usize>,
}

impl OutlineFields {
    /// The defaults.
    pub const DEFAULT: Self = Self { count: None };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        check_count(GeneratorKind::Outline, self.count)
    }
}

part! {
    /// Questions that the model writes about the document.
    Ask of AskFields
}

/// The fields of an [`Ask`].
#[derive(Clone, Debug, PartialEq)]
pub struct AskFields {
    /// How many different questions; by default as many as the passages of the document call for.
    pub count: Option<usize>,
    /// The temperature at which they are sampled.
    pub temperature: f64,
    /// The request put to the model; if there is none, the standard ones.
    pub template: Option<Text>,
}

impl AskFields {
    /// The defaults.
    pub const DEFAULT: Self = Self { count: None, temperature: 0.5, template: None };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = check_count(GeneratorKind::Ask, self.count) {
            return Err(mistake);
        }
        if let Some(template) = &self.template
            && is_blank(str(template))
        {
            return Err(Mistake::Blank("a template"));
        }
        entry(Scope::Ask, "temperature").check_number(self.temperature)
    }
}

part! {
    /// Questions that the model writes in the words of people of many kinds.
    Persona of PersonaFields
}

/// The fields of a [`Persona`].
#[derive(Clone, Debug, PartialEq)]
pub struct PersonaFields {
    /// How many different questions; by default as many as the passages of the document call for.
    pub count: Option<usize>,
    /// The temperature at which they are sampled.
    pub temperature: f64,
    /// Who asks, such as "an impatient customer"; if it is empty, bake's own list of people.
    pub people: List<Text>,
}

impl PersonaFields {
    /// The defaults.
    pub const DEFAULT: Self = Self { count: None, temperature: 0.7, people: List::Borrowed(&[]) };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = check_count(GeneratorKind::Persona, self.count) {
            return Err(mistake);
        }
        let people = items(&self.people);
        let mut i = 0;
        while i < people.len() {
            if is_blank(str(&people[i])) {
                return Err(Mistake::Blank("one of the `people`"));
            }
            i += 1;
        }
        entry(Scope::Persona, "temperature").check_number(self.temperature)
    }
}

part! {
    /// Other words for the questions of other generators.
    Rephrase of RephraseFields
}

/// The fields of a [`Rephrase`].
#[derive(Clone, Debug, PartialEq)]
pub struct RephraseFields {
    /// How many different questions; by default as many as the passages of the document call for.
    pub count: Option<usize>,
    /// The temperature at which they are sampled.
    pub temperature: f64,
}

impl RephraseFields {
    /// The defaults.
    pub const DEFAULT: Self = Self { count: None, temperature: 0.7 };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Err(mistake) = check_count(GeneratorKind::Rephrase, self.count) {
            return Err(mistake);
        }
        entry(Scope::Rephrase, "temperature").check_number(self.temperature)
    }
}

part! {
    /// Questions of the same subject that no passage answers.
    Unanswerable of UnanswerableFields
}

/// The fields of an [`Unanswerable`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnanswerableFields {
    /// How many questions; by default as many as the passages of the document call for.
    pub count: Option<usize>,
    /// What the baked model answers; if there is nothing, what the model itself says when it does
    /// not know.
    pub decline: Option<Text>,
}

impl UnanswerableFields {
    /// The defaults.
    pub const DEFAULT: Self = Self { count: None, decline: None };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        if let Some(decline) = &self.decline
            && is_blank(str(decline))
        {
            return Err(Mistake::Blank("what `decline` says"));
        }
        check_count(GeneratorKind::Unanswerable, self.count)
    }
}

part! {
    /// Requests that have nothing to do with any document, from bake's own table.
    Everyday of EverydayFields
}

/// The fields of an [`Everyday`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EverydayFields {
    /// How many requests; by default all of the table.
    pub count: Option<usize>,
}

impl EverydayFields {
    /// The defaults.
    pub const DEFAULT: Self = Self { count: None };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        check_count(GeneratorKind::Everyday, self.count)
    }
}

part! {
    /// Requests of many kinds from bake's own table, from which a behaviour is learned.
    General of GeneralFields
}

/// The fields of a [`General`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeneralFields {
    /// How many requests; by default all of the table.
    pub count: Option<usize>,
}

impl GeneralFields {
    /// The defaults.
    pub const DEFAULT: Self = Self { count: None };

    const fn check(&self) -> Result<(), Mistake<'_>> {
        check_count(GeneratorKind::General, self.count)
    }
}

macro_rules! defaults {
    ($($part:ident: $fields:expr;)*) => {$(
        impl Default for $part {
            fn default() -> Self {
                Self::declared($fields)
            }
        }
    )*};
}

defaults! {
    Outline: OutlineFields::DEFAULT;
    Ask: AskFields::DEFAULT;
    Persona: PersonaFields::DEFAULT;
    Rephrase: RephraseFields::DEFAULT;
    Unanswerable: UnanswerableFields::DEFAULT;
    Everyday: EverydayFields::DEFAULT;
    General: GeneralFields::DEFAULT;
}
