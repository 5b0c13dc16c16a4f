//! The builder of recipes makes what the macro makes, and refuses what the macro refuses.

#[path = "shared/declared.rs"]
mod declared;

use std::path::Path;

use bake_spec::recipe::{Answer, Divergence, Pattern, RecipeBuilder, Schedule, TeacherContext};
use bake_spec::{ErrorKind, Recipe};
use declared::{declared, package, without_mistakes};

/// The beginning of a bake of that name.
fn support(root: &Path) -> RecipeBuilder {
    Recipe::builder().name("Support").root(root)
}

#[test]
fn a_builder_makes_what_the_macro_makes() {
    let dir = package();
    let source = r#"
        bake Support {
            student "Be brief."; prompt "You are a caretaker."; seed 7;
            target keys weight 2.0 from "keys.md" prompt "Mind the keys." {
                questions ["Who?"]; dataset "asked.csv" { field "q"; take 1; }
                outline 30; template "What is {{ heading }}?";
                ask 40 { temperature 0.9; template "Ask one question."; }
                persona 12 { temperature 0.8; people ["a child", "a clerk"]; }
                rephrase 6 { temperature 0.4; } unanswerable 9 { decline "No idea."; }
                context retrieved;
                rollouts 3; max_tokens 64; temperature 0.5; top_p 0.9; top_k 40; seed 9;
                on_policy 0.5;
            }
            target lamp from "lamp.md" { questions from "asked.txt"; general 5; }
            anchor manners weight 0.5 { questions ["Hello"]; everyday 20; rephrase 2; }
            expect keys "Is it lost?" => contains "Bob";
            expect keys "Where to?" => starts_with "To the";
            expect keys "Where from?" => ends_with "office.";
            expect "When?" => matches r"\d+:\d{2}";
            expect "Who are you?" => declines;
            lora { rank 8; alpha 16; dropout 0.1; modules [q_proj, up_proj]; layers 1..3; }
            train {
                epochs 3; lr 1e-4; batch 2; accumulate 4; schedule cosine; warmup 0.2;
                divergence jsd(0.3); temperature 2; clip 0.5; weight_decay 0.01; seed 11;
                held_out 0.2; patience 3; rehearse 2; stop_at_kl 0.01; until_covered 2;
                checkpoint_every 5; keep_every 2;
            }
        }
    "#;
    let want = without_mistakes(dir.path(), source);
    let built = support(dir.path())
        .student("Be brief.")
        .prompt("You are a caretaker.")
        .seed(7)
        .target("keys", |target| {
            target
                .weight(2.0)
                .document("keys.md")
                .prompt("Mind the keys.")
                .questions(["Who?"])
                .dataset_head("asked.csv", "q", 1)
                .outline(30)
                .template("What is {{ heading }}?")
                .ask_with(40, |ask| ask.temperature(0.9).template("Ask one question."))
                .persona(12, |persona| persona.temperature(0.8).people(&["a child", "a clerk"]))
                .rephrase_with(6, |rephrase| rephrase.temperature(0.4))
                .unanswerable_with(9, "No idea.")
                .context(TeacherContext::Retrieved)
                .rollouts(3)
                .max_tokens(64)
                .temperature(0.5)
                .top_p(0.9)
                .top_k(40)
                .on_policy(0.5)
                .seed(9)
        })
        .target("lamp", |target| target.document("lamp.md").questions_from("asked.txt").general(5))
        .anchor("manners", |anchor| {
            anchor.weight(0.5).questions(["Hello"]).everyday(20).rephrase(2)
        })
        .expect(Some("keys"), "Is it lost?", Answer::Contains("Bob".into()))
        .expect(Some("keys"), "Where to?", Answer::StartsWith("To the".into()))
        .expect(Some("keys"), "Where from?", Answer::EndsWith("office.".into()))
        .expect(None, "When?", Answer::Matches(Pattern::new(r"\d+:\d{2}").unwrap()))
        .expect(None, "Who are you?", Answer::Declines)
        .lora(|lora| {
            lora.rank(8).alpha(16.0).dropout(0.1).modules(&["q_proj", "up_proj"]).layers(1..3)
        })
        .train(|train| {
            train
                .epochs(3)
                .lr(1e-4)
                .batch(2)
                .accumulate(4)
                .schedule(Schedule::Cosine)
                .warmup(0.2)
                .divergence(Divergence::Jsd(0.3))
                .temperature(2.0)
                .clip(0.5)
                .weight_decay(0.01)
                .seed(11)
                .held_out(0.2)
                .patience(3)
                .rehearse(2)
                .stop_at_kl(0.01)
                .until_covered(2)
                .checkpoint_every(5)
                .keep_every(2)
        });
    assert_eq!(built.build().unwrap(), want);
}

#[test]
fn a_builder_makes_the_conversations_that_the_macro_makes() {
    let dir = package();
    let source = r#"
        bake Support {
            student { system from "asked.txt"; user "Hi"; assistant "Hello."; }
            prompt from "asked.txt";
            target keys from "keys.md" prompt {
                system "Mind the keys."; user from "asked.txt"; assistant "So.";
            }
            target lamp from "lamp.md" prompt from "asked.txt" { unanswerable 3; }
            anchors none;
        }
    "#;
    let want = without_mistakes(dir.path(), source);
    let built = support(dir.path())
        .student_turns(|turns| turns.system_from("asked.txt").user("Hi").assistant("Hello."))
        .prompt_from("asked.txt")
        .target("keys", |target| {
            target.document("keys.md").prompt_turns(|turns| {
                turns.system("Mind the keys.").user_from("asked.txt").assistant("So.")
            })
        })
        .target("lamp", |target| {
            target.document("lamp.md").prompt_from("asked.txt").unanswerable(3)
        })
        .no_anchors();
    assert_eq!(built.build().unwrap(), want);
    let wrong = Recipe::builder().root(dir.path()).target("keys", |target| {
        target.document("keys.md").prompt_turns(|turns| turns.user("Who?"))
    });
    let wrong = wrong.build().unwrap_err().to_string();
    assert!(wrong.contains("the prompt ends with a `user` turn") && wrong.contains("[B0020]"));
}

#[test]
fn the_turns_of_a_prompt_need_room() {
    let dir = package();
    let said = |count: usize| {
        let turn = "and so on ".repeat(count);
        let bake = Recipe::builder().root(dir.path()).target("keys", |target| {
            target.document("keys.md").prompt_turns(|turns| turns.user(&turn).assistant(&turn))
        });
        bake.build().map(drop).map_err(|e| e.to_string())
    };
    said(10).unwrap();
    let error = said(200).unwrap_err();
    assert!(error.contains("does not fit") && error.contains("[B0011]"), "{error}");
}

type Change = fn(RecipeBuilder) -> RecipeBuilder;

#[test]
fn a_builder_refuses_what_the_macro_refuses_in_the_same_words() {
    let dir = package();
    let keys = r#"target keys from "keys.md";"#;
    let train = "batch 0; divergence jsd(1.0); clip -1; epochs 1; epochs 2;";
    let cases: [(String, Change); 25] = [
        (String::new(), |bake| bake),
        (r#"target keys from "kyes.md";"#.to_owned(), |bake| {
            bake.target("keys", |target| target.document("kyes.md"))
        }),
        (r#"target keys from "../keys.md";"#.to_owned(), |bake| {
            bake.target("keys", |target| target.document("../keys.md"))
        }),
        (r#"target keys from "docs\\keys.md";"#.to_owned(), |bake| {
            bake.target("keys", |target| target.document("docs\\keys.md"))
        }),
        (r#"target long from "long.md" { max_tokens 640; }"#.to_owned(), |bake| {
            bake.target("long", |target| target.document("long.md").max_tokens(640))
        }),
        ("target keys;".to_owned(), |bake| bake.target("keys", |target| target)),
        (
            r#"target keys from "keys.md" { ask 0; outline 0; unanswerable 0; }"#.to_owned(),
            |bake| {
                bake.target("keys", |target| {
                    target.document("keys.md").ask(0).outline(0).unanswerable(0)
                })
            },
        ),
        (r#"target keys prompt "Be kind." { outline 4; template "x"; }"#.to_owned(), |bake| {
            bake.target("keys", |target| target.prompt("Be kind.").outline(4).template("x"))
        }),
        (
            r#"target keys from "keys.md" { persona 4 { people [" "]; } template " "; }"#
                .to_owned(),
            |bake| {
                bake.target("keys", |target| {
                    let target = target.document("keys.md");
                    target.persona(4, |persona| persona.people(&[" "])).template(" ")
                })
            },
        ),
        (r#"target keys from "keys.md" { template "{{ headin }}?"; }"#.to_owned(), |bake| {
            bake.target("keys", |target| target.document("keys.md").template("{{ headin }}?"))
        }),
        (
            r#"target keys from "keys.md" { template "{{ heading | shout }}?"; }"#.to_owned(),
            |bake| {
                let template = "{{ heading | shout }}?";
                bake.target("keys", |target| target.document("keys.md").template(template))
            },
        ),
        (r#"target keys from "keys.md" { rollouts 0; questions [" "]; }"#.to_owned(), |bake| {
            bake.target("keys", |target| target.document("keys.md").rollouts(0).questions([" "]))
        }),
        (
            r#"target keys from "keys.md" { questions ["Who\0?", "Where?"]; }
                expect "When\0?" => contains "9"; expect "Why?" => equals "So\0.";"#
                .to_owned(),
            |bake| {
                let questions = ["Who\0?", "Where?"];
                bake.target("keys", |target| target.document("keys.md").questions(questions))
                    .expect(None, "When\0?", Answer::Contains("9".into()))
                    .expect(None, "Why?", Answer::Equals("So\0.".into()))
            },
        ),
        (r#"target keys from "keys.md" { dataset "asked.tsv"; }"#.to_owned(), |bake| {
            bake.target("keys", |target| {
                target.document("keys.md").dataset("asked.tsv", "question")
            })
        }),
        (r#"target keys weight 0.0 from "keys.md";"#.to_owned(), |bake| {
            bake.target("keys", |target| target.weight(0.0).document("keys.md"))
        }),
        (format!("{keys} {keys}"), |bake| {
            bake.target("keys", |target| target.document("keys.md"))
                .target("keys", |target| target.document("keys.md"))
        }),
        (format!("{keys} anchor keys {{ questions [\"Hello\"]; }}"), |bake| {
            bake.target("keys", |target| target.document("keys.md"))
                .anchor("keys", |anchor| anchor.questions(["Hello"]))
        }),
        (format!("{keys} expect kyes \"Who?\" => contains \" \";"), |bake| {
            bake.target("keys", |target| target.document("keys.md")).expect(
                Some("kyes"),
                "Who?",
                Answer::Contains(" ".into()),
            )
        }),
        (
            format!("{keys} expect \"A\" => starts_with \"\"; expect \"B\" => ends_with \" \";"),
            |bake| {
                bake.target("keys", |target| target.document("keys.md"))
                    .expect(None, "A", Answer::StartsWith("".into()))
                    .expect(None, "B", Answer::EndsWith(" ".into()))
            },
        ),
        (
            r#"target keys from "keys.md" { ask 0; outline 0; unanswerable 0; questions ["Who?"]; }
                expect "who" => declines;"#
                .to_owned(),
            |bake| {
                bake.target("keys", |target| {
                    let target = target.document("keys.md").ask(0).outline(0).unanswerable(0);
                    target.questions(["Who?"])
                })
                .expect(None, "who", Answer::Declines)
            },
        ),
        (format!("{keys} lora {{ rank 4000; layers 3..3; modules [q_prj]; }}"), |bake| {
            bake.target("keys", |target| target.document("keys.md"))
                .lora(|lora| lora.rank(4000).layers(3..3).modules(&["q_prj"]))
        }),
        (format!("{keys} train {{ {train} }}"), |bake| {
            bake.target("keys", |target| target.document("keys.md")).train(|train| {
                train.batch(0).divergence(Divergence::Jsd(1.0)).clip(-1.0).epochs(1).epochs(2)
            })
        }),
        (format!("parent \"nowhere\"; {keys}"), |bake| {
            bake.parent("nowhere").target("keys", |target| target.document("keys.md"))
        }),
        (format!("parent \" \"; {keys}"), |bake| {
            bake.parent(" ").target("keys", |target| target.document("keys.md"))
        }),
        (format!("model \"no/model\"; {keys}"), |bake| {
            bake.model("no/model").target("keys", |target| target.document("keys.md"))
        }),
    ];
    for (items, build) in cases {
        let (_, said) = declared(dir.path(), &format!("bake Support {{ {items} }}"));
        let error = build(Recipe::builder().name("Support").root(dir.path())).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Recipe);
        assert!(!said.is_empty(), "{items}");
        assert_eq!(error.to_string(), said.join("\n"), "{items}");
    }
}

#[test]
fn names_that_are_not_names_are_refused() {
    let dir = package();
    let bake = Recipe::builder().name("my bake").root(dir.path());
    let bake = bake.target("a lamp", |target| target.document("lamp.md"));
    let error = bake.expect(Some(""), "Who?", Answer::Declines).build().unwrap_err().to_string();
    for what in [
        "`a lamp` cannot be the name of a target; use letters, as in `iphone` [B0004]",
        "`` cannot be the name of a target",
        "`my bake` cannot be the name of a bake; use letters, as in `Support` [B0004]",
    ] {
        assert!(error.contains(what), "{error}");
    }
    for (name, why) in [
        ("fn", "`fn` is a keyword of Rust and cannot be the name of a bake; choose another"),
        ("_", "`_` cannot be the name of a bake; use letters"),
        ("Self", "`Self` is a keyword of Rust and cannot be the name of a bake; choose another"),
    ] {
        let bake = Recipe::builder().name(name).root(dir.path());
        let bake = bake.target("fn", |target| target.document("lamp.md"));
        let error = bake.lora(|lora| lora.modules(&["q²", "fn"])).build().unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("name of a target"), "{error}");
        assert!(error.contains("linear layer"), "{error}");
    }
}

#[test]
fn a_warning_is_not_an_error() {
    let dir = package();
    let bake = Recipe::builder()
        .root(dir.path())
        .target("keys", |target| target.document("keys.md").questions(["Who?", "who"]));
    let warnings = bake.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("is listed twice"), "{warnings:?}");
    bake.build().unwrap();
}

#[test]
fn two_bakes_with_one_name_are_refused_whatever_their_conditions() {
    let dir = package();
    let source = r#"
        #[cfg(unix)] bake A { target keys from "keys.md"; }
        #[cfg(windows)] bake A { target lamp from "lamp.md"; }
    "#;
    let (_, said) = declared(dir.path(), source);
    let want = "the bake `A` is declared twice, under `#[cfg(unix)]` and under `#[cfg(windows)]`; \
                bake.lock has one entry per name, so give each bake its own name [B0006]";
    assert_eq!(said, [want]);
    let source =
        r#"bake A { target keys from "keys.md"; } bake r#A { target keys from "keys.md"; }"#;
    let want = "the bake `A` is declared twice; give each bake its own name [B0006]";
    assert_eq!(declared(dir.path(), source).1, [want]);
}

#[test]
fn settings_in_the_syntax_of_other_languages_are_corrected() {
    let dir = package();
    let said = |items: &str| declared(dir.path(), &format!("bake A {{ {items} }}")).1;
    for sign in ["=", ":"] {
        let items = format!("target keys weight {sign} 2.0 from \"keys.md\" {{ ask {sign} 40; }}");
        let ways = ["`weight 2.0`", "`ask 40;`"];
        let want =
            ways.map(|way| format!("settings are written without `{sign}`; write {way} [B0001]"));
        assert_eq!(said(&items), want);
    }
    for (written, way) in [
        ("train { divergence = jsd(0.3); }", "divergence jsd(0.3);"),
        ("lora { layers = 2..4; modules: [q_proj, v_proj]; }", "layers 2..4;"),
        ("train { lr = -3.0; }", "lr -3.0;"),
        ("train = { epochs 3; }", "train { … }"),
        ("student: \"Hi\" lora { rank 4; }", "student \"Hi\";"),
        ("model = tiny;", "model tiny;"),
    ] {
        let said = said(&format!("{written} target keys from \"keys.md\";"));
        assert!(said[0].ends_with(&format!("write `{way}` [B0001]")), "{said:?}");
    }
    assert_eq!(
        said("target keys from \"keys.md\" { aks 40; }"),
        ["unknown keyword `aks`; did you mean `ask`? [B0002]"]
    );
    assert_eq!(
        said("train { rl 3e-4; } target keys from \"keys.md\";"),
        ["unknown keyword `rl`; did you mean `lr`? [B0002]"]
    );
}
