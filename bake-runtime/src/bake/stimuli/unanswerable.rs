//! Questions of the same subject that no passage answers, without a model: what is asked about the
//! document's subject and told nowhere.

mod tables;

use std::collections::BTreeSet;

use bake_spec::KeyHasher;
use bake_spec::recipe::normalised_question;
use bake_spec::text::outline::leads;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::outline::casing::Casing;
use super::outline::form::LeadForm;
use super::quota::spread;
use crate::bake::inputs::Passage;
use crate::bake::support::ContentWords;
use tables::{ATTRIBUTES, NOT_A_SUBJECT, THING_FRAMES, THINGS};

/// What the passages of all targets say, so that no question is taken for unanswerable that one of
/// them answers.
#[derive(Default)]
pub(crate) struct Told {
    passages: Vec<ContentWords>,
    all: BTreeSet<String>,
}

impl Told {
    pub(crate) fn by<'a>(passages: impl Iterator<Item = &'a Passage>) -> Self {
        let passages: Vec<ContentWords> =
            passages.map(|passage| ContentWords::of(&passage.text)).collect();
        let all = passages.iter().flat_map(ContentWords::iter).map(str::to_owned).collect();
        Self { passages, all }
    }

    /// Whether some passage says anything about one of these words.
    fn mentions(&self, words: &str) -> bool {
        ContentWords::of(words).iter().any(|word| self.all.contains(word))
    }

    /// Whether one passage says something about all of these words.
    fn tells(&self, words: &str) -> bool {
        let words = ContentWords::of(words);
        self.passages.iter().any(|passage| words.shared(passage) == words.len())
    }
}

/// A question that the document does not answer, and the passage that comes nearest.
pub(super) struct Unanswered {
    pub(super) question: String,
    pub(super) passage: usize,
}

/// So many questions about a document that no passage answers, or as many as there are.
pub(super) fn unanswered(
    passages: &[Passage],
    others: &[String],
    told: &Told,
    count: usize,
    seed: u64,
) -> Vec<Unanswered> {
    let texts: Vec<&str> = passages.iter().map(|passage| &*passage.text).collect();
    let casing = Casing::of(&texts.join("\n"));
    let subjects = subjects(passages, &casing);
    let mut candidates = about_attributes(&subjects, told);
    candidates.extend(about_things(&subjects, others, told));
    let key = KeyHasher::new("unanswerable", 1)
        .field("seed", &seed)
        .field("subjects", &subjects)
        .finish();
    candidates.shuffle(&mut ChaCha8Rng::from_seed(*key.as_bytes()));
    let mut seen = BTreeSet::new();
    candidates.retain(|question| seen.insert(normalised_question(question)));
    candidates.truncate(count);
    let contents: Vec<ContentWords> = texts.iter().map(|text| ContentWords::of(text)).collect();
    let mut found = Vec::new();
    for (number, question) in candidates.into_iter().enumerate() {
        let passage = nearest(&contents, &question, number);
        found.push(Unanswered { question, passage });
    }
    found
}

/// What the passages of a document are about, as far as it is a thing of a few words: what can be
/// asked of other documents.
pub(crate) fn things(passages: &[Passage]) -> Vec<String> {
    let texts: Vec<&str> = passages.iter().map(|passage| &*passage.text).collect();
    let casing = Casing::of(&texts.join("\n"));
    let mut found = Vec::new();
    for lead in passages.iter().flat_map(|passage| leads(&passage.own)) {
        let words = casing.within_sentence(&lead.words);
        if let LeadForm::Topic(words) = LeadForm::of(&words)
            && words.split(' ').count() <= 3
        {
            found.push(words);
        }
    }
    found
}

/// The passage that shares the most words with a question; of several, each in turn.
fn nearest(passages: &[ContentWords], question: &str, number: usize) -> usize {
    let words = ContentWords::of(question);
    let shared: Vec<usize> = passages.iter().map(|passage| words.shared(passage)).collect();
    let most = shared.iter().copied().max().unwrap_or_default();
    let best: Vec<usize> = (0..passages.len()).filter(|&at| shared[at] == most).collect();
    best[number % best.len()]
}

/// What a document is about: the words of its title that name something, or else of the headings
/// that all of its passages are under.
fn subjects(passages: &[Passage], casing: &Casing) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for passage in passages {
        let title = passage.titles.first().or(passage.heading.as_ref());
        let Some(title) = title else { continue };
        // A name of several words is one as a whole.
        let of_names = title.split(' ').take(2).all(|word| word.starts_with(char::is_uppercase));
        let written = match of_names && title.contains(' ') {
            true => title.clone(),
            false => casing.within_sentence(title),
        };
        let named = |word: &&str| {
            let plain = word.to_lowercase();
            let plain = plain.trim_matches(|c: char| !c.is_alphanumeric());
            !NOT_A_SUBJECT.contains(&plain) && !plain.is_empty()
        };
        let words: Vec<&str> = written
            .split(' ')
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
            .filter(named)
            .collect();
        let subject = words.join(" ");
        if (1..=4).contains(&words.len()) && !found.contains(&subject) {
            found.push(subject);
        }
    }
    spread(found, MOST_SUBJECTS)
}

/// The most subjects of a document, from its first to its last: the titles of its files, or its
/// headings.
const MOST_SUBJECTS: usize = 24;

/// What is asked of anything, of the subjects, where nothing is told of it.
fn about_attributes(subjects: &[String], told: &Told) -> Vec<String> {
    let mut questions = Vec::new();
    for (frame, words) in ATTRIBUTES {
        if told.mentions(words) {
            continue;
        }
        for subject in subjects {
            questions.push(frame.replace("{}", &definite(subject)));
        }
    }
    questions
}

/// What other things have, asked of the subjects: of a table, and of other targets.
fn about_things(subjects: &[String], others: &[String], told: &Told) -> Vec<String> {
    let mut questions = Vec::new();
    for (number, thing) in THINGS.iter().enumerate() {
        if told.mentions(thing) {
            continue;
        }
        let frames = THING_FRAMES.iter().cycle().skip(number).take(3);
        for frame in frames {
            let about = frame.replace("{thing}", thing);
            match subjects.get(number % subjects.len().max(1)) {
                Some(subject) => questions.push(about.replace("{}", &definite(subject))),
                None if !about.contains("{}") => questions.push(about),
                None => {}
            }
        }
    }
    for (number, thing) in others.iter().enumerate() {
        let Some(subject) = subjects.get(number % subjects.len().max(1)) else { break };
        let question = format!("What about the {thing} of {}?", definite(subject));
        if !told.tells(&format!("{thing} {subject}")) {
            questions.push(question);
        }
    }
    questions
}

/// A subject with its article, unless it has one, or is of several words of which all are names.
fn definite(subject: &str) -> String {
    let first = subject.split(' ').next().unwrap_or_default().to_lowercase();
    let is_name = |word: &str| word.starts_with(char::is_uppercase);
    let named = subject.split(' ').count() > 1 && subject.split(' ').all(is_name);
    match ["the", "a", "an", "my", "your", "our"].contains(&&*first) || named {
        true => subject.to_owned(),
        false => format!("the {subject}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(title: &str, text: &str) -> Passage {
        Passage {
            titles: vec![title.to_owned()],
            text: format!("# {title}\n\n{text}"),
            own: text.to_owned(),
            ..Passage::default()
        }
    }

    fn asked(passages: &[Passage], others: &[String]) -> Vec<String> {
        let told = Told::by(passages.iter());
        let found = unanswered(passages, others, &told, 1000, 7);
        found.into_iter().map(|unanswered| unanswered.question).collect()
    }

    #[test]
    fn what_a_passage_tells_is_never_asked() {
        let guide = |text: &str| [passage("iPhone Support", text)];
        let silent = asked(&guide("Hold the side button."), &[]);
        assert!(silent.len() > 60, "{}", silent.len());
        let price = |questions: &[String]| questions.iter().any(|q| q.contains("cost"));
        assert!(price(&silent) && silent.iter().any(|question| question.contains("the iPhone")));
        assert!(!price(&asked(&guide("It costs 5 €."), &[])));
        // Also where another target tells it.
        let both = [passage("iPhone Support", "Hold it."), passage("Mac", "The price is 5 €.")];
        let told = Told::by(both.iter());
        let found = unanswered(&both[..1], &[], &told, 1000, 7);
        let found: Vec<String> = found.into_iter().map(|unanswered| unanswered.question).collect();
        assert!(!price(&found));
    }

    /// As of a folder, whose files have titles of their own.
    #[test]
    fn a_document_of_many_titles_is_asked_about_them_from_its_first_to_its_last() {
        let titles = (0..60).map(|number| format!("Lamp{number}"));
        let passages: Vec<Passage> = titles.map(|title| passage(&title, "Hold it.")).collect();
        let subjects = subjects(&passages, &Casing::of(""));
        assert_eq!(subjects.len(), MOST_SUBJECTS);
        let number = |subject: &String| subject[4..].parse::<usize>().unwrap();
        assert!(number(&subjects[MOST_SUBJECTS - 1]) > 55, "{subjects:?}");
    }

    #[test]
    fn what_another_target_has_is_asked_of_this_one() {
        let passages = [passage("iPhone Support", "Hold the side button.")];
        let others = ["keyboard backlight".to_owned(), "side button".to_owned()];
        let asked = asked(&passages, &others);
        assert!(asked.contains(&"What about the keyboard backlight of the iPhone?".to_owned()));
        assert!(!asked.iter().any(|question| question.contains("side button")));
    }

    #[test]
    fn the_nearest_passage_is_read() {
        let passages = [passage("Mac", "Slow: restart it."), passage("Pad", "Loud: move it.")];
        let told = Told::by(passages.iter());
        for unanswered in unanswered(&passages, &[], &told, 40, 1) {
            let other = passages[1 - unanswered.passage].titles[0].as_str();
            assert!(!unanswered.question.contains(other), "{}", unanswered.question);
        }
    }

    #[test]
    fn a_document_without_a_title_is_asked_about_things() {
        let passage = Passage { text: "Hold it.".into(), ..Passage::default() };
        let asked = asked(&[passage], &[]);
        assert!(asked.len() > 20 && asked.iter().all(|question| !question.contains('{')));
    }
}
