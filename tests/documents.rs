//! The documents that bakes are measured on: whether their questions are what they say to be.

#[path = "documents/document.rs"]
mod document;
#[path = "../benches/quality/interval.rs"]
mod interval;

use std::collections::BTreeSet;

use bake::recipe::Answer;
use bake_runtime::meets;
use document::{Half, Kind, Line, TestDocument};

/// The most bytes of the whole folder.
const BYTES: usize = 500_000;

/// The fewest and the most questions of a kind.
const QUESTIONS: std::ops::RangeInclusive<usize> = 12..=30;

/// Words that say nothing about what a question is about.
const SMALL: &str = "a an the of in on at to for from with by as is are was be been has have had \
    do does did can may must will would i my me you your we our it its they their that this these \
    there what which who whom whose when where why how if not no and or much many any some s";

fn documents() -> Vec<TestDocument> {
    Half::BOTH.into_iter().flat_map(|half| TestDocument::all(half).unwrap()).collect()
}

/// Whether a text has a phrase as the grader reads it.
fn has(text: &str, phrase: &str) -> bool {
    meets(&Answer::Contains(phrase.to_owned().into()), text)
}

fn of_kind(document: &TestDocument, kind: Kind) -> impl Iterator<Item = &Line> {
    document.lines.iter().filter(move |line| line.kind == kind)
}

#[test]
fn both_halves_have_documents_of_all_lengths() {
    for half in Half::BOTH {
        let documents = TestDocument::all(half).unwrap();
        assert!(documents.len() >= 5, "{half:?} has {} documents", documents.len());
        let words: Vec<usize> = documents.iter().map(TestDocument::words).collect();
        assert!(words.iter().any(|&words| words < 400), "{words:?}");
        assert!(words.iter().any(|&words| words > 2500), "{words:?}");
    }
    let bytes: usize = documents().iter().map(|document| document.text.len()).sum();
    assert!(bytes < BYTES, "{bytes} bytes");
}

#[test]
fn each_document_has_as_many_questions_of_each_kind() {
    for document in documents() {
        let counts = Kind::ALL.map(|kind| of_kind(&document, kind).count());
        assert!(counts.iter().all(|count| *count == counts[0]), "{}: {counts:?}", document.name);
        assert!(QUESTIONS.contains(&counts[0]), "{}: {counts:?}", document.name);
    }
}

#[test]
fn no_question_is_asked_twice() {
    for document in documents() {
        let mut asked = BTreeSet::new();
        for line in &document.lines {
            let plain = content(&line.question, "").join(" ");
            assert!(!line.question.trim().is_empty() && asked.insert(plain), "{:?}", line.question);
        }
    }
}

#[test]
fn key_phrases_are_in_the_passage_and_not_in_the_question() {
    for document in documents() {
        for line in document.lines.iter().filter(|line| line.kind != Kind::Unanswerable) {
            let passage = document.passage(line).unwrap();
            let first = line.contains.first().unwrap_or_else(|| panic!("no phrase: {line:?}"));
            assert!(line.absent.is_empty(), "{line:?}");
            assert!(has(&passage, first), "{}: {line:?}", document.name);
            let given = line.contains.iter().find(|phrase| has(&line.question, phrase));
            assert!(given.is_none(), "the question says {given:?}: {line:?}");
        }
    }
}

#[test]
fn what_no_passage_answers_is_in_none() {
    for document in documents() {
        for line in of_kind(&document, Kind::Unanswerable) {
            assert!(line.contains.is_empty() && line.section.is_empty(), "{line:?}");
            assert!(!line.absent.is_empty(), "{line:?}");
            let there = line.absent.iter().find(|phrase| has(&document.text, phrase));
            assert!(there.is_none(), "{} has {there:?}: {line:?}", document.name);
        }
    }
}

#[test]
fn a_passage_is_a_part_of_its_document_with_the_headings_above_it() {
    for document in documents() {
        let mut parts = 0;
        for line in document.lines.iter().filter(|line| line.kind != Kind::Unanswerable) {
            let passage = document.passage(line).unwrap();
            for paragraph in passage.split("\n\n") {
                assert!(document.text.contains(paragraph), "{paragraph}");
            }
            parts += usize::from(2 * passage.len() < document.text.len());
        }
        assert!(parts > 0, "{}: passages are most of it", document.name);
    }
    let handbook = documents().into_iter().find(|document| document.name == "allotments").unwrap();
    let pond = handbook.lines.iter().find(|line| line.section == "Ponds").unwrap();
    let passage = handbook.passage(pond).unwrap();
    let above = "# Members' handbook of the Quarry Lane Allotments\n\n## Growing\n\n### Ponds\n\n";
    assert!(passage.starts_with(above) && passage.ends_with("who counts them."), "{passage}");
}

#[test]
fn kinds_differ_in_how_far_they_are_from_the_passages_words() {
    for document in documents() {
        let share = |kind| {
            let shares: Vec<f64> = of_kind(&document, kind)
                .map(|line| {
                    let passage = content(&document.passage(line).unwrap(), "");
                    let words = content(&line.question, SMALL);
                    let there = words.iter().filter(|word| passage.contains(word)).count();
                    there as f64 / words.len().max(1) as f64
                })
                .collect();
            shares.iter().sum::<f64>() / shares.len() as f64
        };
        let [close, paraphrased, reworded] =
            [Kind::Close, Kind::Paraphrased, Kind::Reworded].map(share);
        let shares = format!("{}: {close:.2}, {paraphrased:.2}, {reworded:.2}", document.name);
        assert!(close > 0.7 && close > paraphrased + 0.2, "{shares}");
        assert!(reworded < 0.2 && paraphrased > reworded + 0.1, "{shares}");
    }
}

#[test]
fn a_limit_keeps_as_many_questions_of_each_kind() {
    let mut document = documents().remove(0);
    document.keep(7);
    assert_eq!(Kind::ALL.map(|kind| of_kind(&document, kind).count()), [7; 4]);
    document.keep(0);
    assert!(document.lines.is_empty(), "{:?}", document.lines);
}

#[test]
fn intervals_are_those_of_tables() {
    for (right, of, want) in [(8, 10, [0.490, 0.943]), (0, 10, [0.0, 0.278]), (0, 0, [0.0, 1.0])] {
        let (low, high) = interval::wilson(right, of);
        let near = (low - want[0]).abs() < 1e-3 && (high - want[1]).abs() < 1e-3;
        assert!(near, "{right} of {of}: {low} to {high}");
    }
}

/// The words of a text in lower case, without some that say nothing.
fn content(text: &str, without: &str) -> Vec<String> {
    let small: BTreeSet<&str> = without.split_whitespace().collect();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).filter(|word| !small.contains(word.as_str())).collect()
}
