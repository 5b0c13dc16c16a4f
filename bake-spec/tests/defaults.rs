//! What a declaration gets that says nothing, and what targets and anchors inherit.

#[path = "shared/declared.rs"]
mod declared;

use bake_spec::recipe::{
    Generator, GeneratorKind, LoraFields, RolloutFields, TeacherContext, Train, TrainFields,
};
use declared::{declared, package, without_mistakes};

#[test]
fn defaults_are_those_of_the_table() {
    let dir = package();
    let recipe = declared(dir.path(), "bake A { target keys from \"keys.md\"; }").0;
    assert_eq!(*recipe.lora, LoraFields::DEFAULT);
    assert_eq!(*recipe.train, TrainFields::DEFAULT);
    assert_eq!(*recipe.targets[0].rollout, RolloutFields::DEFAULT);
    let generators = [
        Generator::Outline(Default::default()),
        Generator::Unanswerable(Default::default()),
        Generator::Ask(Default::default()),
    ];
    assert_eq!(*recipe.targets[0].stimuli.generators, generators);
    assert_eq!(recipe.train, Train::default());
}

#[test]
fn an_anchor_inherits_no_questions() {
    let dir = package();
    let source = r#"bake A {
        ask 40; questions ["Who?"]; dataset "asked.csv" { field "q"; } rollouts 2;
        persona 3; rephrase 3;
        target keys from "keys.md";
        anchor manners { questions ["Hello"]; }
        anchor bare;
    }"#;
    let (recipe, said) = declared(dir.path(), source);
    let [keys, manners, bare] = &*recipe.targets else { panic!("{recipe:?}") };
    assert_eq!(said, [""; 0]);
    let kinds = |target: &bake_spec::recipe::Target| -> Vec<GeneratorKind> {
        target.stimuli.generators.iter().map(Generator::kind).collect()
    };
    use GeneratorKind::{
        Ask, Dataset, Everyday, Outline, Persona, Questions, Rephrase, Unanswerable,
    };
    let all = [Questions, Dataset, Outline, Unanswerable, Ask, Persona, Rephrase];
    assert_eq!(kinds(keys), all);
    assert_eq!((kinds(manners), kinds(bare)), (vec![Questions], vec![Everyday]));
    assert_eq!(manners.stimuli.questions(), ["Hello"]);
    assert_eq!(manners.rollout.answers, 2, "the answers' settings are inherited");
}

#[test]
fn a_bake_of_documents_has_an_anchor_of_everyday_requests() {
    let dir = package();
    let targets = |items: &str| {
        let source = format!("bake A {{ rollouts 2; {items} }}");
        without_mistakes(dir.path(), &source).targets.clone()
    };
    let two = "target keys weight 3 from \"keys.md\"; target lamp from \"lamp.md\";";
    let [_, _, everyday] = &*targets(two) else { panic!("an anchor is added") };
    assert_eq!((&*everyday.name, everyday.anchor), ("everyday", true));
    assert_eq!(*everyday.stimuli.generators, [Generator::Everyday(Default::default())]);
    assert!((everyday.weight / (everyday.weight + 4.0) - 0.19).abs() < 1e-9, "{}", everyday.weight);
    assert_eq!(everyday.rollout.answers, 2);
    assert_eq!(targets("target everyday from \"keys.md\";")[1].name, "everyday_2");
    // Another anchor, a behaviour, and the declaration itself leave it out.
    for items in ["anchors none; target keys from \"keys.md\";", "target keys prompt \"Be kind.\";"]
    {
        assert_eq!(targets(items).len(), 1, "{items}");
    }
    for items in [
        "target keys from \"keys.md\"; anchor manners { questions [\"Hello\"]; }",
        "target keys from \"keys.md\"; target tone prompt \"Be kind.\";",
    ] {
        assert_eq!(targets(items).len(), 2, "{items}");
    }
}

#[test]
fn a_behaviour_is_learned_from_general_requests() {
    let dir = package();
    let of = |items: &str| {
        without_mistakes(dir.path(), &format!("bake A {{ {items} }}")).targets.clone()
    };
    let general = [Generator::General(Default::default())];
    let alone = of("outline 5; target tone prompt \"Be kind.\";");
    assert_eq!((alone.len(), &*alone[0].stimuli.generators), (1, &general[..]));
    let mixed = of("target keys from \"keys.md\"; target tone prompt \"Be kind.\";");
    assert_eq!((mixed.len(), &*mixed[1].stimuli.generators), (2, &general[..]));
    assert_eq!(mixed[0].stimuli.general(), None);
    // What is declared is asked instead, or too.
    let kinds = |items: &str| -> Vec<GeneratorKind> {
        let tone = &of(&format!("target tone prompt \"Be kind.\" {{ {items} }}"))[0];
        tone.stimuli.generators.iter().map(Generator::kind).collect()
    };
    use GeneratorKind::{Ask, Everyday, General, Questions};
    assert_eq!(kinds("questions [\"Why?\"]; general 0;"), [Questions]);
    assert_eq!(kinds("ask; everyday 9; general 20;"), [Ask, Everyday, General]);
}

#[test]
fn questions_are_said_in_other_words_where_there_are_some() {
    let dir = package();
    let of = |items: &str| {
        declared(dir.path(), &format!("bake A {{ target keys from \"keys.md\" {{ {items} }} }}"))
    };
    let (recipe, said) = of("ask 0; outline 0; unanswerable 0; questions [\"Who?\"]; rephrase;");
    let rephrase = recipe.targets[0].stimuli.rephrase().unwrap();
    assert_eq!((rephrase.count, rephrase.temperature, said), (None, 0.7, Vec::new()));
    for items in ["ask 0; outline 0; rephrase 3;", "ask 0; outline 0; everyday 3; rephrase;"] {
        let said = of(items).1.concat();
        assert!(
            said.starts_with("`rephrase` rewords questions, but `keys` has none; ")
                && said.ends_with("[B0005]"),
            "{items}: {said}"
        );
    }
    // What is said for all targets goes without saying for a behaviour.
    let source =
        r#"bake A { rephrase 3; target keys from "keys.md"; target tone prompt "Be kind."; }"#;
    let recipe = without_mistakes(dir.path(), source);
    let rephrased = |target: usize| recipe.targets[target].stimuli.rephrase().is_some();
    assert!(rephrased(0) && !rephrased(1));
}

#[test]
fn the_context_of_a_bake_is_that_of_its_documents() {
    let dir = package();
    let source = r#"bake A {
        context document;
        target keys from "keys.md";
        target lamp from "lamp.md" { context passage; }
        target tone prompt "Be kind.";
    }"#;
    let recipe = without_mistakes(dir.path(), source);
    let contexts: Vec<_> = recipe.targets.iter().map(|target| target.context).collect();
    let (document, passage) = (TeacherContext::Document, TeacherContext::Passage);
    assert_eq!(contexts, [Some(document), Some(passage), None]);
    let plain = without_mistakes(dir.path(), "bake A { target keys from \"keys.md\"; }");
    assert_eq!(plain.targets[0].context, None);
    let said = |items: &str| declared(dir.path(), &format!("bake A {{ {items} }}")).1.concat();
    assert_eq!(
        said("target tone prompt \"Be kind.\" { context passage; }"),
        "`context` applies only to targets with a document, but `tone` has none; leave it out \
         [B0004]"
    );
    let long = said("target long from \"long.md\" { context document; }");
    assert!(
        long.starts_with("`long.md` does not fit in the model's context: ")
            && long.ends_with("; without `context document` it is read passage by passage [B0011]"),
        "{long}"
    );
}

#[test]
fn how_many_questions_can_be_left_to_bake() {
    let dir = package();
    let of = |items: &str| {
        let source = format!("bake A {{ anchors none; target a from \"keys.md\" {{ {items} }} }}");
        without_mistakes(dir.path(), &source).targets[0].clone()
    };
    let plain = of("");
    for same in ["outline;", "ask; outline;", "ask {}", "ask { temperature 0.5; }", "persona 0;"] {
        assert_eq!(of(same), plain, "{same}");
    }
    assert_eq!(of("persona;").stimuli.persona().unwrap().count, None);
    assert_eq!(of("unanswerable 0;").stimuli.unanswerable(), None);
    assert_eq!(of("ask 3").stimuli.ask().unwrap().count, Some(3));
    let (_, said) = declared(
        dir.path(),
        "bake A { target a from \"keys.md\" { outline { seed 1; } } target b from \"keys.md\"; }",
    );
    assert_eq!(said, ["`outline` has no settings; write a number or nothing [B0001]"]);
}
