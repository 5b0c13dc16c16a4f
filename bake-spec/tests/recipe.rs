//! No recipe can contain what the macro refuses, whatever makes it.

#[path = "shared/declared.rs"]
mod declared;

use bake_spec::recipe::{
    Answer, Dataset, DatasetFields, Divergence, Document, DocumentFields, Expect, ExpectFields,
    Format, General, GeneralFields, Generator, Parent, ParentFields, Stimuli, StimuliFields,
    TargetFields,
};
use bake_spec::{Hash, Recipe};
use declared::{declared, package, without_mistakes};

/// The parts by themselves have the same checks.
#[test]
fn no_part_of_a_recipe_can_contain_invalid_values() {
    let dir = package();
    let recipe = Recipe::builder()
        .root(dir.path())
        .target("keys", |target| target.document("keys.md"))
        .build()
        .unwrap();
    let target = &recipe.targets[0];
    let ask = target.stimuli.ask().unwrap();
    let questions = |questions: Vec<bake_spec::recipe::Text>| {
        target.stimuli.with(|stimuli| stimuli.set(Generator::Questions(questions.into())))
    };
    let general = General::new(GeneralFields { count: None }).unwrap();
    let general = Stimuli::default().with(|stimuli| stimuli.set(Generator::General(general)));
    let (general, on_policy) =
        (general.unwrap(), target.rollout.with(|rollout| rollout.on_policy = 0.5).unwrap());
    // Rephrasing makes others of the same questions, which are not held out.
    let written = |generators: &[Generator]| {
        let stimuli = Stimuli::new(StimuliFields { generators: generators.to_vec().into() });
        let target = target.with(|target| target.stimuli = stimuli.unwrap()).unwrap();
        let expect = |question: &'static str| {
            let (target, question) = (None, question.into());
            Expect::new(ExpectFields { target, question, answer: Answer::Declines }).unwrap()
        };
        recipe.with(|recipe| {
            recipe.targets.to_mut()[0] = target;
            recipe.expects = vec![expect("WHO has it"), expect("When, then?")].into();
        })
    };
    let [asked, more] = [vec!["Who has it?".into(), "When then".into()], vec!["How?".into()]]
        .map(|questions| Generator::Questions(questions.into()));
    // What is in a file is not known.
    let (path, hash) = ("asked.txt".into(), Hash::of(b"text"));
    let file = DatasetFields { path, hash, format: Format::Lines, field: "".into(), take: None };
    let others =
        [Generator::Rephrase(Default::default()), Generator::Dataset(Dataset::new(file).unwrap())];
    for other in others {
        written(&[asked.clone(), other]).unwrap();
    }
    written(&[more]).unwrap();
    let everyday = recipe.targets.iter().find(|target| target.anchor).unwrap();
    let anchor = |change: &dyn Fn(&mut TargetFields)| everyday.with(|target| change(target));
    let errors = [
        target.rollout.with(|rollout| rollout.answers = 0).unwrap_err(),
        target.rollout.with(|rollout| rollout.top_p = f64::NAN).unwrap_err(),
        target.with(|target| target.weight = -1.0).unwrap_err(),
        target.with(|target| target.document = None).unwrap_err(),
        target.with(|target| target.anchor = true).unwrap_err(),
        target.with(|target| target.name = "my keys".into()).unwrap_err(),
        anchor(&|target| target.stimuli = general.clone()).unwrap_err(),
        anchor(&|target| target.rollout = on_policy.clone()).unwrap_err(),
        ask.with(|ask| ask.count = Some(0)).unwrap_err(),
        ask.with(|ask| ask.temperature = f64::INFINITY).unwrap_err(),
        questions(vec!["\u{a0}".into()]).unwrap_err(),
        questions(Vec::new()).unwrap_err(),
        questions(vec!["Who\0?".into()]).unwrap_err(),
        target
            .stimuli
            .with(|stimuli| stimuli.generators.to_mut().push(Generator::Ask(ask.clone())))
            .unwrap_err(),
        target.with(|target| target.stimuli = Default::default()).unwrap_err(),
        recipe.lora.with(|lora| lora.rank = 0).unwrap_err(),
        recipe.lora.with(|lora| lora.layers = Some((4, 4))).unwrap_err(),
        recipe.lora.with(|lora| lora.modules = vec!["lm_head".into()].into()).unwrap_err(),
        recipe.train.with(|train| train.batch = 0).unwrap_err(),
        recipe.train.with(|train| train.checkpoint_every = Some(0)).unwrap_err(),
        recipe.train.with(|train| train.keep_every = Some(0)).unwrap_err(),
        recipe.train.with(|train| train.divergence = Divergence::Jsd(1.0)).unwrap_err(),
        recipe.with(|recipe| recipe.targets = vec![].into()).unwrap_err(),
        recipe.with(|recipe| recipe.targets.to_mut().insert(1, target.clone())).unwrap_err(),
        recipe.with(|recipe| recipe.name = "7".into()).unwrap_err(),
        recipe.with(|recipe| recipe.student = "Be brief.".into()).unwrap_err(),
        written(&[asked]).unwrap_err(),
    ];
    let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let want = [
        "`rollouts` must be a whole number from 1 to 10000; this is 0 [B0004]",
        "`top_p` must be a number above 0 and at most 1; this is NaN [B0004]",
        "`weight` must be a number above 0 and at most 1000000; this is -1 [B0004]",
        "the target `keys` has nothing to learn; give it a document, as in \
         `from \"docs/name.md\"`, or a `prompt` [B0005]",
        "the anchor `keys` has a document; make it a target [B0004]",
        "`my keys` cannot be the name of a target; use letters, as in `iphone` [B0004]",
        "`general` is for targets, but `everyday` is an anchor; leave it out [B0004]",
        "`on_policy` is for targets, but `everyday` is an anchor; leave it out [B0004]",
        "`ask` must be at least 1 if it is set [B0004]",
        "`temperature` must be a number from 0 to 100; this is inf [B0004]",
        "a question cannot be empty [B0004]",
        "the list of `questions` cannot be empty [B0004]",
        "a question cannot contain a NUL character; remove it [B0004]",
        "`ask` is given twice; keep one of them [B0003]",
        "the target `keys` has no questions; add `questions [\"…\"]`, or remove a setting such as \
         `ask 0` [B0005]",
        "`rank` must be a whole number from 1 to 4096; this is 0 [B0004]",
        "`4..4` contains no blocks; write the first block and the one after the last, as in \
         `4..12` [B0004]",
        "there is no linear layer `lm_head`; expected one of `q_proj`, `k_proj`, `v_proj`, \
         `o_proj`, `gate_proj`, `up_proj`, `down_proj` [B0008]",
        "`batch` must be a whole number from 1 to 1048576; this is 0 [B0004]",
        "`checkpoint_every` must be a whole number from 1 to 4294967296; this is 0 [B0004]",
        "`keep_every` must be a whole number from 1 to 1000000; this is 0 [B0004]",
        "β must be from 0.001 to 0.999, as the divergence vanishes at 0 and 1; this is 1 [B0004]",
        "there is nothing to bake; declare at least one target, as in `target name from \
         \"docs/name.md\";` [B0005]",
        "the target `keys` is declared twice; give each target its own name [B0006]",
        "`7` cannot be the name of a bake; use letters, as in `Support` [B0004]",
        "the prompt of the anchor `everyday` is not that of the student, whose answers it keeps; \
         give it the same [B0004]",
        "all questions of the target `keys` are asked by an `expect`, so none is left to train on; \
         add other questions [B0005]",
    ];
    assert_eq!(said, want);
}

#[test]
fn a_recipe_has_no_name_that_the_macro_refuses() {
    let dir = package();
    let source = "bake Support { target keys from \"keys.md\"; target lamp from \"lamp.md\"; }";
    let recipe = without_mistakes(dir.path(), source);
    let renamed = |number: usize, name: &str| {
        let target = recipe.targets[number].with(|target| target.name = name.to_owned().into())?;
        recipe.with(|recipe| recipe.targets.to_mut()[number] = target)
    };
    let said = |bake: &str, target: &str| {
        let targets = format!("target {target} from \"keys.md\"; target lamp from \"lamp.md\";");
        declared(dir.path(), &format!("bake {bake} {{ {targets} }}")).1
    };
    for name in ["_", "__", "_7", "self", "Self", "_self_", "Lamp", "_lamp", "lamp"] {
        let error = renamed(0, name).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
        assert_eq!(said("Support", name), [error], "{name}");
    }
    // A raw identifier can be a keyword.
    for name in ["fn", "type", "yield"] {
        let error = recipe.with(|recipe| recipe.name = name.into()).unwrap_err().to_string();
        assert_eq!(said(&format!("r#{name}"), "keys"), [error], "{name}");
    }
    // What is no word of Rust does not reach the macro as one.
    for name in ["_", "", "my bake", "a\u{a0}b", "a\u{2003}", "a🙂"] {
        let error = recipe.with(|recipe| recipe.name = name.into()).unwrap_err().to_string();
        let want =
            format!("`{name}` cannot be the name of a bake; use letters, as in `Support` [B0004]");
        assert_eq!(error, want);
    }
    for (number, of) in [(0, "a target"), (2, "an anchor")] {
        for name in ["", "7", "a\u{a0}b", "a🙂"] {
            let want = format!("`{name}` cannot be the name of {of}; use letters, as in `iphone`");
            let error = renamed(number, name).unwrap_err().to_string();
            assert_eq!(error, format!("{want} [B0004]"));
        }
    }
    for name in ["_", "_7", "self", "Lamp", "fn"] {
        renamed(2, name).unwrap();
        let anchor = format!("anchor {name} {{ questions [\"Hello\"]; }}");
        without_mistakes(dir.path(), &source.replace("}", &format!("{anchor} }}")));
    }
    renamed(0, "fn").unwrap();
}

/// So that the items of a declaration are there beside what is wrong with it.
#[test]
fn a_mistake_leaves_the_rest_of_a_recipe() {
    let dir = package();
    for (name, items) in [
        ("Support", "target lamp from \"lamp.md\"; target Lamp from \"keys.md\";"),
        ("r#fn", "target lamp from \"lamp.md\";"),
        ("Support", "target lamp from \"lamp.md\" { questions [\"Who\\0?\", \"Where?\"]; }"),
        (
            "Support",
            "target lamp prompt \"-\" {
                questions [\"Who?\"]; general 0; expect \"Who?\" => declines;
            }",
        ),
    ] {
        let source = format!("bake {name} {{ {items} target keys from \"keys.md\"; }}");
        let (recipe, said) = declared(dir.path(), &source);
        assert_eq!(said.len(), 1, "{items}: {said:?}");
        let names: Vec<&str> = recipe.targets.iter().map(|target| &*target.name).collect();
        assert_eq!(names[..2], ["lamp", "keys"], "{items}");
    }
}

#[test]
fn a_recipe_has_no_path_that_the_macro_always_refuses() {
    let (dir, hash) = (package(), Hash::of(b"text"));
    let said = |items: &str| {
        declared(dir.path(), &format!("bake Support {{ documents anywhere; {items} }}")).1.concat()
    };
    let made = |path: &str| {
        let of = || path.to_owned().into();
        let format = Format::Lines;
        let dataset = DatasetFields { path: of(), hash, format, field: "".into(), take: None };
        [
            Document::new(DocumentFields { path: of(), hash }).map(drop),
            Parent::new(ParentFields { path: of(), hash }).map(drop),
            Dataset::new(dataset).map(drop),
        ]
    };
    for path in ["", " \n", "/docs/a.csv", "docs\\a.csv", "\\\\server\\a.csv"] {
        let declarations = [
            format!("target keys from {path:?};"),
            format!("parent {path:?}; target keys from \"keys.md\";"),
            format!("target keys prompt \"Be kind.\" {{ questions from {path:?}; }}"),
        ];
        for (made, items) in made(path).into_iter().zip(declarations) {
            assert_eq!(made.unwrap_err().to_string(), said(&items), "{items}");
        }
    }
    let ending = |format, path: &str| {
        let path = path.to_owned().into();
        Dataset::new(DatasetFields { path, hash, format, field: "q".into(), take: None })
    };
    let said = said("target keys prompt \"Be kind.\" { dataset \"asked.tsv\"; }");
    for format in [Format::Csv, Format::JsonLines] {
        assert_eq!(ending(format, "asked.tsv").unwrap_err().to_string(), said);
    }
    ending(Format::Lines, "asked.tsv").unwrap();
    // Only the declaration says whether they may leave the package.
    for path in ["../a.md", "docs/../../a.md", "docs//a.md", "./a.md"] {
        assert!(made(path).iter().all(Result::is_ok), "{path}");
    }
}
