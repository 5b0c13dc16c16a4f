//! Renderings, beside those of Jinja2 as transformers sets it up, and what templates make of
//! system turns.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::*;
use crate::checkpoint::testing::say_skipped;

fn parsed(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn own(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/chat_templates");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn special(tokens: &Json) -> BTreeMap<String, String> {
    let names = ["bos_token", "eos_token"];
    let token = |name: &str| Some((name.to_owned(), tokens.get(name)?.as_str()?.to_owned()));
    names.into_iter().filter_map(token).collect()
}

fn switch_or_text(value: &Json) -> Value {
    value.as_bool().map(Value::from).unwrap_or_else(|| value.as_str().unwrap().into())
}

fn message<'a>(role: &str, content: &'a str) -> Message<'a> {
    let role = match role {
        "system" => Role::System,
        "user" => Role::User,
        _ => Role::Assistant,
    };
    Message::new(role, content)
}

fn template(source: &str) -> ChatTemplate {
    let special = [("bos_token", "<s>"), ("eos_token", "</s>")];
    let special = special.map(|(name, token)| (name.to_owned(), token.to_owned())).into();
    ChatTemplate::new(source, special, "m/chat_template.jinja".to_owned()).unwrap()
}

/// A rule, an earlier turn, and a question.
fn conversation() -> Vec<Message<'static>> {
    vec![
        Message::new(Role::System, "Be brief."),
        Message::new(Role::User, "Who sweeps?"),
        Message::new(Role::Assistant, "Bob."),
        Message::new(Role::User, "Who cooks?"),
    ]
}

/// Templates that are written like those of seven families, and one with everything that
/// templates are made of. `render.py` beside them wrote what is expected.
#[test]
fn renderings_are_those_of_jinja2() {
    let expected: Json = serde_json::from_str(&own("expected.json")).unwrap();
    for case in expected["cases"].as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap();
        let name = text("template");
        let source = own(&format!("{name}.jinja"));
        let chat = ChatTemplate::new(&source, special(&case["tokens"]), name.to_owned()).unwrap();
        let turns = expected["conversations"][text("conversation")].as_array().unwrap();
        let messages: Vec<_> = turns
            .iter()
            .map(|turn| message(turn[0].as_str().unwrap(), turn[1].as_str().unwrap()))
            .collect();
        let prompt = case["generation_prompt"].as_bool().unwrap();
        let got = chat.render_as_is(&messages, prompt, BTreeMap::new());
        match case["text"].as_str() {
            Some(want) => assert_eq!(got.unwrap(), want, "{name}, {}", text("conversation")),
            None => assert!(got.unwrap_err().to_string().contains(text("error")), "{name}"),
        }
    }
}

/// Published templates, which are files of other projects and not part of this one.
#[test]
fn renderings_of_published_templates_are_those_of_transformers() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/chat_templates");
    let folder = std::env::var_os("BAKE_CHAT_TEMPLATES").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        return say_skipped("published chat templates, as BAKE_CHAT_TEMPLATES names no folder");
    }
    let expected = parsed(&folder.join("expected.json"));
    let mut compared = 0;
    for (name, published) in expected["templates"].as_object().unwrap() {
        let file = folder.join(published["file"].as_str().unwrap());
        let source = std::fs::read_to_string(file).unwrap();
        let chat = ChatTemplate::new(&source, special(published), name.clone()).unwrap();
        for case in published["cases"].as_array().unwrap() {
            let conversation = case["conversation"].as_str().unwrap();
            let messages: Vec<_> = expected["conversations"][conversation]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| message(m["role"].as_str().unwrap(), m["content"].as_str().unwrap()))
                .collect();
            let prompt = case["add_generation_prompt"].as_bool().unwrap();
            let given = case["template_kwargs"].as_object().unwrap();
            let given = given.iter().map(|(name, value)| (&**name, switch_or_text(value)));
            let got = chat.render_as_is(&messages, prompt, given.collect());
            match case["text"].as_str() {
                Some(want) => assert_eq!(got.unwrap(), want, "{name}, {conversation}"),
                None => {
                    let (error, want) = (got.unwrap_err().to_string(), case["error"].as_str());
                    assert!(error.contains(want.unwrap()), "{name}, {conversation}: {error}");
                }
            }
            compared += 1;
        }
    }
    assert!(compared >= 72, "only {compared} cases");
}

#[test]
fn a_system_turn_stands_before_the_first_question_where_a_template_has_no_role_for_it() {
    let gemma = template(&own("gemma.jinja"));
    let turns = conversation();
    let merged = [
        Message::new(Role::User, "Be brief.\n\nWho sweeps?"),
        Message::new(Role::Assistant, "Bob."),
        Message::new(Role::User, "Who cooks?"),
    ];
    for prompt in [true, false] {
        let got = gemma.render(&turns, prompt).unwrap();
        assert_eq!(got, gemma.render_as_is(&merged, prompt, BTreeMap::new()).unwrap());
        assert_eq!(got.matches("Be brief.").count(), 1);
    }
    gemma.check_shows(&turns, "keys.md").unwrap();
    // Everything else that a template refuses is refused.
    let out_of_turn = [Message::new(Role::Assistant, "Bob.")];
    let error = gemma.render(&out_of_turn, true).unwrap_err().to_string();
    assert!(error.contains("turn 1 is of assistant"), "{error}");
    let alone = [Message::new(Role::System, "Be brief.")];
    assert!(gemma.render(&alone, true).unwrap_err().to_string().contains("no role for rules"));
}

#[test]
fn a_template_that_shows_a_system_turn_puts_it_where_it_wants() {
    for name in ["chatml", "llama3", "phi3", "mistral"] {
        let chat = template(&own(&format!("{name}.jinja")));
        let (got, turns) = (chat.render(&conversation(), true), conversation());
        let got = got.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(got, chat.render_as_is(&turns, true, BTreeMap::new()).unwrap(), "{name}");
        chat.check_shows(&turns, "keys.md").unwrap();
    }
}

#[test]
fn turns_that_a_template_leaves_out_are_reported_with_its_file() {
    let users = "{% for m in messages if m.role == 'user' %}{{ m.content }}|{% endfor %}";
    let users = template(users);
    for error in [
        users.render(&conversation(), true).unwrap_err(),
        users.check_shows(&conversation(), "keys.md").unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("m/chat_template.jinja leaves system turns out"), "{error}");
    }
    // Without one there is nothing to leave out.
    assert_eq!(users.render(&conversation()[3..], true).unwrap(), "Who cooks?|");
    users.check_shows(&conversation()[3..], "keys.md").unwrap();

    let last = template(
        "{% for m in messages %}{% if m.role == 'system' or loop.last %}{{ m.content }}|{% endif %}\
         {% endfor %}",
    );
    let last = last.check_shows(&conversation(), "keys.md").unwrap_err().to_string();
    let want = "m/chat_template.jinja leaves turns before the last question out, so the model \
        would not see keys.md";
    assert!(last.contains(want), "{last}");
}

#[test]
fn a_template_that_fails_anyway_is_used_as_it_is() {
    let failing = template("{{ raise_exception('not today') }}");
    for turns in [&conversation()[..], &conversation()[3..]] {
        assert!(failing.render(turns, true).unwrap_err().to_string().contains("not today"));
        failing.check_shows(turns, "keys.md").unwrap();
    }
}

/// Whatever gets a name is copied, which a template that means no harm does not see.
#[test]
fn lists_maps_tuples_and_namespaces_are_what_they_are_in_jinja2() {
    for (source, expected) in [
        (
            "{% set n = namespace(a=[]) %}\
             {%- for i in range(4) %}{% set n.a = n.a + [i] %}{% endfor %}\
             {{ n.a }} {{ n.a[1:] | sum }} {{ n.a | length }}",
            "[0, 1, 2, 3] 6 4",
        ),
        (
            "{% set n = namespace(a=[]) %}\
             {%- for i in range(99) %}{% set n.a = n.a + n.a %}{% endfor %}\
             {{ n.a }}",
            "[]",
        ),
        (
            "{% set n = namespace(a=[1]) %}{% for i in range(9000) %}{% set n.a = n.a[0:] %}\
             {% endfor %}{{ n.a }}",
            "[1]",
        ),
        ("{% set a = (1, 'b') %}{% set c, d = a %}{{ a }} {{ d }}", "(1, 'b') b"),
        (
            "{% set a = {'b': {'c': 1}} %}{% for k, v in a.items() %}{{ k }}{{ v.c }}{% endfor %}",
            "b1",
        ),
        (
            "{% macro add(n) %}{% set n.a = n.a + 1 %}{% endmacro %}{% set n = namespace(a=1) %}\
             {{- add(n) }}{{ n.a }}",
            "2",
        ),
        (
            "{% macro tree(a) %}<{% for b in a %}{{ tree(b) }}{% endfor %}>{% endmacro %}\
             {{- tree([[], [[]]]) }}",
            "<<><<>>>",
        ),
        (
            "{% for a in [[1], [2, [3]]] recursive %}\
             {{- loop(a) if a is iterable else a }}{% endfor %}",
            "123",
        ),
        (
            "{% set a = messages | selectattr('role', 'eq', 'user') %}\
             {{- (a | list)[0].content }}",
            "Who cooks?",
        ),
        ("{{ nothing is defined }}{% set a = nothing %}{{ a is defined }}", "FalseFalse"),
        ("{% set a = 'x' + 'y' if messages else z + 'q' %}{{ a }}", "xy"),
        ("{{ '{:>4}|{} of 127.0.0.1:12345'.format('a', 1) }}", "   a|1 of 127.0.0.1:12345"),
        (
            "{% for g in messages | groupby('role') %}{{ g.grouper }}{{ g.list | length }}\
             {%- endfor %}",
            "user1",
        ),
        (
            "{% macro f(a) %}<{{ a }}>{% endmacro %}{% set all = [f] + [f] %}{% set g = f %}\
             {{- g(1) }}{{ all[1](2) }}",
            "<1><2>",
        ),
        (
            "{% for a in [1, 2] %}{% set outer = loop %}{% for b in [3] %}\
             {{- outer.index }}{{ outer.cycle('x', 'y') }}{% endfor %}{% endfor %}",
            "1x2y",
        ),
        ("{{ 'a' is string ~ 'b' + 'c' }}{{ 'a' + 'b' ~ 1 is none }}", "TruebcabFalse"),
        ("{{ 2 * 1e+3 }} {{ -7 * 2 + 1 }} {{ ('ab' * 2) | upper }}", "2000.0 -13 ABAB"),
    ] {
        let got = template(source).render(&[Message::new(Role::User, "Who cooks?")], true);
        assert_eq!(got.unwrap(), expected, "{source}");
    }
}
