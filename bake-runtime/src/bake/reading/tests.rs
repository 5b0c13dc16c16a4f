use bake_spec::recipe::{
    Document, DocumentFields, Recipe, Role, Rollout, RolloutFields, TargetFields, WorkedExample,
};
use bake_spec::text::document;
use bake_spec::{Hash, Store};

use super::*;
use crate::bake::answers::Judge;
use crate::bake::rollout::{Rollouts, Teachers};
use crate::bake::room::{check_target, layouts};
use crate::bake::tests::recipe;
use crate::bake::trajectory::trajectories;
use crate::device::Device;
use crate::generate::Completion;
use crate::model::Model;
use crate::progress::{Interrupt, Monitor, Silent};

const KEYS: &str = "# Lost and found\n\n## Lost key\nAsk Bob in the blue office.\n\n## Broken \
    lamp\nCall the shop.\n\n## Wet floor\nFetch a mop.";

/// Does something with the stages of a bake of a document with this context.
fn with_context(context: Option<TeacherContext>, check: impl FnOnce(&Stages<'_>, &Inputs)) {
    with_target(KEYS, |target| target.context = context, check);
}

/// Does something with the stages of a bake of a document whose target is changed so.
fn with_target(
    text: &str,
    change: impl FnOnce(&mut TargetFields),
    check: impl FnOnce(&Stages<'_>, &Inputs),
) {
    let (dir, model) = (tempfile::tempdir().unwrap(), Model::tiny().unwrap());
    std::fs::write(dir.path().join("keys.md"), text).unwrap();
    let declared = DocumentFields { path: "keys.md".into(), hash: document::hash(text) };
    let target = recipe().targets[0].with(|target| {
        target.document = Some(Document::new(declared).unwrap());
        target.prompt = "".into();
        change(target);
    });
    let recipe: Recipe = recipe()
        .with(|recipe| {
            recipe.root = dir.path().to_str().unwrap().to_owned().into();
            recipe.targets = vec![target.unwrap()].into();
        })
        .unwrap();
    let (store, interrupt) = (Store::new(dir.path().join("store")), Interrupt::new());
    let stages = Stages {
        recipe: &recipe,
        model: &model,
        device: Device::Cpu,
        store: &store,
        fresh: false,
        monitor: Monitor { progress: &Silent, interrupt: &interrupt },
    };
    check(&stages, &stages.inputs().unwrap()[0]);
}

/// Which of the three passages are read before a question that was made from one of them, or from
/// none.
fn read(context: Option<TeacherContext>, question: &str, passage: Option<usize>) -> [bool; 3] {
    let mut read = [false; 3];
    with_context(context, |stages, inputs| {
        let target = &stages.recipe.targets[0];
        let reading = Reading::new(stages, target, inputs, Layout::System).unwrap();
        let span = passage.and_then(|number| inputs.passages[number].span.clone());
        let stimulus = Stimulus::new(question, span, GeneratorKind::Ask);
        let text = reading.conversation(&stimulus).unwrap().prompt.system.to_string();
        read = ["Ask Bob", "Call the shop", "Fetch a mop"].map(|words| text.contains(words));
        let all = reading.reads_document(&stimulus).unwrap();
        assert_eq!(all, read == [true; 3], "{context:?} {text}");
    });
    read
}

#[test]
fn a_teacher_reads_the_context_that_is_declared() {
    use TeacherContext::{Document, Passage, Retrieved};
    let (lamp, key) = ("Who repairs a broken lamp?", "Where is my key, near the lamp?");
    for (context, question, passage, want) in [
        (None, lamp, Some(0), [true, false, false]),
        (None, lamp, None, [true, true, true]),
        (Some(Passage), lamp, Some(0), [true, false, false]),
        (Some(Passage), lamp, None, [false, true, false]),
        (Some(Document), lamp, Some(0), [true, true, true]),
        (Some(Document), lamp, None, [true, true, true]),
        (Some(Retrieved), key, None, [true, true, false]),
        (Some(Retrieved), lamp, Some(1), [false, true, false]),
        // Its own passage is read even where it has nothing in common with the question.
        (Some(Retrieved), lamp, Some(2), [false, true, true]),
    ] {
        assert_eq!(read(context, question, passage), want, "{context:?} {question} {passage:?}");
    }
}

#[test]
fn what_nothing_answers_is_declined_without_the_document() {
    with_context(Some(TeacherContext::Document), |stages, inputs| {
        let target = &stages.recipe.targets[0];
        let reading = Reading::new(stages, target, inputs, Layout::System).unwrap();
        let span = inputs.passages[0].span.clone();
        let stimulus = Stimulus::new("Who has a car?", span, GeneratorKind::Unanswerable);
        let text = reading.conversation(&stimulus).unwrap().prompt.system.to_string();
        assert!(text.contains(DECLINE) && !text.contains("Bob"), "{text}");
        assert!(!reading.reads_document(&stimulus).unwrap());
    });
}

/// A text can be written in many rows of tokens, of which a tokenizer makes only one.
#[test]
fn what_was_sampled_is_kept_and_learned_token_by_token() {
    with_context(None, |stages, inputs| {
        let target = &stages.recipe.targets[0];
        let reading = Reading::new(stages, target, inputs, Layout::System).unwrap();
        let (said, tokenizer) = ("Ask Bob in the blue office.", stages.model.tokenizer());
        let encode = |text: &str| tokenizer.encode(text).unwrap();
        let ids: Vec<u32> = said.chars().flat_map(|c| encode(&c.to_string())).collect();
        assert_eq!(stages.model.decode(&ids).unwrap(), said);
        assert_ne!(encode(said), ids);

        let key = Hash::of(b"an answer");
        let rollouts = vec![Completion { ids: ids.clone(), ended: true }];
        stages.keep("rollouts", &key, &rollouts).unwrap();
        let kept: Rollouts = stages.kept("rollouts", &key).unwrap().unwrap();
        let span = inputs.passages[0].span.clone();
        let stimulus = Stimulus::new("Who has my key?", span, GeneratorKind::Ask);
        let judge = Judge::new(stages, target, inputs, &reading);
        let answers = [judge.answers(&stimulus, &kept).unwrap()];
        let learned = trajectories(&answers);
        assert_eq!(learned.len(), 1);
        assert_eq!((learned[0].answer, learned[0].own), (&*ids, None));
    });
}

#[test]
fn a_model_that_reads_only_excerpts_is_taught_the_words_of_the_passage() {
    let longer = |target: &mut TargetFields| {
        let fields = RolloutFields { max_tokens: Some(32), ..RolloutFields::DEFAULT };
        target.rollout = Rollout::new(fields).unwrap();
    };
    with_target(KEYS, longer, |stages, inputs| {
        let target = &stages.recipe.targets[0];
        let ids = stages.model.tokenizer().encode("Bob, in the blue office.").unwrap();
        let rollouts = vec![Completion { ids: ids.clone(), ended: true }];
        let span = inputs.passages[0].span.clone();
        let stimulus = Stimulus::new("Who has my key?", span, GeneratorKind::Ask);
        let with = |layout| Reading::new(stages, target, inputs, layout).unwrap();
        let (strong, weak) = (with(Layout::Examples), with(Layout::ExamplesExcerpt));
        let judged = Judge::new(stages, target, inputs, &strong).answers(&stimulus, &rollouts);
        let judged = judged.unwrap();
        assert_eq!((judged.dropped, judged.learned, judged.own), (vec![None], vec![ids], None));
        // It is not asked.
        assert_eq!(Teachers::new(stages, target, &strong).kept(&stimulus).unwrap(), None);
        let teachers = Teachers::new(stages, target, &weak);
        let none = teachers.roll_out(std::slice::from_ref(&stimulus)).unwrap().remove(0);
        assert!(none.is_empty());
        let judge = Judge::new(stages, target, inputs, &weak);
        let judged = judge.answers(&stimulus, &none).unwrap();
        assert_eq!(judged.own.as_deref(), Some("Ask Bob in the blue office."));
        let learned = stages.model.decode(&judged.learned[0]).unwrap();
        assert!(learned.starts_with("Ask Bob in the blue office."), "{learned}");
        // What belongs to no passage, or is not answered by any, is asked.
        let other = Stimulus::new("Who has my key?", None, GeneratorKind::Questions);
        assert_eq!(teachers.kept(&other).unwrap(), None);
        let span = inputs.passages[0].span.clone();
        let declined = Stimulus::new("Who has my cat?", span, GeneratorKind::Unanswerable);
        assert_eq!(teachers.kept(&declined).unwrap(), None);
    });
}

#[test]
fn only_layouts_of_the_context_are_tried() {
    let excerpts = |context| {
        let mut tried = Vec::new();
        with_context(context, |stages, inputs| {
            tried = layouts(stages, &stages.recipe.targets[0], inputs).unwrap();
        });
        assert!(tried.contains(&Layout::System) && tried.contains(&Layout::User), "{tried:?}");
        tried.iter().filter(|layout| layout.is_excerpt()).count()
    };
    assert!(excerpts(None) > 0 && excerpts(Some(TeacherContext::Passage)) > 0);
    assert_eq!(excerpts(Some(TeacherContext::Document)), 0);
    assert_eq!(excerpts(Some(TeacherContext::Retrieved)), 0);
}

fn example(passage: Option<String>) -> WorkedExample {
    WorkedExample {
        passage: passage.map(Into::into),
        question: "Which colour?".into(),
        answer: "Red.".into(),
    }
}

#[test]
fn declared_examples_precede_every_question_instead_of_those_of_bake() {
    let examples = vec![example(Some("The lamp is red.".to_owned())), example(None)];
    with_target(
        KEYS,
        |target| target.examples = examples.into(),
        |stages, inputs| {
            let target = &stages.recipe.targets[0];
            let span = inputs.passages[0].span.clone();
            let stimulus = Stimulus::new("Where is my key?", span, GeneratorKind::Ask);
            let tried = layouts(stages, target, inputs).unwrap();
            assert_eq!(tried.len(), 4);
            for layout in tried {
                let reading = Reading::new(stages, target, inputs, layout).unwrap();
                let asked = reading.conversation(&stimulus).unwrap();
                let turns: Vec<_> =
                    asked.prompt.turns.iter().map(|turn| (turn.role, &*turn.text)).collect();
                let want = [
                    (Role::User, "The lamp is red.\n\nQuestion: Which colour?"),
                    (Role::Assistant, "Red."),
                    (Role::User, "Which colour?"),
                    (Role::Assistant, "Red."),
                ];
                assert_eq!(turns, want, "{layout}");
                let all = format!("{} {}", asked.prompt.system, asked.question);
                assert!(all.contains("Ask Bob") && !all.contains("Call the shop"), "{all}");
                assert!(layout.to_string().ends_with("worked examples"), "{layout}");
            }
        },
    );
}

#[test]
fn passages_are_cut_so_that_there_is_room_for_declared_examples() {
    let passages = |examples: usize| {
        let mut passages = 0;
        let example = example(Some("The lamp is red and the key is blue. ".repeat(8)));
        let text = "The key of this room is on the left.\n\n".repeat(15);
        with_target(
            format!("# Rooms\n\n## One\n{text}\n## Two\n{text}").trim(),
            |target| target.examples = vec![example; examples].into(),
            |stages, inputs| {
                passages = inputs.passages.len();
                check_target(stages, &stages.recipe.targets[0], inputs).unwrap();
            },
        );
        passages
    };
    assert!(passages(5) > passages(0), "{} and {}", passages(5), passages(0));
}

#[test]
fn examples_that_leave_no_room_for_a_passage_are_refused() {
    let examples = vec![example(Some("The lamp is red and the key is blue. ".repeat(80)))];
    with_target(
        KEYS,
        |target| target.examples = examples.into(),
        |stages, inputs| {
            let target = &stages.recipe.targets[0];
            let refused = check_target(stages, target, inputs).unwrap_err().to_string();
            assert!(
                refused.starts_with("passage 1 of keys.md (target `keys`) does not fit")
                    && refused.ends_with("so fewer or shorter ones help too"),
                "{refused}"
            );
        },
    );
}
