//! The grammar on arbitrary input: it never panics, and reports what it does not understand.

use std::path::Path;
use std::str::FromStr as _;

use bake_spec::check::{Declared, DeclaringPackage, check};
use bake_spec::diagnostics::Diagnostics;
use bake_spec::settings::{Kind, SETTINGS, Scope, Setting, keywords};
use bake_spec::syntax::parse::parse;
use bake_spec::syntax::print::print;
use proc_macro2::TokenStream;
use proptest::prelude::*;

const WHOLE: &str = r#"
    pub bake Support {
        model tiny; student { user "Hi"; assistant "Hello."; } prompt "Be kind.";
        ask 40 { temperature 0.9; template "Ask."; } outline; unanswerable { decline "No."; }
        persona 3 { people ["a child"]; } anchors none; template "{{ heading }}?";
        context retrieved;
        target keys weight 1.0 from "keys.md" prompt "Mind." {
            questions ["Where?", "When?"]; rollouts 4; expect "Who?" => contains "Bob";
            examples { passage "Red."; user "How?"; assistant "Red."; user "Hi"; assistant "Yes"; }
        }
        target lamp prompt { system "Say no."; user from "keys.csv"; assistant "No."; } {
            ask 0; questions ["Why?"]; general 9;
        }
        lora { rank 8; modules [q_proj, v_proj]; layers 0..4; }
        train { epochs 2; keep_every 1; schedule cosine; divergence jsd(0.5); }
        expect keys "Where to?" => declines; expect keys "From?" => starts_with "From";
        expect "To?" => ends_with "there"; expect "How far?" => matches r"\d{2}";
        anchor manners weight 0.5 { questions ["Hello"]; }
        embed release;
    }
"#;

fn read(source: &str) -> (Vec<Declared>, Diagnostics) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("keys.md"), "Ask Bob.").unwrap();
    std::fs::write(dir.path().join("keys.csv"), "question\nWhere?").unwrap();
    read_in(dir.path(), TokenStream::from_str(source).unwrap())
}

fn read_in(root: &Path, tokens: TokenStream) -> (Vec<Declared>, Diagnostics) {
    let (bakes, mut diagnostics) = parse(tokens);
    (check(bakes, DeclaringPackage { root, lock: None }, &mut diagnostics), diagnostics)
}

#[test]
fn a_whole_declaration_has_no_mistakes() {
    let (declared, diagnostics) = read(WHOLE);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let [support] = &declared[..] else { panic!("one bake is declared") };
    assert_eq!(
        (support.name.to_string(), support.targets.len(), support.files.len()),
        ("Support".into(), 2, 2)
    );
    let prompt = &support.recipe.targets[1].prompt;
    assert_eq!((&*prompt.system, prompt.turns.len()), ("Be kind.\n\nSay no.", 2));
    assert_eq!(prompt.turns[0].text, "question\nWhere?");
    assert_eq!(support.recipe.targets[2].prompt, support.recipe.student);
}

fn said(source: &str) -> Vec<String> {
    let (_, diagnostics) = read(source);
    diagnostics.into_iter().map(|found| format!("{} [{}]", found.message, found.code)).collect()
}

#[test]
fn a_prompt_is_a_string_a_file_or_a_conversation() {
    let prompt = |prompt: &str| {
        let (declared, diagnostics) = read(&format!("target a prompt {prompt} {{ ask 3; }}"));
        assert!(diagnostics.is_empty(), "{prompt}: {diagnostics:?}");
        (declared[0].recipe.targets[0].clone(), declared[0].files.clone())
    };
    let (written, files) = prompt("\"Ask Bob.\"");
    assert_eq!(files.len(), 0);
    for same in ["from \"keys.md\"", "{ system \"Ask Bob.\" }", "{ system from \"keys.md\"; }"] {
        assert_eq!(prompt(same).0, written, "{same}");
    }
    assert_eq!(prompt("{ system from \"keys.md\"; }").1, ["keys.md"]);
    let (turns, _) = prompt("{ user \"Who?\"; assistant from \"keys.md\"; }");
    assert_eq!((turns.prompt.is_empty(), turns.prompt.bytes()), (false, 12));
    // The path of a document can follow.
    let (both, _) = prompt("from \"keys.csv\" from \"keys.md\" weight 2");
    assert_eq!(both.document.as_ref().unwrap().path, "keys.md");
    assert_eq!((both.prompt.bytes(), both.weight), (15, 2.0));
}

#[test]
fn what_is_probably_meant_is_said_and_nothing_else() {
    let path = "a document is that of a target; write `target NAME from \"keys.md\";` [B0002]";
    let arrow = "expected `=>` after the question, as in `expect \"…\" => contains \"…\";` [B0001]";
    for (source, want) in [
        ("document \"keys.md\";", path),
        ("documents \"keys.md\";", path),
        ("document keys;", "unknown keyword `document`; did you mean `from`, which belongs in a"),
        ("target b document \"keys.md\";", "unknown keyword `document`; did you mean `from`?"),
        // Hyphens.
        ("top-p 0.9;", "unknown keyword `top-p`; did you mean `top_p`? [B0002]"),
        ("train { weight-decay 0.1; }", "unknown keyword `weight-decay`; did you mean `weight_dec"),
        ("train { stop-at-kl 0.1; }", "unknown keyword `stop-at-kl`; did you mean `stop_at_kl`?"),
        ("stop-at-kl 0.1;", "`stop-at-kl`; did you mean `stop_at_kl`, which belongs in `train`?"),
        ("train { batch-size 8; }", "unknown keyword `batch-size`; did you mean `batch`?"),
        ("temperature -1;", "`temperature` must be a number from 0 to 100; this is -1"),
        ("abc-def 1;", "unknown keyword `abc`; expected one of"),
        // Words of other tools.
        ("train { gradient_clip 1; }", "unknown keyword `gradient_clip`; did you mean `clip`?"),
        ("train { max_grad_norm 1; }", "unknown keyword `max_grad_norm`; did you mean `clip`?"),
        ("train { loss jsd; }", "unknown keyword `loss`; did you mean `divergence`?"),
        ("train { learning_rate 1; }", "unknown keyword `learning_rate`; did you mean `lr`?"),
        ("train { batch_size 8; }", "unknown keyword `batch_size`; did you mean `batch`?"),
        ("train { num_epochs 8; }", "unknown keyword `num_epochs`; did you mean `epochs`?"),
        ("lora { r 8; }", "unknown keyword `r`; did you mean `rank`? [B0002]"),
        ("lora { lora_alpha 8; }", "unknown keyword `lora_alpha`; did you mean `alpha`?"),
        ("learning_rate 1;", "`learning_rate`; did you mean `lr`, which belongs in `train`?"),
        ("train { optimizer adamw; }", "`optimizer` cannot be chosen: bake always trains with M"),
        ("base_model tiny;", "unknown keyword `base_model`; did you mean `model`?"),
        ("samples 4;", "unknown keyword `samples`; did you mean `rollouts`?"),
        ("assert \"Who?\";", "unknown keyword `assert`; did you mean `expect`?"),
        ("gate { expect 0.9; }", "`expect` is not allowed in `gate`; did you mean `expects`?"),
        // Quotes.
        ("train { schedule \"cosine\"; }", "write `cosine` without quotes [B0001]"),
        ("train { divergence \"reverse_kl\"; }", "write `reverse_kl` without quotes"),
        ("documents \"anywhere\";", "write `anywhere` without quotes"),
        ("lora { modules \"all\"; }", "write `all` without quotes"),
        ("lora { modules [\"q_proj\", v_proj]; }", "write `q_proj` without quotes"),
        ("target \"b\" from \"keys.md\";", "write `b` without quotes"),
        ("anchor \"b\" { everyday 9; }", "write `b` without quotes"),
        ("expect \"Who?\" => \"declines\";", "write `declines` without quotes"),
        ("train { epochs \"3\"; }", "write `3` without quotes"),
        ("train { clip \"0.5\"; }", "write `0.5` without quotes"),
        ("train { epochs \"few\"; }", "expected a whole number, found `\"few\"`"),
        ("train { clip \"inf\"; }", "expected a number, found `\"inf\"`"),
        ("train { schedule \"a b\"; }", "expected `constant`, `linear` or `cosine`, found `\"a b"),
        ("target \"b c\" from \"keys.md\";", "expected the target's name, found `\"b c\"`"),
        ("anchors 3;", "expected `everyday` or `none`, found `3` [B0001]"),
        ("train { divergence 3; }", "expected `forward_kl`, `reverse_kl` or `jsd`, found `3`"),
        ("lora { modules [all]; }", "`all` stands alone: write `modules all`"),
        ("train { teacher unchecked; }", "`teacher` cannot be `unchecked`; expected `checked` or"),
        ("expect \"keys\" \"Who?\" => declines;", "write `keys` without quotes [B0001]"),
        // Forms.
        ("expect \"asked.jsonl\";", "write `from` before the path [B0001]"),
        ("anchor none;", "this declares an anchor of that name; write `anchors none;` [B0001]"),
        (
            "target b \"keys.md\";",
            "write `from` before the path, as in `target b from \"keys.md\"` [B0001]",
        ),
        ("target b \"keys.md\" { ask 3; }", "write `from` before the path"),
        (
            "target from \"keys.md\";",
            "expected the target's name before `from`, as in `target name from \"keys.md\"`",
        ),
        ("expect \"Who?\" -> contains \"Bob\";", arrow),
        ("expect \"Who?\" contains \"Bob\";", arrow),
        ("lora { layers 3; }", "expected a range of blocks, as in `3..4` [B0001]"),
        ("questions [\"a\"; \"b\"];", "entries are separated by commas, not by `;` [B0001]"),
        ("lora { modules [q_proj; v_proj]; }", "entries are separated by commas, not by `;`"),
        ("questions [\"a\" \"b\"];", "expected `,` before this [B0001]"),
        ("expect b \"Who?\" => declines;", "there is no target `b`; expected `keys` [B0008]"),
    ] {
        let said = said(&format!("target keys from \"keys.csv\"; {source}"));
        assert!(said.len() == 1 && said[0].contains(want), "{source}: {said:?}");
    }
    let with_comma = said("target keys from \"keys.md\"; lora { rank: 8, }");
    assert!(with_comma[0].contains("without `:`; write `rank 8;`"), "{with_comma:?}");
    let said = said("bake \"Office\" { target keys from \"keys.md\"; }");
    assert_eq!(said, ["write `Office` without quotes [B0001]"]);
}

#[test]
fn turns_of_targets_follow_those_of_the_bake() {
    let source = "prompt { system \"A\"; user \"b\"; assistant \"c\"; } student \"S\";
        target t prompt { system \"D\"; user \"e\"; assistant \"f\"; }
        target u from \"keys.md\";
        anchor n { questions [\"Hello\"]; }";
    let (declared, diagnostics) = read(source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let [t, u, n] = &*declared[0].recipe.targets else { panic!("three are declared") };
    let texts = |target: &bake_spec::recipe::Target| {
        let prompt = target.teacher_prompt(Some("doc"));
        prompt.texts().map(str::to_owned).collect::<Vec<_>>().join("|")
    };
    assert_eq!(texts(t), "A\n\nD\n\ndoc|b|c|e|f");
    assert_eq!(texts(u), "A\n\ndoc|b|c");
    assert_eq!(n.prompt, "S".into());
    // The bake's prompt is something to learn.
    for own in ["", "prompt \"\""] {
        let source = format!("prompt \"Be terse.\"; target t {own} {{ questions [\"Hi\"]; }}");
        let (declared, diagnostics) = read(&source);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(declared[0].recipe.targets[0].teacher_prompt(None), "Be terse.".into());
    }
}

#[test]
fn prompts_that_cannot_be_used_are_reported_once() {
    for (prompt, want) in [
        ("{}", "`prompt` has no turns; write `system \"…\";`, or `user"),
        ("{ user \"a\"; }", "the prompt ends with a `user` turn"),
        ("{ assistant \"a\"; }", "the first turn after `system` must be the user's"),
        ("{ user \"a\"; user \"b\"; assistant \"c\"; }", "a `user` turn follows another"),
        ("{ user \"a\"; assistant \"b\"; assistant \"c\"; }", "an `assistant` turn follows"),
        ("{ system \"a\"; system \"b\"; }", "`system` must be the first turn"),
        ("{ user \"a\"; assistant \"b\"; system \"c\"; }", "`system` must be the first turn"),
        ("from \"kyes.md\"", "relative to the folder of Cargo.toml); did you mean `keys.md`?"),
        ("{ system from \"../x.md\"; }", "the prompt `../x.md` is outside the package"),
        ("{ system \"\"; }", "a turn of a prompt cannot be empty"),
        ("from keys", "expected the path of a file in double quotes, found `keys`"),
        ("of \"keys.md\"", "expected a string, or `from` and the path of a file, found `of`"),
        ("{ sytem \"a\"; user \"b\"; }", "unknown keyword `sytem`; did you mean `system`?"),
        ("{ ask 3; }", "`ask` is not allowed in a prompt's braces"),
    ] {
        let source = format!("target a prompt {prompt} {{ ask 3; }} target b prompt \"x\";");
        let said = said(&source);
        assert!(said[0].contains(want), "{prompt}: {said:?}");
        assert!(said.len() == 1 || prompt.contains(".."), "{prompt}: {said:?}");
    }
    // What all targets share is reported once.
    let said = said("prompt { user \"a\"; } target a prompt \"x\"; target b prompt \"y\";");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("[B0020]"), "{said:?}");
}

#[test]
fn semicolons_may_be_left_out_after_braces_and_at_the_end() {
    for source in [
        "target a prompt \"x\"",
        "target a prompt \"x\";",
        "target a prompt \"x\" { ask 3 } target b prompt \"y\"",
        "target a prompt \"x\" { ask 3 { temperature 1 } rollouts 2 } lora { rank 2 } ;;",
        "target a prompt { system \"x\" } target b prompt { system \"y\" } from \"keys.md\" { }",
        "bake A { target a prompt \"x\" } bake B { target b prompt \"y\" };",
    ] {
        let (_, diagnostics) = read(source);
        assert!(diagnostics.is_empty(), "{source}: {diagnostics:?}");
    }
}

#[test]
fn every_setting_of_the_table_is_understood_with_its_default() {
    for setting in
        SETTINGS.iter().filter(|setting| !setting.default.is_empty() && setting.later.is_none())
    {
        for scope in setting.scopes {
            let quote = if setting.kind == Kind::Text { "\"" } else { "" };
            let assignment = format!("{} {quote}{}{quote}", setting.name, setting.default);
            let source = match scope {
                Scope::Bake => format!("{assignment}; target a prompt \"x\";"),
                Scope::TargetHead => format!("target a prompt \"x\" {assignment};"),
                Scope::TargetBody => format!("target a prompt \"x\" {{ {assignment}; }}"),
                Scope::Ask => format!("target a prompt \"x\"; ask 3 {{ {assignment}; }}"),
                Scope::Lora => format!("target a prompt \"x\"; lora {{ {assignment}; }}"),
                Scope::Train => format!("target a prompt \"x\"; train {{ {assignment}; }}"),
                Scope::AnchorHead => {
                    format!("target a prompt \"x\"; anchor b {assignment} {{ questions [\"y\"]; }}")
                }
                Scope::AnchorBody => format!(
                    "target a prompt \"x\"; anchor b {{ questions [\"y\"]; {assignment}; }}"
                ),
                Scope::Dataset => {
                    format!("target a prompt \"x\" {{ dataset \"keys.csv\" {{ {assignment}; }} }}")
                }
                Scope::Persona => {
                    format!("target a prompt \"x\"; persona 0 {{ {assignment}; }}")
                }
                Scope::Rephrase
                | Scope::Gate
                | Scope::Prompt
                | Scope::Examples
                | Scope::Unanswerable => continue,
            };
            let (declared, diagnostics) = read(&source);
            assert!(diagnostics.is_empty(), "{source}: {diagnostics:?}");
            let (plain, _) = read("target a prompt \"x\";");
            let same = |declared: &[Declared]| {
                (declared[0].recipe.targets.clone(), declared[0].recipe.train.clone())
            };
            let elsewhere =
                [Scope::Ask, Scope::AnchorHead, Scope::AnchorBody, Scope::Dataset].contains(scope);
            if setting.name != "ask" && !elsewhere {
                assert_eq!(same(&declared), same(&plain), "{source} writes the default");
            }
        }
    }
}

/// Words, numbers and symbols that occur in declarations, and some that do not.
fn token() -> impl Strategy<Value = String> {
    let known: Vec<&str> = Scope::ALL.into_iter().flat_map(keywords).collect();
    let words =
        ["bake", "pub", "tiny", "all", "jsd", "q_proj", "keys", "self", "r#move", "_", "fn"];
    let symbols = [";", ",", "=", "=>", "-", "..", "#", "::", "!"];
    let numbers =
        ["0", "1", "1e999", "0.5", "99999999999999999999999", "0x10", "1_000u8", "'c'", "b\"x\""];
    let texts = ["\"keys.md\"", "\"\"", "\"/etc/passwd\"", "\"no.md\"", "\"\\u{0}\""];
    let any_of =
        |words: &[&'static str]| prop::sample::select(words.to_vec()).prop_map(str::to_owned);
    prop_oneof![
        4 => any_of(&known),
        2 => any_of(&words),
        2 => any_of(&symbols),
        1 => any_of(&numbers),
        2 => any_of(&texts),
    ]
}

fn tokens() -> impl Strategy<Value = String> {
    let leaf = prop::collection::vec(token(), 0..12).prop_map(|words| words.join(" "));
    leaf.prop_recursive(4, 64, 6, |inner| {
        let group = prop_oneof![
            4 => inner.clone().prop_map(|text| format!("{{ {text} }}")),
            1 => inner.clone().prop_map(|text| format!("[ {text} ]")),
            1 => inner.clone().prop_map(|text| format!("( {text} )")),
        ];
        prop::collection::vec(prop_oneof![token(), group, inner], 0..8)
            .prop_map(|parts| parts.join(" "))
    })
}

/// Values in a form that a setting of this kind can have, including some that are not allowed.
fn value(kind: Kind) -> BoxedStrategy<String> {
    let text = || {
        prop::sample::select(vec!["\"keys.md\"", "\"\"", "\"ü \\\"x\\\"\"", "r#\"raw\"#"])
            .prop_map(str::to_owned)
    };
    match kind {
        Kind::Count { .. } => any::<u64>().prop_map(|n| n.to_string()).boxed(),
        Kind::Number(_) => prop_oneof![
            any::<u32>().prop_map(|n| n.to_string()),
            (-1e9f64..1e9).prop_map(|x| format!("{x:?}"))
        ]
        .boxed(),
        Kind::Text => text().boxed(),
        Kind::Texts => prop_oneof![
            prop::collection::vec(text(), 0..3).prop_map(|texts| format!("[{}]", texts.join(", "))),
            text().prop_map(|file| format!("from {file}")),
        ]
        .boxed(),
        Kind::Words => prop_oneof![text(), text().prop_map(|file| format!("from {file}"))].boxed(),
        Kind::Prompt(scope) => prop_oneof![
            text(),
            text().prop_map(|file| format!("from {file}")),
            settings(scope).prop_map(|inner| format!("{{ {inner} }}")),
        ]
        .boxed(),
        Kind::Examples(scope) => prop_oneof![
            text().prop_map(|file| format!("from {file}")),
            settings(scope).prop_map(|inner| format!("{{ {inner} }}")),
        ]
        .boxed(),
        Kind::File(scope) => (text(), prop::option::of(settings(scope)))
            .prop_map(|(file, inner)| braced(&file, inner))
            .boxed(),
        Kind::Word(words) => prop::sample::select(words).prop_map(str::to_owned).boxed(),
        Kind::Divergence => prop::sample::select(vec!["forward_kl", "jsd(0.5)", "jsd(2)"])
            .prop_map(str::to_owned)
            .boxed(),
        Kind::Modules => prop::sample::select(vec!["all", "[q_proj, v_proj]", "[]"])
            .prop_map(str::to_owned)
            .boxed(),
        Kind::Layers => {
            (0..9u64, 0..9u64).prop_map(|(start, end)| format!("{start}..{end}")).boxed()
        }
        Kind::Block(scope) => settings(scope).prop_map(|inner| format!("{{ {inner} }}")).boxed(),
        Kind::Counted { scope, .. } => {
            let inner = match scope {
                Some(scope) => prop::option::of(settings(scope)).boxed(),
                None => Just(None).boxed(),
            };
            (prop::option::of(any::<u64>()), inner)
                .prop_map(|(n, inner)| braced(&n.map(|n| n.to_string()).unwrap_or_default(), inner))
                .boxed()
        }
    }
}

fn braced(before: &str, inner: Option<String>) -> String {
    inner.map_or_else(|| before.to_owned(), |inner| format!("{before} {{ {inner} }}"))
}

fn assignment(scope: Scope) -> BoxedStrategy<String> {
    let here: Vec<&Setting> =
        SETTINGS.iter().filter(|setting| setting.scopes.contains(&scope)).collect();
    prop::sample::select(here)
        .prop_flat_map(|setting| {
            value(setting.kind).prop_map(|value| format!("{} {value}", setting.name))
        })
        .boxed()
}

fn settings(scope: Scope) -> BoxedStrategy<String> {
    prop::collection::vec(assignment(scope), 0..3)
        .prop_map(|all| all.iter().map(|a| format!("{a}; ")).collect())
        .boxed()
}

fn item() -> impl Strategy<Value = String> {
    let target = |keyword: &'static str, head, body| {
        (prop::collection::vec(assignment(head), 0..3), settings(body))
            .prop_map(move |(head, body)| format!("{keyword} name {} {{ {body} }}", head.join(" ")))
    };
    prop_oneof![
        4 => assignment(Scope::Bake).prop_map(|assignment| format!("{assignment};")),
        3 => target("target", Scope::TargetHead, Scope::TargetBody),
        2 => target("anchor", Scope::AnchorHead, Scope::AnchorBody),
        2 => prop::sample::select(vec![
            "model tiny;", "model smollm2;", "model \"a\";", "model \"a.gguf\";",
            "model hub \"a/b\";", "model hub \"a/b\" revision \"c\";", "crate = ::a::b;",
            "expect \"a\" => contains \"b\";", "expect name \"a\" => declines;",
            "expect \"a\" => contains [\"b\", \"c\"];", "expect name from \"a\";",
            "expect \"a\" => starts_with \"b\";", "expect \"a\" => ends_with \"\";",
            "expect \"a\" => matches \"b+\";", "expect \"a\" => matches \"(\";",
            "expect from \"a\";", "expect from \"a\" => equals \"b\";",
        ]).prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_tokens_make_it_panic(source in tokens()) {
        let (declared, diagnostics) = read(&source);
        for diagnostic in &diagnostics {
            prop_assert!(!diagnostic.message.is_empty());
        }
        // What is declared without mistakes can be baked.
        if diagnostics.is_empty() {
            prop_assert!(declared.iter().all(|bake| !bake.targets.is_empty()));
        }
    }

    #[test]
    fn a_declaration_with_a_token_taken_out_or_put_in_is_read_to_its_end(
        at in 0usize..80,
        put in token(),
        take in any::<bool>(),
    ) {
        let mut words: Vec<String> = WHOLE.split_whitespace().map(str::to_owned).collect();
        let at = at % words.len();
        if take { words.remove(at); } else { words.insert(at, put); }
        if let Ok(tokens) = TokenStream::from_str(&words.join(" ")) {
            let dir = tempfile::tempdir().unwrap();
            read_in(dir.path(), tokens);
        }
    }

    #[test]
    fn what_is_printed_is_read_back(
        items in prop::collection::vec(item(), 0..6),
        named in any::<bool>(),
    ) {
        let items = items.join("\n");
        let source = if named { format!("/// Doc.\n#[cfg(a)] pub(crate) bake Name {{ {items} }} \
            bake Other {{ }}") } else { format!("bake Bake {{ {items} }}") };
        let (bakes, mistakes) = parse(TokenStream::from_str(&source).unwrap());
        prop_assert!(mistakes.is_empty(), "{source}: {mistakes:?}");
        let (again, mistakes) = parse(print(&bakes));
        prop_assert!(mistakes.is_empty(), "{}: {mistakes:?}", print(&bakes));
        prop_assert_eq!(bakes, again);
    }
}
