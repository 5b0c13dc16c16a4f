//! What a model's files say about its texts. The expected ids are those of the Python libraries,
//! transformers 5.24 and tokenizers 0.23.3.

use std::borrow::Cow;

use bake_spec::model::{Files, Origin};
use serde_json::{Value, json};

use super::settings::TextSettings;
use super::stream::TextStream;
use super::template::{ChatTemplate, Message, Role};
use super::tokenizer::Tokenizer;
use crate::checkpoint::testing::Folder;
use crate::error::Result;

const TURNS: &str = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}";

/// Files with this tokenizer and this `tokenizer_config.json`.
pub(super) fn files(tokenizer: &Value, config: &Value) -> Files {
    Files {
        origin: Origin::Folder("m".into()),
        config: "{}".into(),
        tokenizer: tokenizer.to_string().into_bytes().into(),
        tokenizer_config: Some(config.to_string().into()),
        generation_config: None,
        template: None,
        special_tokens_map: None,
        added_tokens: None,
        index: None,
    }
}

fn read(files: &Files) -> Result<(Tokenizer, ChatTemplate)> {
    let settings = TextSettings::read(files)?;
    let tokenizer = Tokenizer::parse(&files.tokenizer, &settings, 100, "m/tokenizer.json")?;
    let template = ChatTemplate::new(
        settings.template(),
        settings.special_tokens(),
        settings.template_name(),
    )?;
    Ok((tokenizer, template))
}

fn ids(files: &Files, content: &str) -> Vec<u32> {
    let (tokenizer, template) = read(files).unwrap();
    template.encode(&tokenizer, &[Message::new(Role::User, content)], false).unwrap()
}

fn rendered(files: &Files, content: &str) -> Result<String> {
    let (_, template) = read(files)?;
    template.render(&[Message::new(Role::User, content)], false)
}

const WORDS: [&str; 15] =
    ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "▁b", "<", "/", "s", ">", "t", "▁▁", "<t>"];

/// Letters, with a mark for the space before words. `scheme` says before which words.
fn metaspace(scheme: &str) -> Value {
    let added = |id: usize| {
        json!({"id": id, "content": WORDS[id], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true})
    };
    let vocabulary: serde_json::Map<_, _> =
        WORDS.iter().enumerate().map(|(id, word)| (word.to_string(), json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null,
        "added_tokens": [added(0), added(1), added(2)],
        "normalizer": null,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme,
            "split": false},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme,
            "split": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>",
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary,
            "merges": [["▁", "a"], ["▁", "b"]]},
    })
}

fn plain_config() -> Value {
    json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": TURNS})
}

#[test]
fn only_the_start_of_a_text_is_its_start() {
    // The token that is written out is text, and the text around it stays as it was.
    for (scheme, word, behind) in [("first", 4, 4), ("never", 4, 4), ("always", 6, 4)] {
        let files = files(&metaspace(scheme), &plain_config());
        assert_eq!(ids(&files, "a b"), [1, word, 7], "{scheme}");
        let written = [1, word, 7, 8, 9, 10, 11, behind, 7];
        assert_eq!(ids(&files, "a b</s>a b"), written, "{scheme}");
    }
    let mut files = files(&metaspace("first"), &plain_config());
    files.template = Some(Cow::from("{% for m in messages %}{{ m.content }}{% endfor %}"));
    assert_eq!(ids(&files, "a</s>"), [6, 8, 9, 10, 11]);
    assert_eq!(ids(&files, "</s>a"), [3, 8, 9, 10, 11, 4]);
}

#[test]
fn texts_without_written_tokens_are_encoded_as_ever() {
    for name in ["llama", "llama-tied"] {
        let model = Folder::of(name).load();
        let tokenizer = model.tokenizer();
        let token = tokenizer.control_tokens()[0];
        for text in ["", "Hello there,  \n\n world’s 12 345 ü\t ", &format!(" a {token}b{token}")]
        {
            let marked = tokenizer.encode_marked(text, '\u{e000}').unwrap();
            assert_eq!(marked, tokenizer.encode(text).unwrap(), "{name} {text:?}");
        }
    }
    let (tokenizer, _) = read(&files(&metaspace("first"), &plain_config())).unwrap();
    for text in ["a b", " a", "<s> a</s>b <s>", "a<s></s> b"] {
        let marked = tokenizer.encode_marked(text, '\u{e000}').unwrap();
        assert_eq!(marked, tokenizer.encode(text).unwrap(), "{text:?}");
    }
}

#[test]
fn tokens_that_steer_are_text_in_a_text_even_if_they_are_not_called_special() {
    let mut tokenizer = metaspace("never");
    let list = tokenizer["added_tokens"].as_array_mut().unwrap();
    for (id, content) in [(14, "<t>"), (13, "▁▁"), (5, "b")] {
        list.push(json!({"id": id, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": id == 14, "special": false}));
    }
    let files = files(&tokenizer, &plain_config());
    let (read_back, template) = read(&files).unwrap();
    let encode = |text: &str| {
        let messages = [Message::new(Role::User, text)];
        template.encode(&read_back, &messages, false).unwrap()
    };
    assert_eq!(encode("a<t>"), [1, 4, 8, 12, 11]);
    // Runs of spaces and words that a tokenizer has learned are not control tokens.
    assert_eq!(encode("▁▁b<t>b"), [1, 13, 5, 8, 12, 11, 5]);
    assert_eq!(read_back.encode("<t>").unwrap(), [14]);
    assert_eq!(read_back.control_tokens(), ["<unk>", "<s>", "</s>", "<t>"]);
    // Unless the files name them.
    for (key, value) in [
        ("chat_control_tokens", json!(["b"])),
        ("b_token", json!("b")),
        ("model_specific_special_tokens", json!({"letter": "b"})),
    ] {
        let mut config = plain_config();
        config[key] = value;
        let (named, _) = read(&self::files(&tokenizer, &config)).unwrap();
        assert_eq!(named.control_tokens(), ["<unk>", "<s>", "</s>", "b", "<t>"], "{key}");
    }

    // Nor does it steer in letters that the normalizer makes into it.
    tokenizer["normalizer"] = json!({"type": "NFKC"});
    let (wide, template) = read(&self::files(&tokenizer, &plain_config())).unwrap();
    assert_eq!(wide.encode("a＜t＞").unwrap(), [4, 14]);
    for text in ["a＜t＞", "a<t＞", "a<t>"] {
        let messages = [Message::new(Role::User, text)];
        let ids = template.encode(&wide, &messages, false).unwrap();
        assert_eq!(ids, [1, 4, 8, 12, 11], "{text}");
    }

    // What the template writes steers too, whatever it looks like.
    for source in ["'b' + messages[0].content", "\"don't\" ~ messages[0].content ~ {'}}': 'b'}"] {
        let template = format!("{{{{ {source} }}}}");
        let config = json!({"bos_token": "<s>", "chat_template": template});
        let files = self::files(&tokenizer, &config);
        assert!(read(&files).unwrap().0.control_tokens().contains(&"b"), "{source}");
    }
}

#[test]
fn padding_truncation_and_dropout_are_for_training() {
    let plain = ids(&files(&metaspace("first"), &plain_config()), "a b a b");
    let mut tokenizer = metaspace("first");
    tokenizer["padding"] = json!({"strategy": {"Fixed": 64}, "direction": "Right", "pad_id": 2,
        "pad_to_multiple_of": null, "pad_type_id": 0, "pad_token": "</s>"});
    tokenizer["truncation"] = json!({"direction": "Right", "max_length": 2, "stride": 0,
        "strategy": "LongestFirst"});
    tokenizer["model"]["dropout"] = json!(0.0);
    assert_eq!(ids(&files(&tokenizer, &plain_config()), "a b a b"), plain);
    tokenizer["model"]["dropout"] = json!(0.5);
    let error = read(&files(&tokenizer, &plain_config())).err().unwrap().to_string();
    assert!(error.starts_with("m/tokenizer.json has `dropout` 0.5"), "{error}");
}

#[test]
fn patterns_know_lines_as_oniguruma_does() {
    let folder = Folder::of("llama-tied");
    let encode = |text: &str| folder.load().tokenizer().encode(text).unwrap();
    folder.edit("tokenizer.json", |json| {
        json["pre_tokenizer"]["pretokenizers"][0] = json!({"type": "Split",
            "pattern": {"Regex": " +$"}, "behavior": "Removed", "invert": false});
    });
    assert_eq!(encode("one  \ntwo "), encode("one\ntwo"));
    assert_ne!(encode("one  two"), encode("onetwo"));
}

#[test]
fn a_pattern_that_takes_too_many_steps_is_an_error() {
    let folder = Folder::of("llama-tied");
    folder.edit("tokenizer.json", |json| {
        json["pre_tokenizer"]["pretokenizers"][0] = json!({"type": "Split",
            "pattern": {"Regex": "(?:x+x+)+y"}, "behavior": "Isolated", "invert": false});
    });
    let error =
        folder.load().tokenizer().encode(&format!("{} y", "x".repeat(40))).unwrap_err().to_string();
    assert!(error.contains("tokenizer takes too many steps"), "{error}");
}

#[test]
fn added_tokens_are_found_in_all_files_that_name_them() {
    // As tokenizer.json has it, `<t>` is not one token in a text.
    let encode = |files: &Files| read(files).unwrap().0.encode("a<t>").unwrap();
    let mut plain = files(&metaspace("never"), &plain_config());
    assert_eq!(encode(&plain), [4, 8, 12, 11]);
    plain.added_tokens = Some(r#"{"<t>": 14}"#.into());
    assert_eq!(encode(&plain), [4, 14]);
    plain.added_tokens = Some(r#"{"<t>": -1}"#.into());
    assert!(read(&plain).err().unwrap().to_string().contains("m/added_tokens.json has the id -1"));

    let with = |key: &str, value: Value| {
        let mut config = plain_config();
        config[key] = value;
        files(&metaspace("never"), &config)
    };
    let token = json!({"content": "<t>", "special": true, "normalized": false, "lstrip": false,
        "rstrip": false, "single_word": false});
    assert_eq!(encode(&with("added_tokens_decoder", json!({"14": token}))), [4, 14]);
    assert_eq!(encode(&with("extra_special_tokens", json!(["<t>"]))), [4, 14]);
    assert_eq!(encode(&with("additional_special_tokens", json!([token]))), [4, 14]);
    assert_eq!(encode(&with("image_token", json!("<t>"))), [4, 14]);
    assert_eq!(encode(&with("model_specific_special_tokens", json!({"t": "<t>"}))), [4, 14]);
    for (key, value, what) in [
        ("added_tokens_decoder", json!({"11": token}), "the files do not belong together"),
        ("added_tokens_decoder", json!([token]), "is not an object"),
        ("split_special_tokens", json!(true), "sets `split_special_tokens`"),
        ("split_special_tokens", json!("true"), "neither true nor false"),
        ("pad_token", json!(["</s>"]), "`pad_token`"),
        ("add_prefix_space", json!("true"), "neither true nor false"),
        ("model_specific_special_tokens", json!(["<t>"]), "no object of tokens"),
        ("chat_control_tokens", json!(["<t>", 1]), "not a list of texts"),
        ("fix_mistral_regex", json!(true), "sets `fix_mistral_regex`"),
        ("fast_tokenizer_files", json!(["tokenizer.4.0.0.json"]), "`fast_tokenizer_files`"),
    ] {
        let error = read(&with(key, value)).err().unwrap().to_string();
        assert!(error.contains("m/tokenizer_config.json") && error.contains(what), "{error}");
    }
}

#[test]
fn a_space_before_a_text_is_where_the_tokenizer_has_it() {
    let mut tokenizer = metaspace("never");
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": true});
    let digits = json!({"type": "Digits", "individual_digits": true});
    tokenizer["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [digits, bytes]});
    let mut config = plain_config();
    config["add_prefix_space"] = json!(false);
    read(&files(&tokenizer, &config)).unwrap();
    config["add_prefix_space"] = json!(true);
    let error = read(&files(&tokenizer, &config)).err().unwrap().to_string();
    assert!(
        error.starts_with("m/tokenizer_config.json sets `add_prefix_space` to true"),
        "{error}"
    );
    // Other tokenizers have a scheme, or a normalizer for it.
    let mut prepends = metaspace("first");
    prepends["pre_tokenizer"] = json!(null);
    let prepend = json!({"type": "Prepend", "prepend": "▁"});
    prepends["normalizer"] = json!({"type": "Sequence", "normalizers": [prepend]});
    for (tokenizer, does) in [
        (metaspace("never"), false),
        (metaspace("first"), true),
        (metaspace("always"), true),
        (prepends, true),
    ] {
        for said in [false, true] {
            config["add_prefix_space"] = json!(said);
            assert_eq!(read(&files(&tokenizer, &config)).is_ok(), said == does, "{tokenizer}");
        }
    }
}

/// transformers 5: `_patch_mistral_regex`.
#[test]
fn a_pre_tokenizer_is_replaced_in_old_mistral_models_alone() {
    let mut config = plain_config();
    config["fix_mistral_regex"] = json!(true);
    let mut files = files(&metaspace("never"), &config);
    for (model_type, version, is_replaced) in [
        ("mistral", "4.57.1", true),
        ("mistral", "5.0.0rc1", true),
        ("mistral", "5.0.0", false),
        ("qwen2", "4.57.1", false),
    ] {
        let config = json!({"model_type": model_type, "transformers_version": version});
        files.config = config.to_string().into();
        assert_eq!(read(&files).is_err(), is_replaced, "{model_type} {version}");
    }
    files.config = r#"{"model_type": "mistral"}"#.into();
    assert!(read(&files).is_err());
}

#[test]
fn a_mistake_is_in_the_file_that_has_it_and_a_message_is_short() {
    let long = &*"x".repeat(1 << 20);
    let refused = |files: &Files| {
        let error = read(files).err().unwrap().to_string();
        assert!(error.len() < 400, "{} bytes", error.len());
        error
    };
    let with = |map: Option<Value>, added: Option<Value>| Files {
        special_tokens_map: map.map(|map| map.to_string().into()),
        added_tokens: added.map(|added| added.to_string().into()),
        ..files(&metaspace("never"), &plain_config())
    };
    let key = format!("{long}_token");
    for (map, what) in [
        (json!({"bos_token": {"content": 1}}), "has a `bos_token` that has no text"),
        (json!({key: []}), "has a `xxx"),
        (json!({"additional_special_tokens": [{}]}), "has a token in `additional_special_tokens`"),
        (json!({"extra_special_tokens": {"a": []}}), "has a token in `extra_special_tokens`"),
        (json!(long), "is not a JSON object"),
    ] {
        let error = refused(&with(Some(map), None));
        assert!(error.starts_with(&format!("m/special_tokens_map.json {what}")), "{error}");
    }
    for (added, what) in [
        (json!({"<t>": 11}), "gives the token \"<t>\" the id 11, but in tokenizer.json it is 14"),
        (json!({"a": {"b": long}}), "has the id {\"b\":\"xxx"),
        (json!({long: null}), "has the id null for \"xxx"),
        (json!({long: 90}), "gives the token \"xxx"),
        (json!([long]), "is not a JSON object"),
    ] {
        let error = refused(&with(None, Some(added)));
        assert!(error.starts_with(&format!("m/added_tokens.json {what}")), "{error}");
    }
    let mut config = plain_config();
    config["added_tokens_decoder"] = json!({"11": {"content": long}});
    assert!(refused(&files(&metaspace("never"), &config)).starts_with("m/tokenizer_config.json"));
    config["added_tokens_decoder"] = json!({long: {"content": "a"}});
    assert!(refused(&files(&metaspace("never"), &config)).starts_with("m/tokenizer_config.json"));
}

#[test]
fn templates_get_all_special_tokens() {
    let template = "{{ bos_token }}|{{ pad_token }}|{{ image_token }}|{{ sep_token }}";
    let mut config = json!({"bos_token": "<s>", "pad_token": {"content": "</s>"},
        "extra_special_tokens": {"image_token": "<t>"}, "chat_template": template,
        "add_bos_token": true});
    let mut files = files(&metaspace("never"), &config);
    assert_eq!(rendered(&files, "").unwrap(), "<s>|</s>|<t>|");
    // Those of the model are written twice, and the second place counts where it is the only one.
    let mut twice = config.clone();
    twice["model_specific_special_tokens"] = json!({"sep_token": "a"});
    assert_eq!(rendered(&self::files(&metaspace("never"), &twice), "").unwrap(), "<s>|</s>|<t>|");
    twice["extra_special_tokens"] = json!({});
    assert_eq!(rendered(&self::files(&metaspace("never"), &twice), "").unwrap(), "<s>|</s>||a");
    // The map is read where the configuration does not list the tokens itself.
    files.special_tokens_map =
        Some(r#"{"bos_token": "</s>", "sep_token": {"content": "<s>"}}"#.into());
    assert_eq!(rendered(&files, "").unwrap(), "</s>|</s>|<t>|<s>");
    config["added_tokens_decoder"] = json!({});
    files.tokenizer_config = Some(config.to_string().into());
    assert_eq!(rendered(&files, "").unwrap(), "<s>|</s>|<t>|");
}

/// A text out of a template alone.
fn template(source: &str) -> Result<String> {
    let config = json!({"bos_token": "<s>", "chat_template": source});
    rendered(&files(&metaspace("never"), &config), "Hi")
}

#[test]
fn line_ends_of_a_template_are_those_of_unix() {
    let source = "{% for m in messages %}\nA: {{ m.content }}\nB\n{% endfor %}\n";
    let want = template(source).unwrap();
    assert_eq!(want, "A: Hi\nB\n");
    assert_eq!(template(&source.replace('\n', "\r\n")).unwrap(), want);
    assert_eq!(template(&source.replace('\n', "\r")).unwrap(), want);

    // In a file of its own they do not make another model of it.
    let folder = Folder::of("llama-tied");
    folder.write("chat_template.jinja", source);
    let unix = *folder.load().hash();
    folder.write("chat_template.jinja", &source.replace('\n', "\r\n"));
    let windows = folder.load();
    assert_eq!(*windows.hash(), unix);
    let ids = windows.encode(&[Message::new(Role::User, "Hi")]).unwrap();
    assert_eq!(ids, windows.tokenizer().encode(&want).unwrap());
}

#[test]
fn marks_of_the_assistants_turn_mean_nothing_in_a_prompt() {
    let source = "{% for m in messages %}\n  {%- generation -%}\n {{ m.content }}\n \
        {%- endgeneration +%}\n{% generation %}{% set x = 1 %}!{% endgeneration %}{{ x }}\
        {% endfor %}{# {% generation %} #}";
    assert_eq!(template(source).unwrap(), "Hi\n!");
    assert!(template("{% generation %}").is_err());
}

#[test]
fn tools_and_documents_are_none() {
    let source = "{% if tools is not none or documents is not none %}T{% endif %}\
        {% if tools is defined %}D{% endif %}{{ tools }} {{ true }} {{ messages | tojson }}";
    let want = r#"DNone True [{"role": "user", "content": "Hi"}]"#;
    assert_eq!(template(source).unwrap(), want);
}

#[test]
fn the_day_has_any_format() {
    let said = template("{{ strftime_now('%-d %B %Y, %A') }}").unwrap();
    assert_eq!(said, "26 July 2024, Friday");
    let error = template("{{ strftime_now('%d %Q') }}").unwrap_err().to_string();
    assert!(error.contains("m/tokenizer_config.json") && error.contains("`%Q`"), "{error}");
    let error = template("{{ raise_exception('no tools here') }}").unwrap_err().to_string();
    assert!(error.contains("no tools here"), "{error}");
}

#[test]
fn which_of_several_templates_is_used() {
    let named = |name: &str| json!({"name": name, "template": name});
    let with = |templates: Value| {
        let config = json!({"bos_token": "<s>", "chat_template": templates});
        rendered(&files(&metaspace("never"), &config), "")
    };
    assert_eq!(with(json!([named("tool_use"), named("default")])).unwrap(), "default");
    let error = with(json!([named("tool_use"), named("rag")])).unwrap_err().to_string();
    assert!(error.contains("`tool_use`, `rag`") && error.contains("no `default`"), "{error}");
    assert!(with(json!(null)).unwrap_err().to_string().contains("has no chat template"));

    let folder = Folder::of("llama-tied");
    let said = || {
        let ids = folder.load().encode(&[Message::new(Role::User, "Hi")]).unwrap();
        folder.load().decode(&ids).unwrap()
    };
    folder.write("additional_chat_templates/rag.jinja", "r");
    let error = folder.refused();
    assert!(error.contains("additional_chat_templates") && error.contains("`default.jinja`"));
    folder.write("chat_template.jinja", "one");
    assert_eq!(said(), "one");
    folder.write("additional_chat_templates/default.jinja", "two");
    assert_eq!(said(), "two");
}

#[test]
fn a_stream_drops_no_text() {
    // A byte that is a letter, and no longer one when a byte that is not text follows it.
    let vocabulary = json!({"<unk>": 0, "<0x41>": 1, "<0xFF>": 2, "b": 3, "c": 4});
    let mut tokenizer = metaspace("never");
    tokenizer["added_tokens"] = json!([]);
    tokenizer["pre_tokenizer"] = json!(null);
    tokenizer["decoder"] = json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"},
        {"type": "Fuse"}]});
    tokenizer["model"]["vocab"] = vocabulary;
    tokenizer["model"]["merges"] = json!([]);
    let files = files(&tokenizer, &json!({"chat_template": ""}));
    let (tokenizer, _) = read(&files).unwrap();
    let mut stream = TextStream::default();
    let mut text = String::new();
    for id in [3, 1, 2, 3, 4] {
        text += &stream.push(id, &tokenizer).unwrap();
    }
    text += &stream.finish(&tokenizer).unwrap();
    assert_eq!(text, "bA\u{fffd}bc");
}
