//! The models of a recipe side by side.

use std::sync::Arc;

use bake_runtime::{
    Adapter, Attempt, Chat, ErrorKind, Evaluator, Interrupt, Model, Question, Rung, Sampling,
    Silent, bake_recipe,
};
use bake_spec::recipe::Answer;

use super::{Fixture, KEYS};

const ALL: [Rung; 4] = [Rung::Base, Rung::Prompted, Rung::PromptedWithPassage, Rung::Baked];

const PASSAGE: &str = "# Lost and found\n\n## Lost key\nAsk Bob in the blue office.";

fn question(text: &str, phrases: &[&str]) -> Question {
    let contains = |phrase: &&str| Answer::Contains((*phrase).to_owned().into());
    Question {
        text: text.to_owned(),
        answers: phrases.iter().map(contains).collect(),
        target: Some(0),
        passage: Some(PASSAGE.to_owned()),
    }
}

fn evaluate(evaluator: &Evaluator<'_>, questions: &[Question]) -> Vec<Vec<Attempt>> {
    evaluator.evaluate(&ALL, questions, &Silent, &Interrupt::new()).unwrap()
}

#[test]
fn each_rung_answers_as_its_chat_does() {
    let fixture = Fixture::new();
    let (recipe, model) = (&fixture.recipe, Model::tiny().unwrap());
    let bake = bake_recipe(recipe, &fixture.options("store")).unwrap();
    let adapter = Arc::new(Adapter::load(&bake.adapter, &model).unwrap());
    let texts = ["I lost my key", "My lamp is broken", "Where is the key?"];
    let questions: Vec<Question> =
        texts.iter().map(|text| question(text, &["Ann", "bob"])).collect();
    let evaluator = Evaluator::new(recipe, model.clone()).with_adapter(adapter.clone()).unwrap();
    let attempts = evaluate(&evaluator, &questions);

    let base = Chat::new(model.clone(), "");
    let chats = [
        base.clone(),
        Chat::new(model.clone(), KEYS),
        Chat::new(model.clone(), PASSAGE),
        base.with_adapter(adapter).unwrap(),
    ];
    for (place, chat) in chats.iter().enumerate() {
        let chat = chat.with_sampling(Sampling::greedy().max_tokens(24));
        for (text, attempts) in texts.iter().zip(&attempts) {
            let graded = attempts[place].graded().unwrap();
            assert_eq!(graded.answer, chat.chat(text).unwrap(), "{:?}: {text}", ALL[place]);
            assert_eq!(graded.right, graded.answer.contains("Bob"), "{}", graded.answer);
            assert_eq!(graded.prompt_tokens, chat.prompt_tokens(text).unwrap());
        }
    }
    let right = |number: usize, rung: usize| attempts[number][rung].is_right();
    assert!(!right(0, 0) && right(0, 1) && right(0, 2), "{attempts:?}");
    assert_eq!(evaluate(&evaluator, &[]).len(), 0);
}

#[test]
fn what_cannot_be_asked_is_told_from_a_wrong_answer() {
    let fixture = Fixture::new();
    let evaluator = Evaluator::new(&fixture.recipe, Model::tiny().unwrap());
    let alone = Question { target: None, passage: None, ..question("I lost my key", &["Ann"]) };
    let long = Question { passage: Some("key ".repeat(2000)), ..question("Where?", &["Ann"]) };
    let longest = question(&"key ".repeat(2000), &["Ann"]);
    let attempts = evaluate(&evaluator, &[alone, long.clone(), long, longest]);
    let shown = |attempts: &[Attempt]| {
        let letters = attempts.iter().map(|attempt| match attempt {
            Attempt::Answered(_) => 'a',
            Attempt::TooLong { tokens } if *tokens > 2000 => 'l',
            Attempt::NotAsked => '-',
            other => panic!("{other:?}"),
        });
        letters.collect::<String>()
    };
    let shown: Vec<String> = attempts.iter().map(|attempts| shown(attempts)).collect();
    assert_eq!(shown, ["a---", "aal-", "aal-", "lll-"]);
}

#[test]
fn a_question_about_no_target_is_an_error_and_an_interrupt_stops_it() {
    let fixture = Fixture::new();
    let evaluator = Evaluator::new(&fixture.recipe, Model::tiny().unwrap());
    let nowhere = Question { target: Some(1), ..question("Where?", &["Ann"]) };
    let error = evaluator.evaluate(&ALL, &[nowhere], &Silent, &Interrupt::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recipe);
    assert!(error.to_string().contains("target 1, but there are 1"), "{error}");

    let interrupt = Interrupt::new();
    interrupt.set();
    let asked = evaluator.evaluate(&ALL, &[question("Where?", &[])], &Silent, &interrupt);
    assert!(asked.unwrap_err().is_interrupted());
}
