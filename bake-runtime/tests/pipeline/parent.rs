//! Baking on top of what was baked before.

use bake_runtime::ErrorKind;
use bake_spec::recipe::{Parent, ParentFields};
use bake_spec::store::{copy_folder, hash_adapter};
use safetensors::SafeTensors;

use super::*;

/// Bakes, and declares the same on top of it. Returns the first bake.
fn baked_on_top(fixture: &mut Fixture) -> Bake {
    let first = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    let folder = fixture.dir.path().join("bakes/Below");
    copy_folder(&first.adapter, &folder).unwrap();
    let hash = hash_adapter(&folder).unwrap();
    let parent = Parent::new(ParentFields { path: "bakes/Below".into(), hash }).unwrap();
    fixture.change(|recipe| recipe.parent = Some(parent));
    first
}

/// The numbers of each row of a tensor, as bytes.
fn rows<'a>(tensors: &'a SafeTensors<'_>, name: &str) -> Vec<&'a [u8]> {
    let tensor = tensors.tensor(name).unwrap();
    tensor.data().chunks(4 * tensor.shape()[1]).collect()
}

#[test]
fn a_bake_on_top_of_another_contains_it_unchanged() {
    let mut fixture = Fixture::new();
    fixture.retrain(8);
    let parameters = |fixture: &Fixture| {
        plan(&fixture.recipe, &fixture.options("store")).unwrap().adapter_parameters
    };
    let alone = parameters(&fixture);
    let first = baked_on_top(&mut fixture);
    assert_eq!(parameters(&fixture), 2 * alone);
    let second = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    // The student begins with what its parent knows.
    let (before, after) = (first.report.kl_before, first.report.kl_after);
    let begins = second.report.kl_before;
    assert!(begins < (before + after) / 2.0, "{before} {after}, then {begins}");
    assert!(second.report.kl_after < begins, "{begins} {}", second.report.kl_after);

    let [below, both] = [&first, &second].map(|bake| weights(&bake.adapter));
    let [below, both] = [&below, &both].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let mut learned = false;
    for name in below.names() {
        let (below, both) = (rows(&below, name), rows(&both, name));
        if name.contains("lora_A") {
            assert_eq!((below.len(), both.len()), (4, 8), "{name}");
            assert_eq!(both[4..], below, "{name}");
        } else {
            let columns = below[0].len();
            for (below, both) in below.iter().zip(&both) {
                let (own, last) = both.split_at(columns);
                assert_eq!(last, *below, "{name}");
                learned |= own.iter().any(|&byte| byte != 0);
            }
        }
    }
    assert!(learned);
    // What was baked is an adapter of the base model like any other.
    Adapter::load(&second.adapter, &Model::tiny().unwrap()).unwrap();
    let again = bake_recipe(&fixture.recipe, &fixture.options("store")).unwrap();
    assert!(again.reused && again.adapter == second.adapter);
}

#[test]
fn a_parent_that_is_not_what_was_declared_is_refused() {
    let mut fixture = Fixture::new();
    baked_on_top(&mut fixture);
    let folder = fixture.dir.path().join("bakes/Below");
    let weights = folder.join("adapter_model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() - 4]).unwrap();
    let error = fixture.error();
    assert_eq!(error.kind(), ErrorKind::Adapter);
    assert!(error.to_string().contains("has changed since it was declared"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(fixture.error().to_string().contains("bakes/Below"));
}
