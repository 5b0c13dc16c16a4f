//! Bakes that are declared on top of others.

#[path = "shared/declared.rs"]
mod declared;

use bake_spec::store::hash_adapter;
use bake_spec::{Hash, Recipe};
use declared::{package, without_mistakes};

#[test]
fn a_parent_is_the_adapter_in_a_folder() {
    let dir = package();
    let folder = dir.path().join("bakes/Keys");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("adapter_config.json"), "{}").unwrap();
    let build = |parent: &str, decay: f64, dropout: f64| {
        let bake = Recipe::builder().name("Support").root(dir.path()).parent(parent);
        let bake = bake.target("keys", |target| target.document("keys.md"));
        bake.train(|train| train.weight_decay(decay)).lora(|lora| lora.dropout(dropout)).build()
    };
    let recipe = build("bakes/Keys", 0.0, 0.0).unwrap();
    let source = r#"bake Support {
        parent "bakes/Keys"; target keys from "keys.md"; train { weight_decay 0; }
    }"#;
    assert_eq!(recipe, without_mistakes(dir.path(), source));
    assert_eq!(recipe.parent.as_ref().unwrap().hash, hash_adapter(&folder).unwrap());
    // Another report does not make another bake, but another adapter does.
    std::fs::write(folder.join("bake.json"), "{}").unwrap();
    assert_eq!(build("bakes/Keys", 0.0, 0.0).unwrap(), recipe);
    std::fs::write(folder.join("adapter_model.safetensors"), "numbers").unwrap();
    let other = build("bakes/Keys", 0.0, 0.0).unwrap();
    let model = Hash::of(b"model");
    assert_ne!(recipe.hash(&model), other.hash(&model));
    let without = other.with(|recipe| recipe.parent = None).unwrap();
    assert_ne!(without.hash(&model), other.hash(&model));
    for (parent, decay, dropout, why) in [
        ("bakes/Keys", 0.1, 0.0, "`weight_decay` would also change what the `parent` learned"),
        ("bakes/Keys", 0.0, 0.1, "`dropout` would also change what the `parent` learned"),
        ("bakes/Support", 0.0, 0.0, "a bake cannot be its own `parent`"),
        ("./bakes/Support/", 0.0, 0.0, "a bake cannot be its own `parent`"),
        ("bakes/Lamp", 0.0, 0.0, "run `cargo bake Lamp`, and then `cargo bake vendor Lamp`"),
        ("elsewhere", 0.0, 0.0, "name a folder that contains one"),
    ] {
        let error = build(parent, decay, dropout).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    }
    let decaying = recipe.train.with(|train| train.weight_decay = 0.1).unwrap();
    let dropping = recipe.lora.with(|lora| lora.dropout = 0.1).unwrap();
    for refused in [
        recipe.with(|recipe| recipe.train = decaying),
        recipe.with(|recipe| recipe.lora = dropping),
    ] {
        assert!(refused.unwrap_err().to_string().contains("would also change"));
    }
    for folder in ["bakes/Support", "./bakes/Support/"] {
        let parent = recipe.parent.as_ref().unwrap().with(|it| it.path = folder.into()).unwrap();
        let made = recipe.with(|recipe| recipe.parent = Some(parent)).unwrap_err();
        assert_eq!(made.to_string(), build(folder, 0.0, 0.0).unwrap_err().to_string());
    }
    #[cfg(unix)]
    {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("adapter_config.json"), "{}").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("linked")).unwrap();
        let error = build("linked", 0.0, 0.0).unwrap_err().to_string();
        assert!(error.contains("a link leads to") && error.contains("[B0014]"), "{error}");
    }
}
