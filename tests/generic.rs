//! Code that is generic over declarations: it bakes, loads, asks and evaluates.

use std::path::Path;

use bake::{BakeOptions, Declaration, Loader, Silent, Store, TargetName as _, bake};

bake! {
    bake Office {
        anchors none;
        outline 0;
        unanswerable 0;
        target keys from "tests/docs/keys.md" {
            questions ["I lost my key", "Where is my key?"];
            ask 0;
            max_tokens 3;
            expect "My key is lost" => contains "Bob";
        }
        lora { rank 4; }
        // Answers of three tokens say next to nothing.
        train { epochs 2; teacher anyway; }
    }

    // A quantised model with random weights.
    bake Small {
        model "tests/fixtures/gguf/llama-tied-q8_0.gguf";
        anchors none;
        outline 0;
        unanswerable 0;
        target keys from "tests/docs/keys.md" {
            questions ["I lost my key", "Where is my key?"];
            ask 0;
            max_tokens 3;
            expect "My key is lost" => contains "Bob";
        }
        lora { rank 4; }
        train { epochs 2; teacher anyway; }
    }

    bake Unbaked {
        target keys from "tests/docs/keys.md"
    }
}

/// What a program could do with each of its bakes.
fn bake_and_evaluate<D: Declaration>(
    store: &Store,
    model: &str,
) -> bake::Result<Vec<(String, bool)>> {
    let options = BakeOptions::new().store(store.clone()).progress(Silent);
    let baked = bake::<D>(&options)?;
    let loader = Loader::<D>::new().store(store.clone());
    // Cleaning must not remove what is loaded from the store by its folder.
    let used = store.root().join("used").join(baked.adapter.file_name().unwrap());
    let _ = std::fs::remove_file(&used);
    let from_folder = Loader::<D>::new().adapter(&baked.adapter).load()?;
    assert!(used.is_file(), "{}", used.display());
    // The model can be elsewhere, but must be the one that was baked into.
    let at = |folder: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let elsewhere = loader.clone().model(at(model)).load()?;
    let other = loader.clone().model(at("tests/fixtures/models/llama")).load().unwrap_err();
    assert!(other.is_not_baked(), "{other}");
    for refused in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
        let error = loader.clone().strength(refused).load().unwrap_err();
        assert!(error.to_string().ends_with(&format!("not {refused:?}")), "{error}");
        assert!(loader.clone().strength(refused).load_switchable().is_err());
    }
    let of = |strength| loader.clone().strength(strength);
    let (none, whole) = (of(0.0).load()?, of(1.0).load()?);
    let (switched_off, stronger) = (of(0.0).load_switchable()?, of(2.0).load_switchable()?);
    let models = loader.load_switchable()?;
    let first = D::Target::ALL[0];
    assert_eq!(first.name(), &*D::RECIPE.targets[first.index()].name);
    let outcomes = models.evaluate()?;
    for outcome in &outcomes {
        // All paths give the same answer, which is as long as the declaration allows.
        let alone = loader.load()?;
        let mut stream = alone.stream(outcome.question)?;
        stream.by_ref().try_for_each(|piece| piece.map(drop))?;
        assert!(stream.tokens() <= 3, "{} tokens", stream.tokens());
        assert_eq!(alone.chat(outcome.question)?, outcome.baked.answer);
        assert_eq!(alone.session()?.chat(outcome.question)?, outcome.baked.answer);
        assert_eq!(alone.chat_all(&[outcome.question])?, [outcome.baked.answer.as_str()]);
        assert_eq!(from_folder.chat(outcome.question)?, outcome.baked.answer);
        assert_eq!(elsewhere.chat(outcome.question)?, outcome.baked.answer);
        assert_eq!(models.baked().chat(outcome.question)?, outcome.baked.answer);
        assert_eq!(whole.chat(outcome.question)?, outcome.baked.answer);
        for base in [&*none, &switched_off.baked(), &stronger.base()] {
            assert_eq!(base.chat(outcome.question)?, outcome.base.answer);
        }
        assert_eq!(
            stronger.baked().chat(outcome.question)?,
            of(2.0).load()?.chat(outcome.question)?
        );
        assert_eq!(models.base().chat(outcome.question)?, outcome.base.answer);
        let prompted = outcome.prompted.as_ref().expect("the question has a target");
        assert_eq!(models.prompted(first)?.chat(outcome.question)?, prompted.answer);
        assert!(models.prompted(first)?.stream(outcome.question)?.count() <= 3);
    }
    // The verdict grades the same answers.
    let verdict = models.verdict()?;
    assert_eq!(verdict.expectations.len(), outcomes.len());
    for (expectation, outcome) in verdict.expectations.iter().zip(&outcomes) {
        assert_eq!(expectation.question, outcome.question);
        assert_eq!(expectation.answer, outcome.baked.answer);
        assert_eq!(
            (expectation.base, expectation.baked),
            (outcome.base.right, outcome.baked.right)
        );
        assert_eq!(expectation.prompted, outcome.prompted.as_ref().map(|graded| graded.right));
    }
    Ok(outcomes.into_iter().map(|o| (o.question.to_owned(), o.baked.right)).collect())
}

#[test]
fn any_declaration_is_baked_loaded_and_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    for outcomes in [
        bake_and_evaluate::<Office>(&store, "models/tiny").unwrap(),
        bake_and_evaluate::<Small>(&store, "tests/fixtures/gguf/llama-tied-q8_0.gguf").unwrap(),
    ] {
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].0, "My key is lost");
    }

    let error = Loader::<Unbaked>::new().store(store).load().unwrap_err();
    assert!(error.is_not_baked(), "{error}");
    assert!(error.to_string().contains("run `cargo bake`"), "{error}");
}
