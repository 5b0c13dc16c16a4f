//! What cannot be baked, and the errors that say so.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bake_runtime::{ErrorKind, Model, Progress, bake_recipe};
use bake_spec::Store;
use bake_spec::recipe::{
    Answer, Document, DocumentFields, Expect, ExpectFields, ModelSource, RecipeFields,
};
use bake_spec::text::document;
use serde_json::Value;

use crate::{Fixture, KEYS, conversation, keys_document};

#[test]
fn what_cannot_be_baked_is_refused_before_any_work() {
    let mut fixture = Fixture::new();
    fixture.rollout(|rollout| rollout.max_tokens = Some(600));
    let error = fixture.error().to_string();
    assert!(
        error.contains("keys.md (target `keys`) does not fit in the model's context: ")
            && error.contains("600"),
        "{error}"
    );

    let long = format!("{KEYS}\n{}.", "and so on and so forth, ".repeat(200));
    let mut fixture = Fixture::new();
    std::fs::write(fixture.dir.path().join("keys.md"), &long).unwrap();
    let error = fixture.error().to_string();
    assert!(error.contains("keys.md has changed since the program was compiled"), "{error}");
    let text = document_text(&fixture);
    fixture.target(|target| target.document = Some(keys_document(&text)));
    let error = fixture.error().to_string();
    assert!(
        error.contains("does not fit in the model's context")
            && error.contains("split it into several targets"),
        "{error}"
    );

    let enormous = "word ".repeat(1 << 20);
    std::fs::write(fixture.dir.path().join("keys.md"), &enormous).unwrap();
    fixture.target(|target| target.document = Some(keys_document(enormous.trim())));
    let error = fixture.error().to_string();
    assert!(error.contains("at least"), "{error}");

    let headings = "# Lost and found\n\n## Lost key\n\n## ...\n\n...";
    std::fs::write(fixture.dir.path().join("keys.md"), headings).unwrap();
    fixture.target(|target| target.document = Some(keys_document(headings)));
    let error = fixture.error().to_string();
    assert!(error.contains("keys.md (target `keys`) has no text below its headings"), "{error}");

    let mut fixture = Fixture::new();
    fixture.lora(|lora| lora.rank = 4000);
    assert!(fixture.error().to_string().contains("rank 4000 is not between"));

    let mut fixture = Fixture::new();
    fixture.change(|recipe| recipe.student = "Be brief. ".repeat(300).into());
    let error = fixture.error().to_string();
    assert!(error.contains("the student prompt does not fit in the model's context"), "{error}");

    let mut fixture = Fixture::new();
    fixture.change(|recipe| recipe.model = ModelSource::Folder("no/such/model".into()));
    let error = fixture.error().to_string();
    assert!(error.contains("no/such/model/config.json does not exist"), "{error}");
}

fn document_text(fixture: &Fixture) -> String {
    document::read(&fixture.dir.path().join("keys.md"), "keys.md").unwrap()
}

#[test]
fn a_bake_of_another_document_is_not_taken_for_this_one() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    let stimuli = fixture.recipe.targets[0].stimuli.clone();
    fixture.rollout(|rollout| rollout.answers = 1);
    fixture.train(|train| train.epochs = 1);
    let folder = fixture.dir.path().join("docs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("keys.md"), KEYS).unwrap();
    let fields = DocumentFields { path: "docs".into(), hash: document::hash(KEYS) };
    fixture.target(|target| {
        target.stimuli = stimuli;
        target.document = Some(Document::new(fields).unwrap());
    });
    assert!(!bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().reused);
    assert!(bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().reused);
    std::fs::write(folder.join("lamps.md"), "Ask Ann.").unwrap();
    let error = fixture.error();
    assert_eq!(error.kind(), ErrorKind::Document);
    assert!(error.to_string().contains("docs has changed since the program was compiled"));
    // Where the documents are missing, what was baked can still be used.
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap().reused);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let fixture = Fixture::new();
    std::fs::write(fixture.dir.path().join("file"), "").unwrap();
    let error =
        bake_recipe(&fixture.recipe, &fixture.options("file/store")).unwrap_err().to_string();
    assert!(error.contains("file/store"), "{error}");
}

#[test]
fn training_that_diverges_is_an_error_and_leaves_no_adapter() {
    let mut fixture = Fixture::new();
    // A student that has the document too is near the teacher to begin with. Where everything
    // overflows, all tokens are equally likely in the end, which is nearer than another student is.
    for (student, lr) in [(KEYS, 1e4), (KEYS, 1e6), ("", 1e6)] {
        fixture.change(|recipe| recipe.student = student.into());
        fixture.train(|train| (train.lr, train.teacher_anyway) = (Some(lr), true));
        fixture.lora(|lora| lora.alpha = 1000.0);
        let error = fixture.error();
        assert_eq!(error.kind(), ErrorKind::Training);
        assert!(error.to_string().contains("lower `lr`"), "{error}");
        let hash = fixture.recipe.hash(Model::tiny().unwrap().hash());
        assert_eq!(Store::new(fixture.dir.path().join("store")).adapter(&hash).unwrap(), None);
    }
}

/// A copy of the small model's folder with a JSON file changed.
fn edited_tiny(fixture: &mut Fixture, file: &str, edit: impl FnOnce(&mut Value)) {
    let folder = fixture.dir.path().join("model");
    std::fs::create_dir_all(&folder).unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny");
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
        .into_iter()
        .chain(["tokenizer_config.json"])
    {
        if !folder.join(name).exists() {
            std::fs::copy(tiny.join(name), folder.join(name)).unwrap();
        }
    }
    let mut json = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
    edit(&mut json);
    std::fs::write(folder.join(file), json.to_string()).unwrap();
    fixture.change(|recipe| recipe.model = ModelSource::Folder("model".into()));
}

#[test]
fn a_template_that_leaves_the_system_prompt_out_is_refused_before_any_work() {
    let mut fixture = Fixture::new();
    edited_tiny(&mut fixture, "tokenizer_config.json", |config| {
        config["chat_template"] = "{% for m in messages %}{% if m.role == 'user' %}<|user|>\
             {{ m.content }}<|end|>{% endif %}{% endfor %}<|assistant|>"
            .into();
    });
    fixture.target(|target| target.prompt = "Be brief.".into());
    let error = fixture.error().to_string();
    assert!(
        error.contains("model/tokenizer_config.json leaves system turns out")
            && error.contains("would not see"),
        "{error}"
    );
    assert!(!fixture.dir.path().join("store/keys").exists(), "nothing was made");
}

#[test]
fn a_template_that_leaves_earlier_turns_out_is_refused_before_any_work() {
    let mut fixture = Fixture::new();
    edited_tiny(&mut fixture, "tokenizer_config.json", |config| {
        config["chat_template"] = "{% for m in messages %}{% if m.role == 'system' or loop.last %}\
             <|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}<|assistant|>"
            .into();
    });
    let of_student = |recipe: &mut RecipeFields| recipe.student = conversation("");
    let of_teacher = |recipe: &mut RecipeFields| {
        let target = recipe.targets[0].with(|target| target.prompt = conversation("Be brief."));
        (recipe.student, recipe.targets.to_mut()[0]) = ("".into(), target.unwrap());
    };
    for change in [of_student as fn(&mut RecipeFields), of_teacher] {
        fixture.change(change);
        let error = fixture.error().to_string();
        assert!(
            error.contains("model/tokenizer_config.json leaves turns before the last question out"),
            "{error}"
        );
        assert!(!fixture.dir.path().join("store/keys").exists(), "nothing was made");
    }
}

/// An empty question can have more tokens than a real one.
#[test]
fn a_template_that_fills_in_empty_questions_is_measured_too() {
    let mut fixture = Fixture::new();
    edited_tiny(&mut fixture, "tokenizer_config.json", |config| {
        config["chat_template"] = "{% for m in messages %}<|{{ m.role }}|>{% if m.content %}\
             {{ m.content }}{% else %}The user has not said anything at all so far, so say hello \
             and ask what the matter is.{% endif %}<|end|>{% endfor %}<|assistant|>"
            .into();
    });
    fixture.rollout(|rollout| rollout.max_tokens = Some(620));
    let error = fixture.error().to_string();
    assert!(error.contains("does not fit") && error.contains("an answer up to 620"), "{error}");
}

/// Records warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Progress for Warnings {
    fn begin(&self, _stage: &str, _total: usize, _unit: &str) {}
    fn advance(&self, _steps: usize, _note: &str) {}
    fn end(&self) {}

    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn a_model_that_never_ends_its_answers_is_not_trained_on() {
    let mut fixture = Fixture::new();
    edited_tiny(&mut fixture, "generation_config.json", |config| config["eos_token_id"] = 0.into());
    edited_tiny(&mut fixture, "tokenizer_config.json", |config| {
        config["eos_token"] = "<|pad|>".into();
    });
    fixture.written_only();
    let error = fixture.error().to_string();
    assert!(
        error.contains("probes of target `keys` did not end on their own")
            && error.contains("the control token `<|end|>` came up in")
            && error.contains("add its id, 4, to `eos_token_id`"),
        "{error}"
    );
}

#[test]
fn answers_that_are_all_cut_are_not_learned_unless_it_is_asked_for() {
    let mut fixture = Fixture::new();
    fixture.target(|target| (target.document, target.prompt) = (None, KEYS.into()));
    fixture.written_only();
    fixture.rollout(|rollout| rollout.max_tokens = Some(2));
    let error = fixture.error().to_string();
    assert!(
        error.contains("none of the 6 rollouts of target `keys` is usable (6 cut off")
            && error.contains("raise `max_tokens`"),
        "{error}"
    );
    fixture.train(|train| train.teacher_anyway = true);
    let warnings = Warnings::default();
    let options = fixture.options("store").progress(warnings.clone());
    let report = bake_recipe(&fixture.recipe, &options).unwrap().report;
    assert_eq!(report.targets[0].cut, report.targets[0].rollouts);
    let said = warnings.0.lock().unwrap().join("\n");
    assert!(
        said.contains("6 of 6 rollouts of target `keys` did not end on their own")
            && said.contains("training on all of them because of `teacher anyway`"),
        "{said}"
    );
}

#[test]
fn a_prompt_that_changes_next_to_nothing_is_not_baked() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    // The small model has learned to disregard these.
    for prompt in ["Be polite.", "Be friendly."] {
        fixture.target(|target| (target.document, target.prompt) = (None, prompt.into()));
        let error = fixture.error().to_string();
        assert!(
            error.contains("the same answer with and without the prompt of target `keys`")
                && error.contains(" to 8 of 9 requests")
                && error.contains("rephrase the prompt"),
            "{error}"
        );
    }
}

#[test]
fn a_behaviour_that_the_model_does_not_show_is_not_baked() {
    let mut fixture = Fixture::new();
    fixture.written_only();
    let expect = |words: &'static str| {
        let fields = ExpectFields {
            target: Some("keys".into()),
            question: "Hello!".into(),
            answer: Answer::EndsWith(words.into()),
        };
        vec![Expect::new(fields).unwrap()].into()
    };
    fixture.target(|target| {
        (target.document, target.prompt) = (None, "End every answer with: Over and out.".into());
    });
    fixture.change(|recipe| recipe.expects = expect("Yours truly"));
    let error = fixture.error().to_string();
    assert!(
        error.contains("does not follow the prompt of target `keys`: even with it, the model")
            && error.contains("gives only 0 of the 1")
            && error.contains("expected answers that it does not already give")
            && error.contains("\"Hello!\": ")
            && error.contains("`train { teacher anyway; }` bakes it anyway"),
        "{error}"
    );
    // What it does by itself says nothing about the prompt.
    fixture.change(|recipe| recipe.expects = expect("that information"));
    bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
}

#[test]
fn weights_that_are_not_numbers_leave_nothing_in_the_store() {
    let mut fixture = Fixture::new();
    edited_tiny(&mut fixture, "config.json", |_| {});
    let path = fixture.dir.path().join("model/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let first = header["model.norm.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    // A NaN in f16.
    bytes[8 + length + first..][..2].copy_from_slice(&0x7e00u16.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = fixture.error().to_string();
    assert!(error.contains("not numbers"), "{error}");
    assert!(!fixture.dir.path().join("store/keys").exists(), "nothing was made");
}
