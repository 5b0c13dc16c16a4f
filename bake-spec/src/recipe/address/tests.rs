use super::*;
use crate::recipe::{
    Answer, Ask, AskFields, DatasetFields, Document, DocumentFields, Everyday, Expect,
    ExpectFields, General, GeneralFields, LoraFields, ModelSource, Outline, OutlineFields, Parent,
    ParentFields, Pattern, Persona, PersonaFields, RecipeFields, Rephrase, RolloutFields,
    StimuliFields, TargetFields, Template, TrainFields, Unanswerable, UnanswerableFields,
    WorkedExample,
};

fn hash(text: &str) -> Hash {
    Hash::of(text.as_bytes())
}

/// A target in which nothing is at its default.
fn full_target() -> Target {
    let dataset = DatasetFields {
        path: "asked.csv".into(),
        hash: hash("asked"),
        format: Format::Csv,
        field: "text".into(),
        take: Some(9),
    };
    let ask =
        AskFields { count: Some(40), temperature: 0.9, template: Some("Ask \"one\".".into()) };
    let generators = vec![
        Generator::Questions(vec!["Who?".into(), "Where\nis it?".into()].into()),
        Generator::Dataset(Dataset::new(dataset).unwrap()),
        Generator::Ask(Ask::new(ask).unwrap()),
    ];
    let stimuli = StimuliFields { generators: generators.into() };
    let rollout = RolloutFields {
        answers: 3,
        max_tokens: Some(64),
        temperature: 0.25,
        top_p: 0.9,
        top_k: 40,
        seed: u64::MAX,
        on_policy: 0.5,
    };
    let document = DocumentFields { path: "keys.md".into(), hash: hash("keys") };
    Target::new(TargetFields {
        name: "keys".into(),
        anchor: false,
        weight: 2.5,
        prompt: "You are a caretaker.".into(),
        document: Some(Document::new(document).unwrap()),
        context: None,
        examples: vec![].into(),
        stimuli: Stimuli::new(stimuli).unwrap(),
        rollout: Rollout::new(rollout).unwrap(),
    })
    .unwrap()
}

/// What has its own address since a behaviour is learned from general requests.
#[test]
fn a_generator_leaves_a_trace_only_where_it_is() {
    let general = made_by(vec![Generator::General(General::default())]);
    assert_eq!(general.encoded(), r#"{"ask":0,"general":"auto"}"#);
    let some = General::new(GeneralFields { count: Some(9) }).unwrap();
    assert_eq!(made_by(vec![Generator::General(some)]).encoded(), r#"{"ask":0,"general":9}"#);
    assert!(!full_generators().encoded().contains("general"));
}

/// What has its own address since further rounds can follow a training.
#[test]
fn further_rounds_leave_a_trace_only_where_there_may_be_some() {
    let covered = Train::default().with(|train| train.until_covered = Some(2)).unwrap();
    assert_eq!(covered.encoded(), r#"{"until_covered":2}"#);
    assert_eq!(Train::default().encoded(), "{}");
    assert!(Train::default().with(|train| train.until_covered = Some(0)).is_err());
}

fn made_by(generators: Vec<Generator>) -> Stimuli {
    Stimuli::new(StimuliFields { generators: generators.into() }).unwrap()
}

/// Every generator that is not written by hand, with nothing at its default.
fn full_generators() -> Stimuli {
    let outline = OutlineFields { count: Some(30) };
    let persona =
        PersonaFields { count: Some(20), temperature: 0.9, people: vec!["a child".into()].into() };
    let unanswerable = UnanswerableFields { count: Some(9), decline: Some("No idea.".into()) };
    made_by(vec![
        Generator::Outline(Outline::new(outline).unwrap()),
        Generator::Template(Template::new("What is {{ heading }}?").unwrap()),
        Generator::Persona(Persona::new(persona).unwrap()),
        Generator::Rephrase(Rephrase::default()),
        Generator::Unanswerable(Unanswerable::new(unanswerable).unwrap()),
        Generator::Everyday(Everyday::default()),
    ])
}

/// A target and an anchor with defaults only.
fn plain_targets() -> [Target; 2] {
    let target = full_target();
    let plain = TargetFields {
        name: "lamp".into(),
        anchor: false,
        weight: 1.0,
        prompt: "".into(),
        document: target.document.clone(),
        context: None,
        examples: vec![].into(),
        stimuli: made_by(vec![
            Generator::Outline(Outline::default()),
            Generator::Ask(Ask::default()),
            Generator::Unanswerable(Unanswerable::default()),
        ]),
        rollout: Rollout::default(),
    };
    let anchor = TargetFields {
        name: "manners".into(),
        anchor: true,
        document: None,
        stimuli: made_by(vec![Generator::Questions(vec!["Hello".into()].into())]),
        ..plain.clone()
    };
    [Target::new(plain).unwrap(), Target::new(anchor).unwrap()]
}

/// Questions that are written by hand, and nothing else.
fn questions() -> Stimuli {
    made_by(vec![Generator::Questions(vec!["Who?".into()].into())])
}

fn full_lora() -> Lora {
    Lora::new(LoraFields {
        rank: 8,
        alpha: 16.0,
        dropout: 0.1,
        modules: vec!["q_proj".into()].into(),
        layers: Some((1, 3)),
    })
    .unwrap()
}

fn full_train() -> Train {
    Train::new(TrainFields {
        epochs: 3,
        lr: Some(1e-4),
        batch: 2,
        accumulate: 4,
        schedule: Schedule::Cosine,
        warmup: 0.2,
        divergence: Divergence::Jsd(0.5),
        temperature: 2.0,
        clip: 0.5,
        weight_decay: 0.01,
        seed: 7,
        held_out: 0.2,
        patience: 2,
        rehearse: 3,
        stop_at_kl: Some(0.01),
        until_covered: None,
        checkpoint_every: Some(5),
        keep_every: Some(2),
        teacher_anyway: true,
    })
    .unwrap()
}

fn plain_recipe() -> Recipe {
    Recipe::new(RecipeFields {
        name: "Support".into(),
        root: "/home/me".into(),
        model: ModelSource::Tiny,
        parent: None,
        student: "".into(),
        targets: plain_targets().to_vec().into(),
        lora: Lora::default(),
        train: Train::default(),
        expects: vec![].into(),
    })
    .unwrap()
}

fn full_recipe() -> Recipe {
    let expect = Expect::new(ExpectFields {
        target: Some("keys".into()),
        question: "Who has it?".into(),
        answer: Answer::Contains("Bob".into()),
    });
    let recipe = plain_recipe().with(|recipe| {
        recipe.targets.to_mut().insert(0, full_target());
        recipe.expects = vec![expect.unwrap()].into();
        (recipe.lora, recipe.train) = (full_lora(), full_train());
    });
    with_student(&recipe.unwrap(), "Be brief.".into())
}

/// The recipe with this student prompt, which is that of its anchors.
fn with_student(recipe: &Recipe, student: crate::recipe::Prompt) -> Recipe {
    let changed = recipe.with(|recipe| {
        for target in recipe.targets.to_mut().iter_mut().filter(|target| target.anchor) {
            *target = target.with(|anchor| anchor.prompt = student.clone()).unwrap();
        }
        recipe.student = student;
    });
    changed.unwrap()
}

/// Changing one of these makes every bake of every user stale: raise the version of what has
/// changed, or leave a setting's default out of its record. `addresses.txt` contains the addresses.
#[test]
fn addresses_do_not_change() {
    let [plain, anchor] = plain_targets();
    let key =
        |value: &dyn Encode| KeyHasher::new("golden", 1).raw("value", &value.encoded()).finish();
    let model = hash("model");
    let parent = ParentFields { path: "bakes/Keys".into(), hash: hash("parent") };
    let parent = Some(Parent::new(parent).unwrap());
    let with_parent = plain_recipe().with(|recipe| recipe.parent = parent).unwrap();
    let addresses = [
        ("a whole recipe", full_recipe().hash(&model)),
        ("a recipe of defaults", plain_recipe().hash(&model)),
        ("a recipe with a parent", with_parent.hash(&model)),
        ("a target", key(&full_target())),
        ("a target of defaults", key(&plain)),
        ("an anchor", key(&anchor)),
        ("its questions", key(&full_target().stimuli)),
        ("other generators", key(&full_generators())),
        ("a target of questions", key(&full_target().with(|t| t.stimuli = questions()).unwrap())),
        ("its answers", key(&full_target().rollout)),
        ("lora", key(&full_lora())),
        ("train", key(&full_train())),
    ];
    let found: String = addresses.iter().map(|(what, hash)| format!("{hash} {what}\n")).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/addresses.txt");
    if std::env::var_os("BAKE_WRITE_ADDRESSES").is_some() {
        std::fs::write(file, &found).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap();
    assert!(
        there == found,
        "addresses have changed, which makes bakes stale; where that is meant, run this test and \
         those of tests/lock.rs with BAKE_WRITE_ADDRESSES=1\n{there}\n{found}"
    );
}

/// The address of an adapter is the same whatever is expected of it; what a bake is judged by is
/// not.
#[test]
fn each_form_of_expectation_is_judged_in_its_own_way() {
    let (model, bob) = (hash("model"), || "Bob".into());
    let answers = [
        Answer::Contains(bob()),
        Answer::StartsWith(bob()),
        Answer::EndsWith(bob()),
        Answer::Matches(Pattern::declared(bob())),
        Answer::Equals(bob()),
        Answer::Declines,
    ];
    let recipes = answers.map(|answer| {
        let expect = full_recipe().expects[0].with(|expect| expect.answer = answer).unwrap();
        full_recipe().with(|recipe| recipe.expects = vec![expect].into()).unwrap()
    });
    let judged: std::collections::HashSet<String> =
        recipes.iter().map(|recipe| recipe.judged_by(None, None).to_string()).collect();
    assert_eq!(judged.len(), recipes.len());
    assert!(recipes.iter().all(|recipe| recipe.hash(&model) == full_recipe().hash(&model)));
}

#[test]
fn the_recorded_settings_are_those_that_were_set() {
    assert_eq!(
        full_target().encoded(),
        [
            r#"{"ask":40,"ask.temperature":0.9,"ask.template":"Ask \"one\".","ask.version":2,"#,
            r#""dataset":[{"field":"text","format":"csv","hash":""#,
            &hash("asked").to_string(),
            r#"","take":9}],"document":""#,
            &hash("keys").to_string(),
            r#"","max_tokens":64,"on_policy":0.5,"on_policy.version":2,"#,
            r#""prompt":"You are a caretaker.","#,
            r#""questions":["Who?","Where\nis it?"],"rollouts":3,"seed":18446744073709551615,"#,
            r#""temperature":0.25,"top_k":40,"top_p":0.9,"weight":2.5}"#,
        ]
        .concat()
    );
    assert_eq!(
        full_train().encoded(),
        [
            r#"{"accumulate":4,"batch":2,"clip":0.5,"divergence":"jsd(0.5)","epochs":3,"#,
            r#""held_out":0.2,"lr":0.0001,"measured.version":2,"patience":2,"rehearse":3,"#,
            r#""schedule":"cosine","seed":7,"stop_at_kl":0.01,"temperature":2.0,"#,
            r#""warmup":0.2,"weight_decay":0.01}"#,
        ]
        .concat()
    );
}

#[test]
fn every_generator_and_its_settings_are_recorded() {
    assert_eq!(
        full_generators().encoded(),
        [
            r#"{"ask":0,"everyday":"auto","outline":30,"outline.version":5,"persona":20,"#,
            r#""persona.people":["a child"],"persona.temperature":0.9,"rephrase":"auto","#,
            r#""template":"What is {{ heading }}?","unanswerable":9,"#,
            r#""unanswerable.decline":"No idea.","unanswerable.version":3}"#,
        ]
        .concat()
    );
    // In whichever order they are listed.
    let turned = full_generators().with(|stimuli| stimuli.generators.to_mut().reverse()).unwrap();
    assert_eq!(turned.encoded(), full_generators().encoded());
}

#[test]
fn turns_change_an_address_and_no_turns_do_not() {
    use crate::recipe::{Prompt, PromptFields, Role, Turn};
    let model = hash("model");
    let said = |user: &'static str| {
        let turn = |role, text: &'static str| Turn { role, text: text.into() };
        let turns = vec![turn(Role::User, user), turn(Role::Assistant, "Bob.")];
        Prompt::new(PromptFields { system: "Be brief.".into(), turns: turns.into() }).unwrap()
    };
    let student = |prompt: Prompt| with_student(&full_recipe(), prompt);
    assert_eq!(student("Be brief.".into()).hash(&model), full_recipe().hash(&model));
    let legacy = super::super::legacy::recipe_hash(&full_recipe(), &model);
    let mut seen = vec![full_recipe().hash(&model), legacy];
    for recipe in [
        student(said("Who?")),
        student(said("Where?")),
        full_recipe()
            .with(|recipe| {
                let target = recipe.targets[0].with(|target| target.prompt = said("Who?"));
                recipe.targets.to_mut()[0] = target.unwrap();
            })
            .unwrap(),
    ] {
        for address in [recipe.hash(&model), super::super::legacy::recipe_hash(&recipe, &model)] {
            assert!(!seen.contains(&address));
            seen.push(address);
        }
    }
}

#[test]
fn a_context_changes_an_address_where_it_is_written() {
    let model = hash("model");
    let with = |context: Option<TeacherContext>| {
        let target = full_target().with(|target| target.context = context).unwrap();
        full_recipe().with(|recipe| recipe.targets.to_mut()[0] = target).unwrap()
    };
    assert!(!with(None).targets[0].encoded().contains("context"));
    let mut seen = std::collections::HashSet::new();
    for context in [None].into_iter().chain(TeacherContext::ALL.map(Some)) {
        let recipe = with(context);
        assert!(seen.insert(recipe.hash(&model)), "{context:?}");
        assert!(seen.insert(super::super::legacy::recipe_hash(&recipe, &model)), "{context:?}");
    }
}

#[test]
fn worked_examples_change_an_address_where_they_are_written() {
    let model = hash("model");
    let example = |passage: Option<&'static str>, answer: &'static str| WorkedExample {
        passage: passage.map(Into::into),
        question: "Who?".into(),
        answer: answer.into(),
    };
    let with = |examples: Vec<WorkedExample>| {
        let target = full_target().with(|target| target.examples = examples.into()).unwrap();
        full_recipe().with(|recipe| recipe.targets.to_mut()[0] = target).unwrap()
    };
    assert!(!with(Vec::new()).targets[0].encoded().contains("examples"));
    let (bob, ann) = (example(None, "Bob."), example(Some("Ask."), "Ann."));
    let mut seen = std::collections::HashSet::new();
    for examples in [
        vec![],
        vec![bob.clone()],
        vec![ann.clone()],
        vec![example(Some("Ask."), "Bob.")],
        vec![bob.clone(), ann.clone()],
        vec![ann, bob],
    ] {
        let recipe = with(examples);
        assert!(seen.insert(recipe.hash(&model)), "{:?}", recipe.targets[0].examples);
        assert!(seen.insert(super::super::legacy::recipe_hash(&recipe, &model)));
    }
    let mistake = full_target().with(|target| target.examples = vec![example(None, " ")].into());
    let mistake = mistake.unwrap_err().to_string();
    assert!(mistake.starts_with("the answer of a worked example cannot be empty"), "{mistake}");
}

/// So adding a setting, at its default, changes no address: it is not written.
#[test]
fn only_generators_leave_a_trace_at_their_defaults() {
    let [plain, anchor] = plain_targets();
    let generators = concat!(
        r#"{"ask":"auto","ask.version":2,"outline":"auto","outline.version":5,"#,
        r#""unanswerable":"auto","unanswerable.version":3}"#
    );
    assert_eq!(plain.own().encoded(), generators);
    assert_eq!(anchor.own().encoded(), r#"{"anchor":true,"questions":["Hello"]}"#);
    assert_eq!(plain_recipe().shared(), Record::new());
    assert_eq!(Lora::default().encoded() + &Train::default().encoded(), "{}{}");
    let key = |record: Record| KeyHasher::new("lora", 1).field("lora", &record).finish();
    let before = key(lora(&full_lora()));
    assert_eq!(key(lora(&full_lora()).unless(&0_u8, "added_later", &0)), before);
    assert_ne!(key(lora(&full_lora()).unless(&0_u8, "added_later", &1)), before);
}

#[test]
fn the_name_of_a_document_counts_where_a_template_says_it() {
    let of = |template: &str, path: &str| {
        let [mut target, anchor] = plain_targets();
        let changed = target.with(|target| {
            let fields = DocumentFields { path: path.to_owned().into(), hash: hash("text") };
            target.document = Some(Document::new(fields).unwrap());
            let template = Generator::Template(Template::new(template.to_owned()).unwrap());
            target.stimuli = target.stimuli.with(|all| all.set(template)).unwrap();
        });
        target = changed.unwrap();
        let recipe = plain_recipe().with(|recipe| recipe.targets = vec![target, anchor].into());
        recipe.unwrap().hash(&hash("model"))
    };
    assert_eq!(of("{{ heading }}?", "a.md"), of("{{ heading }}?", "docs/b.md"));
    assert_ne!(of("{{ document }}?", "a.md"), of("{{ document }}?", "docs/b.md"));
    assert_eq!(of("{{ document }}?", "a.md"), of("{{ document }}?", "docs/a.txt"));
}

#[test]
fn names_paths_and_checkpoints_do_not_change_an_address() {
    let model = hash("model");
    let expected = full_recipe().hash(&model);
    let renamed = full_recipe().with(|recipe| {
        (recipe.name, recipe.root) = ("Other".into(), "/elsewhere".into());
        recipe.train = recipe
            .train
            .with(|train| {
                (train.checkpoint_every, train.keep_every) = (None, None);
                train.teacher_anyway = false;
            })
            .unwrap();
        let moved = recipe.targets[1].with(|target| target.name = "light".into());
        recipe.targets.to_mut()[1] = moved.unwrap();
    });
    assert_eq!(renamed.unwrap().hash(&model), expected);
    assert_ne!(full_recipe().hash(&hash("another model")), expected);
}
