//! Questions made from a document's own outline, without a model: what stands out in a passage, in
//! sentences that fit its form, written as different people write.

pub(super) mod casing;
mod cloze;
pub(super) mod form;
mod frames;
mod keywords;
pub(super) mod lexicon;
mod variation;

use std::collections::HashSet;

use bake_spec::KeyHasher;
use bake_spec::recipe::normalised_question;
use bake_spec::text::outline::{Lead, LeadKind, leads};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::phrases::Phrases;
use crate::bake::inputs::Passage;
use casing::Casing;
use form::LeadForm;
use frames::{capitalised, facts, fill, frames};
use keywords::Keywords;
use variation::Variation;

/// Questions about a passage by what it is mainly about, about each other part of its outline, and
/// about each of its sentences.
const MAIN: usize = 12;
const EACH: usize = 1;
const OF_SENTENCE: usize = 12;

/// The most questions about a passage unless more are declared.
const MOST: usize = 80;

/// Phrases of a passage that are asked about beside its outline, and where it has none.
const PHRASES: usize = 4;
const PHRASES_ALONE: usize = 6;

/// How often questions are tried that were there already, for each that is wanted.
const TRIES: usize = 8;

/// What is asked about a passage.
struct Subject {
    /// What it is mainly about: its heading, or its first question.
    main: Option<LeadForm>,
    /// What else stands out in it.
    others: Vec<LeadForm>,
    /// What its text tells, as frames around the main lead.
    facts: Vec<&'static str>,
    /// The words of the main lead, for the facts.
    words: String,
    /// Its sentences.
    keywords: Keywords,
}

/// The outlines of the passages of a document.
pub(super) struct Outlines {
    subjects: Vec<Subject>,
    /// Whether questions in English fit it.
    english: bool,
    seed: u64,
}

impl Outlines {
    pub(super) fn of(passages: &[Passage], seed: u64) -> Self {
        let texts: Vec<&str> = passages.iter().map(|passage| &*passage.text).collect();
        let document = texts.join("\n");
        let (casing, phrases) = (Casing::of(&document), Phrases::of(passages));
        let subjects = passages
            .iter()
            .enumerate()
            .map(|(number, passage)| Subject::of(passage, &phrases.of_passage(number), &casing));
        let english = lexicon::is_english(&document);
        Self { subjects: subjects.collect(), english, seed }
    }

    /// How many questions a passage calls for.
    pub(super) fn size(&self, passage: usize) -> usize {
        let Subject { main, others, keywords, .. } = &self.subjects[passage];
        let of_leads = usize::from(main.is_some()) * MAIN + EACH * others.len();
        (of_leads + OF_SENTENCE * keywords.len()).clamp(EACH, MOST)
    }

    /// So many questions about a passage, or as many as there are.
    pub(super) fn questions(&self, passage: usize, count: usize) -> Vec<String> {
        let subject = &self.subjects[passage];
        let mut asking = Phrasing {
            rng: self.random(subject),
            english: self.english,
            found: Vec::new(),
            seen: HashSet::new(),
        };
        // At least half of them by the leads, and half of these by the main one, which answers are
        // most often sought by.
        let of_sentences = (OF_SENTENCE * subject.keywords.len()).min(count / 2);
        let of_others = (EACH * subject.others.len()).min((count - of_sentences) / 2);
        let mut left = count;
        if let Some(main) = &subject.main {
            left -= asking.ask(main, subject, count - of_others - of_sentences);
        }
        left -= asking.ask_sentences(&subject.keywords, of_sentences);
        for (number, other) in subject.others.iter().enumerate() {
            let share = left.div_ceil(subject.others.len() - number);
            left -= asking.ask(other, subject, share);
        }
        if let Some(main) = &subject.main {
            asking.ask(main, subject, left);
        }
        asking.found
    }

    /// A random stream that depends on what is asked about alone.
    fn random(&self, subject: &Subject) -> ChaCha8Rng {
        let key = KeyHasher::new("outline", 1)
            .field("seed", &self.seed)
            .field("words", &*subject.words)
            .finish();
        ChaCha8Rng::from_seed(*key.as_bytes())
    }
}

impl Subject {
    fn of(passage: &Passage, phrases: &[String], casing: &Casing) -> Self {
        let mut found = leads(&passage.own);
        let main = found
            .iter()
            .position(|lead| matches!(lead.kind, LeadKind::Heading | LeadKind::Question))
            .filter(|main| *main == 0)
            .map(|main| found.remove(main));
        let kinds = |kind: LeadKind| found.iter().filter(move |lead| lead.kind == kind);
        let ordered =
            [LeadKind::Question, LeadKind::Heading, LeadKind::Term, LeadKind::Cell, LeadKind::Link];
        let form = |lead: &Lead| LeadForm::of(&casing.within_sentence(&lead.words));
        let mut others: Vec<LeadForm> = ordered.into_iter().flat_map(kinds).map(form).collect();
        let most = if main.is_none() && others.is_empty() { PHRASES_ALONE } else { PHRASES };
        let known: Vec<String> =
            found.iter().chain(&main).map(|lead| normalised_question(&lead.words)).collect();
        let new = |phrase: &&String| !known.iter().any(|lead| lead.contains(phrase.as_str()));
        let phrases_left = phrases.iter().filter(new).take(most);
        others.extend(phrases_left.map(|phrase| LeadForm::Topic(casing.within_sentence(phrase))));
        let words = main
            .as_ref()
            .map_or_else(|| phrases.join(", "), |lead| lead.words.trim_end_matches('?').to_owned());
        let told: Vec<String> =
            passage.own.split_whitespace().map(|word| plain(word).to_owned()).collect();
        let facts = if main.is_some() { facts(&told).collect() } else { Vec::new() };
        let keywords = Keywords::of(&passage.own, passage.heading.as_deref().unwrap_or_default());
        Self { main: main.as_ref().map(form), others, facts, words, keywords }
    }
}

/// A word in lower case without marks around it, but with the sign of a currency.
fn plain(word: &str) -> String {
    let edge = |c: char| !c.is_alphanumeric() && !"€$£".contains(c);
    word.trim_matches(edge).to_lowercase()
}

/// Questions about a passage, as far as they have been phrased.
struct Phrasing {
    rng: ChaCha8Rng,
    english: bool,
    found: Vec<String>,
    seen: HashSet<String>,
}

impl Phrasing {
    /// Adds so many questions about a form; returns how many it added.
    fn ask(&mut self, form: &LeadForm, subject: &Subject, count: usize) -> usize {
        let before = self.found.len();
        let (_, words) = frames(form);
        if count > 0 {
            // As it is written.
            self.add(capitalised(words));
        }
        if !self.english {
            return self.found.len() - before;
        }
        let mut order = Vec::new();
        for _ in 0..TRIES * count {
            if self.found.len() - before >= count {
                break;
            }
            if order.is_empty() {
                order = self.sentences(form, subject);
                order.shuffle(&mut self.rng);
            }
            let Some(sentence) = order.pop() else { break };
            let variation = Variation::draw(&mut self.rng);
            let question = variation.of(&sentence, &mut self.rng);
            self.add(question);
        }
        self.found.len() - before
    }

    /// Adds so many questions about sentences; returns how many it added.
    fn ask_sentences(&mut self, keywords: &Keywords, count: usize) -> usize {
        let before = self.found.len();
        for time in 0..TRIES * count {
            if self.found.len() - before >= count {
                break;
            }
            let sentence = time % keywords.len();
            let question = keywords.question(sentence, self.english, &mut self.rng);
            let variation = Variation::draw(&mut self.rng);
            let question = variation.of(&question, &mut self.rng);
            self.add(question);
        }
        self.found.len() - before
    }

    /// The sentences in which a form is asked about: those of its own frames, those of what is
    /// behind it, and of the main lead what the text tells.
    fn sentences(&mut self, form: &LeadForm, subject: &Subject) -> Vec<String> {
        let mut sentences = Vec::new();
        let behind = form.behind();
        for form in std::iter::once(form).chain(&behind) {
            let (frames, words) = frames(form);
            sentences.extend(frames.iter().map(|frame| fill(frame, words)));
        }
        if subject.main.as_ref() == Some(form) {
            sentences.extend(subject.facts.iter().map(|frame| fill(frame, &subject.words)));
        } else if let Some(LeadForm::Topic(of)) = &subject.main
            && let LeadForm::Topic(words) = form
        {
            // What is asked within a chapter is often asked with its name.
            sentences.push(format!("{} - {}?", capitalised(of), words));
        }
        if self.rng.random_bool(0.5) {
            sentences.reverse();
        }
        sentences
    }

    fn add(&mut self, question: String) {
        if self.seen.insert(normalised_question(&question)) {
            self.found.push(question);
        }
    }
}

#[cfg(test)]
mod tests;
