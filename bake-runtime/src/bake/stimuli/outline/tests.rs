use super::*;
use bake_spec::text::section;

const GUIDE: &str = "# Lamp guide\n\n## The lamp won't turn on\nHold the button for 20 seconds.\n\n\
    ## Replacing the bulb\nBulbs cost 5 €. Ask Bob.\n\n## Can I use it outdoors?\nNo, only in \
    dry rooms.\n\n## Care\n**Dust.** Wipe it.\n\n| part | price |\n|---|---|\n| lid | 2 € |";

fn passages(document: &str) -> Vec<Passage> {
    let mut passages = Vec::new();
    for section in section::passages(document) {
        passages.push(Passage {
            span: Some(section.range()),
            titles: section.titles().map(str::to_owned).collect(),
            heading: section.heading().map(str::to_owned),
            own: section.body().to_owned(),
            text: section.passage(),
            ..Passage::default()
        });
    }
    passages
}

fn asked(document: &str, seed: u64) -> Vec<Vec<String>> {
    let passages = passages(document);
    let outlines = Outlines::of(&passages, seed);
    let of = |number| outlines.questions(number, outlines.size(number));
    (0..passages.len()).map(of).collect()
}

#[test]
fn every_passage_is_asked_about_in_many_ways() {
    let asked = asked(GUIDE, 42);
    assert_eq!(asked.len(), 4);
    for questions in &asked {
        assert!((12..=48).contains(&questions.len()), "{}: {questions:#?}", questions.len());
        let different: HashSet<String> =
            questions.iter().map(|question| normalised_question(question)).collect();
        assert_eq!(different.len(), questions.len());
    }
    // As it is written, in the words of who asks, and what else stands out.
    let has = |passage: usize, what: &str| {
        asked[passage].iter().any(|question| question.to_lowercase().contains(what))
    };
    assert_eq!(asked[0][0], "The lamp won't turn on");
    assert!(has(1, "replace the bulb") && has(2, "can i use it outdoors"));
    assert!(has(3, "dust") && has(3, "price of lid"), "{:#?}", asked[3]);
    assert!(asked[0].iter().any(|question| question.chars().all(|c| !c.is_uppercase())));
}

#[test]
fn what_a_text_tells_is_asked_about() {
    let passages = passages(GUIDE);
    let asked = Outlines::of(&passages, 42).questions(0, 60);
    assert!(asked.iter().any(|asked| asked.contains("how long does it take")), "{asked:#?}");
}

#[test]
fn a_seed_decides_what_is_asked_and_a_passage_depends_on_itself() {
    assert_eq!(asked(GUIDE, 42), asked(GUIDE, 42));
    assert_ne!(asked(GUIDE, 42), asked(GUIDE, 43));
    let edited = asked(&GUIDE.replace("dry rooms", "dry halls"), 42);
    assert_eq!(edited[..2], asked(GUIDE, 42)[..2]);
}

#[test]
fn a_declared_number_is_met() {
    let passages = passages(GUIDE);
    let outlines = Outlines::of(&passages, 42);
    for passage in 0..passages.len() {
        for count in [0, 1, 5, 30] {
            assert_eq!(outlines.questions(passage, count).len(), count, "{passage}");
        }
    }
}

#[test]
fn prose_is_asked_about_by_what_sets_it_apart() {
    let text = "The river carries sand. In spring the river carries melt water to the delta.\n\n\
        The mill ground corn. The miller kept the corn dry in the loft.";
    let paragraphs: Vec<Passage> = text
        .split("\n\n")
        .map(|own| Passage { own: own.into(), text: own.into(), ..Passage::default() })
        .collect();
    let outlines = Outlines::of(&paragraphs, 1);
    let questions = outlines.questions(0, outlines.size(0));
    assert!(questions.len() >= 8, "{questions:?}");
    assert!(questions.iter().any(|q| q.to_lowercase().contains("river carries")));
    assert!(!questions.iter().any(|question| question.contains("mill")), "{questions:?}");
}

#[test]
fn a_text_in_another_language_is_not_asked_about_in_english() {
    let text = "## Gerät einschalten\nHalten Sie die Seitentaste zwanzig Sekunden lang gedrückt, \
        bis das Logo des Herstellers auf dem Bildschirm erscheint. Reicht das nicht, fragen Sie im \
        Laden nach Hilfe bei der Reparatur.\n\n## Akku laden\nEine Stunde.";
    for questions in asked(text, 1) {
        assert!(questions.iter().all(|question| !question.contains("How")), "{questions:?}");
        assert!(!questions.is_empty());
    }
}
